"""Every row of the tables has its jobs, and what rows share is made once."""

import pytest

from osln.reproduction.end_to_end import detect_nodes, train_end_to_end
from osln.reproduction.graph import CHUNK, jobs_of, rows_without
from osln.reproduction.stage_one import count_row, make_maps, prepare_cases, train_network
from osln.reproduction.stage_two import make_candidates, make_tags, score_row, train_row
from osln.rows.lines import Row, candidate_row
from osln.rows.paper import TABLES, rows_of
from small.cohort import SPLITS, TinyCohort, make_plan


def by_work(jobs, work):
    return {name: job for name, job in jobs.items() if job.work is work}


@pytest.fixture
def everything(tmp_path):
    return make_plan(tmp_path, tuple(TABLES))


def test_every_row_ends_in_its_files_and_no_file_is_made_twice(everything):
    jobs = jobs_of(everything)
    made = [path for job in jobs.values() for path in job.targets]
    assert len(made) == len(set(made))
    for row in rows_of(TABLES):
        if row.stage_one:
            assert everything.counts_path(row, 0) in made
        if row.detector:
            assert {everything.detector_path(row, 0), everything.found_path(row, 0)} <= set(made)
        if row.classifier:
            assert {everything.classifier_path(row, 0), everything.scores_path(row, 0)} <= set(made)
    assert all(needed in jobs for job in jobs.values() for needed in job.needed)


def test_tables_share_what_they_have_in_common(tmp_path):
    alone = {name: set(jobs_of(make_plan(tmp_path, (name,)))) for name in ("1a", "1b", "2")}
    together = set(jobs_of(make_plan(tmp_path, ("1a", "1b", "2"))))
    assert together == set.union(*alone.values())
    shared = alone["1a"] & alone["1b"]
    assert {"network ct seed 0", "network ef seed 0", "counts of ct seed 0"} <= shared


def test_table_1b_trains_six_networks_and_its_controls_three_more(tmp_path):
    jobs = jobs_of(make_plan(tmp_path))
    trained = by_work(jobs, train_network)
    assert len(trained) == 6 + 3 and "network ct seed 1" in trained and "network ef x2 seed 0" in trained
    assert not by_work(jobs, make_candidates) and not by_work(jobs, train_row)
    # Nobody prepares patients of stage two for a table without a second stage.
    assert sum(len(job.targets) for job in by_work(jobs, prepare_cases).values()) == 4 + 2 + 3
    assert trained["network ct x2 seed 0"].cost == 2 * trained["network ct seed 0"].cost


def test_a_second_seed_trains_everything_again_but_what_the_first_has(tmp_path):
    one, two = (set(by_work(jobs_of(make_plan(tmp_path, seeds=n)), train_network)) for n in (1, 2))
    assert one < two and len(two) == 2 * 6 + 2 * 2 + 1


def test_a_job_waits_for_all_that_it_reads(tmp_path):
    jobs = jobs_of(make_plan(tmp_path, ("2",)))
    classifier = jobs["classifier lf-stratified+glnet seed 0"]
    kinds = {jobs[name].work for name in classifier.needed}
    assert kinds == {make_candidates, make_tags}
    # The patch alone needs no tags.
    assert {jobs[name].work for name in jobs["classifier lf-stratified+local-ct seed 0"].needed} == {
        make_candidates
    }
    scores = jobs["scores of lf-stratified+glnet seed 0"]
    assert scores.work is score_row and "classifier lf-stratified+glnet seed 0" in scores.needed
    counts = jobs["counts of lf-stratified seed 0"]
    assert counts.work is count_row and {jobs[name].work for name in counts.needed} == {make_maps}
    assert len(counts.needed) == 4


def test_networks_and_classifiers_use_a_gpu_and_counting_does_not(everything):
    on_gpu = {job.work for job in jobs_of(everything).values() if job.uses_network}
    on_cpu = {job.work for job in jobs_of(everything).values() if not job.uses_network}
    assert {
        train_network,
        make_maps,
        train_row,
        score_row,
        make_tags,
        train_end_to_end,
        detect_nodes,
    } == on_gpu
    assert {prepare_cases, count_row, make_candidates} == on_cpu


def test_a_failed_job_costs_the_rows_that_need_it_and_no_other(everything):
    assert rows_without(everything, {}) == {}
    missing = rows_without(everything, {"network ct-hrnet seed 0": ValueError("too few patients")})
    assert missing == {Row("ct-hrnet"): "network ct-hrnet seed 0: too few patients"}
    missing = rows_without(everything, {"network ct-distal seed 0": ValueError("no")})
    assert Row("ct-stratified") in missing and candidate_row("lf-stratified", "glnet") in missing
    assert Row("ct") not in missing and candidate_row("ef-stratified", "glnet") not in missing


def test_a_cohort_that_teaches_both_stages_trains_networks_without_each_fold(tmp_path):
    plan = make_plan(tmp_path, ("2",), cohort=TinyCohort(tmp_path, folds=True))
    jobs = jobs_of(plan)
    trained = by_work(jobs, train_network)
    left_out = {job.arguments[1].left_out for job in trained.values()}
    assert left_out == {(), ("train-0", "train-1"), ("train-2", "train-3")} and len(trained) == 3 * 4
    maps = [job for job in by_work(jobs, make_maps).values() if job.arguments[1].left_out]
    assert all(set(job.arguments[2]) <= set(job.arguments[1].left_out) for job in maps) and len(maps) == 8
    # The training patients are prepared once.
    prepared = [path for job in by_work(jobs, prepare_cases).values() for path in job.targets]
    assert len(prepared) == len(set(prepared)) == 4 + 2 + 3


def test_turned_views_have_maps_and_candidates_of_their_own_and_the_trainings_of_the_row_without(tmp_path):
    plan = make_plan(tmp_path, ("beyond",))
    jobs = jobs_of(plan)
    scores = jobs["scores of lf-turned+glnet seed 0"]
    assert "classifier lf-stratified+glnet seed 0" in scores.needed
    assert not [name for name in jobs if name.startswith("classifier lf-turned")]
    counts = jobs["counts of lf-turned seed 0"]
    assert {jobs[name].arguments[3] for name in counts.needed} == {4}
    assert {jobs[name].needed[0] for name in counts.needed} == {
        jobs[name].needed[0] for name in jobs["counts of lf-stratified seed 0"].needed
    }
    # Nobody learns from turned candidates.
    assert not [name for name in jobs if name.startswith("candidates of lf-turned") and "stage-two" in name]


def test_many_patients_are_many_jobs(tmp_path):
    sizes = {**SPLITS, "test": CHUNK + 1}
    jobs = jobs_of(make_plan(tmp_path, ("2",), cohort=TinyCohort(tmp_path, sizes)))
    assert f"candidates of lf-stratified seed 0 from test-{CHUNK}" in jobs
