import threading
from types import SimpleNamespace

import pytest
from fastapi import FastAPI, HTTPException
from fastapi.testclient import TestClient
from monailabel.endpoints import datastore as datastore_endpoint
from monailabel.endpoints import infer as infer_endpoint
from monailabel.endpoints import model as model_endpoint
from monailabel.endpoints import wsi_infer as wsi_endpoint
from monailabel.utils.async_tasks import utils as task_utils
from monailabel.utils.async_tasks.task import AsyncTask

from lib.models.batch import Batch
from lib.options import Number, checked
from lib.web import gate
from lib.web.sessions import OslnSessions
from small.store import ct, write


def ask(params="{}", image="p1", **rest):
    """Calls the checked inference with a stock function that returns what reached it."""

    def stock(*arguments):
        return arguments

    return gate.checked_inference(stock)(None, "ct", image, params=params, **rest)


def test_a_proper_request_passes_unchanged():
    assert ask('{"device": "cpu"}', output="json") == (
        None,
        "ct",
        "p1",
        "",
        '{"device": "cpu"}',
        None,
        None,
        "json",
    )


def test_a_session_that_has_ended_is_not_replaced_by_a_case_of_the_images_name(monkeypatch, tmp_path):
    sessions = OslnSessions(tmp_path / "store")
    monkeypatch.setattr(gate, "app_instance", lambda: SimpleNamespace(sessions=lambda: sessions))
    session, _ = sessions.add_session(str(write(tmp_path / "scene.nii.gz", ct())))
    assert ask("", image="p1", session_id=session)[3] == session
    sessions.remove_session(session)
    with pytest.raises(HTTPException, match="it has ended"):
        ask("", image="p1", session_id=session)


@pytest.mark.parametrize("key", ["model", "image", "session", "label", "description"])
def test_params_cannot_replace_what_the_url_says(key):
    with pytest.raises(HTTPException, match=f"params must not contain {key}"):
        ask(f'{{"{key}": "/etc/passwd"}}')


def test_smart_edit_may_name_the_segment_that_it_draws():
    assert gate.options_of('{"label": "lymph node"}', "node-click") == {"label": "lymph node"}
    with pytest.raises(HTTPException, match="params must not contain model"):
        gate.options_of('{"label": "lymph node", "model": "ct"}', "node-click")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"params": "{not json"}, "it is not JSON"),
        ({"params": "[1]"}, "must be a JSON object"),
        ({"image": ""}, "say which case"),
        ({"file": "upload"}, "files are not taken along"),
    ],
)
def test_malformed_requests_are_refused_in_words(arguments, sentence):
    with pytest.raises(HTTPException) as caught:
        ask(**arguments)
    assert caught.value.status_code == 422 and sentence in caught.value.detail


class Trainer:
    def __init__(self, waits=False):
        self.waits = waits

    def check(self, request):
        return checked(request, (Number("iterations", 9, 1, 99),), ("model",))

    def check_free(self):
        pass

    def check_cases(self):
        if self.waits:
            raise HTTPException(422, "no approved label")


@pytest.fixture
def start(monkeypatch):
    """The checked start of a task; the stock one notes the task as MONAI Label does."""
    there = {"train": [], "batch_infer": [], "scoring": []}
    app = SimpleNamespace(
        _trainers={"ct": Trainer(), "ef": Trainer(), "waits": Trainer(waits=True)},
        _infers={"ct": None},
        _scoring_methods={},
        _batch_infer=Batch(("cpu",)),
    )
    monkeypatch.setattr(gate, "app_instance", lambda: app)
    monkeypatch.setattr(gate, "tasks", there.__getitem__)

    def stock(method, request, params, force_sync, enqueue):
        task = {"status": "SUBMITTED", "request": {**request, **params}}
        there[method].append(task)
        return task, None

    run = gate.checked_start(stock)
    run.there = there
    return run


def test_two_rapid_starts_give_one_training(start):
    answers = []
    both = [
        threading.Thread(target=lambda: answers.append(start("train", {"model": "ct"}))) for _ in range(2)
    ]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert sorted(task is None for task, _ in answers) == [False, True]
    assert "a train task is already submitted" in next(sentence for task, sentence in answers if task is None)


def test_a_task_can_start_after_the_last_one_ended_or_in_its_queue(start):
    start("train", {"model": "ct"})
    assert start("train", {"model": "ef"}, enqueue=True)[0]
    for task in start.there["train"]:
        task["status"] = "DONE"
    assert start("train", {"model": "ct"})[0]


def test_starting_all_trainers_hands_each_its_own_options(start):
    body = {"ct": {"iterations": 5}, "ef": {"iterations": 7}}
    task, _ = start("train", {"model": "ct", "iterations": 5}, body, enqueue=True)
    assert task["request"] == {"model": "ct", "iterations": 5}


@pytest.fixture
def start_all(start, monkeypatch):
    """MONAI Label's start of all trainers, checked."""
    del gate.app_instance()._trainers["waits"]

    def stock(params, run_sync):
        return [
            start("train", {"model": name} | params.get(name, {}), params, enqueue=True)
            for name in ("ct", "ef")
        ]

    run = gate.checked_start_of_all(stock, "train")
    run.there = start.there["train"]
    return run


def test_all_trainers_are_started_with_the_options_of_each(start_all):
    start_all({"ef": {"iterations": 7}})
    assert [task["request"] for task in start_all.there] == [
        {"model": "ct"},
        {"model": "ef", "iterations": 7},
    ]


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"ef": {"iterations": -5}}, "iterations is a whole number"),
        ({"ef": {"by_itself": True}}, "must not contain by_itself: the server alone says it"),
        ({"ef": {"model": "ct"}}, "must not contain model"),
        ({"ef": {"ct": {}}}, "unknown option ct"),
        ({"ef": {"gpus": ["a"]}}, 'gpus is "all" or numbers'),
        ({"ef": []}, "the options of ef must be a JSON object"),
        ({"epochs": 5}, "unknown option epochs"),
    ],
)
def test_of_all_trainers_none_starts_where_the_options_of_the_last_one_are_refused(
    start_all, params, sentence
):
    with pytest.raises(HTTPException) as refused:
        start_all(params)
    assert refused.value.status_code == 422 and sentence in refused.value.detail and not start_all.there


def test_the_status_is_that_of_the_running_task_and_not_of_the_last_in_the_queue(monkeypatch):
    queue = [{"id": 1, "status": "DONE"}, {"id": 2, "status": "RUNNING"}, {"id": 3, "status": "SUBMITTED"}]
    monkeypatch.setattr(gate, "tasks", lambda method: queue)
    status = gate.running_first(lambda *asked: ("stock", asked))
    assert status("train") == (queue[1], None)
    assert status("train", True) == ("stock", ("train", True, False))
    assert status("train", False, True) == ("stock", ("train", False, True))
    queue[1]["status"] = "DONE"
    assert status("train") == ("stock", ("train", False, False))


@pytest.mark.parametrize(
    ("method", "request_", "params", "status", "sentence"),
    [
        ("train", {"model": "spleen"}, {}, 404, "there is no train task 'spleen'; there are: ct, ef, waits"),
        ("train", {"model": "ct"}, {"model": "ef"}, 422, "params must not contain model"),
        ("train", {"model": "ct"}, {"by_itself": True}, 422, "must not contain by_itself: the server alone"),
        (
            "train",
            {"model": "ct"},
            {"background": True, "method": "x"},
            422,
            "not contain background, method",
        ),
        ("train", {"model": "waits"}, {}, 422, "no approved label"),
        ("train", {"model": "ct"}, {"iterations": 0}, 422, "iterations is a whole number from 1"),
        ("batch_infer", {"model": "spleen"}, {}, 404, "there is no batch_infer task 'spleen'"),
        (
            "batch_infer",
            {"model": "ct", "images": "all"},
            {"images": ["/etc"]},
            422,
            "must not contain images",
        ),
        ("batch_infer", {"model": "ct", "images": "all"}, {"label_tag": "final"}, 422, "label_tag is one of"),
        ("train", {"model": "ct"}, {"gpus": ["a"]}, 422, 'gpus is "all" or numbers'),
        ("batch_infer", {"model": "ct", "images": "all"}, {"gpus": 1}, 422, 'gpus is "all" or numbers'),
        ("train", {"model": "ct"}, {"client_id": "x" * 65536}, 422, "at most 65536"),
        ("scoring", {"method": "dice"}, {}, 404, "there is no scoring task 'dice'; there are: none"),
    ],
)
def test_a_task_that_cannot_work_is_refused_before_it_starts(
    start, method, request_, params, status, sentence
):
    with pytest.raises(HTTPException) as caught:
        start(method, request_, params)
    assert caught.value.status_code == status and sentence in caught.value.detail
    assert start.there[method] == []


def test_a_task_whose_process_cannot_start_has_ended():
    def stock(task, method, callback):
        raise OSError(7, "Argument list too long")

    task = {"status": "SUBMITTED"}
    gate.ended(stock)(task, "train")
    assert task["status"] == "ERROR" and "Argument list too long" in task["details"][0]
    assert task["end_ts"]


@pytest.fixture
def stock(monkeypatch):
    """MONAI Label's functions, put back as they were afterwards."""
    for module, name in ((infer_endpoint, "run_inference"), (model_endpoint, "update_model")):
        monkeypatch.setattr(module, name, getattr(module, name))
    monkeypatch.setattr(model_endpoint, "delete_model", model_endpoint.delete_model)
    monkeypatch.setattr(task_utils, "_task_func", task_utils._task_func)
    monkeypatch.setattr(datastore_endpoint, "download_image", datastore_endpoint.download_image)
    for name in ("run", "status"):
        monkeypatch.setattr(AsyncTask, name, staticmethod(getattr(AsyncTask, name)))


def test_installing_twice_checks_once(stock):
    gate.install()
    first = infer_endpoint.run_inference, AsyncTask.run
    gate.install()
    assert (infer_endpoint.run_inference, AsyncTask.run) == first


def test_slides_are_refused_whether_an_image_is_named_or_not(stock, monkeypatch):
    monkeypatch.setattr(wsi_endpoint, "run_wsi_inference", wsi_endpoint.run_wsi_inference)
    gate.install()
    server = FastAPI()
    server.include_router(wsi_endpoint.router)
    for query in ("", "?image=one"):
        reply = TestClient(server).post(f"/infer/wsi_v2/osln{query}")
        assert reply.status_code == 404 and "this app has no slides" in reply.json()["detail"]


def test_weights_cannot_be_replaced_or_taken_away_over_http(stock):
    gate.install()
    app = FastAPI()
    app.include_router(model_endpoint.router)
    client = TestClient(app)
    for reply in (client.put("/model/osln", files={"file": b"weights"}), client.delete("/model/osln")):
        assert reply.status_code == 403
        assert "./scripts/osln models" in reply.json()["detail"]


@pytest.mark.parametrize(
    ("check_sum", "status"),
    [
        ("SHA256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824", 200),
        ("2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824", 200),
        ("MD5:5d41402abc4b2a76b9719d911017c592", 200),
        ("MD5:5d41402abc4b2a76b9719d911017c593", 404),
        ("MD4:5d41402abc4b2a76b9719d911017c592", 422),
        (":::", 422),
    ],
)
def test_a_cts_checksum_is_compared_or_refused(monkeypatch, tmp_path, check_sum, status):
    # The digests of "hello" as every table of examples has them.
    (tmp_path / "p1.nii").write_text("hello")
    store = SimpleNamespace(get_image_uri=lambda image: str(tmp_path / f"{image}.nii"))
    monkeypatch.setattr(gate, "app_instance", lambda: SimpleNamespace(datastore=lambda: store))
    download = gate.checked_download(lambda image, check_only: (image, check_only))
    if status == 200:
        assert download("p1", True, check_sum) == ("p1", True)
        return
    with pytest.raises(HTTPException) as refused:
        download("p1", True, check_sum)
    assert refused.value.status_code == status
