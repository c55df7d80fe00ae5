"""A row is the trainings that its maps come from, whoever is asked for."""

import pytest

from osln.reproduction.plan import Network
from osln.rows.experiments import ROWS
from osln.rows.lines import candidate_row
from small.cohort import TinyCohort, make_plan

CT, LF = ROWS["ct"], ROWS["lf-stratified"]


@pytest.fixture
def plan(tmp_path):
    return make_plan(tmp_path)


def test_a_row_is_the_trainings_of_its_networks(plan):
    assert plan.networks(CT, 1) == [Network("ct", 1, 1)]
    assert plan.networks(ROWS["ct"].changed(length=2), 0) == [Network("ct", 2, 0)]
    # The second of two CT networks is the first of the next seed.
    assert plan.networks(ROWS["ct"].changed(copies=2), 0) == [*plan.networks(CT, 0), *plan.networks(CT, 1)]
    glnet = candidate_row("lf-stratified", "glnet")
    assert {network.segmenter for network in plan.networks(glnet, 0)} == {
        "ct-proximal", "ct-distal", "ef-proximal", "ef-distal"
    }  # fmt: skip


def test_a_patient_of_stage_two_is_asked_of_networks_that_have_not_seen_it(tmp_path):
    plan = make_plan(tmp_path, cohort=TinyCohort(tmp_path, folds=True))
    asked = plan.networks(LF, 0, "train-1")
    assert {network.left_out for network in asked} == {("train-0", "train-1")}
    # Patients that are evaluated are asked of the networks of all training patients.
    assert plan.networks(LF, 0, "test-0") == plan.networks(LF, 0)


def test_a_training_is_named_by_its_length_seed_and_the_patients_it_does_not_see():
    assert Network("ct", 1, 0).name == "network ct seed 0"
    assert Network("ef", 2, 1, ("a", "b")).name == "network ef x2 seed 1 without a and others"
