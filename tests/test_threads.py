"""One request at work does not hold up the others, and nothing else about MONAI Label's routes changes."""

import asyncio
import threading
from types import ModuleType, SimpleNamespace
from typing import Annotated

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, File, Form, HTTPException, UploadFile
from fastapi.testclient import TestClient
from monailabel import app as server
from monailabel.endpoints import info as info_endpoint
from monailabel.endpoints import model as model_endpoint
from monailabel.interfaces.utils import app as app_module
from monailabel.utils.async_tasks import task as task_module

from lib import threads
from lib.errors import NotReadyError


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


@pytest.fixture
def monai_label(monkeypatch):
    """MONAI Label's real server with an app that does nothing; put back as it was afterwards."""
    instance = SimpleNamespace(
        info=lambda: {"name": "nothing"},
        _server_mode=True,
        datastore=lambda: SimpleNamespace(status=lambda: {"total": 0}),
        model_file=lambda model, validate=True: None,
    )
    for module in vars(server).values():
        if hasattr(module, "router") and hasattr(module, "app_instance"):
            monkeypatch.setattr(module, "app_instance", module.app_instance)
    monkeypatch.setattr(task_module, "app_instance", task_module.app_instance)
    for name in ("update_model", "delete_model"):
        monkeypatch.setattr(model_endpoint, name, getattr(model_endpoint, name))
    settings = app_module.settings
    monkeypatch.setitem(
        app_module.apps, f"{settings.MONAI_LABEL_APP_DIR}{settings.MONAI_LABEL_STUDIES}", instance
    )
    routes = list(server.app.router.routes)
    monkeypatch.setattr(server.app.state, "osln_unfrozen", False, raising=False)
    yield server.app
    server.app.router.routes[:] = routes


def test_every_route_of_monai_label_is_in_a_thread_or_knowingly_left(monai_label):
    assert threads.unfreeze(monai_label) == []
    shadowed = [route for route in stock_routes() if threads.blocks(route.endpoint)]
    assert len(shadowed) > 40


def stock_routes():
    modules = [module for module in vars(server).values() if isinstance(module, ModuleType)]
    routers = [
        module.router for module in modules if hasattr(module, "router") and module is not server.login
    ]
    return [route for router in routers for route in router.routes]


def test_a_new_route_that_nobody_thought_of_is_reported(monai_label):
    @monai_label.get("/surprise")
    async def surprise():
        return {}

    assert threads.unfreeze(monai_label) == ["/surprise"]


def test_the_real_server_answers_as_before(monai_label):
    requests = [
        ("GET", "/info/"),
        ("GET", "/datastore/"),
        ("GET", "/datastore/?output=nonsense"),
        ("GET", "/datastore/label?label=a"),
        ("GET", "/model/osln"),
        ("GET", "/batch/infer"),
        ("GET", "/train/?check_if_running=true"),
        ("POST", "/info/"),
        ("GET", "/openapi.json"),
        ("GET", "/favicon.ico"),
        ("GET", "/"),
    ]

    def replies():
        client = TestClient(monai_label)
        answers = [client.request(method, path) for method, path in requests]
        return [(answer.status_code, answer.content, answer.headers["content-type"]) for answer in answers]

    before = replies()
    threads.unfreeze(monai_label)
    assert replies() == before
    assert before[0][0] == 200


def test_a_second_call_adds_nothing(monai_label):
    threads.unfreeze(monai_label)
    routes = list(monai_label.router.routes)
    assert threads.unfreeze(monai_label) == []
    assert monai_label.router.routes == routes


def test_after_a_reload_the_app_is_built_once_and_told_that_it_serves(monai_label, monkeypatch):
    built, all_there = [], threading.Barrier(4)

    def build():
        if not built:
            built.append(SimpleNamespace(_server_mode=False))
            built[0].server_mode = lambda mode: setattr(built[0], "_server_mode", mode)
        return built[0]

    monkeypatch.setattr(info_endpoint, "app_instance", build)
    threads.unfreeze(monai_label)

    def ask():
        all_there.wait()
        info_endpoint.app_instance()

    askers = [threading.Thread(target=ask) for _ in range(4)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert len(built) == 1
    assert built[0]._server_mode is True


def test_weights_cannot_be_replaced_or_taken_away_over_http(monai_label):
    threads.unfreeze(monai_label)
    client = TestClient(monai_label)
    for reply in (client.put("/model/osln", files={"file": b"weights"}), client.delete("/model/osln")):
        assert reply.status_code == 403
        assert "scripts/models.py" in reply.json()["detail"]


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
