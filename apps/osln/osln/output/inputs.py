"""What the paths of a command line name: one case of image files, stores, or DICOM studies."""

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from osln.dicom.intake.roi_names import RoiRules
from osln.dicom.reading.files import LocalSource, Progress
from osln.files.images import SUFFIXES, split_suffix
from osln.output.cases import Case, ImageCase, UnusableCase
from osln.output.dicom_cases import dicom_cases
from osln.rows.experiments import Row
from osln.store.layout import StorePaths, companions

NONE = "-"
"""Stands for an image that there is not."""


@dataclass(frozen=True)
class Reading:
    """How inputs are read.

    Attributes:
        row: What will be asked, which decides what a case must have.
        rules: What names of regions of structure sets mean.
        keep_identity: Call cases of DICOM studies by patient id.
        ct_dicom: Folder with DICOM images of the CTs of image files; None: not given.
    """

    row: Row
    rules: RoiRules
    keep_identity: bool = False
    ct_dicom: Path | None = None


def find_cases(
    inputs: Sequence[str], reading: Reading, stack: ExitStack, on_progress: Progress | None = None
) -> list[Case]:
    """The cases that paths name, by name.

    Args:
        inputs: CT, PET and tumor of one case ("-" for one that there is not), or stores, folders and zip
            archives of DICOM studies.
        reading: How to read them.
        stack: Closes archives when the cases are done.
        on_progress: Told of DICOM headers that were read.

    Raises:
        ValueError: If the paths are neither, an image that the row needs is not named, nothing is there, or
            two cases have one name.
    """
    first = Path(inputs[0])
    if not first.is_dir() and first.suffix.lower() != ".zip":
        return [_named_files(inputs, reading)]
    cases: list[Case] = []
    for path in map(Path, inputs):
        if path.is_dir() and (names := _store_names(path)):
            cases += [_store_case(path, name, reading) for name in names]
            continue
        source = stack.enter_context(LocalSource(path))
        required = [
            what
            for what, needed in (("pet", reading.row.needs_pet), ("tumor", reading.row.needs_tumor))
            if needed
        ]
        found = dicom_cases(
            source,
            reading.rules,
            tuple(required),
            keep_identity=reading.keep_identity,
            on_progress=on_progress,
            unusable=sum(isinstance(case, UnusableCase) for case in cases),
        )
        if not found:
            raise ValueError(
                f"there is no case in {path}: expected CTs ({', '.join(SUFFIXES)}) at its top, as in "
                "sample-datastore/README.md, or DICOM files of a CT"
            )
        cases += found
    twice = [name for name, count in Counter(case.name for case in cases).items() if count > 1]
    if twice:
        raise ValueError(f"{len(twice)} names stand for several cases ({twice[0]}): run folder by folder")
    return sorted(cases, key=lambda case: case.name)


def chosen_cases(cases: Sequence[Case], names: Sequence[str]) -> list[Case]:
    """The named cases; all of them if none is named.

    Raises:
        ValueError: If a name is unknown.
    """
    known = [case.name for case in cases]
    if strange := sorted(set(names) - set(known)):
        raise ValueError(f"there is no case {', '.join(strange)}; the cases are: {', '.join(known)}")
    return [case for case in cases if not names or case.name in names]


def part_of(cases: Sequence[Case], part: int, parts: int) -> list[Case]:
    """The cases of one job of an array: every case belongs to exactly one part.

    Args:
        cases: In the same order in every job.
        part: 1, 2, ..., `parts`.
        parts: Number of jobs.

    Raises:
        ValueError: If there is no such part.
    """
    if parts < 1 or not 1 <= part <= parts:
        raise ValueError(f"there is no part {part} of {parts}: parts are counted from 1 to their number")
    return list(cases[part - 1 :: parts])


def _named_files(inputs: Sequence[str], reading: Reading) -> Case:
    """The case of a CT, a PET and a tumor that were named one by one."""
    if len(inputs) > 3:
        raise ValueError(
            f"expected CT PET TUMOR, got {len(inputs)} files: put several cases into a folder as in "
            "sample-datastore/README.md"
        )
    images = [None if path == NONE else Path(path) for path in inputs]
    ct, pet, tumor = [*images, None, None][:3]
    if ct is None or not split_suffix(ct)[1] or not ct.is_file():
        raise ValueError(
            f"{inputs[0]} is neither a folder nor an image: expected a CT ({', '.join(SUFFIXES)}), a store "
            "or a folder of DICOM files"
        )
    row = reading.row
    lacking = ["a PET"] * (row.needs_pet and pet is None) + ["a tumor"] * (row.needs_tumor and tumor is None)
    if lacking:
        raise ValueError(
            f"{row.name} needs {' and '.join(lacking)}: give CT PET TUMOR, or ask --model ct-stratified "
            f"(CT {NONE} TUMOR) or --model ct (CT alone)"
        )
    return ImageCase(StorePaths(split_suffix(ct)[0], ct, pet, tumor, None, None), reading.ct_dicom)


def _store_names(folder: Path) -> list[str]:
    """Names of the images at the top of a folder."""
    there = [path.name for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    return sorted({split_suffix(name)[0] for name in there if split_suffix(name)[1]})


def _store_case(store: Path, name: str, reading: Reading) -> Case:
    try:
        return ImageCase(companions(store, name), reading.ct_dicom)
    except ValueError as error:
        return UnusableCase(name, str(error))
