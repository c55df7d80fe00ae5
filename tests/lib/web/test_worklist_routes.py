"""GET /osln/worklist and the jobs: what they answer, and what they refuse in a sentence."""

import pytest
from fastapi.testclient import TestClient

from lib.models import jobs
from lib.store.evidence import keep_evidence, marks
from lib.web import worklist_routes
from small.evidence import evidence
from small.store import make_case
from small.web_app import served, small_app


@pytest.fixture
def started(monkeypatch):
    """Requests of the jobs that were started, in the place of processes; they stay waiting."""
    seen = []

    def run(method, request, params, enqueue):
        seen.append({"id": str(len(seen)), "status": "SUBMITTED", "request": request})
        return seen[-1], None

    monkeypatch.setattr(worklist_routes.AsyncTask, "run", staticmethod(run))
    monkeypatch.setattr(jobs, "tasks", lambda method: seen)
    return seen


@pytest.fixture
def app(tmp_path):
    return small_app(tmp_path, networks=())


@pytest.fixture
def client(monkeypatch, app, started):
    return TestClient(served(monkeypatch, app))


def test_the_worklist_has_every_case_and_says_why_one_is_next(client, app):
    app.datastore().register_label("p1", "final", {"by": "Anna", "revision": 1})

    told = client.get("/osln/worklist?strategy=first").json()

    assert [entry["case"] for entry in told["cases"]] == ["p1", "p2", "p3"]
    why = "first by name of 2 without an approved label"
    assert told["next"] == {"case": "p2", "strategy": "first", "why": why}
    assert [entry["why"] for entry in told["cases"]] == [None, why, None]
    assert told["jobs"] == [] and told["left_out"] == []


def test_files_that_can_be_no_case_are_told(tmp_path, monkeypatch):
    make_case(tmp_path / "other" / "store", "Müller", pet=False, gtv=False)
    app = small_app(tmp_path / "other", networks=())

    told = TestClient(served(monkeypatch, app)).get("/osln/worklist").json()

    assert [entry["case"] for entry in told["cases"]] == ["p1", "p2", "p3"]
    (sentence,) = told["left_out"]
    assert sentence.startswith("Müller.nii.gz cannot be a case, rename it: 'Müller' is not a case id")


def test_the_default_asks_the_likeliest_candidates_of_a_case_first(client, app):
    for case in ("p1", "p2", "p3"):
        read = marks(app.datastore().root, case)
        keep_evidence(app.datastore(), case, evidence(case, [0.9, 0.2] + 14 * [0.1]), read)

    told = client.get("/osln/worklist").json()["next"]

    assert told["strategy"] == "mixed" and "by chance out of 3" in told["why"]
    assert len(told["candidates"]) == 10 and told["windows"] == []
    assert told["candidates"][0] == {"number": 1, "center_mm": [1.0, 0.0, 0.0], "radius_mm": 4.0}
    within = client.get(f"/osln/proposed?image={told['case']}").json()
    assert within["candidates"] == told["candidates"]
    assert client.get("/osln/proposed?image=p1&strategy=first").json()["candidates"] == []
    assert client.get("/osln/proposed?image=none").status_code == 404


def test_without_evidence_the_default_goes_by_chance_and_says_so(client, app):
    told = client.get("/osln/worklist").json()["next"]

    assert "by chance out of 3: no model has looked at it yet" in told["why"] and told["candidates"] == []


def test_nothing_is_next_when_all_are_approved_and_an_empty_store_is_an_empty_list(client, app):
    for case in ("p1", "p2", "p3"):
        app.datastore().register_label(case, "final", {"revision": 1})
    assert client.get("/osln/worklist").json()["next"] is None
    assert client.get("/osln/worklist?strategy=random").json()["next"] is None
    reply = client.post("/osln/jobs", json={"cases": "all"})
    assert reply.status_code == 409 and "every case has an approved label" in reply.json()["detail"]


def test_a_job_for_all_takes_the_cases_without_an_approved_label(client, app, started):
    app.datastore().register_label("p2", "final", {"revision": 1})

    job = client.post("/osln/jobs", json={"cases": "all", "annotator": "Anna"}).json()

    assert (job["total"], job["by"], job["state"]) == (2, "Anna", "waiting")
    assert started[0]["request"] == {"model": "osln", "job": job["id"]}
    assert jobs.JobFiles(app.datastore().root).cases(job["id"]) == ["p1", "p3"]
    assert [one["id"] for one in client.get("/osln/jobs").json()["jobs"]] == [job["id"]]
    assert client.delete(f"/osln/jobs/{job['id']}").json()["state"] == "canceled"
    assert started[0]["status"] == "STOPPED"


def test_named_cases_are_taken_once_each_in_their_order(client, app):
    job = client.post("/osln/jobs", json={"cases": ["p3", "p1", "p3"]}).json()
    assert jobs.JobFiles(app.datastore().root).cases(job["id"]) == ["p3", "p1"]


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"cases": ["p1", "none"]}, 404, "these cases are not in the store: none"),
        ({"cases": [f"x{n}" for n in range(9)]}, 404, "x4 and 4 more"),
        ({"cases": ["../p1"]}, 422, "is not a case id"),
        ({"cases": []}, 422, "this list is empty"),
        ({"cases": ["p1"], "model": "other"}, 404, "the models are: osln"),
        ({"cases": "some"}, 422, "all"),
        ({"cases": ["p1"], "kind": "train"}, 422, "find"),
        ({"cases": ["p1"], "more": 1}, 422, "Extra inputs"),
        ({}, 422, "required"),
    ],
)
def test_a_job_that_cannot_be_is_refused_and_leaves_nothing(client, app, started, body, status, told):
    reply = client.post("/osln/jobs", json=body)
    assert reply.status_code == status and told in reply.text
    assert started == [] and client.get("/osln/jobs").json()["jobs"] == []


def test_a_job_that_the_server_does_not_start_is_forgotten(client, monkeypatch):
    def refuse(*_, **__):
        raise ValueError("no")

    monkeypatch.setattr(worklist_routes.AsyncTask, "run", staticmethod(refuse))
    with pytest.raises(ValueError, match="no"):
        client.post("/osln/jobs", json={"cases": ["p1"]})
    assert client.get("/osln/jobs").json()["jobs"] == []


def test_unknown_strategies_and_jobs_are_refused_in_words(client):
    reply = client.get("/osln/worklist?strategy=best")
    assert reply.status_code == 404 and "the strategies are: mixed, likeliest" in reply.json()["detail"]
    reply = client.delete("/osln/jobs/abc")
    assert reply.status_code == 404 and "GET /osln/jobs lists them" in reply.json()["detail"]
