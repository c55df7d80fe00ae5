"""What weights were shipped without: operating curves, and networks of rows that came later."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from osln.reproduction import shipping
from osln.reproduction.plan import Plan
from osln.rows.experiments import HANDED, PRESETS, ROWS, SERVED_SEGMENTERS
from osln.weights.checkpoint import load_checkpoint, save_checkpoint
from osln.weights.shipped import withdraw, write_shipped
from small.columns import small_column
from small.store import untrained

CLASSIFIERS = sorted({row.classifier for row in ROWS.values() if row.served and row.classifier})
STAGE_ONE = ("ct-proximal", "ef-proximal", "ct-distal", "ef-distal")
POINTS_OF = {row.stage_one for row in ROWS.values() if set(row.segmenters) <= set(SERVED_SEGMENTERS)}
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
    thresholds = dict.fromkeys(CLASSIFIERS, POINTS) | {name: {"0.15": 0.5} for name in POINTS_OF}
    networks = {name: untrained(name) for name in (*SERVED_SEGMENTERS, *CLASSIFIERS)}
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


def ship_new(folder, *, seen=(), preset=PRESETS["demo"], command="as typed"):
    """What the command does, without an engine of its own."""
    work, tagger = folder.parent / "work", folder.parent / "tagger"
    plan = Plan(work, Cohort(seen), preset, ("served",), 1, tagger, command)
    return shipping.ship_new(plan, folder, "engine")


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
    assert ship_new(folder) == ["numbers"]

    after = json.loads((folder / "manifest.json").read_text())
    made = after["networks"].pop("numbers")
    assert after["thresholds"].pop("numbers") == POINTS and list(after["curves"]) == ["numbers"]
    assert {**after, "curves": {}} == before
    assert made["metadata"]["command"] == "as typed" and made["trained_on"] == "phantom"
    assert made["metadata"]["train_cases"] == ["p12", "p13", "p14"] and made["metadata"]["nodes"] == 12
    assert load_checkpoint(folder / "numbers.pt").name == "numbers"
    asked = ROWS["osln-numbers"].segmenters
    assert sorted(after["curves"]["numbers"]["weights"]) == sorted((*asked, "numbers"))

    kept = (folder / "manifest.json").read_bytes()
    assert ship_new(folder, command="again") == []
    assert (folder / "manifest.json").read_bytes() == kept


def test_a_network_that_learned_from_what_its_row_is_not_handed_any_more_is_trained_anew(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    for name, handed in {"numbers": "lf-mean", "tag": "lf-stratified"}.items():
        manifest["networks"][name]["metadata"][HANDED] = handed
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert ship_new(folder) == ["numbers"]
    made = json.loads((folder / "manifest.json").read_text())["networks"]["numbers"]["metadata"]
    assert made[HANDED] == ROWS["osln-numbers"].setting.key != "lf-mean"


def test_a_network_of_stage_one_that_is_lacking_is_trained_as_in_a_run_of_the_tables(
    folder, tmp_path, monkeypatch
):
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["networks"]["gated-soft"], manifest["thresholds"]["gated-mean"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "gated-soft.pt").unlink()
    trained = []

    def training(artifacts, network):
        path = tmp_path / f"{network.segmenter}.pt"
        return SimpleNamespace(path=path, network=network)

    def make_all(work, wanted, engine):
        for one in wanted:
            trained.append((one.network.segmenter, one.network.length, one.network.seed, engine))
            save_checkpoint(one.path, untrained(one.network.segmenter))
        return {}

    def measured(networks, columns, number_format):
        assert set(networks) == set(SERVED_SEGMENTERS) and (len(columns), number_format) == (12, "f32")
        return {name: ({"0.15": 0.7}, 12) for name in POINTS_OF}

    monkeypatch.setattr(shipping.Artifacts, "training", training)
    monkeypatch.setattr(shipping, "make_all", make_all)
    monkeypatch.setattr(shipping, "operating_points", measured)
    assert ship_new(folder) == ["gated-soft"]

    assert trained == [("gated-soft", 1, 0, "engine")]
    after = json.loads((folder / "manifest.json").read_text())
    made = after["networks"].pop("gated-soft")
    assert (
        made["metadata"]["command"] == "as typed"
        and load_checkpoint(folder / "gated-soft.pt").name == "gated-soft"
    )
    # The points of other rows stay those that stage two was handed its candidates at.
    assert after["thresholds"].pop("gated-mean") == {"0.15": 0.7}
    assert after == {**manifest, "curves": after["curves"]}


def test_what_no_row_asks_any_more_is_taken_away(folder):
    before = json.loads((folder / "manifest.json").read_text())
    more = json.loads(json.dumps(before))
    more["networks"]["ef-2"] = {**before["networks"]["ef"], "file": "ef-2.pt"}
    more["thresholds"]["lf-3ef-mean"] = {"0.15": 0.7}
    (folder / "manifest.json").write_text(json.dumps(more))
    (folder / "ef-2.pt").write_bytes(b"of a network that there was")
    assert ship_new(folder) == []

    assert json.loads((folder / "manifest.json").read_text()) == before
    assert not (folder / "ef-2.pt").exists() and (folder / "ef.pt").is_file()


def test_what_was_measured_with_a_network_goes_with_it(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    points = {"gated-mean", "gated-soft", "lf-gated-soft", "set-glnet", "numbers"}
    assert points <= manifest["thresholds"].keys()
    manifest["curves"] = {"set-glnet": {"weights": {}, "points": []}, "glnet": {"weights": {}, "points": []}}
    manifest["fusions"] = {"lf-learned": {"weights": {}, "zones": {}}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    withdraw(folder, set(manifest["networks"]) - {"gated-soft"})

    after = json.loads((folder / "manifest.json").read_text())
    assert set(manifest["thresholds"]) - set(after["thresholds"]) == points
    assert list(after["curves"]) == ["glnet"] and list(after["fusions"]) == ["lf-learned"]
    assert not (folder / "gated-soft.pt").exists()


def test_a_training_that_failed_ships_nothing(folder, monkeypatch):
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["networks"]["gated-hard"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    monkeypatch.setattr(shipping.Artifacts, "training", lambda *_: None)
    monkeypatch.setattr(shipping, "make_all", lambda *_: {"network gated-hard seed 0": ValueError("no room")})
    with pytest.raises(ValueError, match=r"gated-hard seed 0 failed \(no room\): .* it goes on"):
        ship_new(folder)
    assert json.loads((folder / "manifest.json").read_text()) == manifest


def test_how_long_the_shipped_networks_learned_does_not_matter(folder):
    without(folder, "numbers")
    longer = replace(PRESETS["demo"], iterations=7)
    assert ship_new(folder, preset=longer) == ["numbers"]


def test_weights_of_another_preset_are_not_put_beside_the_shipped_ones(folder):
    without(folder, "numbers")
    with pytest.raises(ValueError, match=r"is of the preset demo .* asked for was standard"):
        ship_new(folder, preset=PRESETS["standard"])
    assert not (folder / "numbers.pt").exists()


def test_patients_that_the_shipped_stage_one_may_have_seen_teach_nothing(folder):
    without(folder, "numbers")
    with pytest.raises(ValueError, match="may have learned from p12"):
        ship_new(folder, seen=("p12",))
    assert not (folder / "numbers.pt").exists()
