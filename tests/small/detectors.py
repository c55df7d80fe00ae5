"""A MULAN of a few thousand weights under the name "demo", for small columns."""

from dataclasses import replace

import pytest

from osln.rows.detectors import DETECTOR_RECIPES, DetectorRecipe
from osln.rows.experiments import PRESETS
from small.columns import tiny_preset


def tiny_recipe(**changes: object) -> DetectorRecipe:
    """The demo recipe with one layer in each block and narrow heads."""
    small = {
        "pixel_mm": 2.5,
        "first": 8,
        "growth": 4,
        "blocks": (1, 1, 1),
        "channels": 8,
        "box_features": 16,
        "tag_features": 8,
        "mask_channels": 4,
        "ranked": (100, 50),
        "proposals": (30, 5),
        "batch": 2,
        "iterations": 10,
        "shift_px": 2,
    }
    return replace(DETECTOR_RECIPES["demo"], **(small | changes))


def use_tiny(monkeypatch: pytest.MonkeyPatch, **changes: object) -> DetectorRecipe:
    """Makes the tiny network the one of the preset "demo" during a test."""
    recipe = tiny_recipe(**changes)
    monkeypatch.setitem(PRESETS, "demo", tiny_preset())
    monkeypatch.setitem(DETECTOR_RECIPES, "demo", recipe)
    return recipe
