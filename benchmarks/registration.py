"""Measures the registration of PET/CTs whose true displacement is known and writes docs/registration.md.

    ./benchmarks/run registration --phantoms 12 --data FOLDER

Without `--data` (real images, docs/real-images.md) only phantoms are measured. `--json` keeps the numbers;
cases that it holds already are not measured again, so that a run can be interrupted.
"""

import argparse
import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from benchmarks import registration_pairs as pairs
from benchmarks.archives import unpack
from benchmarks.registration_report import report
from osln.imaging.grid import read_volume
from osln.pictures import save_picture
from osln.registration import RegisteredPet, register_pet
from osln.registration.frames import map_points
from osln.registration.overlay import draw_registration
from osln.registration.rigid import align_rigid, center_mm, translation
from osln.registration.shifts import pet_shift_mm
from osln.registration.working import working_ct, working_pet

sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "registration.md"
PICTURE = ROOT / "docs" / "images" / "registration-phantom.png"
REAL_SEEDS = (1, 2)
STILL = 1


def main() -> None:
    """Measures what is asked for and writes the document."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--phantoms", type=int, default=12, help="how many phantom patients")
    parser.add_argument("--first-seed", type=int, default=500, help="seed of the first of them")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="folder of the real images")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the numbers are kept")
    parser.add_argument("--document", type=Path, default=DOCUMENT, help="Markdown to write")
    options = parser.parse_args()
    rows: dict[str, dict[str, Any]] = {}
    if options.json and options.json.is_file():
        rows = json.loads(options.json.read_text())

    def measure(name: str, measured: Callable[[], dict[str, Any]]) -> None:
        if name not in rows:
            rows[name] = measured()
            sys.stderr.write(f"{name}: {rows[name]}\n")
            if options.json:
                options.json.write_text(json.dumps(rows, indent=1) + "\n")

    for seed in range(options.first_seed, options.first_seed + options.phantoms):
        picture = PICTURE if seed == options.first_seed else None
        measure(f"phantom {seed}", lambda s=seed, p=picture: known(pairs.phantom_pair(s), p))
    for seed in range(options.first_seed, options.first_seed + min(options.phantoms, STILL)):
        measure(f"still phantom {seed}", lambda s=seed: still(pairs.phantom_pair(s, still=True)))
    if options.data:
        with tempfile.TemporaryDirectory(prefix="osln-registration-") as unpacked:
            folder = lung_ct(options.data, Path(unpacked))
            for seed in REAL_SEEDS:
                measure(f"LUNG1-001 {seed}", lambda seed=seed: known(pairs.real_pair(folder, seed)))
        for folder in sorted((options.data / "ibsi-sts-petct" / "nifti").glob("STS_*")):
            if (folder / "CT_image.nii.gz").is_file() and (folder / "PET_image.nii.gz").is_file():
                measure(folder.name, lambda folder=folder: alone(folder))
    versions = f"Python {platform.python_version()}, SimpleITK {sitk.Version_VersionString()}"
    options.document.write_text(report(rows, versions))


def known(pair: pairs.KnownPair, picture: Path | None = None) -> dict[str, Any]:
    """Errors at the points of a pair whose truth is known."""
    fixed, moving = working_ct(pair.ct, "the planning CT"), working_ct(pair.pet_ct, "the PET's CT")
    lungs = center_mm(moving.lungs, moving.grid) - center_mm(fixed.lungs, fixed.grid)
    result, cpu_s = timed(lambda: register_pet(pair.ct, pair.pet, pair.pet_ct))
    if picture is not None:
        title = "synthetic phantom, the CT of the PET/CT (orange) over the planning CT"
        save_picture(draw_registration(pair.ct, pair.pet_ct, result.transform, title), picture)
    steps = {
        "before": sitk.Transform(3, sitk.sitkIdentity),
        "lungs": translation(lungs),
        "rigid": align_rigid(fixed, moving, lungs),
        "after": result.transform,
    }
    row: dict[str, Any] = {"points": len(pair.points_mm), "cpu_s": cpu_s, **asdict(result.quality)}
    for name, transform in steps.items():
        error = np.linalg.norm(map_points(transform, pair.points_mm) - pair.truth_mm, axis=1)
        row[f"{name}_mm"], row[f"{name}_max_mm"] = float(error.mean()), float(error.max())
        row[f"{name}_p95_mm"] = float(np.percentile(error, 95))
    peaks = kept_peaks(pair, result)
    row["peaks"] = len(peaks)
    row["peak"] = float(np.median(peaks)) if len(peaks) else None
    return row


def kept_peaks(pair: pairs.KnownPair, result: RegisteredPet) -> np.ndarray:
    """Highest SUV of the registered PET over and 3 mm around each avid node, by that of the first PET."""
    grid = result.pet.grid
    places = np.moveaxis(grid.index_to_mm(np.moveaxis(np.indices(grid.shape), 0, -1)), -1, 0)
    kept = []
    for point, radius, suv in zip(pair.points_mm, pair.radius_mm, pair.suv_max, strict=True):
        if np.isfinite(suv):
            near = sum((places[d] - point[d]) ** 2 for d in range(3)) <= (radius + 3.0) ** 2
            kept.append(float(result.pet.array[near].max()) / suv)
    return np.array(kept)


def still(pair: pairs.KnownPair) -> dict[str, Any]:
    """A PET/CT that lies right: is it left alone?"""
    result, cpu_s = timed(lambda: register_pet(pair.ct, pair.pet, pair.pet_ct))
    without, _ = timed(lambda: register_pet(pair.ct, pair.pet, None))
    return {"cpu_s": cpu_s, "method": result.quality.method, "method_without_ct": without.quality.method}


def alone(folder: Path) -> dict[str, Any]:
    """A PET and a CT of one examination, without a second CT."""
    ct, pet = read_volume(folder / "CT_image.nii.gz"), read_volume(folder / "PET_image.nii.gz")
    shift = pet_shift_mm(working_ct(ct, "the CT"), working_pet(pet))
    result, cpu_s = timed(lambda: register_pet(ct, pet, None))
    middle = ct.grid.index_to_mm((np.asarray(ct.grid.shape) - 1) / 2)
    moved = float(np.linalg.norm(map_points(result.transform, middle) - middle))
    offset = contour_shift_mm(folder)
    figures = asdict(result.quality)
    return {"cpu_s": cpu_s, "shift_mm": shift, "moved_mm": moved, "contours_mm": offset, **figures}


def contour_shift_mm(folder: Path) -> float:
    """Distance of the centers of the set's own tumor contours on CT and on PET."""
    masks = [read_volume(folder / f"{name}_mask.nii.gz") for name in ("CT", "PET")]
    centers = [center_mm(mask.array > 0, mask.grid) for mask in masks]
    return float(np.linalg.norm(centers[0] - centers[1]))


def lung_ct(data: Path, unpacked: Path) -> Path:
    """Folder with the DICOM slices of LUNG1-001."""
    unpack(next((data / "lung1-001").glob("*.tar.xz")), unpacked)
    return unpacked / "LUNG1-001" / "image"


def timed(work: Callable[[], RegisteredPet]) -> tuple[RegisteredPet, float]:
    """The result and the processor's seconds: wall time says little on a computer that does other work."""
    begun = time.process_time()
    result = work()
    return result, time.process_time() - begun


if __name__ == "__main__":
    main()
