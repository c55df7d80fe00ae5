"""Stage two in the answers of the server: scores, rejected candidates, operating points, taggers."""

import json
import shutil

import nibabel as nib
import numpy as np
import pytest
import torch

from lib.models import infers
from osln.rows.tags import TAG_NAMES
from osln.tagging.tagger import Tagger
from osln.weights.model_store import ModelStore
from small import app as small_app
from small import store as small_store

NODE_SCORE, FAINT_SCORE = 0.9, 0.6
"""HU / 200."""
POINTS = {"0.5": 0.95, "1": 0.8, "2": 0.7, "3": 0.65, "4": 0.5, "6": 0.25}


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return small_app.make_models(tmp_path_factory.mktemp("models"))


@pytest.fixture
def ask(tmp_path, template, monkeypatch):
    """Asks for an inference on a case `two` with a bright and a faint node; a score is brightness."""
    monkeypatch.setattr("osln.published.Predictor", small_store.BrightVoxels)
    monkeypatch.setattr("osln.published.CandidateScorer", small_store.BrightnessScores)
    asking = small_app.Asking(tmp_path, template)
    small_store.make_case(asking.store.root, "two", faint=True)
    for classifier in ("glnet", "local-ct-pet"):
        ModelStore(asking.models).set_thresholds(classifier, POINTS)
    yield asking
    asking.clean()


def voxels(result) -> np.ndarray:
    return np.asanyarray(nib.load(result["file"]).dataobj)


def test_a_rejected_candidate_is_not_in_the_label_but_in_the_json(ask):
    result = ask("osln", "two")
    np.testing.assert_array_equal(voxels(result), small_store.ct() > 100)
    found = result["params"]
    assert found["label_names"] == {"lymph node": 1}
    assert (found["operating_point"], found["score_threshold"]) == ("3 FP per patient", 0.65)
    node, faint = found["candidates"]
    assert (node["kept"], faint["kept"]) == (True, False)
    assert (node["stage_two_score"], faint["stage_two_score"]) == pytest.approx((NODE_SCORE, FAINT_SCORE))
    assert node["stage_one_score"] == pytest.approx(0.9) and node["score"] == node["stage_two_score"]
    assert faint["volume_mm3"] == pytest.approx(18 * 18.75)
    json.dumps(found, allow_nan=False)


def test_rejected_candidates_become_a_second_label_on_request(ask):
    result = ask("osln", "two", show_rejected="true", save_label=True)
    ((_, info),) = ask.store.saved
    assert info["params"]["label_names"]["rejected candidate"] == 2
    wanted = (small_store.ct() > 100).astype(np.uint8)
    wanted[small_store.FAINT_NODE] = 2
    np.testing.assert_array_equal(voxels(result), wanted)
    assert result["params"]["label_names"] == {"lymph node": 1, "rejected candidate": 2}
    assert ask.tasks["osln"].info()["labels"] == {"lymph node": 1, "rejected candidate": 2}
    assert ask.tasks["ct"].info()["labels"] == {"lymph node": 1}


def test_without_a_kept_node_the_rejected_ones_are_still_the_second_value(ask):
    result = ask("osln", "two", show_rejected=True, score=0.99)
    assert set(np.unique(voxels(result))) == {0, 2}
    assert not any(candidate["kept"] for candidate in result["params"]["candidates"])


@pytest.mark.parametrize(
    ("options", "point", "kept"),
    [
        ({"operating_point": "0.5 FP per patient"}, "0.5 FP per patient", 0),
        ({"operating_point": "1 FP per patient"}, "1 FP per patient", 1),
        ({"operating_point": "6 FP per patient"}, "6 FP per patient", 2),
        ({"operating_point": "6 FP per patient", "score": 0}, "6 FP per patient", 2),
        ({"operating_point": "6 FP per patient", "score": "0.61"}, "score 0.61", 1),
        ({"score": 1.0}, "score 1", 0),
    ],
)
def test_the_operating_point_is_a_number_of_false_positives_or_a_score(ask, options, point, kept):
    found = ask("osln", "two", **options)["params"]
    assert found["operating_point"] == point
    assert sum(candidate["kept"] for candidate in found["candidates"]) == kept


def test_viewers_are_shown_the_measured_points_three_first(ask):
    assert ask.tasks["osln"].config() == {
        "operating_point": [f"{name} FP per patient" for name in ("3", "0.5", "1", "2", "4", "6")],
        "score": 0.0,
        "show_rejected": False,
        "device": ["cpu"],
    }


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"operating_point": "precision 0.15"}, "operating_point is one of 3 FP per patient, 0.5 FP"),
        ({"operating_point": "5 FP per patient"}, "operating_point is one of 3 FP per patient"),
        ({"score": 1.5}, "score is a number from 0.0 to 1.0"),
        ({"score": "high"}, "score is a number from 0.0 to 1.0"),
        ({"show_rejected": "perhaps"}, "show_rejected is true or false"),
    ],
)
def test_what_stage_two_cannot_do_is_refused_with_what_it_can(ask, options, sentence):
    status, detail = ask.refusal("osln", "two", **options)
    assert status == 422 and sentence in detail


def test_rows_without_stage_two_know_nothing_of_it(ask):
    found = ask("lf-stratified", "two")["params"]
    assert (found["classifier"], found["score_threshold"], found["tagger"]) == (None, None, None)
    assert all(candidate["kept"] and candidate["tags"] is None for candidate in found["candidates"])
    status, detail = ask.refusal("lf-stratified", "two", show_rejected=True)
    assert status == 422 and "unknown option show_rejected" in detail


def test_stage_one_hands_over_its_candidates_at_precision_0_15(ask):
    ModelStore(ask.models).set_thresholds("lf-stratified", {"0.10": 0.2, "0.15": 0.3, "0.20": 0.95})
    found = ask("osln", "two")["params"]
    assert found["threshold"] == 0.3 and len(found["candidates"]) == 2


def test_every_result_names_tagger_classifier_and_the_versions_that_ran(ask):
    found = ask("osln", "two")["params"]
    assert found["classifier"] == "glnet"
    assert found["tagger"] == Tagger.load(ask.tagger).describe()
    assert found["tagger"]["origin"] == "phantom"
    assert list(found["models"]) == ["ct-proximal", "ef-proximal", "ct-distal", "ef-distal", "glnet"]
    assert found["models"]["glnet"]["trained_on"] == "phantom"
    assert {"ct-proximal", "candidates", "tags", "classifier", "write", "total"} <= found["latencies"].keys()


def test_each_candidate_carries_its_likeliest_tags(ask):
    node, faint = ask("osln", "two")["params"]["candidates"]
    assert len(node["tags"]) == len(faint["tags"]) == 5
    probabilities = [tag["probability"] for tag in node["tags"]]
    assert probabilities == sorted(probabilities, reverse=True) and 0 <= probabilities[-1]
    assert all(tag["tag"] in TAG_NAMES for tag in node["tags"])


def test_a_row_without_tags_runs_no_tagger(ask):
    found = ask("osln-local-ct", "two")["params"]
    assert found["classifier"] == "local-ct" and found["tagger"] is None
    assert found["candidates"][0]["tags"] is None and "tags" not in found["latencies"]


def test_without_a_tagger_the_network_without_tags_answers_and_the_result_says_so(ask):
    shutil.rmtree(ask.models / "shipped")
    ask.use(ask.models, None)
    found = ask("osln", "two")["params"]
    assert (found["classifier"], found["tagger"]) == ("local-ct-pet", None)
    assert "local-ct-pet" in found["models"] and "glnet" not in found["models"]
    (warning,) = found["warnings"]
    assert "glnet reads tags and there is no tagger" in warning and "--conf lesanet PATH" in warning
    assert warning.endswith("until then local-ct-pet scores the candidates")


def test_tags_of_another_tagger_are_shown_but_not_fed_to_a_network_that_learned_from_others(ask, tmp_path):
    other = small_store.make_tagger(tmp_path / "other.safetensors", seed=5, origin="public LesaNet")
    ask.use(ask.models, other)
    found = ask("osln", "two")["params"]
    assert found["classifier"] == "local-ct-pet" and found["tagger"]["origin"] == "public LesaNet"
    assert len(found["candidates"][0]["tags"]) == 5
    (warning,) = found["warnings"]
    assert "glnet was trained with the tags of LesaNet (phantom, trained on phantom 0" in warning
    assert "the tagger in use is LesaNet (public LesaNet, trained on public LesaNet 5" in warning
    assert "retrain glnet (trainer glnet)" in warning


def test_a_network_retrained_with_the_tagger_in_use_takes_over(ask, tmp_path):
    other = small_store.make_tagger(tmp_path / "other.safetensors", seed=5)
    ask.use(ask.models, other)
    assert ask("osln", "two")["params"]["classifier"] == "local-ct-pet"
    small_store.publish(ask.models, ["glnet"], tagger=other)
    found = ask("osln", "two")["params"]
    assert found["classifier"] == "glnet" and found["operating_point"] == "3 FP per patient"
    assert "operating points of glnet were measured with other weights" in found["warnings"][0]
    ModelStore(ask.models).set_thresholds("glnet", POINTS)
    assert ask("osln", "two")["params"]["warnings"] == []


def test_a_network_without_weights_is_stood_in_for_and_without_any_by_stage_one_s_own_score(ask, tmp_path):
    stage_one = ("ct-proximal", "ef-proximal", "ct-distal", "ef-distal")
    models = small_app.make_models(tmp_path / "some", (*stage_one, "local-ct-pet"))
    ask.use(models, models / "shipped" / "lesanet.safetensors")
    found = ask("osln", "two")["params"]
    assert found["classifier"] == "local-ct-pet"
    assert "there are no weights for glnet: train it (trainer glnet)" in found["warnings"][0]
    bare = small_app.make_models(tmp_path / "bare", stage_one)
    ask.use(bare, bare / "shipped" / "lesanet.safetensors")
    for row, network in (("osln", "glnet"), ("osln-local-ct", "local-ct")):
        told = ask(row, "two")["params"]
        (warning,) = (one for one in told["warnings"] if f"no weights for {network}: train it" in one)
        assert warning.endswith("until then the candidates have stage one's own score")
        assert (told["classifier"], told["model"]) == (None, "lf-stratified")
        assert told["operating_point"].startswith("precision ")
        assert all(one["score"] == one["stage_one_score"] and one["kept"] for one in told["candidates"])
        about = ask.tasks[row].info()
        assert about["classifier"] is None and warning in about["warnings"]
        assert about["config"]["operating_point"][0] == told["operating_point"]
    assert ask("lf-stratified", "two")["params"]["classifier"] is None


def test_changed_weights_of_stage_two_are_refused(ask):
    ModelStore(ask.models).published("glnet").path.write_bytes(b"something else")
    status, detail = ask.refusal("osln", "two")
    assert 400 <= status < 500 and "of glnet are missing or were changed" in detail


def test_unmeasured_operating_points_are_said(ask, template):
    ask.use(template, ask.tagger)
    assert ask.tasks["osln"].config()["operating_point"] == ["score 0.5"]
    found = ask("osln", "two")["params"]
    assert (found["operating_point"], found["score_threshold"]) == ("score 0.5", 0.5)
    assert "no operating point was measured for glnet" in found["warnings"][0]
    assert ask("osln", "two", score=0.7)["params"]["warnings"] == []


def test_a_patient_without_candidates_gets_an_empty_label_and_a_whole_result(ask):
    small_store.write(ask.store.root / "p1.nii.gz", np.where(small_store.ct() > 100, 40, small_store.ct()))
    result = ask("osln", "p1", show_rejected=True)
    assert not voxels(result).any()
    found = result["params"]
    assert found["candidates"] == [] and found["classifier"] == "glnet" and found["warnings"] == []
    assert found["label_names"] == {"lymph node": 1, "rejected candidate": 2}


def test_a_case_without_pet_or_tumor_is_refused_with_the_rows_that_can_be_used(ask):
    small_store.make_case(ask.store.root, "nopet", pet=False)
    small_store.make_case(ask.store.root, "nogtv", gtv=False)
    status, detail = ask.refusal("osln", "nopet")
    assert status == 422 and "has no PET, which osln needs" in detail
    assert "use ct-stratified (tumor, no PET) or ct (CT alone)" in detail
    status, detail = ask.refusal("osln", "nogtv")
    assert status == 422 and "draw a segment named 'tumor'" in detail and "or use ct (CT alone)" in detail


def test_a_gpu_that_has_no_room_for_stage_two_names_the_way_out(ask, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("osln.published.CandidateScorer", full)
    status, sentence = ask.refusal("osln", "two")
    assert status == 409 and "ask again with device cpu" in sentence
    monkeypatch.setattr("osln.published.CandidateScorer", small_store.BrightnessScores)
    monkeypatch.setattr(Tagger, "tag_lesions", full)
    assert ask.refusal("osln", "two")[0] == 409


def test_one_inference_at_a_time_uses_a_device_stage_two_included(ask, monkeypatch):
    held = []
    tag = Tagger.tag_lesions

    def watched(*arguments):
        held.append(infers._device_locks["cpu"].locked())
        return tag(*arguments)

    monkeypatch.setattr(Tagger, "tag_lesions", watched)
    ask("osln", "two")
    assert held == [True]


def test_real_networks_score_what_the_tagger_and_the_patches_give_them(ask, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr("osln.published.Predictor", small_store.BrightVoxels)
    ask.use(ask.models, ask.tagger)
    first, again = (ask("osln", "two", score=0.001)["params"]["candidates"] for _ in range(2))
    assert len(first) == 2 and first == again
    assert all(0 < candidate["stage_two_score"] < 1 for candidate in first)
