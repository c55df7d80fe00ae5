"""The table of networks and rows says what the paper says."""

import dataclasses
import json
from pathlib import Path

import pytest

from osln.networks.gated_unet import GATES
from osln.rows.detectors import DETECTOR_RECIPES
from osln.rows.experiments import (
    CLASSIFIERS,
    GATED,
    LATE_FUSION,
    NETWORKS,
    PRESETS,
    PROXIMAL_MM,
    ROWS,
    SEGMENTERS,
    SERVED_NETWORKS,
)
from osln.rows.paper import COHORT_SIZES
from osln.rows.tagger_recipe import TAGGER_RECIPES

BEYOND = ("glnet-context", "local-context", "local-quality", "set-glnet", "numbers")
"""Classifiers that the paper does not have."""


def test_the_first_row_is_the_papers_method():
    first = next(iter(ROWS.values()))

    assert first.name == "osln" and first.classifier == "glnet"
    assert sorted(first.segmenters) == ["ct-distal", "ct-proximal", "ef-distal", "ef-proximal"]
    assert PROXIMAL_MM == 70


def test_every_key_is_the_rows_own_name():
    for table in (PRESETS, SEGMENTERS, CLASSIFIERS, ROWS):
        assert [row.name for row in table.values()] == list(table)


def test_every_row_asks_networks_that_exist_and_every_network_is_asked():
    for row in ROWS.values():
        assert row.segmenters and set(row.segmenters) <= set(SEGMENTERS)
    assert len(set(ROWS.values())) == len(ROWS)
    assert {row.segmenters for row in ROWS.values()} >= {(name,) for name in SEGMENTERS}
    alone = {name for name, row in ROWS.items() if row.of_one_zone}
    assert alone == {"ct-proximal", "ct-distal", "ef-proximal", "ef-distal"}


@pytest.mark.parametrize(
    ("name", "pet", "tumor"),
    [
        ("osln", True, True),
        ("osln-local-ct", True, True),
        ("lf-stratified", True, True),
        ("ct", False, False),
        ("ef", True, True),
        ("lf", True, True),
        ("ct-stratified", False, True),
        ("ef-stratified", True, True),
    ],
)
def test_rows_say_which_images_they_need(name, pet, tumor):
    assert (ROWS[name].needs_pet, ROWS[name].needs_tumor) == (pet, tumor)


def test_the_classifiers_are_the_rows_of_table_2():
    assert {name for name, row in CLASSIFIERS.items() if row.context} == set(BEYOND)
    seen = {row.name: (row.inputs, row.tags) for row in CLASSIFIERS.values() if row.name not in BEYOND}
    assert seen == {
        "glnet": (("ct", "pet"), True),
        "local-ct-pet": (("ct", "pet"), False),
        "local-ct": (("ct",), False),
        "tag": ((), True),
        "random-views": (("ct",), False),
    }
    assert [CLASSIFIERS[name].needs_pet for name in ("glnet", "local-ct", "tag")] == [True, False, False]
    assert NETWORKS == (*SEGMENTERS, *CLASSIFIERS) and len(set(NETWORKS)) == len(NETWORKS)


def test_the_row_with_predicted_overlap_differs_from_the_one_with_context_in_that_alone():
    with_it, without = CLASSIFIERS["local-quality"], CLASSIFIERS["local-context"]

    assert dataclasses.replace(with_it, name=without.name, title=without.title, network="glnet") == without
    assert [name for name, row in CLASSIFIERS.items() if row.needs_overlap] == ["local-quality"]
    assert not ROWS["osln-local-quality"].served and not ROWS["gated-strata"].served


def test_each_classifier_ends_a_row_with_the_candidates_of_late_fusion_or_of_the_gates():
    rows = {row.classifier: row for row in ROWS.values() if row.classifier and row.turns == 1}
    assert set(rows) == set(CLASSIFIERS)
    for row in rows.values():
        own = GATED if row.classifier in ("set-glnet", "numbers") else LATE_FUSION
        assert row.setting.segmenters == own and row.networks == (*own, row.classifier)
    assert {name for name, row in rows.items() if row.needs_tags} == {"glnet", "tag", "glnet-context"}
    assert ROWS["ct"].stage_one == "ct" and ROWS["ct"].networks == ("ct",)
    assert ROWS["ct-distal"].stage_one == "ct-distal"


def test_rows_that_share_a_network_of_stage_two_hand_it_the_same_candidates():
    # There is one set of operating points for each.
    settings = {(row.classifier, row.teacher.setting) for row in ROWS.values() if row.classifier}
    assert len(settings) == len(CLASSIFIERS)
    # Retraining would have to fit it anew for each version.
    assert all(setting.fusion != "learned" for _, setting in settings)


def test_the_server_offers_the_rows_that_weights_are_shipped_of():
    manifest = Path(__file__).resolve().parents[3] / "apps" / "osln" / "model" / "shipped" / "manifest.json"

    assert set(SERVED_NETWORKS) == set(json.loads(manifest.read_text())["networks"])
    assert "osln" in ROWS and "ct-distal" in ROWS and not ROWS["ef-psnn"].served


def test_stage_two_of_the_paper_is_that_of_its_section_4_2():
    paper = PRESETS["paper"].stage_two
    assert (paper.patch, paper.margin, paper.jitter) == ((48, 48, 32), 8, 3)
    assert (paper.widths, paper.features) == ((32, 64, 128, 256), 256)
    assert (paper.batch, paper.epochs, paper.learning_rate) == (32, 10, 1e-4)


def test_there_is_a_network_of_early_fusion_for_every_gate():
    assert {SEGMENTERS[name].inputs for name in GATED} == {("ct", "pet", "distance")}
    assert [SEGMENTERS[name].gate for name in GATED] == list(GATES)
    assert {SEGMENTERS[name].zone for name in GATED} == {"all"}


def test_streams_have_the_papers_inputs():
    for name, segmenter in SEGMENTERS.items():
        assert segmenter.inputs == (("ct",) if name.startswith("ct") else ("ct", "pet", "distance"))
        _, _, kind = name.partition("-")
        assert segmenter.zone == (kind if kind in ("proximal", "distal") else "all")
        if name.startswith("gated"):
            assert (segmenter.gate, segmenter.backbone) == (kind.removesuffix("-nodes"), "unet")
        else:
            assert segmenter.backbone == ("unet" if kind in ("", "proximal", "distal") else kind)
        assert segmenter.every_node == name.endswith("-nodes")


def test_windows_and_patches_fit_the_poolings_of_their_networks():
    for preset in PRESETS.values():
        stride = 2 ** (len(preset.widths) - 1)
        assert all(size % stride == 0 for size in preset.window + preset.patch)


def test_presets_search_the_same_millimeters_and_standard_lies_between_the_others():
    paper, standard, demo = (PRESETS[name] for name in ("paper", "standard", "demo"))
    for preset in PRESETS.values():
        for axis in (0, 1):
            assert 216 <= preset.window[axis] * preset.spacing_mm[axis] <= 232
    for axis in range(3):
        assert paper.spacing_mm[axis] <= standard.spacing_mm[axis] <= demo.spacing_mm[axis]
    widths = [[level[0] for level in preset.widths] for preset in (demo, standard, paper)]
    assert widths == [[8, 16, 32, 64], [16, 32, 64, 128], [32, 64, 128, 256]]


def test_the_fine_preset_has_the_grid_of_one_and_the_networks_of_another():
    fine, standard, demo = (PRESETS[name] for name in ("fine", "standard", "demo"))
    for part in ("spacing_mm", "window", "patch"):
        assert getattr(fine, part) == getattr(standard, part) != getattr(demo, part)
    assert (fine.widths, fine.hrnet) == (demo.widths, demo.hrnet)
    assert fine.stage_two.patch == standard.stage_two.patch
    assert fine.stage_two.widths == demo.stage_two.widths


def test_the_wide_preset_has_the_networks_of_stage_one_of_one_and_all_else_of_another():
    wide, standard, demo = (PRESETS[name] for name in ("wide", "standard", "demo"))
    assert (wide.widths, wide.learning_rate, wide.hrnet) == (
        standard.widths,
        standard.learning_rate,
        standard.hrnet,
    )
    changes = {name: getattr(demo, name) for name in ("name", "widths", "learning_rate", "hrnet")}
    assert dataclasses.replace(wide, **changes) == demo


def test_every_preset_has_its_cohort_its_tagger_and_its_detector():
    assert set(COHORT_SIZES) == set(TAGGER_RECIPES) == set(DETECTOR_RECIPES) == set(PRESETS)


def test_the_preset_that_learns_faster_is_the_paper_s_in_all_else():
    paper, fast = PRESETS["paper"], PRESETS["paper-fast"]
    changes = {"learning_rate": fast.learning_rate, "output_bias": fast.output_bias}
    assert fast == dataclasses.replace(paper, name="paper-fast", **changes)
    # A quarter of demo's rate at four times its widths.
    demo = PRESETS["demo"]
    assert fast.output_bias == demo.output_bias
    assert fast.learning_rate * fast.widths[0][0] == demo.learning_rate * demo.widths[0][0]


def test_the_papers_recipe():
    paper = PRESETS["paper"]

    assert paper.spacing_mm == (1.0, 1.0, 2.5)
    assert (paper.window, paper.patch, paper.batch) == ((224, 224, 64), (96, 96, 64), 8)
    assert (paper.learning_rate, paper.betas, paper.weight_decay) == (1e-4, (0.9, 0.999), 5e-4)


def test_rows_cannot_be_changed_only_replaced():
    with pytest.raises(dataclasses.FrozenInstanceError):
        PRESETS["demo"].batch = 4
    assert dataclasses.replace(PRESETS["demo"], batch=4).batch == 4 and PRESETS["demo"].batch == 8
