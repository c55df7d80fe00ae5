"""Make synthetic CT + PET cases in the store's layout or as DICOM, or count what a cohort contains."""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osln.cli.engines import positive
from osln.cli.options import add_out, command
from osln.cli.progress import each

if TYPE_CHECKING:
    import numpy as np

    from osln.imaging.grid import Volume
    from osln.phantom import Phantom, PhantomParameters

USUAL = {"cases": 4, "prefix": "phantom", "field": "body", "spacing": (2.0, 2.0, 3.0)}
"""Of options that some others leave nothing to do."""
IDLE = (
    (
        "counts",
        ("out", "dicom", "cases", "prefix", "field", "spacing", "cohort", "anatomy", "ct", "ct_tumor",
         "approve", "no_misregistration"),
        "it counts default or realistic phantoms on the training grid and writes nothing",
    ),
    ("cohort", ("cases",), "its sizes say how many"),
    ("ct", ("anatomy", "field", "spacing"), "the CT gives the background and the grid"),
    ("realistic", ("ct", "anatomy"), "realistic phantoms have the built-in anatomy"),
)  # fmt: skip
"""An option, those that do nothing beside it, and why."""


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
    parser.add_argument("--cases", type=positive, help=f"number of patients ({USUAL['cases']})")
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the first case; case i has seed + i (%(default)s)"
    )
    parser.add_argument(
        "--prefix", help=f"case names are PREFIX-01, PREFIX-02, ... ({USUAL['prefix']})"
    )  # fmt: skip
    parser.add_argument(
        "--field", choices=("body", "column"), help=f"field of view ({USUAL['field']})"
    )  # fmt: skip
    parser.add_argument(
        "--spacing", type=float, nargs=3, metavar=("X", "Y", "Z"),
        help="voxel size of the CT in mm (2 2 3)",
    )  # fmt: skip
    parser.add_argument(
        "--cohort", metavar="TRAIN,VAL,TEST", nargs="?", const="paper", type=cohort_sizes,
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
    parser.add_argument("--counts", type=positive, metavar="N", help="only print the counts of N patients")
    parser.set_defaults(run=run)


def cohort_sizes(text: str) -> tuple[int, ...]:
    """The sizes of --cohort."""
    if text == "paper":
        from osln.phantom.written.store import COHORT_SIZES

        return COHORT_SIZES
    parts = text.split(",")
    if len(parts) != 3 or not all(part.isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"expected three whole numbers like 84,23,34, got {text}")
    return tuple(map(int, parts))


def refuse_idle(options: argparse.Namespace) -> None:
    """Looks for options that would do nothing.

    Raises:
        ValueError: There are some; says which and why.
    """
    for name, others, why in IDLE:
        idle = [other for other in others if getattr(options, other) not in (None, False)]
        if getattr(options, name) not in (None, False) and idle:
            told = ", ".join(f"--{other.replace('_', '-')}" for other in idle)
            raise ValueError(
                f"beside --{name} there is nothing to do for {told}, because {why}: leave it out"
            )
    if options.ct_tumor and not options.ct:
        raise ValueError("--ct-tumor is the tumor of a real CT: give that with --ct, or leave it out")


def approved_count(text: str | None, total: int, *, cohort: bool) -> int:
    """How many cases to approve, from --approve (default: all of a cohort, none otherwise)."""
    text = text or ("all" if cohort else "none")
    named = {"all": total, "none": 0}
    if text in named:
        return named[text]
    if not text.isdecimal() or int(text) > total:
        raise ValueError(f"--approve takes all, none or a number up to the {total} cases, got {text!r}")
    return int(text)


def refuse_moved(folder: Path, wanted: Mapping[str, str]) -> None:
    """Looks that no case has been decided to be in another split, since a split is never moved.

    Raises:
        ValueError: One has; or as of `stored_splits`.
    """
    from osln.store.splits import stored_splits

    stored = stored_splits(folder)
    moved = [case for case, split in wanted.items() if stored.get(case, split) != split]
    if moved:
        raise ValueError(
            f"{folder} has {moved[0]} in {stored[moved[0]]}, and these sizes of --cohort would have it in "
            f"{wanted[moved[0]]} ({len(moved)} of {len(wanted)} cases differ); what is decided is never "
            "moved: give the same sizes, or another --out or --prefix"
        )


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
    from osln.files.images import split_suffix
    from osln.imaging.grid import read_volume

    name, separator, roi = text.rpartition(":")
    if separator and Path(name).is_file():
        return region_mask(read_structures(name), roi, ct.grid)
    if Path(text).is_file() and not split_suffix(text)[1]:
        regions = ", ".join(sorted({region.name for region in read_structures(text).regions}))
        raise ValueError(
            f"--ct-tumor {text} is no mask: of an RTSTRUCT say the region, too, as {text}:REGION; "
            f"it has {regions}"
        )
    if not Path(text).is_file():
        raise ValueError(f"--ct-tumor: there is no file {name if separator and roi else text}")
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
    """The parameters of --realistic, or the default ones."""
    from osln.phantom import PhantomParameters, RealisticParameters

    return RealisticParameters() if options.realistic else PhantomParameters()


def phantom_maker(options: argparse.Namespace) -> tuple[Callable[[int], "Phantom"], dict[str, Any]]:
    """What makes the phantom of a seed: planted, on organ volumes, or built in; and what that depends on."""
    from osln.phantom import make_phantom
    from osln.phantom.body.icrp import OrganVolumes, find_volumes
    from osln.phantom.planted.planting import PLANTING, plant
    from osln.phantom.planted.real_ct import survey
    from osln.phantom.written.origin import content_key

    parameters = PLANTING if options.ct else parameters_of(options)
    moved = not options.no_misregistration
    made_from: dict[str, Any] = {"parameters": asdict(parameters), "misregistered": moved}
    if options.ct:
        ct, tumor = read_ct_and_tumor(options.ct, options.ct_tumor)
        made_from["ct"] = content_key(ct.array, ct.grid.affine)
        made_from["tumor"] = None if tumor is None else content_key(tumor, ct.grid.affine)
        real = survey(ct, tumor)
        return lambda seed: plant(real, seed, misregistered=moved), made_from
    given = {"spacing_mm": options.spacing, "field": options.field, "misregistered": moved}
    made_from |= given
    if options.anatomy:
        volumes = [OrganVolumes(path) for path in find_volumes(options.anatomy)]
        # They are taken in turn, so that all of them decide who a seed is.
        made_from["anatomy"] = [one.key for one in volumes]
        return lambda seed: make_phantom(seed, anatomy=volumes[seed % len(volumes)], **given), made_from
    return lambda seed: make_phantom(seed, parameters=parameters, **given), made_from


def make_cases(options: argparse.Namespace) -> None:
    """Write the cases with a progress bar, then the splits of a cohort."""
    from osln.phantom.written.dicom_study import write_dicom_case
    from osln.phantom.written.origin import is_whole, refuse_others
    from osln.phantom.written.store import case_names, split_sizes, write_case
    from osln.store.splits import assign

    if options.dicom and options.cohort:
        raise ValueError("DICOM studies have no splits: give --cases N with --dicom instead of --cohort")
    out, sizes = options.out, options.cohort
    cases = case_names(sum(sizes) if sizes else options.cases, options.prefix)
    wanted = dict(zip(cases, split_sizes(len(cases), sizes), strict=True)) if sizes else {}
    approved = approved_count(options.approve, len(cases), cohort=bool(sizes))
    refuse_moved(out, wanted)
    make, made_from = phantom_maker(options)
    refuse_others(out, cases, options.seed, made_from)
    made, placed, refused = 0, 0, Counter[str]()
    bare = []
    start = time.perf_counter()
    for i, case in enumerate(each(cases, "phantoms")):
        if not options.dicom and is_whole(out, case, approve=i < approved):
            continue
        phantom = make(options.seed + i)
        if options.dicom:
            write_dicom_case(out, case, phantom, approve=i < approved)
            bare += [case] if i < approved and not phantom.nodes.any() else []
        else:
            write_case(out, case, phantom, approve=i < approved, made_from=made_from)
        made += 1
        placed += len(phantom.patient.nodes)
        refused.update(phantom.patient.refused)
    if wanted:
        assign(out, cases, wanted=wanted)
    there = f" ({len(cases) - made} of them were there)" if made < len(cases) else ""
    seconds = (time.perf_counter() - start) / len(cases)
    sys.stdout.write(f"{len(cases)} synthetic cases in {out}{there}, {seconds:.2f} s per case\n")
    if made:
        sys.stdout.write(f"{placed + refused.total()} nodes drawn, {placed} placed")
        sys.stdout.write("".join(f", {count} {why}" for why, count in sorted(refused.items())) + "\n")
    if bare:
        sys.stdout.write(
            f"no nodes to contour: {', '.join(bare)}: import does not approve a patient without contoured "
            "nodes; docs/dicom-import.md says how to\n"
        )


def run(options: argparse.Namespace) -> int:
    """Count or make."""
    refuse_idle(options)
    if options.counts:
        print_counts(options.seed, options.counts, parameters_of(options))
    elif options.out is None:
        raise ValueError("--out FOLDER is needed (or --counts N)")
    else:
        for name, value in USUAL.items():
            if getattr(options, name) is None:
                setattr(options, name, value)
        make_cases(options)
    return 0
