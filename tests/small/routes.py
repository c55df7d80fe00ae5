"""Clients of single route modules on a store, put into threads as in the server."""

from types import SimpleNamespace

from fastapi import FastAPI
from fastapi.testclient import TestClient

from lib.web import threads


def client_of_routes(monkeypatch, modules, store):
    """A client of the routes of some modules, whose app has this store."""
    app = FastAPI()
    for module in modules:
        monkeypatch.setattr(module, "app_instance", lambda: SimpleNamespace(datastore=lambda: store))
    threads.shadow(app, modules)
    return TestClient(app)
