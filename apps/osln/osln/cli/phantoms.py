"""Make synthetic CT + PET cases in the store's layout or as DICOM, or count what a cohort contains."""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osln.cli.options import add_out, command
from osln.cli.progress import each

if TYPE_CHECKING:
    import numpy as np

    from osln.imaging.grid import Volume
    from osln.phantom import Phantom, PhantomParameters


def add_parser(commands: Any) -> None:
    """The options."""
    examples = (
        "--out cohort/mine --cases 10",
        "--out cohort/train --cohort 120,30,90 --field column --spacing 2.5 2.5 3",
        "--out export --cases 3 --dicom --approve all",
    )
    parser = command(commands, "phantoms", __doc__, *examples)
    add_out(parser, "folder to write: a store, or DICOM studies", required=False)
    parser.add_argument(
        "--dicom", action="store_true",
        help="write DICOM studies (CT, PET, RTSTRUCT) into the folder, as a hospital has them",
    )  # fmt: skip
    parser.add_argument("--cases", type=int, default=4, help="number of patients (%(default)s)")
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the first case; case i has seed + i (%(default)s)"
    )
    parser.add_argument(
        "--prefix", default="phantom", help="case names are PREFIX-01, PREFIX-02, ... (%(default)s)"
    )
    parser.add_argument(
        "--field", choices=("body", "column"), default="body", help="field of view (%(default)s)"
    )
    parser.add_argument(
        "--spacing", type=float, nargs=3, default=(2.0, 2.0, 3.0), metavar=("X", "Y", "Z"),
        help="voxel size of the CT in mm (2 2 3)",
    )  # fmt: skip
    parser.add_argument(
        "--cohort", metavar="TRAIN,VAL,TEST", nargs="?", const="paper",
        help="make a cohort of these sizes (without sizes: the paper's) and store its splits",
    )  # fmt: skip
    parser.add_argument(
        "--anatomy", type=Path, metavar="PATH",
        help="ICRP-110 organ volume (or a folder of them, taken in turn) instead of the built-in anatomy",
    )  # fmt: skip
    parser.add_argument(
        "--realistic", action="store_true",
        help="draw tissues, contrast phase, noise, slices and more mimics for each patient, as scanners vary",
    )  # fmt: skip
    parser.add_argument(
        "--ct", type=Path, metavar="PATH",
        help="plant into this real CT (image file or DICOM folder); it gives grid and field",
    )  # fmt: skip
    parser.add_argument(
        "--ct-tumor", metavar="PATH[:ROI]",
        help="its tumor: a mask on the CT's grid, or an RTSTRUCT file and the region's name",
    )  # fmt: skip
    parser.add_argument(
        "--approve", help="all, none or N: approve the true nodes of so many cases (none; of a --cohort all)"
    )
    parser.add_argument("--no-misregistration", action="store_true", help="align the PET exactly with the CT")
    parser.add_argument("--counts", type=int, metavar="N", help="only print the counts of N patients")
    parser.set_defaults(run=run)


def approved_count(text: str | None, total: int, *, cohort: bool) -> int:
    """How many cases to approve, from --approve (default: all of a cohort, none otherwise)."""
    text = text or ("all" if cohort else "none")
    named = {"all": total, "none": 0}
    if text in named:
        return named[text]
    if not text.isdigit() or int(text) > total:
        raise ValueError(f"--approve takes all, none or a number up to the {total} cases, got {text!r}")
    return int(text)


def refuse_taken(folder: Path, cases: Sequence[str], first: int) -> None:
    """Looks that no case of these names is there: it may be a patient's, with an approved label.

    Args:
        folder: To write to.
        cases: Names.
        first: Seed of the first one. A case of the same seed that no server has had is the same patient, and
            is written again: so a cohort that was interrupted is made whole.

    Raises:
        ValueError: One is.
    """
    taken = [case for number, case in enumerate(cases) if _is_taken(folder, case, first + number)]
    if taken:
        more = f" and {len(taken) - 1} more" if taken[1:] else ""
        raise ValueError(
            f"{folder} has {taken[0]} already{more}, which would become another patient: give another "
            "--out or --prefix"
        )


def _is_taken(folder: Path, case: str, seed: int) -> bool:
    from osln.files.images import SUFFIXES

    if (folder / case).exists() or (folder / ".osln" / case).exists():
        return True
    names = [f"{case}{suffix}" for suffix in SUFFIXES]
    if not any((place / name).exists() for place in (folder, folder / "labels" / "final") for name in names):
        return False
    try:
        return int(json.loads((folder / "truth" / f"{case}.json").read_text())["seed"]) != seed
    except (OSError, ValueError, KeyError, TypeError):
        return True


def print_counts(first: int, count: int, parameters: "PhantomParameters") -> None:
    """Print the table of counts; the images are made on the training grid."""
    from osln.phantom import make_phantom
    from osln.phantom.written.counts import case_counts, counts_table

    seeds = each(range(first, first + count), "phantoms")
    counts = (case_counts(make_phantom(s, parameters=parameters)) for s in seeds)
    for name, value in counts_table(counts, parameters):
        sys.stdout.write(f"{name:50s} {value}\n")


def read_tumor(text: str, ct: "Volume") -> "np.ndarray":
    """The tumor mask of --ct-tumor."""
    from osln.dicom.reading.rtstruct import read_structures, region_mask
    from osln.imaging.grid import read_volume

    name, separator, roi = text.rpartition(":")
    if separator and Path(name).is_file():
        return region_mask(read_structures(name), roi, ct.grid)
    volume = read_volume(text)
    if not volume.grid.matches(ct.grid):
        raise ValueError(f"{text} does not lie on the CT's grid: resample the mask to the CT first")
    return volume.array > 0


def read_ct_and_tumor(path: Path, tumor: str | None) -> "tuple[Volume, np.ndarray | None]":
    """The CT of --ct, an image file or a DICOM folder, and the tumor mask of --ct-tumor on its grid."""
    from osln.dicom.reading.source import read_ct_series
    from osln.dicom.reading.volume import read_ct
    from osln.imaging.grid import read_volume

    ct = read_ct(read_ct_series(path).slices).volume if path.is_dir() else read_volume(path)
    return ct, read_tumor(tumor, ct) if tumor else None


def parameters_of(options: argparse.Namespace) -> "PhantomParameters":
    """The parameters of --realistic, or the default ones.

    Raises:
        ValueError: with a background that has an image of its own.
    """
    from osln.phantom import PhantomParameters, RealisticParameters

    if options.realistic and (options.ct or options.anatomy):
        raise ValueError(
            "--realistic is for the built-in anatomy: leave out --ct and --anatomy, or --realistic"
        )
    return RealisticParameters() if options.realistic else PhantomParameters()


def phantom_maker(options: argparse.Namespace) -> Callable[[int], "Phantom"]:
    """What makes the phantom of a seed: planted, on organ volumes, or built in."""
    from osln.phantom import make_phantom
    from osln.phantom.body.icrp import OrganVolumes, find_volumes

    parameters = parameters_of(options)
    moved = not options.no_misregistration
    if options.ct:
        from osln.phantom.planted.planting import plant
        from osln.phantom.planted.real_ct import survey

        real = survey(*read_ct_and_tumor(options.ct, options.ct_tumor))
        return lambda seed: plant(real, seed, misregistered=moved)
    given = {"spacing_mm": options.spacing, "field": options.field, "misregistered": moved}
    if options.anatomy:
        volumes = [OrganVolumes(path) for path in find_volumes(options.anatomy)]
        return lambda seed: make_phantom(seed, anatomy=volumes[seed % len(volumes)], **given)
    return lambda seed: make_phantom(seed, parameters=parameters, **given)


def make_cases(options: argparse.Namespace) -> None:
    """Write the cases with a progress bar, then the splits of a cohort."""
    from osln.phantom.written.dicom_study import write_dicom_case
    from osln.phantom.written.store import COHORT_SIZES, case_names, split_sizes, write_case
    from osln.store.splits import assign

    if options.dicom and options.cohort:
        raise ValueError("DICOM studies have no splits: give --cases N with --dicom instead of --cohort")
    sizes: Sequence[int] | None = None
    if options.cohort:
        paper = options.cohort == "paper"
        sizes = COHORT_SIZES if paper else [int(n) for n in options.cohort.split(",")]
    cases = case_names(sum(sizes) if sizes else options.cases, options.prefix)
    splits = split_sizes(len(cases), sizes) if sizes else []
    approved = approved_count(options.approve, len(cases), cohort=bool(sizes))
    refuse_taken(options.out, cases, options.seed)
    make = phantom_maker(options)
    write = write_dicom_case if options.dicom else write_case
    placed, refused = 0, Counter[str]()
    start = time.perf_counter()
    for i, case in enumerate(each(cases, "phantoms")):
        phantom = make(options.seed + i)
        write(options.out, case, phantom, approve=i < approved)
        placed += len(phantom.patient.nodes)
        refused.update(phantom.patient.refused)
    if splits:
        assign(options.out, cases, wanted=dict(zip(cases, splits, strict=True)))
    seconds = (time.perf_counter() - start) / len(cases)
    sys.stdout.write(f"{len(cases)} synthetic cases in {options.out}, {seconds:.2f} s per case\n")
    sys.stdout.write(f"{placed + refused.total()} nodes drawn, {placed} placed")
    sys.stdout.write("".join(f", {count} {why}" for why, count in sorted(refused.items())) + "\n")


def run(options: argparse.Namespace) -> int:
    """Count or make."""
    if options.counts:
        print_counts(options.seed, options.counts, parameters_of(options))
    elif options.out is None:
        raise ValueError("--out FOLDER is needed (or --counts N)")
    else:
        make_cases(options)
    return 0
