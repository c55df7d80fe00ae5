"""The PET and the candidates as 3D Slicer gets them."""

import json
import tracemalloc

import numpy as np
import pytest

from lib.store import offered
from lib.store.datastore import OslnDatastore
from lib.web import slicer_routes
from osln.store.predictions import write_prediction
from small import store as small_store
from small.pacs import PET, fresh_store, store_study
from small.reviews import candidate, review, send
from small.routes import client_of_routes
from small.store import NODE
from small.submissions import nodes

FOUND = {
    "model": "osln",
    "operating_point": "3 FP per patient",
    "models": {"glnet": {"version": "0002", "sha256": "ab"}, "ct": None},
    "candidates": [
        {"id": 2, "center_mm": [10.0, -20.0, 30.0], "radius_mm": 5.0, "score": 0.25, "kept": False},
        {
            "id": 1,
            "center_mm": [31.25, -2.5, -4.5],
            "radius_mm": 4.0,
            "score": 0.934,
            "stage_one_score": 0.8,
            "suv_max": 6.24,
            "distance_mm": 12.4,
            "zone": "proximal",
            "kept": True,
        },
        {"id": 3, "center_mm": "nowhere"},
    ],
}


@pytest.fixture
def store(tmp_path):
    small_store.make_case(tmp_path / "studies", "one")
    small_store.make_case(tmp_path / "studies", "two", pet=False)
    return OslnDatastore(tmp_path / "studies")


@pytest.fixture
def client(monkeypatch, store):
    return client_of_routes(monkeypatch, [slicer_routes], store)


@pytest.fixture
def found(store):
    write_prediction(store.root, "one", FOUND)


def test_the_pet_is_the_file_of_the_store(client, store):
    for image in ("one", store.ct_series("one")):
        reply = client.get("/osln/pet", params={"image": image})
        assert reply.status_code == 200
        assert reply.content == (store.root / "pet" / "one.nii.gz").read_bytes()
        assert 'filename="one-pet.nii.gz"' in reply.headers["content-disposition"]


def test_without_a_pet_a_sentence_says_so(client):
    reply = client.get("/osln/pet?image=two")
    assert (reply.status_code, reply.json()["detail"]) == (404, "case two has no PET")


def test_a_pet_that_cannot_be_used_is_not_handed_out(client, store):
    suv = np.ones((25, 23, 18), np.float32)
    suv[0, 0, 0] = np.nan
    small_store.write(store.root / "pet" / "one.nii.gz", suv)
    reply = client.get("/osln/pet?image=one")
    assert reply.status_code == 404 and "the PET holds NaN" in reply.json()["detail"]


@pytest.mark.parametrize("route", ["pet", "candidates"])
@pytest.mark.parametrize(("image", "status"), [("three", 404), ("../one", 422), ("", 404)])
def test_unknown_cases(client, route, image, status):
    reply = client.get(f"/osln/{route}", params={"image": image})
    assert reply.status_code == status and reply.json()["detail"]


def test_candidates_come_by_score_with_model_and_version(client, found):
    told = client.get("/osln/candidates?image=one").json()
    first, second = told["candidates"]
    assert first == {
        "id": 1,
        "rank": 1,
        "center_mm": [31.25, -2.5, -4.5],
        "radius_mm": 4.0,
        "score": 0.934,
        "stage_one_score": 0.8,
        "suv_max": 6.24,
        "distance_mm": 12.4,
        "zone": "proximal",
        "kept": True,
        "state": None,
    }
    assert (second["id"], second["rank"], second["kept"], second["suv_max"]) == (2, 2, False, None)
    assert (told["case"], told["revision"]) == ("one", 0)
    assert told["model"] == {
        "name": "osln",
        "versions": {"glnet": "0002", "ct": None},
        "operating_point": "3 FP per patient",
    }


def test_states_go_to_the_nearest_candidate_whatever_its_id(client, store, found, tmp_path):
    near, far = [33.25, -2.5, -4.5], [31.25, -2.5, 4.5]
    entries = (
        candidate("c1", "rejected", center_mm=far),
        candidate("c7", "accepted", 3, center_mm=near),
        candidate("c8", "rejected", center_mm=[30.25, -2.5, -1.5]),
    )
    names = [{"name": "lymph node 1", "idx": 3}]
    send(store, tmp_path, nodes(NODE, value=3), names, review=review(*entries))
    told = client.get("/osln/candidates?image=one").json()
    # 2 mm to c7, 3.2 mm to c8, 9 mm to c1; nothing near the second candidate.
    assert [one["state"] for one in told["candidates"]] == ["accepted", None]
    assert told["revision"] == 1


def test_markups_are_points_in_the_axes_that_the_file_names(client, found):
    reply = client.get("/osln/candidates?image=one&format=mrk.json")
    assert 'filename="one.mrk.json"' in reply.headers["content-disposition"]
    (points,) = reply.json()["markups"]
    assert (points["type"], points["coordinateSystem"]) == ("Fiducial", "LPS")
    first, second = points["controlPoints"]
    assert first == {
        "id": "1",
        "label": "1 (0.93)",
        "description": "SUVmax 6.2, proximal, 12 mm from the tumor",
        "position": [-31.25, 2.5, -4.5],
        "selected": True,
        "locked": True,
        "visibility": True,
        "positionStatus": "defined",
    }
    assert (second["description"], second["visibility"]) == ("not kept by the model", False)


def test_nothing_found_yet_says_what_to_do(client):
    reply = client.get("/osln/candidates?image=one")
    assert reply.status_code == 404 and "save_label" in reply.json()["detail"]
    assert client.get("/osln/candidates?image=one&format=csv").status_code == 422


@pytest.mark.parametrize("params", [{}, {"candidates": 3}, {"candidates": [[], {"center_mm": [0, 1, "x"]}]}])
def test_whatever_a_client_stored_as_a_prediction_is_read(client, store, params):
    write_prediction(store.root, "one", params | {"model": 5, "models": [], "operating_point": {}})
    told = client.get("/osln/candidates?image=one").json()
    assert told["candidates"] == []
    assert told["model"] == {"name": "unknown", "versions": {}, "operating_point": None}
    json.dumps(client.get("/osln/candidates?image=one&format=mrk.json").json(), allow_nan=False)


def pairs_by_hand(found, reviewed):
    pairs = sorted(
        (distance, rank, n)
        for rank, one in enumerate(found, start=1)
        for n, other in enumerate(reviewed)
        if (distance := float(np.linalg.norm(np.subtract(other["center_mm"], one["center_mm"]))))
        <= max(one["radius_mm"], other["radius_mm"])
    )
    states, taken = {}, set()
    for _, rank, n in pairs:
        if rank not in states and n not in taken:
            states[rank] = reviewed[n]["state"]
            taken.add(n)
    return states


def test_decisions_about_many_candidates_go_to_the_nearest_each_once():
    rng = np.random.default_rng(0)
    found, reviewed = (
        [
            {"center_mm": rng.uniform(0, 60, 3).tolist(), "radius_mm": float(rng.uniform(2, 9)), "state": n}
            for n in range(many)
        ]
        for many in (90, 130)
    )
    told = offered.decided(found, reviewed)
    assert told == pairs_by_hand(found, reviewed) and len(told) > 40


def test_thousands_of_decisions_in_one_place_take_little_memory():
    many = [{"center_mm": [0.0, 0.0, 0.0], "radius_mm": 1e7, "state": "rejected"}] * 1000
    tracemalloc.start()
    offered.decided(many, many)
    highest = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert highest < 30_000_000


def test_more_candidates_than_a_review_names_are_not_offered(client, store, monkeypatch):
    monkeypatch.setattr(offered, "MOST_CANDIDATES", 2)
    entries = [{"center_mm": [float(n), 0, 0], "score": n / 10} for n in range(4)]
    write_prediction(store.root, "one", {"candidates": entries})
    told = client.get("/osln/candidates?image=one").json()["candidates"]
    assert [one["score"] for one in told] == [0.3, 0.2]


@pytest.mark.pacs
def test_the_pet_of_a_case_of_a_pacs_is_that_of_its_mirror(pacs, tmp_path, monkeypatch):
    store_study(pacs, tmp_path / "dicom")
    store = fresh_store(pacs, tmp_path / "mirror")
    client = client_of_routes(monkeypatch, [slicer_routes], store)
    reply = client.get(f"/osln/pet?image={PET}")
    assert reply.status_code == 200
    case = store.known(PET)
    assert reply.content == (store.root / "pet" / f"{case}.nii.gz").read_bytes()
