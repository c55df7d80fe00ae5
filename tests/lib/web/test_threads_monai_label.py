"""MONAI Label's real routes behind threads: all of them, once, with the same answers."""

import threading
from types import ModuleType, SimpleNamespace

import pytest
from fastapi.testclient import TestClient
from monailabel import app as server
from monailabel.endpoints import info as info_endpoint
from monailabel.interfaces.utils import app as app_module
from monailabel.utils.async_tasks import task as task_module

from lib.web import threads


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


def test_uploads_have_a_small_group_of_their_own():
    # Each may unpack an image of gigabytes: many at one time would take all memory.
    groups = [threads._group(name, {"PUT"}) for name in ("datastore", "session", "infer")]
    assert groups == ["upload", "upload", "infer"]
    assert threads._group("datastore", {"GET"}) == threads._group("review_routes", {"PUT"}) == "rest"
    assert threads.LIMITS["upload"] <= 2
