"""The whole product over HTTP: a real server process, driven as 3D Slicer drives it."""

import json
import threading
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import requests
import SimpleITK as sitk
import torch
from monailabel.client.client import MONAILabelClientException

from osln.rows.experiments import DEFAULT_ROW, LATE_FUSION
from osln.weights.checkpoint import load_checkpoint
from osln.weights.model_store import ModelStore
from osln.weights.store_state import SHIPPED
from small.easy_cohort import (
    BROKEN,
    NETWORK,
    TRAINING,
    VALIDATION,
    correct_as_slicer,
    found,
    make_cohort,
    publish_undertrained,
)
from small.running_server import APP, RunningServer

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def product(tmp_path_factory):
    """The running server with its stores, the truth, and the version it starts with."""
    folder = tmp_path_factory.mktemp("product")
    truth = make_cohort(folder / "studies")
    first = publish_undertrained(folder / "models")
    server = RunningServer(folder / "studies", folder / "models", folder / "server.log", plain=True)
    server.truth, server.first = truth, first
    yield server
    server.stop()


@pytest.fixture
def client(product, tmp_path):
    return product.client(tmp_path)


def version_in_use(client) -> str:
    return client.info()["models"][NETWORK]["weights"][NETWORK]["version"]


def test_info_is_what_slicer_reads_on_connecting(client):
    info = client.info()
    assert info["name"] == "OSLN Label"
    assert next(iter(info["models"])) == DEFAULT_ROW
    assert info["models"]["osln"]["type"] == "segmentation"
    assert info["datastore"]["total"] == len(TRAINING) + len(VALIDATION) + 1
    assert "random" in info["strategies"] and {NETWORK, "glnet"} <= info["trainers"].keys()
    assert info["tagger"]["origin"] == "phantom" == info["models"]["osln"]["tagger"]["origin"]


@pytest.mark.parametrize("output", ["image", "json", "all", None])
def test_every_kind_of_reply_is_served(product, output):
    query = f"&output={output}" if output else ""
    options = {"params": json.dumps({"result_extension": ".nrrd", "result_dtype": "uint8"})}
    reply = requests.post(f"{product.url}/infer/ct?image={TRAINING[0]}{query}", data=options, timeout=300)
    assert reply.status_code == 200
    if output == "json":
        assert reply.json()["label_names"] == {"lymph node": 1}
    elif output == "image":
        assert reply.content.startswith(b"NRRD")
    else:
        assert "multipart" in reply.headers["content-type"] and b"NRRD" in reply.content


def test_the_label_map_lies_voxel_by_voxel_on_the_ct_that_slicer_has_loaded(product, client):
    case = VALIDATION[0]
    file, result = client.infer("osln", case, {"result_extension": ".nrrd", "result_dtype": "uint8"})
    label = sitk.ReadImage(file)
    ct = sitk.ReadImage(str(product.studies / f"{case}.nii.gz"))
    assert label.GetSize() == ct.GetSize()
    np.testing.assert_allclose(label.GetOrigin(), ct.GetOrigin(), atol=1e-3)
    np.testing.assert_allclose(label.GetDirection(), ct.GetDirection(), atol=1e-6)
    assert label.GetPixelID() == sitk.sitkUInt8
    assert result["label_names"] == {"lymph node": 1}


def test_info_answers_while_an_inference_runs(product):
    asked = threading.Thread(
        target=requests.post, args=(f"{product.url}/infer/osln?image={TRAINING[1]}&output=json",)
    )
    asked.start()
    answers = 0
    while asked.is_alive():
        assert requests.get(f"{product.url}/info/", timeout=60).status_code == 200
        answers += asked.is_alive()
    asked.join()
    assert answers >= 2


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "sentence"),
    [
        ("POST", "/infer/osln?image=nobody", {}, 404, "no case 'nobody'"),
        ("POST", "/infer/osln?image=/etc/hostname", {}, 422, "is not a case id"),
        ("POST", "/infer/osln?image=../case-01", {}, 422, "is not a case id"),
        ("POST", "/infer/spleen?image=case-01", {}, 404, "there is no model 'spleen'"),
        ("POST", f"/infer/ct?image={BROKEN}", {}, 422, "every voxel of the CT is 0"),
        ("POST", "/infer/ct?image=case-01", {"params": '{"image": "/etc/x"}'}, 422, "must not contain image"),
        ("POST", "/infer/ct?image=case-01", {"params": '{"device": "cuda:99"}'}, 422, "device is one of"),
        ("POST", "/infer/ct?image=case-01", {"params": "{"}, 422, "must be a JSON object"),
        ("POST", "/infer/ct?session_id=../../case-01", {}, 404, "session"),
        ("POST", "/train/spleen", None, 404, "there is no train task 'spleen'"),
        ("POST", "/batch/infer/spleen", None, 404, "there is no batch_infer task 'spleen'"),
        ("POST", "/activelearning/epistemic", None, 404, "epistemic"),
        ("GET", "/datastore/label?label=case-01&tag=../../x", None, 422, "is not a tag"),
        ("GET", "/datastore/image?image=../secret", None, 422, "is not a case id"),
    ],
)  # fmt: skip
def test_refusals_over_http_are_sentences(product, method, path, body, status, sentence):
    got, detail = product.refusal(method, path, data=body)
    assert got == status and sentence in detail


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"iterations": -5}, "iterations is a whole number"),
        ({"multi_gpu": True, "gpus": "first"}, 'gpus is "all" or numbers of GPUs as text, such as "0,1"'),
        ({"val_ds": "/etc/hostname"}, "unknown option val_ds"),
        ({"model": "ct"}, "must not contain model"),
    ],
)
def test_a_training_with_wrong_options_is_refused_before_it_starts(product, options, sentence):
    status, detail = product.refusal("POST", f"/train/{NETWORK}", json=options)
    assert status == 422 and sentence in detail


def test_no_upload_leaves_the_store(product, tmp_path):
    image = {"file": ("x.nii.gz", (product.studies / "case-01.nii.gz").read_bytes())}
    label = {"label": ("x.nii.gz", (product.studies / "labels/gtv/case-01.nii.gz").read_bytes())}
    before = sorted(path for path in product.studies.parent.rglob("*.nii.gz"))
    for path, files in (
        ("/datastore/image?image=../escaped", image),
        ("/datastore/image?image=%2Ftmp%2Fescaped", image),
        ("/datastore/label?image=case-01&tag=../../escaped", label),
        ("/datastore/label?image=../case-01&tag=final", label),
    ):
        status, _ = product.refusal("PUT", path, files=files)
        assert 400 <= status < 500
    assert sorted(path for path in product.studies.parent.rglob("*.nii.gz")) == before


def test_a_session_serves_an_uploaded_ct_and_says_what_else_needs(product, client):
    session = client.create_session(str(product.studies / "case-01.nii.gz"))["session_id"]
    _, result = client.infer("ct", "", {}, session_id=session)
    assert result["models"]["ct"]["trained_on"] == "phantom"
    with pytest.raises(MONAILabelClientException) as caught:
        client.infer("osln", "", {}, session_id=session)
    assert "a session holds a CT alone" in caught.value.msg
    client.remove_session(session)
    assert product.refusal("POST", f"/infer/ct?session_id={session}")[0] == 404


def test_batch_inference_needs_no_gpu_and_survives_a_bad_case(product, client):
    started = requests.post(f"{product.url}/batch/infer/ct?images=all", timeout=60)
    assert started.status_code == 200
    task = product.wait_for("batch/infer")
    assert task["status"] == "DONE"
    report = json.loads(task["details"][-1].split("Result: ", 1)[1])
    assert len(report) == len(TRAINING) + len(VALIDATION) + 1
    assert report[BROKEN]["status"] == "failed" and "every voxel of the CT is 0" in report[BROKEN]["error"]
    assert all(report[case]["status"] == "done" for case in (*TRAINING, *VALIDATION))
    stored = client.datastore()["objects"]["case-01"]["labels"]["original"]["info"]
    assert stored["model"] == "ct" and stored["found"]["candidates"] >= stored["found"]["kept"]
    about = requests.get(f"{product.url}/datastore/label/info?label=case-01&tag=original", timeout=60).json()
    assert len(about["params"]["candidates"]) == stored["found"]["candidates"]


def test_label_train_and_detect_again_gives_a_better_model_and_a_restart_loses_nothing(
    product, client, tmp_path
):
    assert version_in_use(client) == product.first
    for case in (*TRAINING, *VALIDATION):
        sample = client.next_sample("first", {})
        assert sample["id"] == case
        client.infer("osln", case, {"result_extension": ".nrrd"})
        reply = correct_as_slicer(client, case, product.truth[case], product.studies, tmp_path)
        assert reply["revision"] == 1 and reply["nodes"]["added"] > 0
    _, before = client.infer(NETWORK, VALIDATION[0], {})

    client.train_start(NETWORK, {"iterations": 40, "learning_rate": 4e-3})
    assert product.refusal("POST", f"/train/{NETWORK}", json={})[0] == 429
    task = product.wait_for("train/")
    assert task["status"] == "DONE", task["details"]
    assert any("epoch 1/1, loss" in line and "lesion recall" in line for line in task["details"])
    stats = client.info()["train_stats"][NETWORK]
    assert stats["status"] == "done" and stats["report"]["published"] is True
    assert (stats["epoch"], stats["total_epochs"]) == (1, 1) and 0.5 < stats["best_metric"] <= 1
    better = version_in_use(client)
    assert better != product.first

    file, after = client.infer(NETWORK, VALIDATION[0], {"result_extension": ".nrrd"})
    assert after["models"][NETWORK]["version"] == better
    ct = product.studies / f"{VALIDATION[0]}.nii.gz"
    nodes = product.truth[VALIDATION[0]]
    assert found(after["candidates"], nodes, ct) > found(before["candidates"], nodes, ct)
    voxels = sitk.GetArrayFromImage(sitk.ReadImage(file)).T
    assert (voxels[nodes > 0] > 0).any(), "the label map lies on the nodes in the file's voxel order"

    client.train_start(NETWORK, {"iterations": 1, "from_scratch": True})
    assert product.wait_for("train/")["status"] == "DONE"
    assert client.info()["train_stats"][NETWORK]["report"]["published"] is False
    assert version_in_use(client) == better

    splits = json.loads((product.studies / ".osln" / "splits.json").read_text())
    status, versions = client.info()["datastore"], len(ModelStore(product.models).versions(NETWORK))
    product.stop()
    product.start()
    assert client.info()["datastore"] == status and status["completed"] == len(product.truth)
    assert version_in_use(client) == better
    assert len(ModelStore(product.models).versions(NETWORK)) == versions
    assert json.loads((product.studies / ".osln" / "splits.json").read_text()) == splits
    assert splits["cases"][TRAINING[0]] == "train" and splits["cases"][VALIDATION[0]] == "validation"
    kept = client.download_label(TRAINING[0], "final")
    np.testing.assert_array_equal(np.asanyarray(nib.load(kept).dataobj) > 0, product.truth[TRAINING[0]] > 0)
    again = correct_as_slicer(client, TRAINING[0], product.truth[TRAINING[0]], product.studies, tmp_path)
    assert again["nodes"]["added"] == 0 and again["nodes"]["removed"] == 0


def test_a_stopped_training_goes_on_where_it_was(product, client):
    if not client.info()["datastore"]["completed"]:
        pytest.fail("needs the labels of the test before: run the whole file")
    options = {"iterations": 100, "from_scratch": True, "cross_fit": False}
    state = product.models / "training" / f"{NETWORK}.resume"
    client.train_start(NETWORK, options)
    while not (state.is_file() and torch.load(state, weights_only=True)["step"] >= 50):
        assert client.train_status()["status"] in ("SUBMITTED", "RUNNING"), client.train_status()
        time.sleep(0.2)
    assert client.train_stop()["status"] == "STOPPED"
    client.train_start(NETWORK, options)
    task = product.wait_for("train/")
    assert task["status"] == "DONE"
    epochs = [line for line in task["details"] if f"{NETWORK} epoch" in line]
    assert len(epochs) == 1 and "epoch 2/2" in epochs[0]


def from_nodes_mm(candidate: dict, truth: np.ndarray, ct: Path) -> float:
    """Distance of a candidate's center from the nearest voxel of a true node."""
    voxels = np.argwhere(truth)
    places = nib.affines.apply_affine(nib.load(ct).affine, voxels)
    return float(np.linalg.norm(places - candidate["center_mm"], axis=1).min())


def test_a_false_positive_that_was_deleted_scores_lower_after_glnet_was_retrained(product, client):
    if not client.info()["datastore"]["completed"]:
        pytest.fail("needs the labels of the tests before: run the whole file")
    # The networks that come with the software find nodes and more, and have seen none of these patients.
    store = ModelStore(product.models)
    for name in (*LATE_FUSION, "glnet"):
        shipped = load_checkpoint(APP / "model" / SHIPPED / f"{name}.pt")
        store.publish(name, store.add(shipped).name)
    case = TRAINING[0]
    ct, nodes = product.studies / f"{case}.nii.gz", product.truth[case]
    _, before = client.infer("osln", case, {})
    deleted = next(found for found in before["candidates"] if from_nodes_mm(found, nodes, ct) > 20)

    client.train_start("glnet", {"epochs": 8, "learning_rate": 1e-3})
    task = product.wait_for("train/")
    assert task["status"] == "DONE", task["details"]
    # Not in the task's details: they are its last 20 lines.
    assert f"glnet looking for the candidates of {case}" in product.log.read_text()
    stats = client.info()["train_stats"]["glnet"]
    report = stats["report"]
    assert report["metric_name"] == "mFROC"
    # With few validation patients the training patients are judged on as well.
    splits = json.loads((product.studies / ".osln" / "splits.json").read_text())["cases"]
    judged = {case for case, split in splits.items() if split in ("train", "validation")}
    assert {*TRAINING, VALIDATION[0]} <= judged == set(report["cases"])
    assert report["judgments"]["in use"]["patients"] == len(judged)
    if not report["published"]:
        assert "not published" in report["sentence"]
        store.publish("glnet", report["version"])

    _, after = client.infer("osln", case, {})
    assert after["models"]["glnet"]["version"] == report["version"]
    again = min(
        after["candidates"],
        key=lambda found: np.abs(np.subtract(found["center_mm"], deleted["center_mm"])).sum(),
    )
    assert again["center_mm"] == pytest.approx(deleted["center_mm"])
    assert again["stage_one_score"] == pytest.approx(deleted["stage_one_score"])
    assert again["stage_two_score"] < deleted["stage_two_score"] - 0.05
    assert not list((product.models / "training").glob("*.resume"))


def test_stage_two_says_its_tagger_and_shows_what_it_rejects(product, client):
    options = {"result_extension": ".nrrd", "result_dtype": "uint8", "score": 1.0}
    file, strict = client.infer("osln", VALIDATION[0], options)
    assert strict["candidates"], "needs the stage one of the test before: run the whole file"
    assert strict["classifier"] == "glnet" and strict["tagger"]["origin"] == "phantom"
    assert not any(candidate["kept"] for candidate in strict["candidates"])
    assert all(len(candidate["tags"]) == 5 for candidate in strict["candidates"])
    assert not sitk.GetArrayFromImage(sitk.ReadImage(file)).any()
    file, shown = client.infer("osln", VALIDATION[0], {**options, "show_rejected": True})
    assert shown["label_names"] == {"lymph node": 1, "rejected candidate": 2}
    assert set(np.unique(sitk.GetArrayFromImage(sitk.ReadImage(file)))) == {0, 2}
    _, lenient = client.infer("osln", VALIDATION[0], {"score": 1e-6})
    assert all(candidate["kept"] for candidate in lenient["candidates"])
