"""Predictions of a case, which stand beside its approved labels and have no revisions."""

from pathlib import Path
from typing import Any

import numpy as np

from lib.store.evidence import check_unchanged, remove_evidence
from lib.store.former import former_map
from lib.store.found import in_short
from lib.store.reports import remember
from lib.store.segments import NAMES
from lib.store.shelf import Shelf
from lib.store.submitted import rejected_values
from osln.files.images import twins
from osln.imaging.grid import Volume, write_volume
from osln.imaging.labelmaps import read_label_file
from osln.imaging.single_nodes import single_nodes
from osln.store.predictions import remove_prediction, write_prediction


def accept_prediction(
    store: Shelf, case: str, label_file: str | Path, info: dict[str, Any], read: str | None = None
) -> None:
    """Checks and stores a prediction (tag "original"); the former one is replaced.

    Of a map of all candidates those that are not kept are left out: whoever reads the file takes each value
    for a node. What was found of them is told in the JSON.

    Args:
        store: Of the case.
        case: Its id.
        label_file: The label map.
        info: Notes about it.
        read: Marks of the files that it was made of (`evidence.marks`); None if that is not known.

    Raises:
        ValueError: If it is not one label map of whole numbers on the CT's grid.
        ConflictError: If those files have changed: the case may be another patient by now.
        UnknownCaseError: If the case was removed meanwhile: a later CT of its id would inherit it.
    """
    ct = store.ct(case)
    layers = read_label_file(label_file, ct.grid).layers
    if len(layers) != 1:
        raise ValueError(f"a prediction is one label map, this file has {len(layers)} layers")
    drawn = np.where(np.isin(layers[0], rejected_values(info)), 0, layers[0])
    values = drawn.astype(np.uint8 if drawn.max(initial=0) <= 255 else np.uint16)
    with store.revisions(case, "final").lock():
        store.check_served(case)
        if read is not None:
            check_unchanged(store, case, read)
        _store(store, case, values, ct, info)
    remember(case, None)


def withdraw_prediction(store: Shelf, case: str) -> None:
    """Takes a prediction away with all that belongs to it.

    Raises:
        UnknownCaseError: If the case was removed meanwhile.
    """
    label = store.label_path(case, "original")
    with store.revisions(case, "final").lock():
        store.check_served(case)
        for path in (label, *twins(label)):
            path.unlink(missing_ok=True)
        remove_prediction(store.root, case)
        remove_evidence(store.root, case)


def _store(store: Shelf, case: str, values: np.ndarray, ct: Volume, info: dict[str, Any]) -> None:
    target = store.label_path(case, "original")
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_prediction(store.root, case)
    remove_evidence(store.root, case)
    write_volume(target, values, ct.grid, ct.file_grid)
    for twin in twins(target):
        twin.unlink()
    # The index is written with every label: what was found goes beside the label map, a line of it there.
    result = info.get("params")
    if isinstance(result, dict):
        write_prediction(store.root, case, result)
        # 3D Slicer names the segments of a stored prediction by what the index says.
        info = info | {"params": {"label_names": result.get("label_names")}, "found": in_short(result)}
    store.register_label(case, "original", info)


def predicted_nodes(store: Shelf, case: str, ct: Volume) -> np.ndarray | None:
    """Map of the prediction's nodes; None if there is no prediction that can be read."""
    label = former_map(case, "original", store.label_path(case, "original"), ct)
    if label is None:
        return None
    others = _other_values(store.get_label_info(case, "original"))
    return single_nodes(np.where(np.isin(label, others), 0, label) if others else label)[0]


def _other_values(info: dict[str, Any]) -> list[int]:
    """Values of a prediction that mean no node: the tumor, rejected candidates."""
    # Anybody who may store a prediction writes its notes.
    params = info.get("params")
    names = params.get("label_names") if isinstance(params, dict) else None
    if not isinstance(names, dict):
        return []
    others = [value for name, value in names.items() if not NAMES["node"].fullmatch(name)]
    return [value for value in others if isinstance(value, int)]
