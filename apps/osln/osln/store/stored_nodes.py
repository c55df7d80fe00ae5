"""The approved nodes of a case, each with the value that it is stored with."""

from pathlib import Path

import numpy as np

from osln.imaging.grid import Grid
from osln.imaging.labelmaps import read_label_map
from osln.imaging.single_nodes import as_stored
from osln.store.layout import label_file, node_map
from osln.store.revisions import label_revisions


def stored_nodes(root: Path, case: str, ct: Grid, revision: int | None = None) -> np.ndarray | None:
    """The nodes of a revision.

    Args:
        root: Folder of the store.
        case: Id of the case.
        ct: Grid of its CT.
        revision: Number; None: the label that lies in the store.

    Returns:
        (x, y, z) whole numbers on the CT's grid, see `as_stored`; None if no label lies in the store.

    Raises:
        LookupError: If there is no such revision.
        ValueError: If the label cannot be read, or lies on another grid.
    """
    if revision is None:
        path = label_file(root, case, "final")
    else:
        path = label_revisions(root, case, "final").path(revision)
    if path is None:
        return None
    label = read_label_map(path, ct)
    apart = node_map(root, case, revision)
    return as_stored(label, None if apart is None else read_label_map(apart, ct))
