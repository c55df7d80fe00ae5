"""Stored labels of a case that a new one is compared with; what cannot be read compares with nothing."""

import logging
from pathlib import Path

import numpy as np

from lib.store.shelf import Shelf
from lib.store.shown_labels import stored_file
from osln.imaging.grid import Volume
from osln.imaging.labelmaps import read_label_map
from osln.imaging.single_nodes import as_stored
from osln.store.layout import node_map

logger = logging.getLogger(__name__)


def approved_nodes(store: Shelf, case: str, ct: Volume) -> np.ndarray | None:
    """Map of the approved nodes as they are stored; None if there are none or they cannot be read."""
    label = former_map(case, "final", stored_file(store, case, "final"), ct)
    if label is None:
        return None
    kept = node_map(store.root, case)
    return as_stored(label, None if kept is None else former_map(case, "final", kept, ct))


def tumor_mask(store: Shelf, case: str, ct: Volume) -> np.ndarray | None:
    """Mask of the stored tumor; None if there is none or it cannot be read."""
    former = former_map(case, "gtv", stored_file(store, case, "gtv"), ct)
    return None if former is None else former != 0


def former_map(case: str, tag: str, path: Path, ct: Volume) -> np.ndarray | None:
    """A label map on the CT's grid; None if there is no file or it cannot be read, which the log tells."""
    if not path.is_file():
        return None
    try:
        return read_label_map(path, ct.grid)
    except ValueError as error:
        logger.warning("The former %s label of case %s cannot be compared: %s", tag, case, error)
        return None
