"""`candidates: "all"`: each candidate with a value of its own; none that is not kept counts as a node."""

import json
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from lib.store.datastore import OslnDatastore
from osln.dicom.writing.from_store import approved, predicted, stored_result
from osln.output import label_maps
from osln.store.predictions import read_prediction
from osln.weights.model_store import ModelStore
from small import app as small_app
from small import store as small_store
from small.submissions import stored

POINTS = {"0.5": 0.95, "1": 0.8, "2": 0.7, "3": 0.65, "4": 0.5, "6": 0.25}
CURVE = [{"fp_per_patient": 3.0, "threshold": 0.65, "sensitivity": 0.75}]


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return small_app.make_models(tmp_path_factory.mktemp("models"))


@pytest.fixture
def ask(tmp_path, template, monkeypatch):
    """Case `one` has a bright node of score .9, which is kept, and a faint one of score .6, which is not."""
    monkeypatch.setattr("osln.published.Predictor", small_store.BrightVoxels)
    monkeypatch.setattr("osln.published.CandidateScorer", small_store.BrightnessScores)
    asking = small_app.Asking(tmp_path, template)
    small_store.make_case(asking.store.root, "one", faint=True)
    ModelStore(asking.models).set_thresholds("glnet", POINTS)
    asking.store = OslnDatastore(asking.store.root)
    yield asking
    asking.clean()


def both() -> np.ndarray:
    """The label map of both candidates in the voxel order of the CT's file."""
    wanted = np.zeros(small_store.SHAPE, dtype=np.uint8)
    wanted[small_store.NODE], wanted[small_store.FAINT_NODE] = 1, 2
    return wanted


def test_each_candidate_has_the_value_that_its_entry_says(ask):
    result = ask("osln", "one", candidates="all")
    np.testing.assert_array_equal(np.asanyarray(nib.load(result["file"]).dataobj), both())
    found = result["params"]
    assert [(one["value"], one["kept"]) for one in found["candidates"]] == [(1, True), (2, False)]
    assert found["label_names"] == {"lymph node 1": 1, "rejected candidate 2": 2}
    assert found["operating_point"] == "3 FP per patient" and found["score_threshold"] == 0.65
    assert found["operating_curve"] == []
    json.dumps(found, allow_nan=False)


def test_without_the_option_the_answer_is_as_it_was(ask):
    found = ask("osln", "one")["params"]
    assert found["label_names"] == {"lymph node": 1}
    assert "operating_curve" not in found and "value" not in found["candidates"][0]
    assert "candidates" not in ask.tasks["osln"].config()


def test_rejected_ones_are_not_asked_for_besides_and_other_values_are_refused(ask):
    result = ask("osln", "one", candidates="all", show_rejected=True)
    np.testing.assert_array_equal(np.asanyarray(nib.load(result["file"]).dataobj), both())
    status, sentence = ask.refusal("osln", "one", candidates="most")
    assert status == 422 and "candidates is one of kept, all" in sentence


def test_a_segmentation_for_slicer_names_each_candidate(ask):
    file = ask("osln", "one", candidates="all", result_extension=".seg.nrrd")["file"]
    image = sitk.ReadImage(file)
    names = [image.GetMetaData(f"Segment{number}_Name") for number in (0, 1)]
    assert names == ["lymph node 1", "rejected candidate 2"]
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image).T, both())


def test_a_row_of_stage_one_keeps_all_candidates_and_has_no_curve(ask):
    found = ask("lf-stratified", "one", candidates="all")["params"]
    assert [(one["value"], one["kept"]) for one in found["candidates"]] == [(1, True), (2, True)]
    assert found["operating_curve"] == []


def test_stored_as_the_prediction_the_one_that_is_not_kept_is_no_node(ask, tmp_path):
    ask("osln", "one", candidates="all", save_label=True)
    # Whoever reads the file, an evaluation for instance, takes each value for a node.
    np.testing.assert_array_equal(stored(ask.store, "original"), both() == 1)
    assert len(ask.store.get_label_info("one", "original")["params"]["candidates"]) == 2
    ct = ask.store.ct("one")
    path = ask.store.label_path("one", "original")
    nodes = predicted(ct.grid, path, stored_result(ask.store.root, "one"))
    assert [node.number for node in nodes.nodes] == [1]
    assert np.count_nonzero(nodes.labels) == 24
    # The comparison with the prediction: the bright node is unchanged, and nothing was removed.
    label = small_store.write(tmp_path / "label.nii.gz", (both() == 1).astype(np.uint8))
    ask.store.save_label("one", str(label), "final", {"label_info": [{"name": "lymph node", "idx": 1}]})
    report = ask.store.about_label("one")
    assert report["nodes"] == {"added": 0, "removed": 0, "changed": 0, "unchanged": 1}
    (node,) = approved(ask.store.root, "one", ct.grid, []).nodes
    assert node.score == pytest.approx(0.9)


def replaced_by_another_patient(ask):
    ask.store.remove_image("one")
    small_store.make_case(ask.store.root, "one")
    ask.store.refresh()


def other_tumor(ask):
    path = ask.store.root / "labels" / "gtv" / "one.nii.gz"
    path.unlink()
    small_store.write(path, (both() == 1).astype(np.uint8))


@pytest.mark.parametrize("meanwhile", [replaced_by_another_patient, other_tumor])
def test_what_was_found_in_files_that_changed_meanwhile_is_not_stored(ask, meanwhile):
    task = ask.tasks["osln"]

    def run(request):
        result = task(request)
        meanwhile(ask)
        return result

    ask.tasks["osln"] = run
    status, sentence = ask.refusal("osln", "one", save_label=True)
    assert status == 409 and "of case one changed while its nodes were looked for" in sentence
    assert "original" not in ask.store.get_labels_by_image_id("one")
    assert read_prediction(ask.store.root, "one") is None


def test_the_curve_is_told_if_it_was_measured_with_exactly_these_weights(ask):
    models = ModelStore(ask.models)
    models.set_thresholds("glnet", POINTS, CURVE)
    assert ask("osln", "one", candidates="all")["params"]["operating_curve"] == CURVE
    small_store.publish(ask.models, ["ef-distal"], seed=1)
    assert ask("osln", "one", candidates="all")["params"]["operating_curve"] == []


@pytest.mark.parametrize(("count", "dtype"), [(250, np.uint8), (251, np.uint16), (65536, np.uint16)])
def test_more_candidates_than_a_byte_has_values_get_two_bytes_and_those_beyond_are_not_drawn(count, dtype):
    labels = np.arange(count + 1).reshape(-1, 1, 1)
    candidates = [SimpleNamespace(id=number, kept=True) for number in range(1, count + 1)]
    found = SimpleNamespace(candidates=candidates, labels_on_ct=lambda study: labels)
    drawn = label_maps.candidate_map(found, None)
    assert drawn.dtype == dtype
    np.testing.assert_array_equal(drawn[:65536], labels[:65536])
    assert not drawn[65536:].any()
    assert len(label_maps.candidate_names(found)) == min(count, 65535)
