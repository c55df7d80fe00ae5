"""The approved cases of a store as a cohort: checked, divided by the stored splits, prepared once."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from osln.imaging import column_file
from osln.imaging.column_file import load_column, save_column
from osln.imaging.grid import Volume, read_volume
from osln.imaging.lung_column import LungColumn, compact, prepare
from osln.rows.experiments import Preset
from osln.store.approved import approved_cases, marked_study
from osln.store.layout import StorePaths, companions, file_marks, read_image
from osln.store.parts import partial_cases
from osln.store.patients import by_patient, patients_of
from osln.store.splits import FOLDS, assign, folds
from osln.store.twins import apart
from osln.weights.checkpoint import trained_on

LEAST = {"train": FOLDS, "validation": 2, "test": 2}
"""Fewer training patients cannot be dealt into folds, and one patient has no interval."""


@dataclass(frozen=True)
class StoreCohort:
    """Approved cases of a store; a `osln.cohorts.cohort.Cohort`.

    Attributes:
        root: Folder of the studies.
        work: Folder for the prepared columns.
        preset: Gives the working grid.
        splits: Case ids by split.
        marks: Fingerprint of each case's files and of the grid.
        trained_on: What weights that have learned from it may claim.
        left_out_cases: Reasons for the approved cases that cannot be used.
    """

    root: Path
    work: Path
    preset: Preset
    splits: Mapping[str, tuple[str, ...]]
    marks: Mapping[str, str]
    trained_on: str
    left_out_cases: Mapping[str, str]

    @classmethod
    def open(cls, root: Path, work: Path, preset: Preset) -> "StoreCohort":
        """Finds the approved cases, checks that every row can use them, and divides them.

        A case without PET or tumor, or one submitted in part, is left out of all rows, since rows are
        compared on the same patients. The splits are those of `<root>/.osln/splits.json`; a case that is not
        in there is decided now, for good.

        Args:
            root: Store in the layout of sample-datastore/README.md.
            work: Folder for the prepared columns.
            preset: Gives the working grid.

        Raises:
            ValueError: There is no store or no approved case, an approved label has no CT, two files share a
                case's id, a split has too few patients, or none of them has a node, or one patient is in two
                splits.
        """
        if not root.is_dir():
            raise ValueError(f"{root} is no folder: give a store (sample-datastore/README.md), or --phantoms")
        approved = approved_cases(root)
        if not approved:
            raise ValueError(f"{root} has no approved case: expected nodes in labels/final/<case>.nii.gz")
        found = {case: companions(root, case) for case in approved}
        # Before all that is looked at: what is changed afterwards is noticed when the case is read.
        seen = {case: file_marks(paths) for case, paths in found.items()}
        reasons = dict.fromkeys(partial_cases(root, approved), "submitted in part: complete its review")
        reasons |= {case: reason for case, paths in found.items() if (reason := _lacks(paths))}
        usable = [case for case in approved if case not in reasons]
        by_case = assign(root, usable)
        splits = {split: tuple(case for case in usable if by_case[case] == split) for split in LEAST}
        patients = {split: len(by_patient(root, cases)) for split, cases in splits.items()}
        if few := [split for split, least in LEAST.items() if patients[split] < least]:
            counts = ", ".join(f"{patients[split]} {split} (at least {LEAST[split]})" for split in LEAST)
            told = "".join(f"; left out {case}: {reason}" for case, reason in reasons.items())
            raise ValueError(
                f"{root} is too small for its splits, too few are for {' and '.join(few)}: {counts}. Approve "
                f"further cases, or write their splits into .osln/splits.json (docs/experiments.md){told}"
            )
        _refuse_empty(root, splits, found)
        if twins := apart(root, by_case):
            # He would be tested on by what has learned from him.
            raise ValueError(next(iter(twins.values())))
        marks = {case: _fingerprint(case, preset, seen[case]) for case in usable}
        synthetic = {case for case in usable if found[case].truth is not None}
        return cls(root, work, preset, splits, marks, trained_on(None, splits["train"], synthetic), reasons)

    @property
    def seconds(self) -> float:
        return 10.0

    def cases(self, split: str) -> tuple[str, ...]:
        """Ids of a split's cases; stage two learns from the training patients too."""
        return self.splits["train" if split == "stage two" else split]

    def patients_of(self, split: str) -> tuple[str, ...]:
        """The patient of each case."""
        return tuple(patients_of(self.root, self.cases(split)).values())

    def path(self, case: str) -> Path:
        """File of a case's column."""
        return self.work / "columns" / f"{case}-{self.marks[case]}.npz"

    def column(self, case: str) -> LungColumn:
        """The case, prepared if need be.

        Raises:
            ValueError: As `store.approved.marked_study`; or the case is not any more what was opened.
        """
        path = self.path(case)
        if path.is_file():
            return load_column(path)[0]
        study, marks = marked_study(self.root, case)
        if _fingerprint(case, self.preset, marks) != self.marks[case]:
            raise ValueError(
                f"the label or an image of case {case} was changed after the approved cases were counted and "
                "before this one was prepared: give the command again, which takes the case as it is now"
            )
        column = compact(prepare(study, self.preset))
        save_column(path, column)
        return column

    def taught(self, every_node: bool) -> "StoreCohort":
        """Itself: of nodes that do not count nobody has drawn any."""
        return self

    def ct(self, case: str) -> Volume:
        """CT for the tagger: the file's own, which is finer than the column."""
        return read_volume(companions(self.root, case).ct)

    @property
    def ct_mark(self) -> str:
        """There is one CT of a case."""
        return ""

    def findings(self, case: str) -> tuple[Mapping[str, Any], ...]:
        """Nothing: nobody has told."""
        return ()

    def fingerprint(self, case: str) -> str:
        """What a case's column depends on."""
        return f"{case}/{self.marks[case]}"

    def unseen_part(self, case: str) -> tuple[str, ...]:
        """The case's fold."""
        return self._fold_of[case]

    @cached_property
    def _fold_of(self) -> dict[str, tuple[str, ...]]:
        # Every row and seed asks for every case.
        return {case: tuple(part) for part in folds(self.root, self.splits["train"]) for case in part}


def _fingerprint(case: str, preset: Preset, marks: tuple[object, ...]) -> str:
    grid = (column_file.FORMAT, preset.spacing_mm, preset.window, *["prefilter"] * preset.prefilter)
    return hashlib.sha256(repr((case, grid, marks)).encode()).hexdigest()[:16]


def _refuse_empty(root: Path, splits: Mapping[str, tuple[str, ...]], found: Mapping[str, StorePaths]) -> None:
    """Told before anything is trained; nodes outside the searched column are told when they are counted."""
    for split, cases in splits.items():
        # Every usable case is an approved one.
        labels = ((case, found[case].nodes) for case in cases)
        if not any(
            path is not None and read_image(case, "node label", path).array.any() for case, path in labels
        ):
            raise ValueError(
                f"none of the {len(cases)} {split} patients of {root} has a node: there is nothing to learn "
                "or to measure; approve cases with nodes"
            )


def _lacks(paths: StorePaths) -> str | None:
    lacking = [name for name, path in (("PET", paths.pet), ("tumor contour", paths.tumor)) if path is None]
    return f"no {' and no '.join(lacking)}" if lacking else None
