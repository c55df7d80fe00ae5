"""The tags of a phantom's findings reach the nodes of its column."""

import numpy as np

from osln.cohorts.phantoms import Patient
from osln.rows.tags import TAG_INDEX
from osln.tagging.node_tags import node_tags
from small.columns import small_column


def test_a_node_has_the_tags_of_the_finding_in_its_center():
    column = small_column(0)
    at = np.argwhere(column.nodes == 2).mean(axis=0)
    findings = (
        {"kind": "node", "center_mm": column.grid.index_to_mm(at), "tags": ["lymph node", "chest"]},
        {"kind": "cyst", "center_mm": column.grid.index_to_mm(at), "tags": ["liver"]},
        {"kind": "node", "center_mm": column.grid.index_to_mm([0, 0, 0]), "tags": ["neck"]},
    )

    tags = node_tags(Patient(column, findings))

    assert list(tags) == [2]
    assert sorted(np.flatnonzero(tags[2])) == sorted([TAG_INDEX["lymph node"], TAG_INDEX["chest"]])


def test_a_center_beside_the_voxels_of_a_small_node_still_finds_it():
    column = small_column(0)
    x, y, z = np.argwhere(column.nodes == 1)[0]
    findings = ({"kind": "node", "center_mm": column.grid.index_to_mm([x - 1, y, z]), "tags": ["neck"]},)

    assert list(node_tags(Patient(column, findings))) == [1]
