"""GET /osln/models and /osln/quality, publishing and rolling back."""

import json
from datetime import datetime

import pytest
from fastapi.testclient import TestClient

from lib.models import overview
from osln.weights.model_store import ModelStore
from small.store import untrained
from small.web_app import served, small_app


@pytest.fixture
def app(tmp_path):
    return small_app(tmp_path)


@pytest.fixture
def client(monkeypatch, app):
    return TestClient(served(monkeypatch, app))


def network(client, name):
    return next(one for one in client.get("/osln/models").json()["networks"] if one["name"] == name)


def record(app, name, **state):
    trainer = app._trainers[name]
    trainer.record.parent.mkdir(parents=True, exist_ok=True)
    trainer.record.write_text(json.dumps({"start_ts": 1, "epoch": 2, "total_epochs": 9, **state}))


def test_a_network_tells_versions_options_and_who_uses_it(client):
    told = network(client, "ct")
    (version,) = told["versions"]
    assert version["in_use"] and version["trained_on"] == "phantom" and version["report"] is None
    assert told["metric_name"] == "mRecall" and "ct" in told["used_by"] and told["training"] is None
    names = ["iterations", "learning_rate", "from_scratch", "highest_risk", "cross_fit", "device"]
    assert [one["name"] for one in told["options"]] == names
    assert all(one["words"] for one in told["options"])
    assert told["back_to"] is None


def test_publish_and_roll_back_change_what_is_in_use(client, app):
    store = app.published.store
    first = store.published("ct").name
    second = store.add(untrained("ct", seed=1), 0.5).name

    reply = client.post("/osln/models/publish", json={"network": "ct", "version": second})
    assert reply.json()["message"] == f"ct now uses {second}."
    assert network(client, "ct")["back_to"] == first
    assert [one["in_use"] for one in network(client, "ct")["versions"]] == [True, False]
    reply = client.post("/osln/models/rollback", json={"network": "ct"})
    assert reply.json()["version"] == first and store.published("ct").name == first


@pytest.mark.parametrize(
    ("what", "body", "told"),
    [
        ("publish", {"network": "ct", "version": "none"}, "ct has no version 'none'"),
        ("publish", {"network": "other", "version": "none"}, "unknown network 'other'"),
        ("publish", {"network": "ct"}, "required"),
        ("rollback", {"network": "ct"}, "no earlier version to roll back to"),
        ("rollback", {"network": "../ct"}, "unknown network"),
    ],
)
def test_what_cannot_be_put_into_use_is_refused_in_words(client, what, body, told):
    reply = client.post(f"/osln/models/{what}", json=body)
    assert reply.status_code == 422 and told in reply.text


def test_a_version_whose_file_was_changed_is_not_published(client, app):
    version = app.published.store.add(untrained("ct", seed=1))
    version.path.write_bytes(b"")
    reply = client.post("/osln/models/publish", json={"network": "ct", "version": version.name})
    assert reply.status_code == 422 and "missing or were changed" in reply.json()["detail"]


def test_a_version_says_what_it_was_compared_with_and_on_how_many(client, app):
    trainer = app._trainers["ct"]
    version = app.published.store.published("ct").name
    trainer.reports.mkdir(parents=True)
    report = {"sentence": "published", "metric": 0.5, "metric_before": 0.4, "validation_cases": ["a", "b"]}
    (trainer.reports / f"{version}.json").write_text(json.dumps(report))
    told = network(client, "ct")["versions"][0]["report"]
    assert (told["metric"], told["metric_before"], told["patients"]) == (0.5, 0.4, 2)


@pytest.mark.parametrize(
    ("state", "status", "shown", "sentence"),
    [
        (
            {"status": "failed", "error": "no approved label: review a case"},
            None,
            "failed",
            "no approved label",
        ),
        ({"status": "running"}, "RUNNING", "running", "epoch 2 of 9"),
        ({"status": "preparing", "step": "reading cases"}, "RUNNING", "running", "reading cases"),
        ({"status": "running"}, None, "ended", "was ended before it was finished"),
        ({"status": "running"}, "ERROR", "failed", "the program ended: Killed"),
        ({"status": "running"}, "SUBMITTED", "waiting", "waits for the training before it"),
        ({"status": "done", "report": {"sentence": "worse", "next_step": "more"}}, "DONE", "done", "worse"),
    ],
)
def test_every_state_of_a_training_is_told_in_words(client, app, monkeypatch, state, status, shown, sentence):
    record(app, "ct", curve=[{"epoch": 1, "loss": 2.0, "metric": None}], **state)
    tasks = [{"status": status, "request": {"model": "ct"}, "details": ["", "Killed"]}] if status else []
    monkeypatch.setattr(overview, "tasks", lambda method: tasks)

    told = network(client, "ct")["training"]
    assert told["state"] == shown and sentence in told["sentence"]
    assert told["curve"] == [{"epoch": 1, "loss": 2.0, "metric": None}]
    assert (told["next_step"] is None) == (shown in ("waiting", "running") or state["status"] == "failed")
    assert "curve" not in app._trainers["ct"].stats(), "3D Slicer asks for the state every five seconds"


@pytest.mark.parametrize(
    ("written", "sentence", "began", "curve"),
    [(1, "the program starts, 90 s since it was asked for", 1000, []), (1000, "reading cases", 1000, [1])],
)
def test_a_training_that_has_not_written_yet_tells_how_long_it_has_been_starting(
    client, app, monkeypatch, written, sentence, began, curve
):
    record(app, "ct", start_ts=written, status="preparing", step="reading cases", curve=curve)
    asked = datetime.fromtimestamp(1000).strftime("%Y-%m-%d %H:%M:%S")
    task = {"status": "RUNNING", "request": {"model": "ct"}, "start_ts": asked}
    monkeypatch.setattr(overview, "tasks", lambda method: [task])
    monkeypatch.setattr(overview.time, "time", lambda: 1090.0)

    told = network(client, "ct")["training"]
    assert (told["state"], told["sentence"], told["began"]) == ("running", sentence, began)
    assert told["curve"] == curve, "none of the training before"


def test_losses_of_both_stages_are_pairs():
    assert overview.losses_of([(50, 1.5, 0.9), (100, 1.2, 0.8)]) == [[50, 1.5], [100, 1.2]]
    assert overview.losses_of([0.7, 0.6]) == [[1, 0.7], [2, 0.6]]
    assert overview.losses_of(None) == []


def test_the_curve_is_that_of_the_version_it_was_measured_with(client, app):
    store: ModelStore = app.published.store
    assert client.get("/osln/quality").json()["froc"] is None
    version = store.published("local-ct")
    points = [{"fp_per_patient": 1.0, "threshold": 0.7, "sensitivity": 0.5}]
    store.set_thresholds("local-ct", {"1": 0.7}, points, patients=12)
    told = client.get("/osln/quality").json()["froc"]
    assert told["patients"] == 12, "of the measurement, whatever the training was validated on"
    assert (told["network"], told["version"], told["points"]) == ("local-ct", version.name, [[1.0, 0.5]])
    store.publish("local-ct", store.add(untrained("local-ct", seed=1)).name)
    assert client.get("/osln/quality").json()["froc"] is None


def test_quality_without_a_review_is_empty(client):
    told = client.get("/osln/quality").json()
    assert told["cases"] == [] and told["summary"]["agreement"] is None
