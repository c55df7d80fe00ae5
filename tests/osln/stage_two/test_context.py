"""What stage two is told of a candidate: stage one's score, size, and the place seen from the tumor."""

from dataclasses import replace

import numpy as np
import pytest

from osln.imaging.distance import tumor_distance_mm
from osln.imaging.grid import Grid
from osln.imaging.lung_column import LungColumn
from osln.rows.experiments import CLASSIFIERS, CONTEXT_INPUTS, PRESETS
from osln.stage_one.candidates import find_candidates
from osln.stage_two.context import candidate_context, candidate_patches, known_numbers

SHAPE, SPACING_MM = (20, 20, 60), (2.0, 2.0, 3.0)


def column(tumor: tuple[slice, slice, slice]) -> LungColumn:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[tumor] = True
    ct_hu = np.zeros(SHAPE, dtype=np.float32)
    distance_mm = tumor_distance_mm(mask, SPACING_MM)
    grid = Grid(SHAPE, np.diag([*SPACING_MM, 1.0]))
    return LungColumn("p1", grid, ct_hu, None, distance_mm, None, None, np.ones(SHAPE, bool))


def candidates(of: LungColumn) -> list:
    prob = np.zeros(SHAPE, dtype=np.float32)
    prob[2:4, 4:6, 10:12], prob[9:11, 9:11, 50:52] = 0.9, 0.6
    return find_candidates(prob, 0.5, of)[0]


NEAR = column((slice(8, 12), slice(8, 12), slice(8, 12)))


def test_the_context_by_hand():
    found = candidate_context(candidates(NEAR), NEAR)

    radius = (3 * 8 * 2 * 2 * 3 / (4 * np.pi)) ** (1 / 3)
    # Center of the tumor: (19, 19, 28.5) mm; of the candidates: (5, 9, 31.5) and (19, 19, 151.5) mm.
    assert found[:, 0] == pytest.approx([0.9, 0.6]) and found[:, 2] == pytest.approx(radius)
    assert found[:, 3:].tolist() == [[-14, -10, 3], [0, 0, 123]]
    assert found[1, 1] == pytest.approx(100) and 10 < found[0, 1] < 20


def test_of_a_tumor_beyond_the_column_the_nearest_voxels_count():
    beyond = replace(NEAR, distance_mm=NEAR.distance_mm + 5.0)
    nearest = np.argwhere(NEAR.distance_mm == NEAR.distance_mm.min()).mean(axis=0) * SPACING_MM

    found = candidate_context(candidates(beyond), beyond)

    assert found[:, 3:] == pytest.approx(np.array([[5, 9, 31.5], [19, 19, 151.5]]) - nearest)


def test_without_tumor_contour_only_score_and_size_are_known():
    without = replace(NEAR, distance_mm=None)
    found = candidate_context(candidates(without), without)

    assert np.isnan(found).tolist() == [[False, True, False, True, True, True]] * 2
    with pytest.raises(ValueError, match=r"local-context reads stage one's score .* with a tumor contour"):
        known_numbers(CLASSIFIERS["local-context"], None, found)


def test_a_patient_without_candidates_has_an_empty_context():
    patches = candidate_patches(NEAR, [], PRESETS["demo"].stage_two)

    assert len(patches) == 0 and patches.context.shape == (0, 6)
    assert known_numbers(CLASSIFIERS["local-context"], None, patches.context).shape == (0, CONTEXT_INPUTS)


def test_numbers_that_a_network_is_given_by_hand():
    tags = np.full((2, 171), 0.25, dtype=np.float32)
    context = np.float32([[0.5, 70, 4, 100, 0, -50], [1.0, 71, 8, 0, 0, 0]])

    given = known_numbers(CLASSIFIERS["glnet-context"], tags, context)

    assert given.shape == (2, 171 + CONTEXT_INPUTS) and given.dtype == np.float32
    assert (given[:, :171] == 0.25).all()
    assert given[0, 171:].tolist() == pytest.approx([0, 0.7, 1, 0, 1, 0, -0.5])
    # Odds of 9999 : 1 are the largest.
    assert given[1, 171:].tolist() == pytest.approx([np.log(9999) / 2, 0.71, 0, 1, 0, 0, 0], abs=1e-3)


def test_a_network_is_given_what_it_reads_and_nothing_else():
    tags, context = np.zeros((1, 171), np.float32), np.ones((1, 6), np.float32)

    assert known_numbers(CLASSIFIERS["local-ct-pet"], tags, context) is None
    assert known_numbers(CLASSIFIERS["tag"], tags, None).shape == (1, 171)
    with pytest.raises(ValueError, match="tag reads tags: give 171 probabilities"):
        known_numbers(CLASSIFIERS["tag"], None, context)
