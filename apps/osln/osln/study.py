"""One patient as it lies in the store: CT, PET, primary tumor and approved nodes, each on its own grid."""

import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from osln.grid import Volume, read_volume, resample
from osln.imagefile import SUFFIXES

CASE_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True)
class StorePaths:
    """Files of one case; an optional file that does not exist is None."""

    case: str
    ct: Path
    pet: Path | None
    tumor: Path | None
    nodes: Path | None
    truth: Path | None


@dataclass(frozen=True)
class Study:
    """One patient.

    Attributes:
        case: Id of the case.
        ct: CT in HU.
        pet: PET in SUVbw on its own grid, registered to the CT; None if there is none.
        tumor: Primary tumor, bool, on the CT's grid; None if it is not contoured.
        nodes: Lymph nodes as integer labels on the CT's grid; None if nobody has approved any yet.
    """

    case: str
    ct: Volume
    pet: Volume | None = None
    tumor: Volume | None = None
    nodes: Volume | None = None


def check_case(case: str) -> str:
    """The id itself if it is fit to be a file name.

    Raises:
        ValueError: If it holds anything but letters, digits, ".", "_" and "-", or could leave a folder.
    """
    if not CASE_PATTERN.fullmatch(case) or ".." in case:
        raise ValueError(
            f"{case!r} is not a case id: expected up to 128 letters, digits, '.', '_' or '-', beginning "
            "with a letter or digit and without '..'"
        )
    return case


def companions(root: str | Path, case: str) -> StorePaths:
    """Finds a case's files in a store (layout: README of sample-datastore).

    Raises:
        ValueError: If the id is not valid, the CT is missing, or a file has a twin name.
    """
    root, case = Path(root), check_case(case)
    ct = one_file(root, case)
    if ct is None:
        raise ValueError(f"no case {case!r} in {root}: expected a CT named {case}.nii.gz there")
    return StorePaths(
        case=case,
        ct=ct,
        pet=one_file(root / "pet", case),
        tumor=one_file(root / "labels" / "gtv", case),
        nodes=one_file(root / "labels" / "final", case),
        truth=one_file(root / "truth", case),
    )


def file_marks(paths: StorePaths) -> tuple[object, ...]:
    """What changes if an image or a label of the case is written again.

    Images are large and rarely written again: size and time tell. Labels are small and written with each
    submission: their content tells.
    """
    stats = [None if path is None else path.stat() for path in (paths.ct, paths.pet)]
    labels = [None if path is None else path.read_bytes() for path in (paths.tumor, paths.nodes)]
    return (
        *(stat and (stat.st_size, stat.st_mtime_ns) for stat in stats),
        *(None if label is None else hashlib.sha256(label).hexdigest() for label in labels),
    )


def load_study(paths: StorePaths, *, use_truth: bool = False) -> Study:
    """Reads and checks one patient; the files are read side by side.

    Args:
        paths: From `companions`.
        use_truth: Take the phantom's true nodes instead of the approved label.

    Raises:
        ValueError: If a file cannot be read, holds NaN or nothing but one value, or if PET, tumor or
            nodes do not lie on the CT. The message names the case, the file and what to do.
    """
    nodes_path = paths.truth if use_truth else paths.nodes
    with ThreadPoolExecutor(max_workers=4) as pool:
        ct = pool.submit(read_image, paths.case, "CT", paths.ct)
        pet = pool.submit(_read_if, paths.case, "PET", paths.pet)
        tumor = pool.submit(_read_if, paths.case, "tumor mask", paths.tumor)
        nodes = pool.submit(_read_if, paths.case, "node label", nodes_path)
        return build_study(paths.case, ct.result(), pet.result(), tumor.result(), nodes.result())


def build_study(
    case: str, ct: Volume, pet: Volume | None = None, tumor: Volume | None = None, nodes: Volume | None = None
) -> Study:
    """Checks that the images belong together; same errors as `load_study`."""
    _check_values(case, "CT", ct)
    if pet is not None:
        _check_values(case, "PET", pet)
        start, stop = ct.grid.box_of(pet.grid)
        if (stop - start < 2).any():
            raise ValueError(
                f"case {case}: PET and CT do not overlap in patient space; register the PET to the CT, or "
                "check that both files carry the right position"
            )
    if tumor is not None:
        tumor = _on_ct(case, "tumor mask", ct, tumor)
        if not tumor.array.any():
            raise ValueError(
                f"case {case}: the tumor mask is empty; contour the primary tumor (segment 'tumor') and "
                "submit it"
            )
        tumor = Volume(tumor.array != 0, tumor.grid, tumor.file_grid)
    if nodes is not None:
        nodes = _on_ct(case, "node label", ct, nodes)
    return Study(case, ct, pet, tumor, nodes)


def one_file(folder: Path, name: str) -> Path | None:
    """The image of this name, whatever its suffix; None if there is none.

    Raises:
        ValueError: If there are several.
    """
    found = [folder / (name + suffix) for suffix in SUFFIXES if (folder / (name + suffix)).is_file()]
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise ValueError(
            f"{names} lie side by side in {folder}: programs confuse the two, remove or rename one"
        )
    return found[0] if found else None


def read_image(case: str, what: str, path: Path) -> Volume:
    """`grid.read_volume` whose errors name case and kind: the files of a case share their name."""
    try:
        return read_volume(path)
    except ValueError as error:
        raise ValueError(f"case {case}, {what}: {error}") from error


def _read_if(case: str, what: str, path: Path | None) -> Volume | None:
    return None if path is None else read_image(case, what, path)


def _check_values(case: str, what: str, volume: Volume) -> None:
    if volume.array.dtype.kind == "f" and not np.isfinite(volume.array).all():
        raise ValueError(f"case {case}: the {what} holds NaN or infinite values; export it again")
    sample = volume.array[::4, ::4, ::2]
    if sample.min() == sample.max() and volume.array.min() == volume.array.max():
        raise ValueError(
            f"case {case}: every voxel of the {what} is {sample.flat[0]}; it is not an image of a patient"
        )


def _on_ct(case: str, what: str, ct: Volume, label: Volume) -> Volume:
    if label.array.dtype.kind == "f":
        if not np.isfinite(label.array).all() or (label.array != np.round(label.array)).any():
            raise ValueError(f"case {case}: the {what} must hold whole numbers, it holds fractions or NaN")
        label = Volume(label.array.astype(np.int32), label.grid, label.file_grid)
    if label.grid.matches(ct.grid):
        return Volume(label.array, ct.grid, ct.file_grid)
    start, stop = ct.grid.box_of(label.grid)
    if (stop - start < 1).any():
        raise ValueError(f"case {case}: the {what} and the CT do not overlap in patient space")
    moved = resample(label.array, label.grid, ct.grid, nearest=True)
    if label.array.any() and not moved.any():
        raise ValueError(f"case {case}: the {what} lies outside the CT's field")
    return Volume(moved, ct.grid, ct.file_grid)
