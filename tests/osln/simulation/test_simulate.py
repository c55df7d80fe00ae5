"""A whole simulation of small patients whose candidates are there: files, report, resume."""

import json
from dataclasses import replace

import numpy as np
import pytest

from osln.jobs.processes import Processes
from osln.metrics.matching import Scored
from osln.simulation.arms import ARMS
from osln.simulation.cases import StageOne, is_kept, read_case
from osln.simulation.cycle import Point, Schedule
from osln.simulation.figures import Prices, lane_figures
from osln.simulation.lanes import FULL, Lane
from osln.simulation.learners import Network, known_part
from osln.simulation.report import parts
from osln.simulation.retrained import StageOneRecipe
from osln.simulation.runs import Files, keep_points, read_points
from osln.simulation.simulate import plan, simulate
from osln.stage_two.candidate_sets import LEFT_OUT
from small.kept_cases import COHORT, keep

LANE = Lane(COHORT, arms=(ARMS["likeliest-5"],), seeds=2, schedule=Schedule(2, 2, 6))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated")
    weights = folder / "weights.pt"
    weights.write_bytes(b"no network is asked, the candidates are there")
    found = Files(folder / "work", StageOne({"ct": weights}, {"0.10": 0.3}))
    for seed, case in enumerate(COHORT.cases):
        keep(found.case(LANE, case), seed)
    return found


def test_a_case_is_read_as_it_was_kept(files):
    path = files.case(LANE, COHORT.cases[0])
    case = read_case(path)

    assert case.name == COHORT.cases[0]
    assert len(case.evidence.candidates) == len(case.truth) == len(case.numbers) == len(case.stage_one)
    assert np.isfinite(case.numbers).all()
    assert case.missed == 1
    assert (case.truth == 1).sum() == 3
    # Candidates are numbered in the order of their scores of stage one.
    assert [one.candidate for one in case.evidence.candidates] == list(range(1, len(case.truth) + 1))
    assert (np.diff(case.stage_one) <= 0).all()


def test_a_case_whose_last_file_is_missing_is_not_kept(files, tmp_path):
    path = tmp_path / "phantom-900000.npz"
    keep(path, 0)
    assert is_kept(path)

    path.with_name("phantom-900000-numbers.npz").unlink()
    assert not is_kept(path)


def test_what_was_not_decided_weighs_neither_as_node_nor_as_none(files):
    content = read_case(files.case(LANE, COHORT.cases[1])).candidates()
    part = known_part(content, frozenset({0, 2}))

    assert part.truth[[0, 2]].tolist() == content.truth[[0, 2]].tolist()
    assert (np.delete(part.truth, [0, 2]) == LEFT_OUT).all()


@pytest.mark.parametrize("classifier", ["set-glnet", "local-context"])
def test_the_products_network_learns_from_decisions(files, classifier):
    cases = {case: read_case(files.case(LANE, case)) for case in COHORT.cases}
    decided = {case: frozenset(range(len(cases[case].truth))) for case in COHORT.cases[:3]}
    scorer = Network(classifier, 2).learn(cases, decided, 0)
    (scores,) = scorer([cases[COHORT.cases[5]]])

    assert scores.shape == cases[COHORT.cases[5]].truth.shape
    assert ((scores > 0) & (scores < 1)).all()


def test_a_run_is_read_as_it_was_kept(files, tmp_path):
    (_, artifact), *_ = files.runs(LANE).items()
    artifact.make()
    (point,) = read_points(artifact.path)

    assert point.cases == COHORT.pool
    assert point.added == COHORT.pool
    assert point.mfroc == pytest.approx(0.75, abs=0.25)
    assert len(point.test) == COHORT.test
    assert all(one.n_nodes == 4 for one in point.test)
    artifact.path.unlink()


@pytest.mark.slow
def test_a_simulation_writes_its_report_and_goes_on_where_it_was(files, tmp_path):
    report = simulate(LANE, files, tmp_path / "one", Prices(), Processes(1), "./scripts/osln simulate")
    figures = json.loads((tmp_path / "one" / "figures.json").read_text())
    runs = sorted((files.work / "runs").rglob("*.npz"))

    assert set(figures["arms"]) == {"random", "likeliest-5"}
    assert len(runs) == 2 * 3
    assert "likeliest" in report.read_text()
    assert (tmp_path / "one" / "curves.png").stat().st_size > 1000

    # As after a kill: one run was not finished, its half file lies beside it.
    before = {path: path.stat().st_mtime_ns for path in runs}
    runs[0].with_name(f".{runs[0].name}.0123").write_bytes(b"half")
    runs[0].unlink()
    simulate(LANE, files, tmp_path / "two", Prices(), Processes(1), "./scripts/osln simulate")

    assert [path for path in runs if path.stat().st_mtime_ns != before[path]] == runs[:1]
    again = json.loads((tmp_path / "two" / "figures.json").read_text())
    assert again["arms"] == figures["arms"]
    assert again["full"] == figures["full"]


def test_another_budget_is_another_run(files):
    other = replace(LANE, schedule=Schedule(2, 2, 7))

    one, another = (next(iter(files.runs(lane).values())).path for lane in (LANE, other))
    assert one != another


@pytest.mark.parametrize("lane", [LANE, replace(LANE, stage_one=StageOneRecipe(first=9, steps=3))])
def test_other_code_is_another_run(files, monkeypatch, lane):
    one = next(iter(files.runs(lane).values())).path
    monkeypatch.setattr("osln.simulation.runs.code_key", lambda parts: "another")
    assert next(iter(files.runs(lane).values())).path != one


def test_other_code_that_finds_candidates_makes_them_anew(files, monkeypatch):
    case = COHORT.cases[0]
    one = files.case(LANE, case)
    files.stage_one.__dict__.pop("_key")
    monkeypatch.setattr("osln.simulation.cases.code_key", lambda parts: "another")
    assert files.case(LANE, case) != one
    files.stage_one.__dict__.pop("_key")


def test_where_both_stages_learn_the_recipe_of_stage_one_makes_another_run(files):
    both = replace(LANE, stage_one=StageOneRecipe(first=9, steps=3))
    other = replace(LANE, stage_one=StageOneRecipe(first=9, steps=4))
    runs, others = files.runs(both), files.runs(other)

    assert (
        runs.keys()
        == others.keys()
        == {(arm, s) for arm in ("full", "random", "likeliest-5") for s in (0, 1)}
    )
    assert {one.path for one in runs.values()}.isdisjoint(one.path for one in others.values())
    # The ceiling asks for everything at once, and learns for as many steps as the others in all rounds.
    assert both.recipe_of(FULL).steps == 2 * 3
    assert both.schedule_of(FULL).rounds == 1
    assert "; 14 of 14 files are to be made" in plan(both, files)
    assert plan(both, files).startswith(
        "2 arms and everything labeled, 2 seeds, 2 rounds of 6 decisions; 14 of 14"
    )


def test_points_tell_what_stage_one_has_alone_and_what_it_hits(tmp_path):
    scored = [Scored(np.array([0.9, 0.2]), np.array([True, False]), 3), Scored(np.zeros(0), np.zeros(0), 1)]
    keep_points(tmp_path / "run.npz", [Point(5, 1, 2, 2, 3, 0.5, scored, alone=0.25)])
    (point,) = read_points(tmp_path / "run.npz")

    assert (point.alone, point.recall, point.decisions) == (0.25, 0.25, 6)


def test_the_report_of_both_stages_tells_what_stage_one_has_by_itself():
    lane = replace(LANE, stage_one=StageOneRecipe())

    def points(found: int) -> list[Point]:
        patient = Scored(np.full(4, 0.5), np.arange(4) < found, 4)
        return [
            Point(8 + 6 * n, 0, 2, 2, 1, 0.5, [patient] * COHORT.test, alone=0.1 * (n + 1)) for n in range(3)
        ]

    runs = {"full": [points(3)] * 2, "random": [points(2), points(3)], "likeliest-5": [points(1), points(2)]}
    figures = lane_figures(lane, runs, [one[-1].alone for one in runs["full"]], Prices())
    told = "\n".join(parts(figures, {"command": "c", "commit": "0", "versions": {}}))

    assert "stage one learns too: gated-soft, 600 steps from scratch" in told
    assert "stage one alone, with everything labeled, 0.300" in told
    # Hit are 2 of 4 and 3 of 4 nodes, 1 and 2 of 4 with the other arm.
    assert "| random | 0.100, 0.625 | 0.200, 0.625 | 0.300, 0.625 |" in told
    assert "| likeliest-5 | 0.100, 0.375 | 0.200, 0.375 | 0.300, 0.375 |" in told


def test_the_report_says_where_a_ratio_is_only_a_bound():
    lane = replace(LANE, schedule=Schedule(2, 2, 6))

    def points(*found: int) -> list[Point]:
        made = []
        for n, count in enumerate(found):
            test = [Scored(np.full(4, 0.5), np.arange(4) < count, 4)] * COHORT.test
            made.append(Point(8 + 6 * n, 0, 2, 2, 1, count / 4, test, alone=0.1))
        return made

    runs = {"full": [points(4)] * 2, "random": [points(1, 2, 2)] * 2, "likeliest-5": [points(1, 4, 4)] * 2}
    figures = lane_figures(lane, runs, [0.1, 0.1], Prices())
    told = "\n".join(parts(figures, {"command": "c", "commit": "0", "versions": {}}))

    # .9 at 14 of the points 8, 13, 18 and 23, instead of later than all of them.
    assert "| <= 0.61 [0.00, 0.61] |" in told
    assert "the ratio is <= what it would be" in told and "of 4 in 81 %" in told
    assert "the same with the variance over resampled patients added" in told


def test_seconds_are_counted_as_they_are_priced(files):
    (_, artifact), *_ = files.runs(LANE).items()
    artifact.make()
    (point,) = read_points(artifact.path)

    seconds = Prices(candidate=2.0, added=3.0, opened=5.0).of(point)
    assert seconds == 2 * point.judged + 3 * point.added + 5 * point.opened
