import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch

from lib.models import infers
from osln import pipeline
from osln.published import SERVED_ROWS, Published
from osln.rows.experiments import DEFAULT_ROW
from osln.weights.model_store import ModelStore
from small import app as small_app
from small import store as small_store

LOWER_FRONT = small_store.AFFINE_LPS @ np.array([11.5, 21.0, 8.5, 1.0])
"""Center of the bright box in RAS mm."""


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    return small_app.make_models(tmp_path_factory.mktemp("models"))


@pytest.fixture
def ask(tmp_path, template, monkeypatch):
    """Asks for an inference of networks that find what is bright."""
    monkeypatch.setattr("osln.published.Predictor", small_store.BrightVoxels)
    monkeypatch.setattr("osln.published.CandidateScorer", small_store.BrightnessScores)
    asking = small_app.Asking(tmp_path, template)
    yield asking
    asking.clean()


@pytest.fixture
def store(ask):
    return ask.store


@pytest.fixture
def models(ask):
    return ask.models


def refusal(run, *args, **options) -> tuple[int, str]:
    return run.refusal(*args, **options)


def test_the_fused_pipeline_leads_and_every_network_can_be_asked_alone(ask):
    assert next(iter(ask.tasks)) == DEFAULT_ROW
    assert set(ask.tasks) >= {"ct", "ef", "lf", "ct-proximal", "ct-distal", "ef-proximal", "ef-distal"}
    info = ask.tasks["lf-stratified"].info()
    assert (info["type"], info["dimension"], info["labels"]) == ("segmentation", 3, {"lymph node": 1})
    assert info["config"] == {"operating_point": ["precision 0.15"], "device": ["cpu"]}
    assert info["needs"] == ["ct", "pet", "tumor"]
    assert ask.tasks["ct"].info()["needs"] == ["ct"]
    assert info["weights"]["ct-proximal"]["trained_on"] == "phantom"
    assert "not for clinical use" in info["description"]
    assert "at precision 0.15 about 85 of 100 are false" in info["description"]
    assert "85 of 100" not in ask.tasks["osln"].info()["description"]


def test_the_label_map_is_the_node_in_the_voxel_order_of_the_ct_file(ask):
    image = nib.load(ask()["file"])
    assert image.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(np.asanyarray(image.dataobj), small_store.ct() > 100)
    np.testing.assert_allclose(image.affine, small_store.AFFINE_LPS, atol=1e-5)


def test_slicer_gets_an_nrrd_in_the_same_voxel_order(ask):
    file = ask(result_extension=".nrrd", result_dtype="uint8", result_compress=False)["file"]
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(file)).T, small_store.ct() > 100)


def test_the_result_tells_about_every_candidate_in_the_patient_system(ask):
    result = ask("lf-stratified")["params"]
    (node,) = result["candidates"]
    np.testing.assert_allclose(node["center_mm"], LOWER_FRONT[:3], atol=1e-3)
    assert node["volume_mm3"] == pytest.approx(24 * 18.75)
    assert node["radius_mm"] == pytest.approx((3 * 24 * 18.75 / 4 / np.pi) ** (1 / 3))
    assert node["score"] == pytest.approx(0.9)
    assert node["suv_max"] == pytest.approx(1.0)
    assert node["zone"] == "proximal" and 0 < node["distance_mm"] < 40
    # Voxels 10-13, 20-22, 8-9 of the file, faces included; x and y run against RAS.
    np.testing.assert_allclose(node["box_mm"], [[26.25, -6.25, -7.5], [36.25, 1.25, -1.5]], atol=1e-3)
    assert result["label_names"] == {"lymph node": 1}
    assert result["models"]["ef-distal"]["trained_on"] == "phantom"
    assert len(result["models"]["ef-distal"]["sha256"]) == 64
    assert "not for clinical use" in result["note"]
    assert result["latencies"]["total"] >= result["latencies"]["write"]
    assert "RAS" in result["coordinates"]
    json.dumps(result, allow_nan=False)


def test_a_prediction_is_stored_on_request_with_its_json(ask, store):
    plain = ask("ct")["params"]
    result = ask("ct", save_label=True)
    # What the prediction leaves behind goes beside it, and into no reply.
    left = store.evidence["p1"]
    assert plain["candidates"] == result["params"]["candidates"] and "evidence" not in result["params"]
    assert [one.score for one in left.candidates] == [one["score"] for one in plain["candidates"]]
    assert left.candidates[0].streams == pytest.approx({"ct": 0.9})
    ((case, info),) = store.saved
    assert (case, result["tag"], result["label"]) == ("p1", "original", "p1")
    assert info["model"] == "ct" and info["params"] == result["params"]


def test_a_newly_published_version_serves_the_next_request(ask, models):
    before = ask("ct")["params"]["models"]["ct"]
    again = ask("ct")["params"]["models"]["ct"]
    (version,) = small_store.publish(models, ["ct"], seed=1).values()
    after = ask("ct")["params"]["models"]["ct"]
    assert before == again
    assert after["sha256"] == version.sha256 != before["sha256"]


def test_networks_stay_loaded_between_requests(ask, monkeypatch):
    ask("ct")
    monkeypatch.setattr("osln.published.Predictor", None)
    ask("ct")


def test_operating_points_are_those_measured_with_the_weights(ask, models):
    ModelStore(models).set_thresholds("ct", {"0.10": 0.3, "0.15": 0.4, "0.20": 0.95})
    assert ask.tasks["ct"].config()["operating_point"] == [
        "precision 0.15",
        "precision 0.10",
        "precision 0.20",
    ]
    assert ask("ct")["params"]["threshold"] == 0.4
    strict = ask("ct", operating_point="precision 0.20")
    assert strict["params"]["candidates"] == []
    assert not np.asanyarray(nib.load(strict["file"]).dataobj).any()


def test_a_case_without_pet_is_served_by_the_ct_rows_only(ask, store):
    small_store.make_case(store.root, "bare", pet=False, gtv=False)
    status, sentence = refusal(ask, "osln", "bare")
    assert 400 <= status < 500 and "has no PET" in sentence and "use ct" in sentence
    (node,) = ask("ct", "bare")["params"]["candidates"]
    assert node["suv_max"] is None and node["zone"] is None


def test_a_case_without_tumor_says_how_to_draw_one(ask, store):
    small_store.make_case(store.root, "nogtv", gtv=False)
    status, sentence = refusal(ask, "ct-stratified", "nogtv")
    assert 400 <= status < 500 and "draw a segment named 'tumor'" in sentence and "use ct" in sentence


def test_a_broken_companion_stops_the_rows_that_need_it_only(ask, store):
    small_store.write(store.root / "pet" / "p1.nii.gz", np.full((5, 5, 5), np.nan, np.float32))
    status, sentence = refusal(ask, "osln")
    assert status == 422 and "NaN" in sentence
    result = ask("ct")["params"]
    assert len(result["candidates"]) == 1 and "NaN" in result["warnings"][0]


@pytest.mark.parametrize(
    ("file", "array", "affine", "sentence"),
    [
        ("labels/gtv/p1.nii.gz", np.zeros(small_store.SHAPE, np.uint8), None, "the tumor mask is empty"),
        ("p1.nii.gz", np.zeros(small_store.SHAPE, np.int16), None, "every voxel of the CT is 0"),
        ("p1.nii.gz", np.ones((9, 9, 9, 2), np.int16), None, "4 dimensions"),
        ("pet/p1.nii.gz", np.zeros((9, 9, 9), np.float32), None, "every voxel of the PET is 0"),
        (
            "pet/p1.nii.gz",
            np.arange(8.0).reshape(2, 2, 2),
            np.diag([1, 1, 1, 1]) + 900 * np.eye(4, k=3),
            "overlap",
        ),
    ],
)
def test_unusable_images_are_refused_with_the_reason(ask, store, file, array, affine, sentence):
    small_store.write(store.root / file, array, small_store.AFFINE_LPS if affine is None else affine)
    status, detail = refusal(ask, "osln")
    assert status == 422 and sentence in detail


def test_an_unknown_model_is_refused_with_the_list(ask):
    status, sentence = refusal(ask, "vista3d")
    assert status == 404 and "there is no model 'vista3d'" in sentence and "osln, lf-stratified" in sentence


@pytest.mark.parametrize("image", ["nobody", "", "../p1", "/etc/passwd", None])
def test_only_cases_of_the_store_are_read(ask, image):
    assert refusal(ask, "ct", image)[0] == 404


def test_a_path_of_the_server_is_no_case_even_if_it_is_an_image(ask, store):
    assert refusal(ask, "ct", store.get_image_uri("p1"))[0] == 404


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"device": "cuda"}, "device is one of cpu"),
        ({"operating_point": "precision 0.99"}, "operating_point is one of precision 0.15"),
        ({"result_extension": ".dcm"}, "result_extension is one of .nii.gz"),
        ({"result_dtype": "object"}, "result_dtype is one of uint8"),
        ({"label_tag": "final"}, "label_tag is one of original"),
        ({"model_filename": "/tmp/evil.pt"}, "unknown option model_filename"),
        ({"roi_size": [9, 9, 9]}, "the options here are: operating_point, device"),
    ],
)
def test_options_out_of_range_are_refused_with_what_is_allowed(ask, options, sentence):
    status, detail = refusal(ask, "ct", **options)
    assert status == 422 and sentence in detail


def test_options_that_viewers_always_send_are_accepted(ask):
    ask("ct", client_id="slicer", restore_label_idx=False, device=["cpu"], result_dtype="uint8")


def test_missing_weights_are_an_error_that_names_the_remedy(ask, tmp_path):
    ask.use(tmp_path / "empty", None)
    status, sentence = refusal(ask, "ct")
    assert 400 <= status < 500 and "no weights for ct: train it" in sentence
    assert ask.tasks["ct"].info()["weights"] == {"ct": None}


def test_changed_weights_are_refused(ask, models):
    ask.tasks["ct"].published.versions()["ct"].path.write_bytes(b"something else")
    status, sentence = refusal(ask, "ct")
    assert 400 <= status < 500 and "were changed after they were stored" in sentence


def test_a_session_serves_the_uploaded_ct_to_the_unstratified_ct_row(ask, store, tmp_path):
    upload = small_store.write(tmp_path / "upload" / "scene.nii.gz", small_store.ct())
    _, session = ask.sessions.add_session(str(upload))
    result = ask("ct", session.image, session=session.to_json(), save_label=True)
    assert len(result["params"]["candidates"]) == 1
    assert store.saved == []
    status, sentence = refusal(ask, "osln", session.image, session=session.to_json())
    assert status == 422 and "a session holds a CT alone" in sentence and "use ct" in sentence


@pytest.mark.parametrize("name", ["unknown", "..", "../studies", "", None])
def test_a_session_that_a_client_makes_up_is_refused(ask, store, name):
    forged = {"name": name, "image": store.get_image_uri("p1"), "path": str(store.root)}
    status, sentence = refusal(ask, "ct", forged["image"], session=forged)
    assert status == 404 and "no such session" in sentence


def test_a_gpu_without_room_names_the_way_out(ask, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("osln.pipeline.detect", full)
    status, sentence = refusal(ask, "ct")
    assert status == 409 and "ask again with device cpu" in sentence


@pytest.mark.parametrize("place", ["osln.pipeline.detect", "lib.models.infers.in_use"])
def test_a_gpu_without_room_gives_way_to_the_cpu_once_and_says_so(ask, monkeypatch, place):
    """Whether the networks have no room or the case has none."""
    name = place.rpartition(".")[2]
    module = infers if name == "in_use" else pipeline
    asked, work = [], getattr(module, name)

    def full_on_the_gpu(*arguments):
        device = arguments[2] if name == "in_use" else next(iter(arguments[2].values())).device
        asked.append(device)
        with pipeline.room_on(device):
            if device == "cuda":
                raise torch.OutOfMemoryError("CUDA out of memory")
            return work(*arguments)

    monkeypatch.setattr(place, full_on_the_gpu)
    ask.tasks = infers.build(Published(ModelStore(ask.models), ask.tagger), ("cuda", "cpu"))
    params = ask("ct")["params"]
    assert asked == ["cuda", "cpu"]
    assert params["device"] == "cpu"
    assert (
        "cuda had no memory left, so this was computed on the CPU, which takes longer" in params["warnings"]
    )
    assert len(params["candidates"]) == 1
    assert ask("ct", device="cpu")["params"]["device"] == "cpu"


def test_rows_and_their_networks_come_from_the_tables():
    assert SERVED_ROWS["osln"].segmenters == ("ct-proximal", "ef-proximal", "ct-distal", "ef-distal")
    assert SERVED_ROWS["ef-distal"].segmenters == ("ef-distal",)
