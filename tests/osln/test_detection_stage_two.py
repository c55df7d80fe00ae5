"""Stage two of the detection: scores, order, labels and tags belong to the same candidate."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from osln.detection import SecondStage, detect
from osln.imaging.study import Study
from osln.rows.experiments import CLASSIFIERS, PRESETS, ROWS
from osln.rows.tags import TAG_NAMES
from small.body import ball, body_hu, on_file

SHAPE = (90, 70, 50)
AFFINE = np.array([[-4.0, 0, 0, 200.0], [0, -4.0, 0, 130.0], [0, 0, 4.0, -80.0], [0, 0, 0, 1.0]])
TUMOR = np.array([25.0, 30.0, 100.0])
PLACES = {"strong": np.array([40.0, 50.0, 80.0]), "middle": np.array([-20.0, -60.0, -50.0]),
          "weak": np.array([60.0, -50.0, 20.0])}  # fmt: skip
STAGE_ONE = {"strong": 0.9, "middle": 0.8, "weak": 0.7}
HU = {"strong": 10, "middle": 30, "weak": 80}
PRESET = replace(PRESETS["demo"], spacing_mm=(6.0, 6.0, 6.0), window=(44, 32, 64))
OSLN = ROWS["osln"]


class Network:
    """Stands in for a stage-one network: each place has its probability."""

    preset = PRESET

    def probability(self, column) -> np.ndarray:
        prob = np.full(column.grid.shape, 0.05, np.float32)
        for name, center_mm in PLACES.items():
            prob[ball(column.grid, center_mm, 12)] = STAGE_ONE[name]
        return prob


class Scorer:
    """Stands in for a stage-two network: the score is the HU in the middle of the patch / 100."""

    stage_two = PRESET.stage_two

    def __init__(self, name="glnet", preset="demo") -> None:
        self.classifier, self.checkpoint = (
            CLASSIFIERS[name],
            SimpleNamespace(preset=preset, preparation=PRESET if preset == "demo" else PRESETS[preset]),
        )
        self.tags: np.ndarray | None = None

    def scores(self, patches, tags=None) -> np.ndarray:
        self.tags = tags
        x, y, z = (size // 2 for size in self.stage_two.patch)
        return patches.ct_hu[:, x, y, z].astype(np.float32) / 100

    def judged(self, patches, tags=None) -> tuple[np.ndarray, np.ndarray]:
        """Its feature is the score in percent."""
        scores = self.scores(patches, tags)
        return scores, 100 * scores[:, None]


class Tagger:
    """Stands in for the tagger: the tag whose number is that of the lesion's slice in mm / 10 is sure."""

    def tag_lesions(self, ct, lesions) -> np.ndarray:
        found = np.full((len(lesions), len(TAG_NAMES)), 0.01, dtype=np.float32)
        found[np.arange(len(lesions)), np.round(lesions[:, 4] / 10).astype(int) + 10] = 0.99
        return found

    def describe(self) -> dict:
        return {"name": "LesaNet", "origin": "phantom"}


@pytest.fixture(scope="module")
def study() -> Study:
    def painted(grid):
        hu = body_hu(grid)
        for name, center_mm in PLACES.items():
            hu[ball(grid, center_mm, 14)] = HU[name]
        return hu

    return Study(
        "p1",
        ct=on_file(painted, SHAPE, AFFINE),
        pet=on_file(lambda grid: np.ones(grid.shape, np.float32), SHAPE, AFFINE),
        tumor=on_file(lambda grid: ball(grid, TUMOR, 15), SHAPE, AFFINE),
    )


def run(study, threshold=0.0, *, scorer=None, tagger=None, at=0.5, row=OSLN):
    networks = {name: Network() for name in row.segmenters}
    return detect(study, row, networks, at, SecondStage(scorer or Scorer(), tagger or Tagger(), threshold))


def name_of(candidate) -> str:
    return min(PLACES, key=lambda name: np.linalg.norm(PLACES[name] - candidate.center_mm))


def test_candidates_are_ordered_by_the_score_of_stage_two(study):
    found = run(study)

    assert [name_of(c) for c in found.candidates] == ["weak", "middle", "strong"]
    assert [c.id for c in found.candidates] == [1, 2, 3]
    assert [c.score for c in found.candidates] == pytest.approx([0.8, 0.3, 0.1])
    assert [c.stage_two_score for c in found.candidates] == [c.score for c in found.candidates]
    assert [c.stage_one_score for c in found.candidates] == pytest.approx([0.7, 0.8, 0.9])
    assert all(c.kept for c in found.candidates)


def test_the_label_map_carries_the_ids_of_the_order(study):
    found = run(study)

    for candidate in found.candidates:
        index = np.round(found.column.grid.mm_to_index(candidate.center_mm)).astype(int)
        assert found.labels[tuple(index)] == candidate.id
        inside = tuple(slice(*side) for side in candidate.box)
        assert (found.labels[inside] == candidate.id).sum() * 216 == pytest.approx(candidate.volume_mm3)
    assert set(np.unique(found.labels)) == {0, 1, 2, 3}


def test_what_both_stages_leave_behind_goes_in_the_order_of_the_candidates(study):
    found = run(study)

    scores = [candidate.stage_two_score for candidate in found.candidates]
    assert found.features[:, 0] / 100 == pytest.approx(scores)
    for candidate, means in zip(found.candidates, found.streams, strict=True):
        # Every network says the same here, each in its own zone.
        zones = {name.partition("-")[2] for name in means}
        assert candidate.zone in zones and "features" not in found.to_json()
        assert max(means.values()) == pytest.approx(candidate.stage_one_score)


def test_candidates_below_the_operating_point_are_rejected_and_stay_in_the_list(study):
    found = run(study, 0.3)

    # The operating point itself is kept.
    assert {name_of(c): c.kept for c in found.candidates} == {"weak": True, "middle": True, "strong": False}
    assert [c.kept for c in run(study, 0.31).candidates] == [True, False, False]
    assert set(np.unique(found.labels)) == {0, 1, 2, 3}


def test_tags_are_those_of_the_candidate_and_reach_the_network_in_its_order(study):
    scorer = Scorer()
    found = run(study, scorer=scorer)

    for candidate in found.candidates:
        first = candidate.tags[0]
        # Slices lie 6 mm apart, so that the tag is that of a slice near the center.
        assert abs(TAG_NAMES.index(first["tag"]) - 10 - candidate.center_mm[2] / 10) < 1.5
        assert first["probability"] == pytest.approx(0.99) and len(candidate.tags) == 5
    # The network was asked before the order changed: strong, middle, weak.
    best = scorer.tags.argmax(axis=1) - 10
    wanted = [PLACES[name][2] / 10 for name in ("strong", "middle", "weak")]
    assert best == pytest.approx(wanted, abs=1.5)


def test_equal_scores_keep_the_order_of_stage_one(study):
    class Even(Scorer):
        def scores(self, patches, tags=None):
            return np.full(len(patches), 0.5, dtype=np.float32)

    assert [name_of(c) for c in run(study, scorer=Even()).candidates] == ["strong", "middle", "weak"]


def test_a_row_without_tags_needs_no_tagger(study):
    second = SecondStage(Scorer("local-ct-pet"), None, 0.2)
    row = ROWS["osln-local-ct-pet"]
    found = detect(study, row, {name: Network() for name in row.segmenters}, 0.5, second)
    assert found.tagger is None and all(c.tags is None for c in found.candidates)
    assert found.classifier == "local-ct-pet" and "tags" not in found.seconds


def test_the_result_is_plain_json_and_says_what_scored(study):
    told = json.loads(json.dumps(run(study, 0.3).to_json(), allow_nan=False))

    assert (told["experiment"], told["classifier"], told["score_threshold"]) == ("osln", "glnet", 0.3)
    assert told["tagger"] == {"name": "LesaNet", "origin": "phantom"}
    first = told["candidates"][0]
    assert set(first) >= {"id", "score", "stage_one_score", "stage_two_score", "kept", "tags"}
    assert set(first["tags"][0]) == {"tag", "class", "probability"}
    assert list(told["seconds"]) == [
        "prepare", *OSLN.segmenters, "candidates", "tags", "classifier",
    ]  # fmt: skip


def test_a_patient_without_candidates_has_an_empty_result(study):
    found = run(study, 0.5, at=0.95)

    assert found.candidates == [] and not found.labels_on_ct(study).any()
    assert found.to_json()["candidates"] == [] and found.classifier == "glnet"


def test_a_missing_or_unwanted_stage_two_is_refused(study):
    networks = {name: Network() for name in OSLN.segmenters}
    with pytest.raises(ValueError, match="experiment osln ends with glnet: give it that stage two"):
        detect(study, OSLN, networks, 0.5)
    with pytest.raises(ValueError, match="lf-stratified ends with stage one: give it no second stage"):
        run(study, row=ROWS["lf-stratified"])
    with pytest.raises(ValueError, match="mixes networks of the presets demo, paper"):
        run(study, scorer=Scorer(preset="paper"))
    for threshold in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="the score of stage two lies between 0 and 1"):
            run(study, threshold)


def test_a_missing_pet_is_told_with_the_way_out(study):
    with pytest.raises(ValueError, match=r"p1 has no PET, which osln needs: put pet/p1.nii.gz"):
        run(replace(study, pet=None))
