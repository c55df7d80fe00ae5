"""A body of a request that stops arriving is answered with 408; one that arrives slowly is read whole."""

import asyncio

import pytest
from fastapi import FastAPI, UploadFile
from starlette.responses import PlainTextResponse

from lib.web import requests
from lib.web.bodies import Arriving

PART = b'--x\r\nContent-Disposition: form-data; name="file"; filename="ct.nii"\r\n\r\n'


def ask(app, parts, pause=0.0, kind=b"application/octet-stream"):
    """Status, headers and body of the answer to a body whose parts come one by one; None: nothing comes."""
    waiting, told = list(parts), []

    async def receive():
        part = waiting.pop(0) if waiting else None
        if part is None:
            await asyncio.Event().wait()
        await asyncio.sleep(pause)
        return {"type": "http.request", "body": part, "more_body": bool(waiting)}

    async def send(message):
        told.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/", "raw_path": b"/", "query_string": b"", "root_path": "",
        "scheme": "http", "headers": [(b"content-type", kind)], "http_version": "1.1",
    }  # fmt: skip
    asyncio.run(asyncio.wait_for(app(scope, receive, send), 60))
    assert [one["type"] for one in told] == ["http.response.start", "http.response.body"]
    return told[0]["status"], dict(told[0]["headers"]), told[1]["body"]


async def counting(scope, receive, send):
    """Answers with the number of bytes that came."""
    length, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        length, more = length + len(message["body"]), message["more_body"]
    await PlainTextResponse(str(length))(scope, receive, send)


@pytest.fixture
def routes():
    """Routes with a file, with JSON and without a body, behind the checks as the server has them."""
    app = FastAPI()

    @app.post("/")
    def take(file: UploadFile) -> int:
        return file.size

    requests.install(app, idle_seconds=0.05)
    return app


def test_a_body_that_stops_is_answered_and_the_connection_ends():
    status, headers, body = ask(Arriving(counting, 0.05), [b"abc", None])
    assert status == 408 and headers[b"connection"] == b"close"
    assert b"nothing more of the body" in body and b"0.05 s" in body


def test_a_body_that_arrives_slowly_is_read_whole():
    # Twenty pauses of a twentieth of the limit each: as long as the limit in all.
    assert ask(Arriving(counting, 2.0), [b"abc"] * 20, pause=0.1)[::2] == (200, b"60")


def test_an_answer_before_the_end_of_the_body_stays():
    async def refusing(scope, receive, send):
        await PlainTextResponse("too long", 413)(scope, receive, send)
        await receive()

    assert ask(Arriving(refusing, 0.05), [None])[::2] == (413, b"too long")


@pytest.mark.parametrize(
    ("kind", "parts"),
    [(b"multipart/form-data; boundary=x", [PART, b"abc", None]), (b"application/json", [b"{", None])],
)
def test_the_routes_answer_uploads_and_json_that_stop(routes, kind, parts):
    assert ask(routes, parts, kind=kind)[0] == 408


def test_the_routes_take_an_upload_in_many_parts(routes):
    parts = [PART, *[b"abc"] * 20, b"\r\n--x--\r\n"]
    assert ask(routes, parts, kind=b"multipart/form-data; boundary=x")[::2] == (200, b"60")
