"""Two sides on the same patients: what is equal, what differs and what only one of them found."""

import numpy as np
import pytest

from benchmarks.agreement import Agreement
from benchmarks.report import agreement_table
from osln.imaging.grid import Grid
from osln.imaging.lung_column import LungColumn

SHAPE = (4, 4, 40)


class Given:
    """Stands in for a network: .9 in some rows of voxels along x."""

    def __init__(self, *places: tuple[int, int]) -> None:
        self.places = places

    def probability(self, column: LungColumn) -> np.ndarray:
        prob = np.zeros(SHAPE, dtype=np.float32)
        for z, voxels in self.places:
            prob[:voxels, 0, z] = 0.9
        return prob


def column() -> LungColumn:
    nodes = np.zeros(SHAPE, dtype=np.int32)
    nodes[:3, 0, 5] = 1
    zeros = np.zeros(SHAPE, dtype=np.float32)
    return LungColumn("p", Grid(SHAPE, np.eye(4)), zeros, zeros, zeros, None, nodes, np.ones(SHAPE, bool))


def test_candidates_are_counted_by_what_became_of_them():
    # Equal at 5, a voxel more at 15, the first side's alone at 25, the second's alone at 35.
    first, second = Given((5, 3), (15, 2), (25, 3)), Given((5, 3), (15, 3), (35, 3))
    found = Agreement({"CPU": {"ct": first}, "GPU": {"ct": second}}, 0.5)
    for _ in range(2):
        found.look(column())

    result = found.result()

    assert result["patients"] == 2 and result["first"] == "CPU"
    told = result["compared"]["GPU"]
    assert (told["candidates"], told["peer_candidates"], told["equal"], told["differing"]) == (6, 6, 2, 2)
    assert (told["without_counterpart"], told["peer_without_counterpart"]) == (2, 2)
    assert (told["voxels"], told["voxels_changed"]) == (16, 14)
    assert told["probability_difference"] == pytest.approx([0.9, 0.9])
    assert result["figures"]["CPU"]["recall"] == result["figures"]["GPU"]["recall"] == 1.0
    lines = agreement_table(result)
    assert lines[0] == "| phantoms: 2, operating point 0.500 | CPU and GPU |"
    assert "| equal voxel by voxel; differing in some voxels | 2; 2 |" in lines
    assert not any("stage two" in line for line in lines)


def test_without_a_patient_there_is_nothing_to_tell():
    with pytest.raises(ValueError, match="no patient"):
        Agreement({"CPU": {"ct": Given()}, "GPU": {"ct": Given()}}, 0.5).result()
