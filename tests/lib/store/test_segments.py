"""Names of segments."""

import pytest

from lib.store.segments import NAMES


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
