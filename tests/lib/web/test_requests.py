"""Which bodies reach the routes."""

import inspect
import json
from types import ModuleType

import pytest
from fastapi import FastAPI, Form, Request, UploadFile
from fastapi.testclient import TestClient
from monailabel import app as server
from pydantic import BaseModel, Field

from lib.json_check import LONGEST
from lib.web.requests import LONGEST_LOGIN, MOST_FIELDS, install, takes_files
from osln.store.reviews import MOST_CANDIDATES, checked_review
from small.reviews import candidate, review

FORM = "application/x-www-form-urlencoded"
BYTES = "application/octet-stream"
UPLOAD = "multipart/form-data; boundary=B"
JSON = "application/json"


class Sized(BaseModel):
    size: int = Field(ge=1)


@pytest.fixture
def ask():
    """Sends a body; the answer is its length, as the route saw it."""
    app = FastAPI()

    @app.post("/login")
    @app.post("/auth/token")
    @app.post("/activelearning/random")
    async def length(request: Request) -> int:
        return len(await request.body())

    @app.put("/datastore/label")
    async def upload(request: Request) -> int:
        return len(await request.body())

    @app.post("/infer/osln")
    async def form(params: str = Form(), file: UploadFile | None = None) -> int:
        return len(params)

    @app.post("/sized")
    async def sized(asked: Sized, often: int = 1) -> None:
        return None

    install(app, idle_seconds=20.0)
    client = TestClient(app)

    def sent(path, kind, body, method="POST"):
        return client.request(method, path, content=body, headers={"Content-Type": kind})

    sent.client = client
    return sent


@pytest.mark.parametrize("kind", [FORM, BYTES, UPLOAD, JSON, "", "text/plain"])
@pytest.mark.parametrize("path", ["/login", "/auth/token"])
def test_without_an_account_nobody_sends_more_than_a_name_and_a_password(ask, path, kind):
    reply = ask(path, kind, b"0" * (LONGEST_LOGIN + 1))
    assert reply.status_code == 413 and str(LONGEST_LOGIN) in reply.json()["detail"]


@pytest.mark.parametrize("kind", [FORM, BYTES, UPLOAD, JSON, "", "text/plain"])
def test_what_is_held_in_memory_is_limited_whatever_it_says_to_be(ask, kind):
    assert ask("/activelearning/random", kind, b" " * (LONGEST + 1)).status_code == 413


@pytest.mark.parametrize(
    ("path", "kind", "length"),
    [
        ("/login", FORM, LONGEST_LOGIN),
        ("/login", UPLOAD, LONGEST_LOGIN),
        ("/activelearning/random", BYTES, LONGEST),
        ("/activelearning/random", JSON, 0),
    ],
)
def test_what_is_not_too_long_arrives_whole(ask, path, kind, length):
    assert ask(path, kind, b"0" * length).json() == length


def test_only_a_route_that_takes_files_takes_more(ask):
    assert ask("/datastore/label", UPLOAD, b"0" * (LONGEST + 1), "PUT").json() == LONGEST + 1
    assert ask("/datastore/label", BYTES, b"0" * (LONGEST + 1), "PUT").status_code == 413


def test_the_routes_that_take_files_are_those_of_the_server():
    modules = [one for one in vars(server).values() if isinstance(one, ModuleType) and hasattr(one, "router")]
    for route in (one for module in modules for one in module.router.routes):
        declared = [str(one.annotation) for one in inspect.signature(route.endpoint).parameters.values()]
        takes = any("UploadFile" in one for one in declared)
        for method in route.methods & {"PUT", "POST", "DELETE"}:
            if not route.path.startswith("/proxy"):
                assert takes_files(method, route.path) == takes, (method, route.path)


def test_a_review_of_as_many_candidates_as_there_may_be_fits_into_a_form(ask):
    many = review(*(candidate(f"c{i}", "rejected") for i in range(MOST_CANDIDATES)))
    params = json.dumps({"review": many})
    assert checked_review(many) and 2**20 < len(params) < LONGEST
    for files in (None, {"file": ("l.nii.gz", b"0")}):
        reply = ask.client.post("/infer/osln", data={"params": params}, files=files)
        assert reply.json() == len(params)


def test_a_form_with_texts_without_end_is_refused(ask):
    fields = {f"f{i}": "x" for i in range(MOST_FIELDS + 1)}
    for files in (None, {"file": ("l.nii.gz", b"0")}):
        assert ask.client.post("/infer/osln", data={"params": "x", **fields}, files=files).status_code == 400


def test_a_value_of_the_wrong_kind_is_refused_in_a_sentence(ask):
    reply = ask("/sized?often=x", JSON, b'{"size": 0}')
    assert reply.status_code == 422
    told = set(reply.json()["detail"].split("; "))
    assert any(one.startswith("often: Input should be a valid integer") for one in told)
    assert "size: Input should be greater than or equal to 1" in told
