"""Approved cases of a store as training and validation see them."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import ndimage

from osln.files.images import SUFFIXES
from osln.imaging.grid import Volume
from osln.imaging.instances import CONNECTIVITY
from osln.imaging.lung_column import LungColumn, compact, prepare, reason_not_usable
from osln.imaging.study import Study
from osln.rows.detectors import Detector
from osln.rows.experiments import Preset, Segmenter
from osln.store.layout import StorePaths, companions, load_study


def approved_cases(root: Path) -> list[str]:
    """Ids of the cases with an approved label, sorted."""
    found = set()
    for path in (root / "labels" / "final").glob("*"):
        for suffix in SUFFIXES:
            if path.is_file() and path.name.endswith(suffix) and not path.name.startswith("."):
                found.add(path.name[: -len(suffix)])
                break
    return sorted(found)


def approved_study(paths: StorePaths) -> Study:
    """A case whose nodes are the 26-connected components of its approved label.

    Raises:
        ValueError: As `load_study`; `nodes` is None if there is no approved label.
    """
    study = load_study(paths)
    if study.nodes is None:
        return study
    instances, _ = ndimage.label(study.nodes.array, CONNECTIVITY)
    nodes = Volume(instances.astype(np.int32), study.nodes.grid, study.nodes.file_grid)
    return replace(study, nodes=nodes)


def load_columns(
    root: Path, cases: Sequence[str], network: Segmenter | Detector, preset: Preset
) -> tuple[list[LungColumn], dict[str, str]]:
    """Columns of the cases that a network can use, and the reasons for the others."""
    columns, skipped = [], {}
    for case in cases:
        try:
            column = prepare(approved_study(companions(root, case)), preset)
        except ValueError as error:
            skipped[case] = str(error)
            continue
        if reason := reason_not_usable(column, network):
            skipped[case] = reason
            continue
        columns.append(compact(column))
    return columns, skipped


def phantoms(root: Path, cases: Iterable[str]) -> set[str]:
    """Which of the cases are phantoms: those whose true nodes are known."""
    return {case for case in cases if companions(root, case).truth is not None}
