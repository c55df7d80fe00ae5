"""What is known of a patient who was reviewed in part, counted in voxels of 2 mm."""

from dataclasses import replace

import numpy as np
import pytest

from osln.imaging.column_file import load_column, save_column
from osln.imaging.grid import Grid
from osln.imaging.reviewed_part import (
    DECIDED,
    MARGIN_MM,
    NEAR,
    UNDECIDED,
    UNKNOWN,
    ReviewedPart,
    known_voxels,
)
from small.columns import small_column

GRID = Grid((40, 11, 11), np.diag([2.0, 2.0, 2.0, 1.0]))
NONE = np.zeros((0, 2, 3))


def box(first: int, last: int) -> list[list[float]]:
    """Faces of the voxels `first` to `last` along x, of the fifth ones along y and z."""
    return [[2.0 * first - 1, 9.0, 9.0], [2.0 * last + 1, 11.0, 11.0]]


def line(rejected=(), undecided=(), nodes=()) -> str:
    """The values along x through the middle: "?" undecided, "." unknown, "-" near, "X" decided."""
    labels = np.zeros(GRID.shape, dtype=np.uint8)
    for number, at in enumerate(nodes, start=1):
        labels[at, 5, 5] = number
    boxes = (np.array([box(*one) for one in given]).reshape(-1, 2, 3) for given in (rejected, undecided))
    known = known_voxels(ReviewedPart(*boxes), labels, GRID)
    assert known.dtype == np.uint8 and set(np.unique(known)) <= {UNDECIDED, UNKNOWN, NEAR, DECIDED}
    return "".join("?.-X"[value] for value in known[:, 5, 5])


def test_nodes_and_rejected_candidates_are_known_with_a_margin_and_nothing_else():
    assert MARGIN_MM == 5.0
    # 5 mm reach two voxels from a voxel's center, and into the third one from its face.
    assert line(nodes=[10]) == "........--X--" + 27 * "."
    assert line(rejected=[(10, 11)]) == ".......---XX---" + 25 * "."
    assert line(undecided=[(10, 11)]) == "..........??" + 28 * "."
    assert line() == 40 * "."


def test_an_undecided_candidate_is_unknown_also_beside_what_was_decided():
    assert line(rejected=[(10, 11)], undecided=[(12, 13)]) == ".......---XX??-" + 25 * "."
    # Boxes of two candidates may overlap though their voxels do not.
    assert line(rejected=[(10, 13)], undecided=[(13, 14)]) == ".......---XXX??--" + 23 * "."
    assert line(nodes=[10], undecided=[(10, 12)]) == "........--X??" + 27 * "."


def test_the_margin_of_a_node_is_a_distance_and_that_of_a_box_a_box():
    labels = np.zeros(GRID.shape, dtype=np.uint8)
    labels[10, 5, 5] = 1
    known = known_voxels(ReviewedPart(NONE, NONE), labels, GRID)
    # (2, 1, 1) lies 4.9 mm away, (2, 2, 0) 5.7 mm.
    assert known[12, 6, 6] == NEAR and known[12, 7, 5] == UNKNOWN
    rejected = known_voxels(ReviewedPart(np.array([box(10, 10)]), NONE), 0 * labels, GRID)
    assert rejected[13, 8, 8] == NEAR and (rejected == DECIDED).sum() == 1


def test_what_lies_outside_the_grid_or_across_its_border_does_no_harm():
    assert line(rejected=[(-9, -5), (60, 70)]) == 40 * "."
    assert line(rejected=[(-2, 1)], undecided=[(39, 50)]) == "XX---" + 34 * "." + "?"


def test_a_turned_grid_leaves_no_corner_of_an_undecided_candidate():
    turn = np.array([[0.8, -0.6, 0, 0], [0.6, 0.8, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    grid = Grid((30, 30, 5), turn @ np.diag([2.0, 2.0, 2.0, 1.0]))
    middle = grid.index_to_mm(np.array([15, 15, 2]))
    whole = np.array([[middle - 100, middle + 100]])
    undecided = np.array([[middle - 5, middle + 5]])
    known = known_voxels(ReviewedPart(whole, undecided), np.zeros(grid.shape, dtype=np.uint8), grid)
    places = grid.index_to_mm(np.argwhere(known > UNKNOWN))
    assert len(places) and (np.abs(places - middle).max(axis=1) > 5).all()


@pytest.mark.parametrize("partial", [True, False])
def test_a_column_keeps_what_is_known_in_its_file(tmp_path, partial):
    column = small_column(0)
    known = (
        (np.arange(column.nodes.size) % 4).astype(np.uint8).reshape(column.nodes.shape) if partial else None
    )
    save_column(tmp_path / "a.npz", replace(column, known=known))
    again, _ = load_column(tmp_path / "a.npz")
    assert (again.known is None) == (not partial)
    assert not partial or (np.array_equal(again.known, known) and again.known.dtype == np.uint8)
