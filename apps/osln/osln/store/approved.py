"""Approved cases of a store as training and validation see them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol, TypeVar

from osln.files.images import SUFFIXES
from osln.imaging.grid import Volume
from osln.imaging.labelmaps import whole_numbers
from osln.imaging.lung_column import LungColumn, compact, prepare, reason_not_usable
from osln.imaging.single_nodes import nodes_of, single_nodes
from osln.imaging.study import Study, check_not_the_tumor
from osln.rows.detectors import Detector
from osln.rows.experiments import Preset, Segmenter
from osln.store.final_copy import prepared_cases
from osln.store.layout import StorePaths, companions, file_marks, load_study, node_map, read_image
from osln.store.parts import part_of
from osln.store.revisions import label_revisions

T = TypeVar("T")
M = TypeVar("M")


class Read(Protocol):
    """A case as it was read: a column, or its candidates."""

    @property
    def case(self) -> str:
        """Its id."""

    @property
    def partial(self) -> bool:
        """Whether it was submitted in part."""


P = TypeVar("P", bound=Read)
READINGS = 5
"""Times that a case is read which somebody writes to meanwhile."""
IN_PART = "submitted in part, and only complete cases are judged on (validation): complete its review"


def approved_cases(root: Path) -> list[str]:
    """Ids of the cases with an approved label, sorted; also where the copy of the first one waits.

    Raises:
        ValueError: There is no such folder: a mistyped one is not made.
    """
    if not root.is_dir():
        raise ValueError(f"there is no folder {root}: a store has CTs, labels/final and labels/gtv")
    found = {case for case in prepared_cases(root / "labels" / "final") if _waits(root, case)}
    for path in (root / "labels" / "final").glob("*"):
        for suffix in SUFFIXES:
            if path.is_file() and path.name.endswith(suffix) and not path.name.startswith("."):
                found.add(path.name[: -len(suffix)])
                break
    return sorted(found)


def _waits(root: Path, case: str) -> bool:
    try:
        return label_revisions(root, case, "final").waiting() is not None
    except ValueError:
        # What is damaged is told where the label is read.
        return True


def with_ct(root: Path, cases: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """The cases that have a CT, and why the others cannot be used: only the former get a split."""
    there, reasons = [], {}
    for case in cases:
        try:
            companions(root, case)
            there.append(case)
        except ValueError as error:
            reasons[case] = f"labels/final has a label of it, but {error}"
    return there, reasons


def approved_study(paths: StorePaths) -> Study:
    """As `marked_study`, of the case whose files these are."""
    return marked_study(paths.ct.parent, paths.case)[0]


def marked_study(root: Path, case: str) -> tuple[Study, tuple[object, ...]]:
    """A case with its approved nodes, each of which has a value of its own, and what was reviewed of it.

    Nodes, which is which, and what was reviewed are of one revision, also while another one is stored.

    Returns:
        The case; its `nodes` is None if there is no approved label. And its `file_marks` as it was read.

    Raises:
        ValueError: As `load_study`; or the files change faster than they can be read.
    """
    study, (_, marks) = steadily(case, lambda: _as_it_lies(root, case), lambda lay: _read(lay[0]))
    return study, marks


def steadily(case: str, marks: Callable[[], M], read: Callable[[M], T]) -> tuple[T, M]:
    """What several files of a case say together, none of them written between two others.

    Args:
        case: Id of the case.
        marks: What changes with the files; fails with FileNotFoundError where one is taken away meanwhile.
        read: Reads them, once more if they changed.

    Returns:
        What was read, and the marks before and after it.

    Raises:
        ValueError: They change faster than they can be read.
        Exception: That of `read`, if nothing changed.
    """
    for _ in range(READINGS):
        lay = _or_nothing(marks)
        if lay is None:
            continue
        try:
            found = read(lay)
        except (OSError, ValueError):
            # Nodes and a tumor that do not go together may be those before and after a submission.
            if _or_nothing(marks) == lay:
                raise
            continue
        if _or_nothing(marks) == lay:
            return found, lay
    raise ValueError(
        f"case {case} changed each of the {READINGS} times that it was read: expected files that stay as "
        "they are meanwhile; wait until nobody copies or stores any of them, and try again"
    )


def _or_nothing(marks: Callable[[], M]) -> M | None:
    try:
        return marks()
    except FileNotFoundError:
        return None


def _as_it_lies(root: Path, case: str) -> tuple[StorePaths, tuple[object, ...]]:
    paths = companions(root, case)
    return paths, file_marks(paths)


def _read(paths: StorePaths) -> Study:
    study = load_study(paths)
    if study.nodes is None:
        return study
    path = node_map(paths.ct.parent, paths.case)
    kept = None if path is None else read_image(paths.case, "map of the nodes", path).array
    try:
        nodes, _ = single_nodes(nodes_of(whole_numbers(study.nodes.array), kept))
    except ValueError as error:
        raise ValueError(f"case {paths.case}, node label: {error}") from error
    check_not_the_tumor(paths.case, nodes, None if study.tumor is None else study.tumor.array)
    part = part_of(paths.ct.parent, paths.case)
    return replace(study, nodes=Volume(nodes, study.nodes.grid, study.nodes.file_grid), part=part)


def load_columns(
    root: Path, cases: Sequence[str], network: Segmenter | Detector, preset: Preset
) -> tuple[list[LungColumn], dict[str, str]]:
    """Columns of the cases that a network can use, and the reasons for the others."""
    columns, skipped = load_on_grids(root, cases, network, [preset])
    return [column for (column,) in columns], skipped


def load_on_grids(
    root: Path, cases: Sequence[str], network: Segmenter | Detector, presets: Sequence[Preset]
) -> tuple[list[tuple[LungColumn, ...]], dict[str, str]]:
    """As `load_columns`, a column for each preset: all of a case have the images and nodes of one reading."""
    columns, skipped = [], {}
    for case in cases:
        try:
            study = approved_study(companions(root, case))
            found = [prepare(study, preset) for preset in presets]
        except ValueError as error:
            skipped[case] = str(error)
            continue
        if reason := reason_not_usable(found[0], network):
            skipped[case] = reason
            continue
        columns.append(tuple(map(compact, found)))
    return columns, skipped


def without_parts(cases: Sequence[P]) -> tuple[list[P], dict[str, str]]:
    """Those of the cases that something can be judged on, by what they were as they were read; and why others
    cannot be: somebody may have submitted one in part since it was chosen."""
    partial = [one.case for one in cases if one.partial]
    return [one for one in cases if not one.partial], dict.fromkeys(partial, IN_PART)


def phantoms(root: Path, cases: Iterable[str]) -> set[str]:
    """Which of the cases are phantoms: those whose true nodes are known."""
    return {case for case in cases if companions(root, case).truth is not None}
