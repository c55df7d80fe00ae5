"""A Ray cluster of several computers on this one: a head without a place, and raylets of one place each."""

import importlib.util
from collections.abc import Iterator

import pytest

from benchmarks.raylets import Raylets

INSTALL = ".venv/bin/python -m pip install -r requirements-cluster.txt"


def need_ray(require) -> None:
    """Skips, or fails, a test where Ray is missing."""
    if importlib.util.find_spec("ray") is None:
        require("Ray", INSTALL)


@pytest.fixture
def raylets(require, monkeypatch, tmp_path) -> Iterator[Raylets]:
    """A head; it and the raylets that are added end with the test."""
    need_ray(require)
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    started = Raylets(tmp_path)
    yield started
    started.end()
