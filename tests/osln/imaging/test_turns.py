"""Answers for turned views are turned back and averaged."""

import numpy as np
import pytest

from osln.imaging.grid import Grid
from osln.imaging.lung_column import LungColumn
from osln.imaging.turns import TURNS, turned_column
from osln.stage_one.inference import mean_probability
from osln.stage_two.scoring import mean_scores, turned_patches
from small.candidates import small_patches

SHAPE = (6, 8, 5)


def column() -> LungColumn:
    rng = np.random.default_rng(0)
    ct_hu, pet_suv, distance_mm = (rng.random(SHAPE).astype(np.float32) for _ in range(3))
    grid = Grid(SHAPE, np.diag([2.0, 2.0, 3.0, 1.0]))
    return LungColumn("p1", grid, ct_hu, pet_suv, distance_mm, None, None, ct_hu > 0.5)


class Pointwise:
    """A network that looks at single voxels: no view changes what it says of one."""

    def probability(self, given: LungColumn) -> np.ndarray:
        assert given.grid.shape == given.ct_hu.shape == given.body.shape == given.distance_mm.shape
        return given.ct_hu * given.body + given.pet_suv


class CornerSeeing:
    """A network that says 1 of the first voxels of what it is shown, whatever they are."""

    def probability(self, given: LungColumn) -> np.ndarray:
        prob = np.zeros(given.ct_hu.shape, dtype=np.float32)
        prob[0, 0] = 1.0
        return prob


class Brightness:
    """Scores a candidate by the brightest voxel of its box and the first voxel of its patch."""

    def scores(self, patches, tags=None) -> np.ndarray:
        inside = [
            ct[tuple(slice(*side) for side in box)].max()
            for ct, box in zip(patches.ct_hu, patches.boxes.astype(int), strict=True)
        ]
        self.corners = patches.ct_hu[:, 0, 0, 0]
        return np.array(inside, dtype=np.float32) + self.corners / np.float32(1000)


@pytest.mark.parametrize("turns", [1, 2, 4, 8])
def test_a_network_of_single_voxels_says_the_same_however_often_it_is_asked(turns):
    expected = Pointwise().probability(column())

    found = mean_probability(Pointwise(), column(), turns)

    assert found.shape == SHAPE and found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_four_turns_bring_each_corner_to_the_front_once_and_eight_each_twice():
    corners = np.zeros(SHAPE)
    corners[np.ix_([0, -1], [0, -1])] = 1.0

    np.testing.assert_allclose(mean_probability(CornerSeeing(), column(), 4), corners / 4)
    np.testing.assert_allclose(mean_probability(CornerSeeing(), column(), 8), corners / 4)
    assert mean_probability(CornerSeeing(), column(), 1)[0, 0, 0] == 1.0


def test_the_first_view_is_the_patient_and_all_views_differ():
    views = [turned_column(column(), turn).ct_hu for turn in TURNS]

    assert np.array_equal(views[0], column().ct_hu)
    assert len({(view.shape, view.tobytes()) for view in views}) == 8


def test_boxes_are_turned_with_their_patches():
    given = small_patches(np.array([True, True, False]))
    given.ct_hu[0, 1:3, 5:7, 2:4] = 900
    given.boxes[0] = [[1, 3], [5, 7], [2, 4]]
    scorer = Brightness()

    for turn in TURNS:
        turned = turned_patches(given, turn)
        inside = scorer.scores(turned) - scorer.corners / 1000
        assert inside[:2].tolist() == pytest.approx([900, 60], abs=0.01)
        assert turned.boxes.dtype == np.float32 and turned.context is given.context


def test_scores_are_means_over_the_views():
    given, scorer = small_patches(np.array([True, False])), Brightness()
    views = [scorer.scores(turned_patches(given, turn)) for turn in TURNS[:4]]

    np.testing.assert_allclose(mean_scores(scorer, given, None, 4), np.mean(views, axis=0), rtol=1e-6)
    np.testing.assert_allclose(mean_scores(scorer, given, None, 1), views[0])


def test_no_candidate_has_no_score():
    assert mean_scores(Brightness(), small_patches(np.zeros(0, dtype=bool)), None, 4).shape == (0,)
