"""The stage-two experiment on a handful of tiny patients, from candidates to report and shipped weights."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from osln import cohort, table_two_jobs, table_two_sets
from osln.candidate_sets import LEFT_OUT
from osln.cohort import Patient
from osln.experiments import PRESETS, SERVED_CLASSIFIERS, SERVED_SEGMENTERS
from osln.networks.lesanet import LesaNet
from osln.table_two import ROWS, Row
from osln.table_two_jobs import (
    CHUNK,
    Plan,
    jobs_of,
    make_sets,
    make_tags,
    measured,
    read_patients,
    row_patients,
    ship,
    tags_path,
    train_row,
)
from osln.table_two_report import write_report
from osln.tagger import Tagger, save_tagger
from osln.weights import ModelStore, write_shipped
from small_candidates import tiny_preset
from small_columns import small_column
from small_store import untrained

SETTING = "lf-stratified"
GLNET, LOCAL, STAGE_ONE = (Row(SETTING, name) for name in ("glnet", "local-ct", None))


class NodesAndNoise:
    """Stands in for a predictor: nodes but the first are found, and six places without a node."""

    def __init__(self, checkpoint, device="cpu", precision=None):
        pass

    def probability(self, column):
        prob = np.where(column.nodes > 1, 0.8, 0.0).astype(np.float32)
        for k in range(6):
            prob[2, 2, 10 * k + 3] = 0.9 - k / 100
        return prob


@pytest.fixture
def plan(tmp_path, monkeypatch) -> Plan:
    """Two patients of each split and a tagger of random weights."""
    monkeypatch.setitem(PRESETS, "tiny", tiny_preset(patch=(8, 8, 8)))
    monkeypatch.setitem(PRESETS, "demo", replace(PRESETS["tiny"], name="demo"))
    monkeypatch.setattr(table_two_sets, "Predictor", NodesAndNoise)
    monkeypatch.setattr(
        cohort, "make_patient", lambda seed, *_: Patient(small_column(seed, case=f"phantom-{seed}"), {}, {})
    )
    models = tmp_path / "model"
    rows = {row: {"0.15": 0.5} for row in table_two_sets.STAGE_ONE_ROWS}
    networks = {name: untrained(name) for name in SERVED_SEGMENTERS}
    write_shipped(models / "shipped", networks, rows, "stage one")
    torch.manual_seed(0)
    tagger = tmp_path / "tagger.safetensors"
    save_tagger(tagger, LesaNet(width=1, embedding=2), {"origin": "phantom", "trained_on": "phantom"})
    sizes = {"stage two": 2, "validation": 2, "test": 2}
    return Plan(str(tmp_path), str(models), str(tagger), sizes, 1, 1, "measure")


def run(plan: Plan, *names: str) -> None:
    jobs = jobs_of(plan)
    for name in names or jobs:
        jobs[name].work(plan, *jobs[name].arguments)


def test_a_job_waits_for_candidates_and_for_tags_if_it_reads_them(plan):
    jobs = jobs_of(plan)
    candidates = tuple(f"candidates {split} 0" for split in ("stage two", "validation", "test"))
    assert jobs["tags lf-stratified test 0"].needed == ("candidates test 0",)
    assert jobs["lf-stratified+local-ct seed 0"].needed == candidates
    assert set(jobs["ct-stratified+tag seed 0"].needed) == {
        *candidates,
        *(f"tags ct-stratified {split} 0" for split in plan.sizes),
    }
    assert len(jobs) == 3 + 9 + 12
    larger = jobs_of(replace(plan, sizes={**plan.sizes, "test": CHUNK + 1}))
    assert f"candidates test {CHUNK}" in larger["lf-stratified+local-ct seed 0"].needed


def test_only_training_patients_get_their_true_nodes_added(plan):
    for split in plan.sizes:
        make_sets(plan, split, 0)
    (train, _), _ = read_patients(plan, STAGE_ONE, "stage two")
    # Three of four nodes and six other places are found; the nodes come behind, the missed one too.
    assert train.n_candidates == 9 and sorted(train.truth[:9]) == [0] * 6 + [1] * 3
    assert train.truth[9:].tolist() == [1] * 4 and LEFT_OUT not in train.truth
    (test, _), tags = read_patients(plan, STAGE_ONE, "test")
    assert len(test.truth) == test.n_candidates == 9 and tags is None
    assert train.case == f"phantom-{cohort.FIRST_SEED['stage two']}"


def test_candidates_are_made_once_and_anew_with_other_weights_of_stage_one(plan, monkeypatch):
    make_sets(plan, "test", 0)
    made = plan.sets.path(SETTING, plan.seeds_of("test")[0]).stat().st_mtime_ns
    monkeypatch.setattr(table_two_sets, "Predictor", None)
    make_sets(plan, "test", 0)
    assert plan.sets.path(SETTING, plan.seeds_of("test")[0]).stat().st_mtime_ns == made
    before = plan.sets.folder
    store = ModelStore(plan.models)
    store.set_thresholds(SETTING, {"0.15": 0.6})
    changed = plan.sets.folder
    store.publish("ct-distal", store.add(untrained("ct-distal", seed=1)).name)
    assert len({before, changed, plan.sets.folder}) == 3


def test_tags_are_those_of_the_tagger_for_every_candidate_and_node(plan):
    make_sets(plan, "stage two", 0)
    make_tags(plan, SETTING, "stage two", 0)
    sets, tags = read_patients(plan, GLNET, "stage two")
    assert [one.shape for one in tags] == [(13, 171)] * 2
    column = plan.sets.cohort.patient(plan.seeds_of("stage two")[1]).column
    grid = column.grid
    tagger = Tagger.load(plan.tagger, precision="f32")
    alone = tagger.tag_lesions(table_two_jobs.Volume(column.ct_hu, grid, grid), sets[1].lesions[4:5])
    assert tags[1][4] == pytest.approx(alone[0], abs=1e-3)
    path = tags_path(plan, SETTING, plan.seeds_of("stage two")[0])
    made = path.stat().st_mtime_ns
    make_tags(plan, SETTING, "stage two", 0)
    assert path.stat().st_mtime_ns == made


def test_the_whole_experiment_ends_in_a_report_and_shipped_weights(plan, tmp_path):
    run(plan)
    found = measured(plan)
    assert set(found.test) == set(ROWS) == set(found.validation) and len(found.trainings) == 12
    lf = found.candidates[SETTING]["test"]
    assert (lf["nodes"], lf["candidates"], lf["false"], lf["ceiling"]) == (4, 9, 6, 0.75)
    assert found.trainings["lf-stratified+glnet seed 0"]["tagger"]["sha256"] == Tagger.checksum(plan.tagger)
    assert found.trainings["lf-stratified+local-ct seed 0"]["candidates"] == 26
    for row in ROWS:
        (patients,) = found.test[row]
        assert [one.n_nodes for one in patients] == [4, 4] and [one.hits.sum() for one in patients] == [3, 3]
    write_report(found, tmp_path / "stage-two.md")
    assert "0.750 of the nodes are hit by a candidate" in (tmp_path / "stage-two.md").read_text()

    # Nothing is done again.
    stamps = {path: path.stat().st_mtime_ns for path in Path(plan.work).rglob("*seed0*")}
    assert len(stamps) == 24
    run(plan)
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps

    shipped = Path(plan.models) / "shipped"
    ship(plan, str(shipped))
    store = ModelStore(plan.models)
    for name in SERVED_CLASSIFIERS:
        assert store.load(name).trained_on == "phantom"
        points = store.thresholds(name)
        assert set(points) == {"0.5", "1", "2", "3", "4", "6"} and points["0.5"] >= points["6"]
    content = json.loads((shipped / "manifest.json").read_text())
    assert (
        content["tagger"]["sha256"]
        == Tagger.checksum(plan.tagger)
        == Tagger.checksum(shipped / content["tagger"]["file"])
    )
    assert content["stage_two_command"] == "measure" and content["command"] == "stage one"


def test_the_scores_of_a_row_are_those_of_its_classifier(plan):
    run(plan, *(f"candidates {split} 0" for split in plan.sizes))
    train_row(plan, LOCAL, 0)
    patients = row_patients(plan, LOCAL, 0, "test")
    stored = json.loads((plan.folder(LOCAL) / "seed0.json").read_text())["test"]
    assert sorted(patients[0].scores) == pytest.approx(sorted(stored[0]))
    plain = row_patients(plan, STAGE_ONE, 0, "test")
    assert sorted(plain[0].scores) == pytest.approx([0.8] * 3 + [0.9 - k / 100 for k in range(5, -1, -1)])
    with pytest.raises(ValueError, match=r"lf-stratified\+nothing has nothing to train"):
        train_row(plan, STAGE_ONE, 0)


def test_another_tagger_is_another_training_only_where_tags_are_read(plan, tmp_path):
    other = tmp_path / "other.safetensors"
    torch.manual_seed(1)
    save_tagger(other, LesaNet(width=1, embedding=2), {"origin": "phantom", "trained_on": "phantom"})
    changed = replace(plan, tagger=str(other))
    assert changed.folder(LOCAL) == plan.folder(LOCAL) and changed.folder(GLNET) != plan.folder(GLNET)
    assert replace(plan, epochs=2).folder(LOCAL) != plan.folder(LOCAL)


def test_the_joint_score_is_the_sum_of_the_log_odds():
    odds = table_two_jobs._logit(np.array([0.5, 0.75, 0.0, 1.0]))
    assert odds[:2] == pytest.approx([0.0, np.log(3)])
    assert np.isfinite(odds).all() and odds[2] == pytest.approx(-odds[3])
