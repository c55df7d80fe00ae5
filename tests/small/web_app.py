"""The routes of the page on a small store, with an app that trains and infers nothing."""

from types import SimpleNamespace

from fastapi import FastAPI

from lib.models import strategies
from lib.models.trainers import build
from lib.store.datastore import OslnDatastore
from lib.web import login_routes, model_routes, pages, review_routes, threads, worklist_routes
from osln.published import led_by
from osln.weights.model_store import ModelStore
from small.store import make_case, publish


def small_app(folder, cases=("p1", "p2", "p3"), networks=("ct", "local-ct")):
    """An app with a store of these cases and one untrained version of each network."""
    for case in cases:
        make_case(folder / "store", case, pet=False)
    (folder / "store").mkdir(parents=True, exist_ok=True)
    store, models = OslnDatastore(folder / "store"), folder / "models"
    if networks:
        publish(models, networks)
    weights = ModelStore(models)
    tagger = SimpleNamespace(describe=lambda: None)
    trainers = build(folder / "store", models, "demo", ("cpu",))
    return SimpleNamespace(
        name="OSLN Label",
        version="0.1.0",
        studies="store",
        datastore=lambda: store,
        published=SimpleNamespace(
            rows=led_by("osln"),
            store=weights,
            tagger=tagger,
            versions=lambda: {"ct": None},
            remarks=lambda row: [],
        ),
        _infers={"osln": None},
        _trainers={name: trainers[name] for name in ("ct", "local-ct")},
        _strategies=strategies.build(10, lambda: ["w1"]),
        _keeper=None,
        retraining=lambda: None,
        evidence=lambda: None,
    )


def served(monkeypatch, app, logins=None):
    """The page and its routes as a FastAPI application on an app."""
    modules = [pages, worklist_routes, model_routes, review_routes]
    for module in modules:
        monkeypatch.setattr(module, "app_instance", lambda: app)
    made = FastAPI(docs_url=None)
    made.include_router(login_routes.routes(logins))
    threads.shadow(made, modules)
    return made
