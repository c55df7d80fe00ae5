"""What is hidden while MONAI is imported comes back afterwards."""

import importlib
import sys

import pytest

from lib.imports import without


def test_a_hidden_package_is_missing_inside_and_there_afterwards(monkeypatch):
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with without(("colorsys",)), pytest.raises(ModuleNotFoundError):
        importlib.import_module("colorsys")
    assert importlib.import_module("colorsys").__name__ == "colorsys"


def test_what_is_there_already_stays():
    with without(("importlib",)):
        assert sys.modules["importlib"] is importlib
    assert sys.modules["importlib"] is importlib


def test_it_comes_back_after_an_error_too(monkeypatch):
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with pytest.raises(RuntimeError), without(("colorsys",)):
        raise RuntimeError
    assert "colorsys" not in sys.modules
