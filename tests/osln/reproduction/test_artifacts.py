"""Every row of the tables has its artifacts, and what rows share is made once."""

import pytest

from osln.jobs.artifact import with_needs
from osln.reproduction.artifacts import CHUNK, Artifacts
from osln.reproduction.end_to_end import detect_nodes, train_end_to_end
from osln.reproduction.kept_training import keep_training
from osln.reproduction.stage_one import count_nodes, make_maps, prepare_cases, train_network
from osln.reproduction.stage_two import (
    make_candidates,
    make_overlaps,
    make_tags,
    score_candidates,
    train_on_candidates,
)
from osln.rows.experiments import ROWS
from osln.rows.lines import candidate_row
from osln.rows.paper import TABLES, rows_of
from small.cohort import SPLITS, TinyCohort, make_plan


def everything_of(plan):
    return with_needs(Artifacts(plan).all())


def work_of(one):
    return one.make.args[-1].func if one.make.func is keep_training else one.make.func


def made_by(artifacts, work):
    return {name: one for name, one in artifacts.items() if work_of(one) is work}


def works(artifacts):
    return {work_of(one) for one in artifacts}


@pytest.fixture
def everything(tmp_path):
    return Artifacts(make_plan(tmp_path, tuple(TABLES)))


def test_every_row_ends_in_its_files_and_no_file_is_made_twice(everything):
    listed = with_needs(everything.all())
    made = [path for one in listed.values() for path in one.paths]
    assert len(made) == len(set(made))
    for row in rows_of(TABLES):
        if row.segmenters:
            assert everything.counts(row, 0).path in made
        if row.detector:
            assert {everything.detector(row, 0).path, everything.findings(row, 0).path} <= set(made)
        if row.classifier:
            assert {everything.classifier(row, 0).path, everything.scores(row, 0).path} <= set(made)
    # The same thing is the same object, whoever needs it, and stands behind all that it needs.
    names = list(listed)
    for one in listed.values():
        assert all(listed[needed.name] is needed for needed in one.needs)
        assert all(names.index(needed.name) < names.index(one.name) for needed in one.needs)


def test_tables_share_what_they_have_in_common(tmp_path):
    alone = {name: set(everything_of(make_plan(tmp_path, (name,)))) for name in ("1a", "1b", "2")}
    together = set(everything_of(make_plan(tmp_path, ("1a", "1b", "2"))))
    assert together == set.union(*alone.values())
    shared = alone["1a"] & alone["1b"]
    assert {"network ct seed 0", "network ef seed 0", "counts of ct seed 0"} <= shared


def test_table_1b_trains_six_networks_and_its_controls_three_more(tmp_path):
    listed = everything_of(make_plan(tmp_path))
    trained = made_by(listed, train_network)
    assert len(trained) == 6 + 3 and "network ct seed 1" in trained and "network ef x2 seed 0" in trained
    assert not made_by(listed, make_candidates) and not made_by(listed, train_on_candidates)
    # Nobody prepares patients of stage two for a table without a second stage.
    assert sum(len(one.paths) for one in made_by(listed, prepare_cases).values()) == 4 + 2 + 3
    assert trained["network ct x2 seed 0"].cost == 2 * trained["network ct seed 0"].cost


def test_a_second_seed_trains_everything_again_but_what_the_first_has(tmp_path):
    one, two = (set(made_by(everything_of(make_plan(tmp_path, seeds=n)), train_network)) for n in (1, 2))
    # The maximum of two trainings has two of its own with each seed: the second one those of seeds 2 and 3.
    assert one < two and len(two) == 2 * 6 + 2 * 2 + 2


def test_an_artifact_needs_all_that_it_is_made_from(tmp_path):
    listed = everything_of(make_plan(tmp_path, ("2",)))
    classifier = listed["classifier lf-stratified+glnet seed 0"]
    assert works(classifier.needs) == {make_candidates, make_tags}
    # The patch alone needs no tags.
    assert works(listed["classifier lf-stratified+local-ct seed 0"].needs) == {make_candidates}
    scores = listed["scores of lf-stratified+glnet seed 0"]
    assert scores.make.func is score_candidates and classifier in scores.needs
    counts = listed["counts of lf-stratified seed 0"]
    assert counts.make.func is count_nodes and works(counts.needs) == {make_maps}
    assert len(counts.needs) == 4


def test_networks_and_classifiers_use_a_gpu_and_counting_does_not(everything):
    listed = with_needs(everything.all()).values()
    assert works(one for one in listed if one.uses_network) == {
        train_network,
        make_maps,
        train_on_candidates,
        score_candidates,
        make_tags,
        train_end_to_end,
        detect_nodes,
    }
    assert works(one for one in listed if not one.uses_network) == {
        prepare_cases,
        count_nodes,
        make_candidates,
        make_overlaps,
    }


def test_what_failed_costs_the_rows_that_need_it_and_no_other(everything):
    assert everything.rows_without({}) == {}
    missing = everything.rows_without({"network ct-hrnet seed 0": ValueError("too few patients")})
    assert missing == {ROWS["ct-hrnet"]: "network ct-hrnet seed 0: too few patients"}
    missing = everything.rows_without({"network ct-distal seed 0": ValueError("no")})
    assert ROWS["ct-stratified"] in missing and candidate_row("lf-stratified", "glnet") in missing
    assert ROWS["ct"] not in missing and candidate_row("ef-stratified", "glnet") not in missing


def test_a_cohort_that_teaches_both_stages_trains_networks_without_each_fold(tmp_path):
    listed = everything_of(make_plan(tmp_path, ("2",), cohort=TinyCohort(tmp_path, folds=True)))
    trained = made_by(listed, train_network)
    parts = {name.partition(" without ")[2] for name in trained}
    assert parts == {"", "train-0 and others", "train-2 and others"} and len(trained) == 3 * 4
    maps = [one for name, one in made_by(listed, make_maps).items() if " without " in name]
    assert len(maps) == 8
    for one in maps:
        asked = {path.name[: len("train-0")] for path in one.paths}
        unseen = {"train-0", "train-1"} if " without train-0" in one.name else {"train-2", "train-3"}
        assert asked == unseen
    # The training patients are prepared once.
    prepared = [path for one in made_by(listed, prepare_cases).values() for path in one.paths]
    assert len(prepared) == len(set(prepared)) == 4 + 2 + 3


def test_turned_views_have_maps_and_candidates_of_their_own_and_the_trainings_of_the_row_without(tmp_path):
    listed = everything_of(make_plan(tmp_path, ("beyond",)))
    scores = listed["scores of lf-turned+glnet seed 0"]
    assert listed["classifier lf-stratified+glnet seed 0"] in scores.needs
    assert not [name for name in listed if name.startswith("classifier lf-turned")]
    counts, plain = (listed[f"counts of {name} seed 0"] for name in ("lf-turned", "lf-stratified"))
    assert all(one.name.endswith(" in 4 turns") for one in counts.needs)
    assert all(path.parent.name.startswith("maps-of-4-turns-") for one in counts.needs for path in one.paths)
    assert {one.needs[0] for one in counts.needs} == {one.needs[0] for one in plain.needs}
    # Nobody learns from turned candidates.
    assert not [name for name in listed if name.startswith("candidates of lf-turned") and "stage-two" in name]


def test_overlaps_are_made_for_the_row_that_learns_from_them_beside_the_candidates_of_all(tmp_path):
    listed = everything_of(make_plan(tmp_path, ("2", "beyond")))
    with_it, without = (
        listed[f"classifier lf-stratified+local-{name} seed 0"] for name in ("quality", "context")
    )
    (overlaps,) = made_by(listed, make_overlaps).values()

    assert overlaps in with_it.needs and overlaps not in without.needs
    assert set(without.needs) == set(with_it.needs) - {overlaps}
    (candidates,) = without.needs
    assert [path.stem + "-iou" for path in candidates.paths] == [path.stem for path in overlaps.paths]
    # The maps may be needed again where the candidates are there.
    assert {candidates, *candidates.needs} == set(overlaps.needs)


def test_tags_of_other_voxels_are_other_files_and_teach_other_networks(tmp_path):
    row = candidate_row("lf-stratified", "glnet")
    plain, fine = Artifacts(make_plan(tmp_path, ("2",))), TinyCohort(tmp_path)
    object.__setattr__(fine, "ct_mark", "1x1x2")
    marked = Artifacts(make_plan(tmp_path, ("2",), cohort=fine))
    (before,), (after,) = plain.tags(row, 0, "test"), marked.tags(row, 0, "test")
    assert [path.stem for path in before.paths] == [path.stem.replace("-1x1x2", "") for path in after.paths]
    assert not set(before.paths) & set(after.paths)
    assert plain.classifier(row, 0).path != marked.classifier(row, 0).path
    image = candidate_row("lf-stratified", "local-ct-pet")
    assert plain.classifier(image, 0).path == marked.classifier(image, 0).path


def test_many_patients_are_many_artifacts(tmp_path):
    sizes = {**SPLITS, "test": CHUNK + 1}
    listed = everything_of(make_plan(tmp_path, ("2",), cohort=TinyCohort(tmp_path, sizes)))
    assert f"candidates of lf-stratified seed 0 from test-{CHUNK}" in listed
