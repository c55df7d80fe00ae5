"""What is kept has the name of all that it depends on, and of nothing else."""

from dataclasses import replace
from pathlib import Path

import pytest

from osln.reproduction.plan import Network
from osln.rows.lines import Row, candidate_row
from small.cohort import TinyCohort, make_plan

CT, LF = Row("ct"), Row("lf-stratified")
GLNET, LOCAL = candidate_row("lf-stratified", "glnet"), candidate_row("lf-stratified", "local-ct")


@pytest.fixture
def plan(tmp_path):
    return make_plan(tmp_path)


def test_a_row_is_the_trainings_of_its_networks(plan):
    assert plan.networks(CT, 1) == [Network("ct", 1, 1)]
    assert plan.networks(Row("ct", length=2), 0) == [Network("ct", 2, 0)]
    # The second of two CT networks is the first of the next seed.
    assert plan.networks(Row("ct", copies=2), 0) == [*plan.networks(CT, 0), *plan.networks(CT, 1)]
    assert {network.segmenter for network in plan.networks(GLNET, 0)} == {
        "ct-proximal", "ct-distal", "ef-proximal", "ef-distal"
    }  # fmt: skip
    assert plan.steps(Network("ct", 2, 0)) == 2 * plan.preset.iterations


def test_a_network_depends_on_recipe_seed_and_training_patients_alone(plan, tmp_path):
    network = Network("ct", 1, 0)
    same = [
        replace(plan, tables=("2",), seeds=3, tagger=Path("other")),
        replace(plan, cohort=TinyCohort(tmp_path, {**plan.cohort.sizes, "test": 9, "stage two": 9})),
        replace(plan, preset=replace(plan.preset, stage_two=replace(plan.preset.stage_two, epochs=9))),
    ]
    assert {other.network_folder(network) for other in same} == {plan.network_folder(network)}
    others = [
        replace(plan, preset=replace(plan.preset, iterations=7)).network_folder(network),
        replace(plan, cohort=TinyCohort(tmp_path, {**plan.cohort.sizes, "train": 9})).network_folder(network),
        replace(plan, cohort=TinyCohort(tmp_path, nodes=3)).network_folder(network),
        plan.network_folder(replace(network, seed=1)),
        plan.network_folder(replace(network, segmenter="ef")),
        plan.network_folder(replace(network, left_out=("train-0",))),
    ]
    assert len({plan.network_folder(network), *others}) == 1 + len(others)


def test_the_candidates_of_a_patient_depend_on_the_networks_and_the_patients_that_set_the_threshold(plan):
    case = plan.cohort.cases("test")[0]
    path = plan.candidates_path(GLNET, 0, case)
    assert (
        path
        == plan.candidates_path(LOCAL, 0, case)
        == plan.candidates_path(replace(GLNET, joint=True), 0, case)
    )
    fewer = replace(plan, cohort=replace(plan.cohort, sizes={**plan.cohort.sizes, "validation": 1}))
    assert len({path, plan.candidates_path(GLNET, 1, case), fewer.candidates_path(GLNET, 0, case)}) == 3


def test_another_tagger_is_another_classifier_only_where_tags_are_read(plan, tmp_path):
    other = tmp_path / "other.safetensors"
    other.write_bytes(b"another tagger")
    changed = replace(plan, tagger=other)
    assert changed.row_folder(LOCAL, 0) == plan.row_folder(LOCAL, 0)
    assert changed.row_folder(GLNET, 0) != plan.row_folder(GLNET, 0)
    case = plan.cohort.cases("test")[0]
    assert changed.tags_path(GLNET, 0, case) != plan.tags_path(GLNET, 0, case)


def test_more_patients_of_stage_two_or_more_passes_are_another_classifier(plan):
    sizes = {**plan.cohort.sizes, "stage two": 9}
    more = replace(plan, cohort=replace(plan.cohort, sizes=sizes))
    longer = replace(plan, preset=replace(plan.preset, stage_two=replace(plan.preset.stage_two, epochs=9)))
    assert len({one.row_folder(LOCAL, 0) for one in (plan, more, longer)}) == 3
    assert longer.network_folder(Network("ct", 1, 0)) == plan.network_folder(Network("ct", 1, 0))


def test_a_cohort_that_teaches_both_stages_asks_networks_that_have_not_seen_the_patient(tmp_path):
    plan = make_plan(tmp_path, cohort=TinyCohort(tmp_path, folds=True))
    asked = plan.unseen(LF, 0, "train-1")
    assert {network.left_out for network in asked} == {("train-0", "train-1")}
    assert plan.learned_cases(asked[0]) == ["train-2", "train-3"]
    # Patients that are evaluated are asked of the networks of all training patients.
    assert plan.unseen(LF, 0, "test-0") == plan.networks(LF, 0)
    paths = {plan.candidates_path(LF, 0, case).parent for case in ("train-0", "train-1", "train-2", "test-0")}
    assert len(paths) == 3
