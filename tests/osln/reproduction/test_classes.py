"""Classes of nodes, measured on the images, and where false positives lie, by hand."""

from dataclasses import replace

import numpy as np
import pytest

from osln.metrics.definitions import Counts
from osln.metrics.sweep import sweep
from osln.reproduction.classes import class_table, judge, node_classes, node_volumes_mm3
from small.columns import SHAPE, SPACING_MM, small_column

VOXELS = 33
"""Of a ball of two voxels' radius."""


@pytest.fixture
def column():
    return small_column(0)


def test_the_volume_of_a_node_is_its_voxels(column):
    voxel = np.prod(SPACING_MM)
    assert node_volumes_mm3(column) == pytest.approx([VOXELS * voxel] * 4)


def test_a_node_has_a_zone_an_uptake_and_a_size(column):
    # 33 voxels of 18.75 mm3: a sphere of 10.6 mm. Three balls are more than 70 mm from the tumor.
    assert node_classes(column) == {
        1: ("proximal avid", "from 10 mm"),
        2: ("distal avid", "from 10 mm"),
        3: ("distal avid", "from 10 mm"),
        4: ("distal avid", "from 10 mm"),
    }
    nodes = np.where(column.nodes == 1, 1, 0)
    nodes[tuple(np.argwhere(nodes)[5:].T)] = 0
    cold = replace(column, nodes=nodes, pet_suv=np.ones(SHAPE, np.float16))
    # 5 voxels: 5.6 mm.
    assert node_classes(cold) == {1: ("proximal cold", "0 to 6 mm")}
    assert node_classes(replace(cold, pet_suv=None, distance_mm=None)) == {1: ("all", "0 to 6 mm")}


def test_recall_by_class_and_false_positives_by_zone_by_hand(column):
    prob = np.where((column.nodes == 1) | (column.nodes == 3), 0.9, 0.0).astype(np.float32)
    near = np.argwhere((column.distance_mm < 10) & (column.nodes == 0))[0]
    prob[tuple(near)] = 0.9
    prob[0, 0, SHAPE[2] - 1] = 0.9
    table = class_table([column], [prob], 0.5)
    assert table["classes"] == {"distal avid": [1, 3], "from 10 mm": [2, 4], "proximal avid": [1, 1]}
    assert table["false"] == {"proximal": 1.0, "distal": 1.0} and table["radius_only"] == 0


def test_an_empty_map_finds_nothing_and_has_no_false_positive(column):
    table = class_table([column], [np.zeros(SHAPE, dtype=np.float32)], 0.5)
    assert sum(found for found, _ in table["classes"].values()) == 0
    assert table["false"] == {"proximal": 0.0, "distal": 0.0}


def test_the_threshold_of_validation_patients_is_applied_to_the_test_patients(column):
    prob = np.where(column.nodes > 0, 0.6, 0.0).astype(np.float32)
    counts = Counts.of([sweep(prob, column.nodes)])
    figures = judge(counts, counts)
    assert figures["recall"] == figures["ceiling"] == 1.0
    assert figures["at_validation_threshold"]["recall"] == 1.0
    # Validation patients whose maps reach .99 choose a threshold that these maps never reach.
    high = Counts.of([sweep(prob / 0.6 * 0.99, column.nodes)])
    assert figures["threshold"] < 0.6
    unlucky = judge(counts, high)["at_validation_threshold"]
    assert unlucky["recall"] == 0.0 and unlucky["precision"] is None
