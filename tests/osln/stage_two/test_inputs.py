"""Odd candidates and images through the real stage two, whose weights are random: every score is a number."""

import numpy as np
import pytest
import torch

from osln.detection import SecondStage, detect
from osln.imaging.study import Study
from osln.imaging.transforms import Scaling
from osln.networks.build import classifier_network
from osln.networks.lesanet import LesaNet
from osln.rows.experiments import CLASSIFIERS, PRESETS, ROWS
from osln.stage_two.scoring import CandidateScorer
from osln.tagging.tagger import Tagger
from osln.weights.checkpoint import Checkpoint
from small.body import ball, body_hu, on_file

PRESET = PRESETS["demo"]
ROW = ROWS["osln"]
TUMOR = np.array([25.0, 30.0, 40.0])


class Network:
    """Stands in for a stage-one network: one candidate, given as a function of the grid."""

    preset = PRESET

    def __init__(self, place) -> None:
        self.place = place

    def probability(self, column) -> np.ndarray:
        return np.where(self.place(column.grid), 0.9, 0.0).astype(np.float32)


@pytest.fixture(scope="module")
def second() -> SecondStage:
    torch.manual_seed(0)
    network = classifier_network(CLASSIFIERS["glnet"], PRESET)
    checkpoint = Checkpoint("glnet", "demo", Scaling(1.0, 1.5), network.state_dict(), "phantom")
    tagger = Tagger(LesaNet(width=1, embedding=2), {"origin": "phantom", "trained_on": "phantom"})
    return SecondStage(CandidateScorer(checkpoint, number_format="f32"), tagger, 0.0)


def affine(spacing_mm) -> np.ndarray:
    matrix = np.diag([*spacing_mm, 1.0])
    matrix[:3, 3] = (-130.0, -120.0, -60.0)
    return matrix


def study(spacing_mm=(4.0, 4.0, 4.0), pet_from_mm=-60.0) -> Study:
    """A body of 256 x 220 x 120 mm; the PET begins at a height."""
    shape = tuple(round(size / step) for size, step in zip((256, 220, 120), spacing_mm, strict=True))
    at = affine(spacing_mm)
    pet_at = at.copy()
    pet_at[2, 3] = pet_from_mm
    return Study(
        "p1",
        ct=on_file(body_hu, shape, at),
        pet=on_file(lambda grid: np.ones(grid.shape, np.float32), shape, pet_at),
        tumor=on_file(lambda grid: ball(grid, TUMOR, 12), shape, at),
    )


def run(second, place, patient=None):
    networks = {name: Network(place) for name in ROW.segmenters}
    found = detect(patient or study(), ROW, networks, 0.5, second)
    for candidate in found.candidates:
        assert 0 < candidate.stage_two_score < 1 and len(candidate.tags) == 5
        assert all(0 < tag["probability"] < 1 for tag in candidate.tags)
    return found


def one_voxel(grid) -> np.ndarray:
    mask = np.zeros(grid.shape, dtype=bool)
    mask[tuple(size // 2 for size in grid.shape)] = True
    return mask


def corner(grid) -> np.ndarray:
    mask = np.zeros(grid.shape, dtype=bool)
    mask[:2, :2, :2] = mask[-1:, -1:, -1:] = True
    return mask


def whole_field(grid) -> np.ndarray:
    return np.ones(grid.shape, dtype=bool)


def test_a_candidate_of_one_voxel(second):
    (found,) = run(second, one_voxel).candidates
    assert found.volume_mm3 == pytest.approx(2.5 * 2.5 * 3)


def test_candidates_in_the_corners_of_the_field(second):
    found = run(second, corner)
    assert sorted(round(c.volume_mm3 / 18.75) for c in found.candidates) == [1, 8]


def test_a_candidate_larger_than_the_patch(second):
    result = run(second, whole_field)
    (found,) = result.candidates
    size = np.ptp(np.array(found.box), axis=1)
    assert tuple(size) == result.column.grid.shape and (size > PRESET.stage_two.patch).all()


def test_a_candidate_outside_the_pets_field_counts_as_without_uptake(second):
    low = run(second, lambda grid: ball(grid, (0, 40, -45), 8), study(pet_from_mm=0.0))
    (found,) = low.candidates
    assert found.suv_max == 0 and low.column.warnings == (
        "the PET does not cover the whole column: outside it counts as SUV 0",
    )
    (inside,) = run(second, lambda grid: ball(grid, (0, 40, 30), 8), study(pet_from_mm=0.0)).candidates
    assert inside.suv_max == pytest.approx(1)


@pytest.mark.parametrize("spacing_mm", [(1.5, 1.5, 5.0), (5.0, 5.0, 5.0), (2.0, 2.0, 0.8)])
def test_fine_and_coarse_cts(second, spacing_mm):
    (found,) = run(second, lambda grid: ball(grid, (0, 40, 10), 8), study(spacing_mm)).candidates
    assert found.center_mm == pytest.approx((0, 40, 10), abs=1.5)


def test_a_patient_without_candidates(second):
    found = run(second, lambda grid: np.zeros(grid.shape, dtype=bool))
    assert found.candidates == [] and not found.labels.any()


def test_more_candidates_than_a_batch_holds(second):
    def many(grid):
        mask = np.zeros(grid.shape, dtype=bool)
        mask[4:60:6, 4:60:6, 10] = True
        return mask

    result = run(second, many)
    ids = [candidate.id for candidate in result.candidates]
    scores = [candidate.score for candidate in result.candidates]
    assert ids == list(range(1, 101)) and scores == sorted(scores, reverse=True)


def test_the_score_of_a_candidate_does_not_depend_on_the_others(second):
    first, other = (lambda grid: ball(grid, (0, 40, 10), 8)), (lambda grid: ball(grid, (40, -60, -30), 6))
    alone = run(second, first).candidates[0]
    both = run(second, lambda grid: first(grid) | other(grid)).candidates
    same = min(both, key=lambda c: np.linalg.norm(np.subtract(c.center_mm, alone.center_mm)))
    assert len(both) == 2 and same.score == pytest.approx(alone.score, abs=1e-6)


@pytest.mark.parametrize(
    "name", [row.name for row in ROWS.values() if row.classifier and not row.served and row.turns == 1]
)
def test_researchers_rows_score_the_same_candidates(name, second):
    row = ROWS[name]
    torch.manual_seed(0)
    weights = classifier_network(CLASSIFIERS[row.classifier], PRESET).state_dict()
    checkpoint = Checkpoint(row.classifier, "demo", Scaling(1.0, 1.5), weights, "phantom")
    other = SecondStage(CandidateScorer(checkpoint, number_format="f32"), second.tagger, 0.0)
    beside = np.array([0.0, 40.0, 0.0])
    network = Network(lambda grid: ball(grid, TUMOR + beside, 9) | ball(grid, TUMOR - beside, 9))

    found = detect(study(), row, dict.fromkeys(row.segmenters, network), 0.5, other)

    scores = [candidate.stage_two_score for candidate in found.candidates]
    assert len(scores) == 2 and all(0 < score < 1 for score in scores) and scores == sorted(scores)[::-1]
    assert found.classifier == row.classifier
