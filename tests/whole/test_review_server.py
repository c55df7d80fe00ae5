"""A review on the real server with accounts: all candidates, a draft, a kill, the submission, /reload."""

import base64
import gzip
import json

import numpy as np
import pytest
import requests

from osln.accounts.users import UsersFile
from small.reviews import NAMES, candidate, review, touching
from small.running_server import RunningServer
from small.store import make_case, publish, ship_untrained_tagger, write

pytestmark = pytest.mark.server

PASSWORD = "correct horse battery"

DRAFT = {
    "base_revision": 0,
    "saved_at": "2026-01-31T12:00:00.000Z",
    "state": {"facts": {"candidates": []}},
    # Longer than the JSON of any other route may be.
    "labels": base64.b64encode(bytes(5 * 2**20)).decode(),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("review")
    for case in ("one", "two"):
        make_case(folder / "store", case, gtv=False)
    ship_untrained_tagger(folder / "models")
    publish(folder / "models", ["ct"])
    users = UsersFile(folder / "users.json")
    for name, role in (("anna", "annotator"), ("ben", "annotator"), ("ada", "admin")):
        users.add(name, role, PASSWORD)
    running = RunningServer(folder / "store", folder / "models", folder / "server.log", users=users.path)
    yield running
    running.stop()


def ask(server, method, path, name="anna", headers=None, **request):
    headers = {**server.logged_in(name, PASSWORD), **(headers or {})}
    reply = requests.request(method, f"{server.url}/{path}", timeout=300, headers=headers, **request)
    return reply.status_code, reply.json() if reply.content and reply.status_code != 204 else None


def submit(server, folder, **params):
    path = write(folder / "label.nii.gz", touching())
    told = {"label_info": NAMES, "client_id": "boss", "review": review(), **params}
    with path.open("rb") as file:
        return ask(
            server,
            "PUT",
            "datastore/label?image=one&tag=final",
            data={"params": json.dumps(told)},
            files={"label": ("label.nii.gz", file)},
        )


def test_a_draft_outlives_a_kill_and_ends_with_its_submission_whose_decisions_outlive_a_reload(
    server, tmp_path
):
    assert ask(server, "POST", "osln/lease?image=one", json={"annotator": "boss"})[1]["mine"] is True
    where = "osln/draft?image=one"
    assert ask(server, "PUT", where, json=DRAFT) == (200, {"at": DRAFT["saved_at"]})
    packed = gzip.compress(json.dumps(DRAFT | {"state": {"n": 2}}).encode())
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert ask(server, "PUT", where, data=packed, headers=headers)[0] == 200
    assert ask(server, "PUT", where, data=b" " * (2**24 + 1))[0] == 413

    server.process.kill()
    server.process.wait()
    server.start()
    assert ask(server, "GET", where)[1] == DRAFT | {"state": {"n": 2}}
    assert ask(server, "GET", "osln/draft?image=two") == (204, None)
    told = ask(server, "POST", "osln/lease?image=one", name="ben", json={})[1]
    assert (told["mine"], told["by"]) == (False, "anna")

    status, reply = submit(server, tmp_path, base_revision=0)
    assert (status, reply["nodes_revision"]) == (200, 1)
    assert ask(server, "GET", where) == (204, None)
    status, reply = submit(server, tmp_path, base_revision=0)
    assert (status, reply["unchanged"], reply["nodes_revision"]) == (200, True, 1)

    assert ask(server, "POST", "reload", name="ada")[0] == 200
    stored = ask(server, "GET", "osln/review?image=one")[1]
    assert [one["state"] for one in stored["review"]["candidates"]] == ["accepted", "rejected", "added"]
    headers = server.logged_in("anna", PASSWORD)
    label = requests.get(f"{server.url}/osln/label?image=one&instances=true", timeout=120, headers=headers)
    assert label.headers["OSLN-Revision"] == "1" and label.headers["OSLN-Tumor-Value"] == "255"
    assert np.unique(np.frombuffer(label.content[-touching().size :], np.uint8)).tolist() == [0, 1, 2]
    assert set(ask(server, "GET", "osln/leases")[1]) == {"one"}

    status, listed = ask(server, "GET", "osln/worklist")
    assert status == 200 and {one["case"]: one["revision"] for one in listed["cases"]} == {"one": 1, "two": 0}
    more = review()
    more["candidates"].append(candidate("c4", "rejected", score=0.2))
    status, reply = submit(server, tmp_path, base_revision=1, review=more)
    assert (status, reply["nodes_revision"]) == (200, 2)
    assert {one["by"] for one in ask(server, "GET", "osln/history?image=one")[1]["revisions"]} == {"anna"}
    status, reply = submit(server, tmp_path, base_revision=9)
    assert status == 409 and "revision 9" in reply["detail"]
    status, reply = ask(server, "GET", "osln/candidates?image=none")
    assert status == 404 and "none" in reply["detail"]


def test_all_candidates_come_by_the_stock_route(server):
    options = {"candidates": "all", "result_extension": ".nrrd"}
    _, found = ask(server, "POST", "infer/ct?image=one&output=json", data={"params": json.dumps(options)})
    assert found["operating_curve"] == [] and all("value" in one for one in found["candidates"])


def test_what_cannot_be_a_review_is_refused_with_a_sentence_and_nothing_is_stored(server, tmp_path):
    before = ask(server, "GET", "osln/history?image=one")[1]
    for bad in ({"candidates": 1}, review(seconds="x"), review(extra=1), [], "x"):
        status, reply = submit(server, tmp_path, review=bad)
        assert status == 422 and "the review" in reply["detail"]
    assert ask(server, "GET", "osln/history?image=one")[1] == before
