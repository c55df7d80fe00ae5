"""The rows and recipes of the end-to-end baseline are consistent with the other tables."""

import pytest

from osln.rows.detectors import DETECTOR_RECIPES, DETECTORS
from osln.rows.experiments import NETWORKS, PRESETS
from small.imports import loaded_after


def test_rows_have_the_keys_they_are_stored_under_and_share_none_with_other_networks():
    assert [row.name for row in DETECTORS.values()] == list(DETECTORS)
    assert not set(DETECTORS) & set(NETWORKS)
    assert [row.needs_pet for row in DETECTORS.values()] == [False, True]


def test_every_preset_has_a_recipe_of_its_name():
    assert list(DETECTOR_RECIPES) == list(PRESETS)
    assert [recipe.name for recipe in DETECTOR_RECIPES.values()] == list(PRESETS)


def test_the_paper_recipe_has_the_published_sizes():
    paper = DETECTOR_RECIPES["paper"]

    assert (paper.first, paper.growth, paper.blocks) == (64, 32, (6, 12, 24))
    assert [side / paper.pixel_mm for side in paper.anchors_mm] == pytest.approx([16, 24, 32, 48, 96])
    assert (paper.box_features, paper.tag_features, paper.mask_channels) == (2048, 1024, 256)


def test_the_table_loads_with_the_standard_library_alone():
    assert not loaded_after("import osln.rows.detectors") & {"numpy", "torch", "scipy"}
