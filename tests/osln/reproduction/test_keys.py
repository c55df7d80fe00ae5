"""What is kept has the name of all that it depends on, and of nothing else."""

from dataclasses import replace
from pathlib import Path

import pytest

from osln.reproduction.artifacts import Artifacts, files
from osln.reproduction.plan import Network
from osln.rows.lines import candidate_row, detector_row
from small.cohort import TinyCohort, make_plan

GLNET, LOCAL = candidate_row("lf-stratified", "glnet"), candidate_row("lf-stratified", "local-ct")
NETWORK = Network("ct", 1, 0)


@pytest.fixture
def plan(tmp_path):
    return make_plan(tmp_path)


def weights(plan, network=NETWORK) -> Path:
    return Artifacts(plan).training(network).path


def classifier(plan, row) -> Path:
    return Artifacts(plan).classifier(row, 0).path


def candidates(plan, row, seed=0, split="test") -> tuple[Path, ...]:
    return files(Artifacts(plan).candidates(row, seed, split))


def test_a_network_depends_on_recipe_seed_and_training_patients_alone(plan, tmp_path):
    same = [
        replace(plan, tables=("2",), seeds=3, tagger=Path("other")),
        replace(plan, cohort=TinyCohort(tmp_path, {**plan.cohort.sizes, "test": 9, "stage two": 9})),
        replace(plan, preset=replace(plan.preset, stage_two=replace(plan.preset.stage_two, epochs=9))),
    ]
    assert {weights(other) for other in same} == {weights(plan)}
    others = [
        weights(replace(plan, preset=replace(plan.preset, iterations=7))),
        weights(replace(plan, cohort=TinyCohort(tmp_path, {**plan.cohort.sizes, "train": 9}))),
        weights(replace(plan, cohort=TinyCohort(tmp_path, nodes=3))),
        weights(plan, replace(NETWORK, seed=1)),
        weights(plan, replace(NETWORK, segmenter="ef")),
        weights(plan, replace(NETWORK, left_out=("train-0",))),
    ]
    assert len({weights(plan), *others}) == 1 + len(others)


def test_a_network_that_learns_every_node_is_taught_patients_with_every_node(plan, monkeypatch):
    artifacts = Artifacts(plan)
    every = artifacts.training(replace(NETWORK, segmenter="gated-soft-nodes"))
    plain = artifacts.training(replace(NETWORK, segmenter="gated-soft"))
    folders = [{path.parent.name for need in one.needs for path in need.paths} for one in (every, plain)]
    assert folders == [{"columns-every-node"}, {"columns"}]
    # Patients of whom no other nodes are known are prepared once.
    monkeypatch.setattr(TinyCohort, "taught", lambda self, every_node: self)
    artifacts = Artifacts(plan)
    needs = [
        artifacts.training(replace(NETWORK, segmenter=f"gated-{name}")).needs
        for name in ("soft-nodes", "soft")
    ]
    assert needs[0] == needs[1]


def test_what_an_earlier_run_has_kept_is_found(tmp_path, monkeypatch):
    # Names that the first runs gave to trainings: with others everything would be trained again.
    monkeypatch.setattr("osln.reproduction.artifacts.code_key", lambda parts: "code")
    artifacts = Artifacts(replace(make_plan(tmp_path), work=tmp_path))
    found = [
        artifacts.training(NETWORK).path,
        artifacts.map_path(NETWORK, "test-0", 4),
        artifacts.candidates(LOCAL, 0, "test")[0].paths[0],
        artifacts.scores(LOCAL, 0).path,
        artifacts.training(Network("gated-soft", 1, 0)).path,
        artifacts.classifier(candidate_row("lf-stratified", "local-context"), 0).path,
        artifacts.detector(detector_row("mulan-ct"), 0).path,
    ]
    assert [str(path.relative_to(tmp_path)) for path in found] == [
        "networks/ct-x1-seed0-7091da93247e/weights.pt",
        "networks/ct-x1-seed0-7091da93247e/maps-of-4-turns-code/test-0-79e3e185.npz",
        "settings/lf-stratified-seed0-094c160e9300/candidates-edc02634eb72-code/test-0-79e3e185.npz",
        "classifiers/lf-stratified+local-ct-seed0-245f469de225/scores-lf-stratified-seed0-094c160e9300-code.json",
        "networks/gated-soft-x1-seed0-509f193e59f7/weights.pt",
        "classifiers/lf-stratified+local-context-seed0-665a7628b456/weights.pt",
        "detectors/mulan-ct-seed0-fb130e5ddf55/weights.pt",
    ]


def test_other_code_makes_anew_what_is_no_training(plan, monkeypatch):
    def named() -> tuple[list[Path], list[Path]]:
        artifacts = Artifacts(plan)
        trained = [artifacts.training(NETWORK), artifacts.classifier(GLNET, 0)]
        trained.append(artifacts.detector(detector_row("mulan-ct"), 0))
        made = [artifacts.map_path(NETWORK, "test-0"), artifacts.counts(GLNET, 0).path]
        made += [*candidates(plan, GLNET), *files(artifacts.tags(GLNET, 0, "test"))]
        made += [artifacts.scores(GLNET, 0).path, artifacts.findings(detector_row("mulan-ct"), 0).path]
        return [one.path for one in trained], made

    trained, made = named()
    monkeypatch.setattr("osln.reproduction.artifacts.code_key", lambda parts: "another")
    assert named()[0] == trained and not set(named()[1]) & set(made)


def test_what_is_handed_over_at_another_precision_is_kept_beside_with_the_same_counts(plan):
    more = replace(LOCAL, handed_at="0.10")
    assert set(candidates(plan, more)).isdisjoint(candidates(plan, LOCAL))
    assert Artifacts(plan).counts(more, 0).path == Artifacts(plan).counts(LOCAL, 0).path
    assert more.key == "lf-stratified-at-0.10+local-ct" != LOCAL.key


def test_the_candidates_of_a_patient_depend_on_the_networks_and_the_patients_that_set_the_threshold(plan):
    paths = candidates(plan, GLNET)
    assert len(paths) == 3
    assert paths == candidates(plan, LOCAL) == candidates(plan, replace(GLNET, joint=True))
    fewer = replace(plan, cohort=replace(plan.cohort, sizes={**plan.cohort.sizes, "validation": 1}))
    assert len({paths, candidates(plan, GLNET, seed=1), candidates(fewer, GLNET)}) == 3


def test_candidates_of_different_folds_lie_in_different_folders(tmp_path):
    plan = make_plan(tmp_path, cohort=TinyCohort(tmp_path, folds=True))
    taught = {path.parent for path in candidates(plan, GLNET, split="stage two")}
    assert len(taught) == 2 and not taught & {path.parent for path in candidates(plan, GLNET)}


def test_another_tagger_is_another_classifier_only_where_tags_are_read(plan, tmp_path):
    other = tmp_path / "other.safetensors"
    other.write_bytes(b"another tagger")
    changed = replace(plan, tagger=other)
    assert classifier(changed, LOCAL) == classifier(plan, LOCAL)
    assert classifier(changed, GLNET) != classifier(plan, GLNET)
    before, after = (files(Artifacts(one).tags(GLNET, 0, "test")) for one in (plan, changed))
    assert len(before) == 3 and not set(before) & set(after)


def test_more_patients_of_stage_two_or_more_passes_are_another_classifier(plan):
    sizes = {**plan.cohort.sizes, "stage two": 9}
    more = replace(plan, cohort=replace(plan.cohort, sizes=sizes))
    longer = replace(plan, preset=replace(plan.preset, stage_two=replace(plan.preset.stage_two, epochs=9)))
    assert len({classifier(one, LOCAL) for one in (plan, more, longer)}) == 3
    assert weights(longer) == weights(plan)
