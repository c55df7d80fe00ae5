"""Tags of the nodes of a phantom patient, by the instance labels of its column."""

import numpy as np

from osln.cohorts.phantoms import Patient
from osln.rows.tags import TAG_INDEX, TAG_NAMES


def node_tags(patient: Patient) -> dict[int, np.ndarray]:
    """Tags of the nodes that count: (171,) bool by instance label.

    The findings of a phantom know their centers but not their labels: a node's tags are those of the finding
    "node" whose center lies in it or, where the working grid has moved it by a voxel, within its box. A node
    without one has unknown tags and is left out.

    Args:
        patient: From `osln.cohorts.phantoms`.
    """
    column = patient.column
    nodes: np.ndarray = column.nodes  # type: ignore[assignment]
    found = {}
    for finding in patient.findings:
        if finding["kind"] != "node":
            continue
        center = np.round(column.grid.mm_to_index(np.asarray(finding["center_mm"], dtype=float))).astype(int)
        low, high = np.maximum(center - 1, 0), np.minimum(center + 2, nodes.shape)
        around = nodes[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
        labels, counts = np.unique(around[around > 0], return_counts=True)
        if len(labels):
            tags = np.zeros(len(TAG_NAMES), dtype=bool)
            tags[[TAG_INDEX[name] for name in finding["tags"]]] = True
            found[int(labels[np.argmax(counts)])] = tags
    return found
