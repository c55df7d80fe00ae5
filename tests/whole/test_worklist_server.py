"""Jobs of the worklist on the real server: found in a process of its own, listed as a batch too, canceled."""

import time

import pytest
import requests

from small.running_server import RunningServer
from small.store import make_case, publish, ship_untrained_tagger

pytestmark = pytest.mark.server
PATIENCE_S = 1800


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("worklist")
    for case in ("one", "two", "three"):
        make_case(folder / "store", case, gtv=False)
    ship_untrained_tagger(folder / "models")
    publish(folder / "models", ["ct"])
    running = RunningServer(folder / "store", folder / "models", folder / "server.log")
    yield running
    running.stop()


def ask(server, method, path, **request):
    reply = requests.request(method, f"{server.url}/{path}", timeout=120, **request)
    assert reply.ok, reply.text
    return reply.json()


def states(server):
    return {entry["case"]: entry["state"] for entry in ask(server, "GET", "osln/worklist")["cases"]}


def job(server, number):
    return next(one for one in ask(server, "GET", "osln/jobs")["jobs"] if one["id"] == number)


def ended(server, number):
    deadline = time.monotonic() + PATIENCE_S
    while (found := job(server, number))["state"] in ("waiting", "running"):
        assert time.monotonic() < deadline, found
        time.sleep(0.5)
    return found


def test_a_job_finds_nodes_the_next_one_waits_and_is_canceled_alone(server):
    body = {"cases": ["one", "two"], "model": "ct", "annotator": "anna"}
    first = ask(server, "POST", "osln/jobs", json=body)["id"]
    second = ask(server, "POST", "osln/jobs", json={**body, "cases": ["three"]})["id"]
    assert job(server, second)["state"] == "waiting"
    assert ask(server, "DELETE", f"osln/jobs/{second}")["state"] == "canceled"

    found = ended(server, first)
    assert (found["state"], found["done"], found["failures"], found["by"]) == ("done", 2, 0, "anna")
    assert states(server) == {"one": "found", "three": "new", "two": "found"}
    info = ask(server, "GET", "datastore/label/info?label=one&tag=original")
    assert info["model"] == "ct" and "candidates" in info["params"], "clients read the whole result as before"
    index = (server.studies / "datastore_v2.json").read_text()
    assert "center_mm" not in index, "which is written with each label"

    stock = ask(
        server, "POST", "batch/infer/ct?images=unlabeled", json={"device": "cpu", "max_batch_size": 1}
    )
    listed = ask(server, "GET", "osln/jobs")["jobs"][0]
    assert stock["request"]["job"] == listed["id"] and listed["total"] == 1
    ask(server, "DELETE", f"osln/jobs/{listed['id']}")
    assert ended(server, listed["id"])["state"] == "canceled"

    server.stop()
    server.start()
    assert job(server, first)["state"] == "done", "what came of it outlives the server"
