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


@pytest.fixture(scope="module")
def raylets(require, tmp_path_factory) -> Iterator[Raylets]:
    """A head with one raylet for all tests of a file; they end with them."""
    need_ray(require)
    started = Raylets(tmp_path_factory.mktemp("raylets"))
    try:
        started.add()
        yield started
    finally:
        started.end()
