"""Make synthetic CT + PET cases in the store's layout or as DICOM, or count what a cohort contains."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tqdm import tqdm

from osln.dicom.reading.rtstruct import read_structures, region_mask
from osln.dicom.reading.source import read_ct_series
from osln.dicom.reading.volume import read_ct
from osln.imaging.grid import Volume, read_volume
from osln.phantom import Phantom, PhantomParameters, make_phantom
from osln.phantom.body.icrp import OrganVolumes, find_volumes
from osln.phantom.patient.scan import FIELDS
from osln.phantom.planted.planting import plant
from osln.phantom.written.counts import case_counts, counts_table
from osln.phantom.written.dicom_study import write_dicom_case
from osln.phantom.written.store import COHORT_SIZES, case_names, split_sizes, write_case
from osln.store.splits import assign


def command_line() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, help="folder to write: a store, or DICOM studies")
    parser.add_argument(
        "--dicom", action="store_true",
        help="write DICOM studies (CT, PET, RTSTRUCT) into the folder, as a hospital has them",
    )  # fmt: skip
    parser.add_argument("--cases", type=int, default=4, help="number of patients")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first case; case i has seed + i")
    parser.add_argument("--prefix", default="phantom", help="case names are PREFIX-01, PREFIX-02, ...")
    parser.add_argument("--field", choices=sorted(FIELDS), default="body", help="field of view")
    parser.add_argument(
        "--spacing", type=float, nargs=3, default=(2.0, 2.0, 3.0), metavar=("X", "Y", "Z"),
        help="voxel size of the CT in mm",
    )  # fmt: skip
    parser.add_argument(
        "--cohort", metavar="TRAIN,VAL,TEST", nargs="?", const=",".join(map(str, COHORT_SIZES)),
        help="make a cohort of these sizes (without sizes: the paper's %(const)s) and store its splits",
    )  # fmt: skip
    parser.add_argument(
        "--anatomy", type=Path, metavar="PATH",
        help="ICRP-110 organ volume (or a folder of them, taken in turn) instead of the built-in anatomy",
    )  # fmt: skip
    parser.add_argument(
        "--ct", type=Path, metavar="PATH",
        help="plant into this real CT (image file or DICOM folder); it gives grid and field",
    )  # fmt: skip
    parser.add_argument(
        "--ct-tumor", metavar="PATH[:ROI]",
        help="its tumor: a mask on the CT's grid, or an RTSTRUCT file and the region's name",
    )  # fmt: skip
    parser.add_argument("--approve", help="all, none or N: approve the true nodes of so many cases")
    parser.add_argument("--no-misregistration", action="store_true", help="align the PET exactly with the CT")
    parser.add_argument("--counts", type=int, metavar="N", help="only print the counts of N patients")
    return parser


def approved_count(text: str | None, total: int, *, cohort: bool) -> int:
    """How many cases to approve, from --approve (default: all of a cohort, none otherwise)."""
    text = text or ("all" if cohort else "none")
    named = {"all": total, "none": 0}
    if text in named:
        return named[text]
    if not text.isdigit():
        raise ValueError(f"--approve takes all, none or a number, got {text!r}")
    return int(text)


def print_counts(first: int, count: int) -> None:
    """Print the table of counts; the images are made on the training grid."""
    seeds = tqdm(range(first, first + count), unit="case")
    for name, value in counts_table((case_counts(make_phantom(s)) for s in seeds), PhantomParameters()):
        sys.stdout.write(f"{name:50s} {value}\n")


def read_tumor(text: str, ct: Volume) -> np.ndarray:
    """The tumor mask of --ct-tumor."""
    name, separator, roi = text.rpartition(":")
    if separator and Path(name).is_file():
        return region_mask(read_structures(name), roi, ct.grid)
    volume = read_volume(text)
    if not volume.grid.matches(ct.grid):
        raise ValueError(f"{text} does not lie on the CT's grid: resample the mask to the CT first")
    return volume.array > 0


def phantom_maker(arguments: argparse.Namespace) -> Callable[[int], Phantom]:
    """What makes the phantom of a seed: planted, on organ volumes, or built in."""
    moved = not arguments.no_misregistration
    if arguments.ct:
        folder = arguments.ct.is_dir()
        ct = read_ct(read_ct_series(arguments.ct).slices).volume if folder else read_volume(arguments.ct)
        tumor = read_tumor(arguments.ct_tumor, ct) if arguments.ct_tumor else None
        return lambda seed: plant(ct, seed, tumor=tumor, misregistered=moved)
    options = {"spacing_mm": arguments.spacing, "field": arguments.field, "misregistered": moved}
    if arguments.anatomy:
        volumes = [OrganVolumes(path) for path in find_volumes(arguments.anatomy)]
        return lambda seed: make_phantom(seed, anatomy=volumes[seed % len(volumes)], **options)
    return lambda seed: make_phantom(seed, **options)


def make_cases(arguments: argparse.Namespace) -> None:
    """Write the cases with a progress bar, then the splits of a cohort."""
    if arguments.dicom and arguments.cohort:
        raise ValueError("DICOM studies have no splits: give --cases N with --dicom instead of --cohort")
    sizes = [int(n) for n in arguments.cohort.split(",")] if arguments.cohort else None
    cases = case_names(sum(sizes) if sizes else arguments.cases, arguments.prefix)
    splits = split_sizes(len(cases), sizes) if sizes else []
    approved = approved_count(arguments.approve, len(cases), cohort=bool(sizes))
    make = phantom_maker(arguments)
    write = write_dicom_case if arguments.dicom else write_case
    start = time.perf_counter()
    for i, case in enumerate(tqdm(cases, unit="case")):
        write(arguments.output, case, make(arguments.seed + i), approve=i < approved)
    if splits:
        assign(arguments.output, cases, wanted=dict(zip(cases, splits, strict=True)))
    seconds = (time.perf_counter() - start) / len(cases)
    sys.stdout.write(f"{len(cases)} synthetic cases in {arguments.output}, {seconds:.2f} s per case\n")


def main() -> None:
    """Parse the command line and run."""
    parser = command_line()
    arguments = parser.parse_args()
    try:
        if arguments.counts:
            print_counts(arguments.seed, arguments.counts)
        elif arguments.output is None:
            parser.error("--output FOLDER is needed (or --counts N)")
        else:
            make_cases(arguments)
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
