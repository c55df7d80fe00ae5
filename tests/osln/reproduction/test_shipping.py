"""What weights were shipped without: operating curves, and networks of rows that came later."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from osln.reproduction import shipping
from osln.rows.experiments import PRESETS, ROWS
from osln.weights.checkpoint import load_checkpoint
from osln.weights.shipped import write_shipped
from small.columns import small_column
from small.store import untrained

CLASSIFIERS = sorted({row.classifier for row in ROWS.values() if row.served and row.classifier})
STAGE_ONE = ("ct-proximal", "ef-proximal", "ct-distal", "ef-distal")
FALSE = np.s_[0:2, 0:2, 0:2]
"""A candidate of each patient that is no node."""
POINTS = {"0.5": 0.75, "1": 0.25, "2": 0.25, "3": 0.25, "4": 0.25, "6": 0.25}
"""Nodes score .75, the false candidate .25."""


class Cohort:
    """Twelve patients with four nodes each, of which one is not found; three others teach stage two."""

    trained_on = "phantom"

    def __init__(self, seen=()) -> None:
        self.columns = {f"p{seed}": small_column(seed, case=f"p{seed}") for seed in range(15)}
        self.seen = seen

    def cases(self, split):
        names = tuple(self.columns)
        return {"validation": names[:12], "stage two": names[12:]}[split]

    def unseen_part(self, case):
        return self.seen

    def column(self, case):
        return self.columns[case]

    def ct(self, case):
        return None


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Shipped weights, and networks that find what the truth says."""

    def find(network, column, turns):
        found = column.nodes > 0
        if column.case == "p0":
            found &= column.nodes != 4
        found[FALSE] = True
        return np.where(found, np.float32(0.9), np.float32(0))

    def score(checkpoint, sets, tags, **given):
        return [one.scored(np.where(one.truth == 1, 0.75, 0.25)) for one in sets]

    monkeypatch.setattr(shipping, "mean_probability", find)
    monkeypatch.setattr(shipping, "scored_patients", score)
    tagger = SimpleNamespace(tag_lesions=lambda ct, lesions: np.zeros((len(lesions), 171)))
    monkeypatch.setattr(shipping, "Tagger", SimpleNamespace(load=lambda *_, **__: tagger))
    file = tmp_path / "tagger"
    file.write_bytes(b"tagger")
    thresholds = dict.fromkeys(CLASSIFIERS, POINTS) | {
        name: {"0.15": 0.5} for name in ("lf-stratified", "lf-mean")
    }
    networks = {name: untrained(name) for name in (*STAGE_ONE, *CLASSIFIERS)}
    about = {"origin": "phantom", "trained_on": "phantom"}
    write_shipped(tmp_path / "shipped", networks, thresholds, (file, about), "x")
    return tmp_path / "shipped"


def test_curves_of_the_validation_patients_come_into_the_manifest(folder):
    before = json.loads((folder / "manifest.json").read_text())
    assert before["curves"] == {}
    shipping.measure_shipped(Cohort(), PRESETS["demo"], folder)

    after = json.loads((folder / "manifest.json").read_text())
    assert {**after, "curves": {}} == before and sorted(after["curves"]) == CLASSIFIERS
    curve = after["curves"]["tag"]
    # 47 of 48 nodes at any of these points; at .5 false positives the false candidates are out.
    expected = [(float(name), at, pytest.approx(47 / 48)) for name, at in POINTS.items()]
    told = [(one["fp_per_patient"], one["threshold"], one["sensitivity"]) for one in curve["points"]]
    assert [(fp, pytest.approx(at), share) for fp, at, share in expected] == told
    files = {name: after["networks"][name]["sha256"] for name in (*STAGE_ONE, "tag")}
    assert curve["weights"] == files


def test_patients_that_the_shipped_points_do_not_come_from_are_refused(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["thresholds"]["tag"]["3"] = 0.3
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=r"tag has score 0.2500 at 3 .* and 0.3000 was shipped"):
        shipping.measure_shipped(Cohort(), PRESETS["demo"], folder)
    assert json.loads((folder / "manifest.json").read_text())["curves"] == {}


def without(folder, name):
    """The weights as they were before a row came."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for part in ("networks", "thresholds"):
        del manifest[part][name]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / f"{name}.pt").unlink()
    return manifest


def test_a_network_that_is_lacking_is_trained_and_put_beside_the_others(folder):
    before = without(folder, "numbers")
    assert shipping.ship_new(Cohort(), PRESETS["demo"], folder, "as typed") == ["numbers"]

    after = json.loads((folder / "manifest.json").read_text())
    made = after["networks"].pop("numbers")
    assert after["thresholds"].pop("numbers") == POINTS and list(after["curves"]) == ["numbers"]
    assert {**after, "curves": {}} == before
    assert made["metadata"]["command"] == "as typed" and made["trained_on"] == "phantom"
    assert made["metadata"]["train_cases"] == ["p12", "p13", "p14"] and made["metadata"]["nodes"] == 12
    assert load_checkpoint(folder / "numbers.pt").name == "numbers"
    assert sorted(after["curves"]["numbers"]["weights"]) == sorted((*STAGE_ONE, "numbers"))

    kept = (folder / "manifest.json").read_bytes()
    assert shipping.ship_new(Cohort(), PRESETS["demo"], folder, "again") == []
    assert (folder / "manifest.json").read_bytes() == kept


def test_how_long_the_shipped_networks_learned_does_not_matter(folder):
    without(folder, "numbers")
    longer = replace(PRESETS["demo"], iterations=7)
    assert shipping.ship_new(Cohort(), longer, folder, "as typed") == ["numbers"]


def test_weights_of_another_preset_are_not_put_beside_the_shipped_ones(folder):
    without(folder, "numbers")
    with pytest.raises(ValueError, match=r"is of the preset demo .* asked for was standard"):
        shipping.ship_new(Cohort(), PRESETS["standard"], folder, "as typed")
    assert not (folder / "numbers.pt").exists()


def test_patients_that_the_shipped_stage_one_may_have_seen_teach_nothing(folder):
    without(folder, "numbers")
    with pytest.raises(ValueError, match="may have learned from p12"):
        shipping.ship_new(Cohort(seen=("p12",)), PRESETS["demo"], folder, "as typed")
    assert not (folder / "numbers.pt").exists()
