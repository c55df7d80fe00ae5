"""One request at work does not hold up the others, and nothing else about MONAI Label's routes changes."""

import asyncio
import threading
from types import SimpleNamespace
from typing import Annotated

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, File, Form, HTTPException, UploadFile
from fastapi.testclient import TestClient

from lib.errors import NotReadyError
from lib.web import threads


def fake_module(name, router):
    return SimpleNamespace(__name__=f"monailabel.endpoints.{name}", router=router)


def slow_app(patience):
    """A server whose /infer waits until somebody opens the gate; says whether that happened."""
    gate, started = threading.Event(), threading.Event()
    infer, info = APIRouter(prefix="/infer"), APIRouter(prefix="/info")

    @infer.post("/{model}")
    async def api_infer(model: str):
        started.set()
        return {"model": model, "opened": gate.wait(patience)}

    @info.get("/")
    async def api_info():
        return {"name": "app"}

    app = FastAPI()
    app.include_router(infer)
    app.include_router(info)
    return app, [fake_module("infer", infer), fake_module("info", info)], gate, started


async def infer_and_meanwhile_info(app, gate, started, at_once=1):
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
        inferences = [asyncio.create_task(client.post("/infer/osln")) for _ in range(at_once)]
        while not started.is_set():
            await asyncio.sleep(0)
        info = await client.get("/info/")
        gate.set()
        return info.json(), [(await inference).json() for inference in inferences]


def test_info_answers_while_an_inference_is_at_work():
    app, modules, gate, started = slow_app(patience=60)
    threads.shadow(app, modules)
    info, results = asyncio.run(infer_and_meanwhile_info(app, gate, started))
    assert info == {"name": "app"}
    assert results == [{"model": "osln", "opened": True}]


def test_many_waiting_inferences_do_not_hold_up_info_either():
    app, modules, gate, started = slow_app(patience=60)
    threads.shadow(app, modules)
    info, results = asyncio.run(infer_and_meanwhile_info(app, gate, started, at_once=60))
    assert info == {"name": "app"}
    assert [result["opened"] for result in results] == [True] * 60


def test_without_the_threads_info_answers_only_after_the_inference():
    app, _, gate, started = slow_app(patience=0.1)
    _, results = asyncio.run(infer_and_meanwhile_info(app, gate, started))
    assert results == [{"model": "osln", "opened": False}]


def test_no_more_inferences_run_at_one_time_than_the_limit():
    router, running, most, lock = APIRouter(), [0], [0], threading.Lock()
    enough = threading.Semaphore(0)

    @router.post("/infer")
    async def api_infer():
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        enough.release()
        # The second of two releases both; a single one gives up waiting for company.
        enough.acquire(timeout=0.05)
        with lock:
            running[0] -= 1

    app = FastAPI()
    threads.shadow(app, [fake_module("infer", router)])

    async def ask():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server") as client:
            await asyncio.gather(*(client.post("/infer") for _ in range(12)))

    asyncio.run(ask())
    assert most[0] <= threads.LIMITS["infer"]


def request_types():
    """Routes of all kinds that MONAI Label has."""
    router = APIRouter(prefix="/things", responses={404: {"description": "Not found"}})

    def reader(key: str = "none"):
        return key

    @router.get("/{name}")
    async def api_get(name: str, count: int = 1, key: str = Depends(reader)):
        return {"name": name, "count": count, "key": key}

    @router.put("/", status_code=201)
    async def api_put(file: Annotated[UploadFile, File()], params: str = Form("{}")):
        return {"params": params, "bytes": len(file.file.read())}

    @router.head("/")
    async def api_head():
        return {}

    @router.delete("/{name}")
    async def api_delete(name: str):
        raise HTTPException(418, "teapot")

    return router


@pytest.mark.parametrize(
    ("method", "path", "options"),
    [
        ("GET", "/things/a?count=3&key=k", {}),
        ("GET", "/things/a?count=x", {}),
        ("GET", "/nothing", {}),
        ("POST", "/things/a", {}),
        ("PUT", "/things/", {"files": {"file": b"12345"}, "data": {"params": '{"a": 1}'}}),
        ("PUT", "/things/", {}),
        ("HEAD", "/things/", {}),
        ("DELETE", "/things/a", {}),
        ("GET", "/openapi.json", {}),
    ],
)
def test_replies_are_those_of_the_stock_routes(method, path, options):
    replies = []
    for shadowed in (False, True):
        app, router = FastAPI(), request_types()
        app.include_router(router)
        if shadowed:
            assert len(threads.shadow(app, [fake_module("things", router)])) == 4
        reply = TestClient(app).request(method, path, **options)
        replies.append((reply.status_code, reply.content, dict(reply.headers)))
    assert replies[0] == replies[1]


def refusing_app():
    router = APIRouter()

    @router.get("/refused")
    async def api_refused():
        raise_not_ready()

    @router.get("/broken")
    async def api_broken():
        return {}["missing"]

    @router.put("/notes")
    async def api_notes(params: str = Form("{}")):
        return {}

    app = FastAPI()
    app.include_router(router)
    threads.shadow(app, [fake_module("things", router)])
    return TestClient(app, raise_server_exceptions=False)


def raise_not_ready():
    raise NotReadyError("no weights for osln: train it")


def test_refusals_of_ours_become_replies_with_a_sentence():
    reply = refusing_app().get("/refused")
    assert (reply.status_code, reply.json()) == (409, {"detail": "no weights for osln: train it"})


def test_a_bug_stays_a_500():
    assert refusing_app().get("/broken").status_code == 500


@pytest.mark.parametrize("text", ["{bad", "[1]", "1", "null"])
def test_form_fields_that_are_no_json_object_are_refused_in_words(text):
    reply = refusing_app().put("/notes", data={"params": text})
    assert reply.status_code == 422
    assert "params must be a JSON object" in reply.json()["detail"]
    assert refusing_app().put("/notes", data={"params": "{}"}).status_code == 200


def test_an_endpoint_that_really_awaits_is_left_alone():
    async def waits():
        await asyncio.sleep(0)

    async def works():
        return sum(range(3))

    def plain():
        return 1

    assert [threads.blocks(endpoint) for endpoint in (waits, works, plain)] == [False, True, False]


@pytest.mark.parametrize(
    ("argv", "environ"),
    [
        (["monailabel", "start_server", "--workers", "2"], {}),
        (["monailabel", "start_server", "--workers=4"], {}),
        (["monailabel", "start_server"], {"WEB_CONCURRENCY": "3"}),
    ],
)
def test_several_workers_are_refused_in_words(argv, environ):
    with pytest.raises(ValueError, match="start the server without --workers"):
        threads.refuse_workers(argv, environ)


@pytest.mark.parametrize(
    "argv", [["monailabel"], ["monailabel", "--workers", "1"], ["monailabel", "--workers"]]
)
def test_one_worker_is_fine(argv):
    threads.refuse_workers(argv, {})
