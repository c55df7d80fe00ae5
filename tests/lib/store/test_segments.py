"""Names of segments, and segments that overlap."""

import numpy as np
import pytest

from lib.store import segments
from lib.store.segments import NAMES, split_segments
from osln.imaging.labelmaps import LabelFile


@pytest.mark.parametrize(
    "name",
    [
        "lymph node",
        "Lymph Node",
        "lymph_node",
        "lymphnode",
        "lymph nodes",
        "lymph node_1",
        "lymph node 12",
        "OSLN-3",
    ],
)
def test_names_of_nodes(name):
    assert NAMES["node"].fullmatch(name)


@pytest.mark.parametrize("name", ["tumor", "Tumour", "GTV", "GTVp", "gtv_1", "primary tumor", "GTV-T"])
def test_names_of_the_tumor(name):
    assert NAMES["tumor"].fullmatch(name)


@pytest.mark.parametrize("name", ["rejected candidate", "Rejected_Candidates", "rejected candidate_1"])
def test_names_of_what_stage_two_rejected(name):
    assert NAMES["rejected"].fullmatch(name)
    assert not NAMES["node"].fullmatch(name)


@pytest.mark.parametrize("name", ["", "liver", "Segment_1", "node liver", "no tumor", "GTVn", "lymphoma"])
def test_other_names_are_neither(name):
    assert not any(pattern.fullmatch(name) for pattern in NAMES.values())


def layers(*rows, names=("lymph node 1", "lymph node 2")):
    """A file of layers (n, 1, 1), each with one segment of the value 1."""
    arrays = [np.array(row, np.uint8).reshape(-1, 1, 1) for row in rows]
    return LabelFile(arrays, {(layer, 1): name for layer, name in enumerate(names)})


def test_voxels_of_several_nodes_go_to_the_first_and_are_counted():
    found = split_segments(layers([1, 1, 1, 0, 0], [0, 1, 1, 1, 0]), None, "final")
    assert found.nodes.ravel().tolist() == [1, 1, 1, 2, 0] and found.shared == 2


def test_a_node_that_shares_voxels_with_the_tumor_alone_shares_none_with_nodes():
    found = split_segments(layers([1, 1, 0], [0, 1, 1], names=("lymph node 1", "tumor")), None, "final")
    assert (found.nodes.ravel().tolist(), found.shared) == ([1, 1, 0], 0)
    assert found.tumor.ravel().tolist() == [False, True, True]


@pytest.mark.parametrize("second", [[0, 1, 1, 0], [1, 1, 1, 0]])
def test_a_node_that_would_disappear_in_others_is_refused(second):
    with pytest.raises(ValueError, match="all of the segment 'lymph node 2' lies in other segments"):
        split_segments(layers([1, 1, 1, 0], second), None, "final")


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ([1, 0, 1, 0, 1], r"3 nodes \(parts that do not touch\), at most 2"),
        ([1, 2, 3], "3 values, at most 2"),
    ],
)
def test_a_label_full_of_specks_is_refused_in_words(monkeypatch, row, sentence):
    monkeypatch.setattr(segments, "MOST_NODES", 2)
    info = [{"name": f"lymph node {number}", "idx": number} for number in (1, 2, 3)]
    with pytest.raises(ValueError, match=sentence):
        split_segments(LabelFile([np.array(row, np.uint8).reshape(-1, 1, 1)], {}), info, "final")
    taken = np.array([1, 1, 0, 1], np.uint8).reshape(-1, 1, 1)
    assert split_segments(LabelFile([taken], {}), info, "final").nodes.any()
