"""Which bodies reach the routes."""

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from pydantic import BaseModel, Field

from lib.json_check import LONGEST
from lib.web.requests import LONGEST_LOGIN, install

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

    @app.post("/sized")
    async def sized(asked: Sized, often: int = 1) -> None:
        return None

    install(app, idle_seconds=20.0)
    client = TestClient(app)
    return lambda path, kind, body: client.post(path, content=body, headers={"Content-Type": kind})


@pytest.mark.parametrize("kind", [FORM, BYTES, UPLOAD, JSON, "", "text/plain"])
@pytest.mark.parametrize("path", ["/login", "/auth/token"])
def test_without_an_account_nobody_sends_more_than_a_name_and_a_password(ask, path, kind):
    reply = ask(path, kind, b"0" * (LONGEST_LOGIN + 1))
    assert reply.status_code == 413 and str(LONGEST_LOGIN) in reply.json()["detail"]


@pytest.mark.parametrize("kind", [FORM, BYTES, JSON, "", "text/plain"])
def test_what_is_held_in_memory_is_limited_whatever_it_says_to_be(ask, kind):
    assert ask("/activelearning/random", kind, b" " * (LONGEST + 1)).status_code == 413


@pytest.mark.parametrize(
    ("path", "kind", "length"),
    [
        ("/login", FORM, LONGEST_LOGIN),
        ("/login", UPLOAD, LONGEST_LOGIN),
        ("/activelearning/random", BYTES, LONGEST),
        ("/activelearning/random", UPLOAD, LONGEST + 1),
        ("/activelearning/random", JSON, 0),
    ],
)
def test_what_is_not_too_long_arrives_whole(ask, path, kind, length):
    assert ask(path, kind, b"0" * length).json() == length


def test_a_value_of_the_wrong_kind_is_refused_in_a_sentence(ask):
    reply = ask("/sized?often=x", JSON, b'{"size": 0}')
    assert reply.status_code == 422
    told = set(reply.json()["detail"].split("; "))
    assert any(one.startswith("often: Input should be a valid integer") for one in told)
    assert "size: Input should be greater than or equal to 1" in told
