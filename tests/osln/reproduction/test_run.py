"""The whole command on a handful of tiny patients: every row, and a second run that trains nothing."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from osln.__main__ import main
from osln.jobs import processes
from osln.jobs.artifact import with_needs
from osln.jobs.processes import Processes
from osln.metrics.definitions import operating_thresholds
from osln.reproduction import end_to_end, reading, run, stage_one, stage_two
from osln.reproduction.artifacts import Artifacts, files
from osln.reproduction.plan import Network
from osln.reproduction.stage_one import read_counts
from osln.retraining import operating_points
from osln.rows.experiments import PRESETS, ROWS, SERVED_NETWORKS
from osln.rows.lines import candidate_row
from osln.rows.paper import ALL, COHORT_KINDS, COHORT_SIZES, TABLES, rows_of
from osln.stage_two.candidate_sets import load_set
from osln.weights.checkpoint import load_checkpoint
from osln.weights.model_store import ModelStore
from small.cohort import NodesAndNoise, TinyCohort, make_plan, tiny_preset
from small.detectors import use_tiny


class NodesAndNoiseInSinglePrecision(NodesAndNoise):
    """As the run's maps are made, on every processor."""

    def __init__(self, checkpoint, device="cpu", number_format=None):
        assert number_format == "f32"


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Threads instead of processes, tiny networks and patients, and maps that are known."""
    monkeypatch.setattr(processes, "ProcessPoolExecutor", lambda count, *_: ThreadPoolExecutor(count))
    use_tiny(monkeypatch)
    monkeypatch.setitem(PRESETS, "demo", tiny_preset(iterations=3))
    monkeypatch.setattr(stage_one, "Predictor", NodesAndNoise)
    monkeypatch.setattr(operating_points, "Predictor", NodesAndNoiseInSinglePrecision)
    monkeypatch.setattr(run, "open_cohort", lambda *_: TinyCohort(tmp_path))
    return tmp_path


def arguments(folder, *more):
    plan = make_plan(folder)
    given = ["tables", "--table", "all", "--phantoms", "--work", str(plan.work), "--tagger", str(plan.tagger)]
    return [*given, "--out", str(folder / "out"), "--processes", "1", "--detector-iterations", "2", *more]


def test_some_rows_of_a_table_alone(small, capsys):
    some = ["--rows", "ct", "ct-x2"]
    tables = [*arguments(small), "--table", "1b", *some]
    assert main([*tables, "--ship", str(small / "shipped")]) == 1
    assert "leave out --rows" in capsys.readouterr().err and not (small / "out").exists()
    assert main([*arguments(small), "--table", "1a", *some]) == 1
    assert "no row ct-x2 in 1a: expected some of ct, ef, ct-se-unet" in capsys.readouterr().err

    assert main(tables) == 0
    assert "of the tables' rows only ct, ct-x2" in (small / "out" / "report.md").read_text()
    found = json.loads((small / "out" / "table-1b.json").read_text())
    assert [line["row"] for line in found["lines"]] == some[1:]
    assert [(one["row"], one["minus"]) for one in found["questions"]] == [("ct-x2", "ct")]
    trained = json.loads((small / "out" / "run.json").read_text())["trainings"]
    assert list(trained) == ["network ct seed 0", "network ct x2 seed 0"]


def test_a_training_of_other_code_is_kept_and_named(small, monkeypatch):
    tables = [*arguments(small), "--table", "1b", "--rows", "ct", "ct-x2"]
    told = "trained by other code than this version's, and kept: network ct seed 0, network ct x2 seed 0"
    assert main(tables) == 0
    assert "other code" not in (small / "out" / "table-1b.md").read_text()

    monkeypatch.setattr(run, "code_key", lambda parts: "another")
    monkeypatch.setattr(stage_one, "train", None)
    assert main(tables) == 0
    for name in ("report.md", "table-1b.md", "table-1b.json", "run.json"):
        assert told in (small / "out" / name).read_text()


@pytest.mark.slow
def test_every_row_runs_is_reported_and_is_not_trained_again(small, capsys, monkeypatch):
    shipped = small / "model" / "shipped"
    assert main(arguments(small, "--ship", str(shipped))) == 0
    out = small / "out"
    assert str(out / "report.html") in capsys.readouterr().out

    rows = set()
    for name in ALL:
        table = TABLES[name]
        found = json.loads((out / f"table-{name}.json").read_text())
        assert [line["row"] for line in found["lines"]] == [line.row.key for line in table.lines]
        assert [question["question"] for question in found["questions"]] == [q.words for q in table.questions]
        rows |= {line["row"] for line in found["lines"]}
        assert (out / f"table-{name}.md").read_text().startswith("# ")
        for line in found["lines"]:
            for figure in line["figures"].values():
                assert 0 <= figure["low"] <= figure["value"] <= figure["high"] <= 1
    assert rows == {row.key for row in rows_of(ALL)}

    # Four of four nodes are found, and six places that are none, which have the higher probability.
    found = json.loads((out / "table-2.json").read_text())
    lines = {line["row"]: line for line in found["lines"]}
    assert lines["lf-stratified#"]["figures"]["4"]["value"] == 0
    assert lines["lf-stratified#"]["figures"]["6"]["value"] == pytest.approx(1.0)
    assert "| lf-stratified, test | 4.0 | 10.0 | 6.0 | 1.000 |" in (out / "report.md").read_text()

    pictures = {path.stem.split("-phantom")[0] for path in (out / "pictures").glob("*.png")}
    assert {"froc-2", "recall-precision-1b", "node-volumes"} <= pictures
    html = (out / "report.html").read_text()
    assert html.count("<img") == len(list((out / "pictures").iterdir())) and "http" not in html
    about = json.loads((out / "run.json").read_text())
    assert about["sizes"] == {"train": 4, "validation": 2, "test": 3, "stage two": 4}
    assert about["seeds"] == 1 and about["versions"]["torch"] and about["job_seconds"]
    assert "left out case-x: no PET" in (out / "report.md").read_text()

    store = ModelStore(small / "model")
    assert all(store.load(name).trained_on == "phantom" for name in SERVED_NETWORKS)
    assert set(store.thresholds("glnet")) == {"0.5", "1", "2", "3", "4", "6"}
    # The candidates that stage two learned from, and was measured on, are those that it will be handed.
    measured = Artifacts(make_plan(small, preset=PRESETS["demo"])).counts(ROWS["lf-stratified"], 0)
    assert store.thresholds("lf-stratified") == operating_thresholds(read_counts(measured.path, "validation"))
    assert all(map(store.is_measured, ("lf-stratified", "lf-mean", "glnet", "set-glnet")))

    for module, name in (
        (stage_one, "train"),
        (stage_two, "train_classifier"),
        (stage_one, "Predictor"),
        (end_to_end, "train_detector"),
    ):
        monkeypatch.setattr(module, name, None)
    assert main(arguments(small)) == 0
    assert json.loads((out / "table-2.json").read_text())["lines"] == found["lines"]


def test_a_run_is_gone_on_from_with_the_row_that_asks_for_overlaps(small):
    artifacts = Artifacts(make_plan(small, preset=PRESETS["demo"]))

    def made_for(name: str) -> set[str]:
        made = set()
        for one in with_needs(artifacts.of(ROWS[name])).values():
            if not one.is_made:
                one.make()
                made.add(one.name)
        return made

    made_for("osln-local-context")
    kept = {path: path.read_bytes() for path in artifacts.plan.work.rglob("*.*")}

    assert made_for("osln-local-quality") == {
        "overlaps of lf-stratified seed 0 from stage-two-0",
        "classifier lf-stratified+local-quality seed 0",
        "scores of lf-stratified+local-quality seed 0",
    }
    assert all(path.read_bytes() == content for path, content in kept.items())
    paths = files(artifacts.candidates(ROWS["osln-local-quality"], 0, "stage two"))
    for path in paths:
        content = load_set(path, iou=True)
        # What is found of a node is all of it, and of the other places nothing is one.
        assert np.array_equal(content.iou, content.truth) and content.truth.sum() == 4 + 4
    scores = json.loads(artifacts.scores(ROWS["osln-local-quality"], 0).path.read_text())
    assert [len(scores["test"][f"test-{index}"]) for index in range(3)] == [10, 10, 10]


@pytest.mark.slow
def test_a_row_that_cannot_be_trained_is_named_and_the_others_are_reported(small, capsys, monkeypatch):
    def refuse(*_, **__):
        raise ValueError("no usable slice")

    train = end_to_end.train_detector
    monkeypatch.setattr(end_to_end, "train_detector", refuse)
    assert main(arguments(small, "--table", "2")) == 1
    assert "2 rows did not run" in capsys.readouterr().err
    report = (small / "out" / "report.md").read_text()
    assert "Rows that did not run: MULAN" in report and "no usable slice" in report
    rows = [line["row"] for line in json.loads((small / "out" / "table-2.json").read_text())["lines"]]
    assert rows == [line.row.key for line in TABLES["2"].lines if not line.row.detector]

    monkeypatch.setattr(end_to_end, "train_detector", train)
    assert main(arguments(small, "--table", "2")) == 0
    assert "did not run" not in (small / "out" / "report.md").read_text()


@pytest.mark.slow
def test_the_candidates_that_teach_are_those_of_networks_that_have_not_seen_the_patient(small):
    row = candidate_row("ct-stratified", "local-ct")
    plan = make_plan(small, ("2",), cohort=TinyCohort(small, folds=True))
    artifacts = Artifacts(plan)
    wanted = [one for split in ("stage two", "test") for one in artifacts.candidates(row, 0, split)]
    for one in with_needs(wanted).values():
        one.make()
    assert artifacts.tags(row, 0, "stage two") == ()
    sets = reading.read_candidates(artifacts, row, 0, "stage two")
    assert [one.case for one in sets] == list(plan.cohort.cases("train"))
    # Four true nodes are added to each of them, and none to those that are evaluated.
    assert all(len(one.truth) == one.n_candidates + 4 for one in sets)
    evaluated = reading.read_candidates(artifacts, row, 0, "test")
    assert all(len(one.truth) == one.n_candidates for one in evaluated)
    whole = load_checkpoint(artifacts.training(Network("ct-distal", 1, 0)).path)
    part = load_checkpoint(artifacts.training(Network("ct-distal", 1, 0, ("train-0", "train-1"))).path)
    assert whole.metadata["train_cases"] == ["train-0", "train-1", "train-2", "train-3"]
    assert part.metadata["train_cases"] == ["train-2", "train-3"]


def test_a_generated_cohort_is_of_the_kind_that_was_asked_for(tmp_path):
    sizes = COHORT_SIZES["demo"]
    for kind in COHORT_KINDS:
        cohort = run.open_cohort("phantom", tmp_path, PRESETS["demo"], sizes, kind)
        assert cohort.name == kind and len(cohort.cases("stage two")) == 240


def test_what_cannot_be_used_is_told_without_a_traceback(tmp_path, capsys):
    given = ["tables", "--table", "1b", "--work", str(tmp_path / "work"), "--out", str(tmp_path / "out")]
    assert main([*given, "--store", str(tmp_path / "none")]) == 1
    assert "is no folder: give a store" in capsys.readouterr().err
    (tmp_path / "file").touch()
    for option in ("--work", "--out"):
        assert main([*given, "--phantoms", option, str(tmp_path / "file")]) == 1
        assert "file cannot be made (File exists)" in capsys.readouterr().err
    for wrong, words in (
        (["--phantoms", "3,4"], "--phantoms: expected four numbers"),
        (["--phantoms", "3,4,five,6"], "--phantoms: expected four numbers"),
        (["--phantoms", "4,2,1,4"], "too small for its splits: 4 train (at least 1), 2"),
        (["--phantoms", "--seeds", "0"], "--seeds: expected a whole number from 1, got 0"),
        (["--phantoms", "--epochs", "0"], "--epochs: expected a whole number from 1, got 0"),
        (["--phantoms", "--detector-iterations", "-1"], "from 1, got -1"),
        (["--phantoms", "--tagger", str(tmp_path / "none")], "no tagger at"),
        (["--phantoms", "--kind", "real"], "choose from"),
        (["--store", str(tmp_path), "--kind", "mixed"], "--kind is about phantoms"),
        (["--store", str(tmp_path), "--ct-spacing", "1", "1", "2"], "--ct-spacing is about phantoms"),
    ):
        assert main([*given, *wrong]) == 1
        assert words in capsys.readouterr().err


def test_a_second_run_in_the_same_folder_is_refused(tmp_path, monkeypatch):
    plan = make_plan(tmp_path)
    plan.work.mkdir()
    with run.FileLock(plan.work / "lock"), pytest.raises(ValueError, match="another run works in"):
        run.run_tables(plan, tmp_path / "out", Processes(1))


def test_patients_of_a_split_are_described_by_their_images(tmp_path):
    cohort = TinyCohort(tmp_path)
    assert run.describe(cohort, "test")["patients"] == 0
    stage_one.prepare_cases(cohort, cohort.cases("test"))
    found = run.describe(cohort, "test")
    assert found["patients"] == 3 and found["nodes"] == 12 and found["nodes per patient"] == 4
    # 33 voxels of 18.75 mm3 each.
    assert found["50 %"] == pytest.approx(33 * 18.75)
    zones = [value for name, value in found.items() if name.startswith("nodes per patient, ")]
    assert sum(zones) == pytest.approx(4)


def test_nodes_outside_the_searched_column_are_counted_as_recall_counts_them(tmp_path, monkeypatch):
    cohort = TinyCohort(tmp_path, nodes=0)
    stage_one.prepare_cases(cohort, cohort.cases("test"))
    column = TinyCohort.column
    monkeypatch.setattr(TinyCohort, "column", lambda *one: replace(column(*one), outside_mm=(30.0, 150.0)))
    found = run.describe(cohort, "test")
    assert found["nodes"] == found["nodes outside the searched column"] == 6
    assert found["nodes per patient"] == 2 and found["patients without nodes"] == 0


def test_a_torn_line_of_the_record_costs_its_time_alone(tmp_path):
    record = tmp_path / run.RECORD
    run.append(record, '{"job": "a", "seconds": 1.0}')
    with record.open("a") as file:
        file.write('{"job": "b", "sec')
    run.append(record, '{"job": "c", "seconds": 2.0}')
    assert run._seconds(record, {"a", "b", "c"}) == {"a": 1.0, "c": 2.0}
    assert len(record.read_text().splitlines()) == 3


def test_the_joint_score_is_the_sum_of_the_log_odds():
    odds = reading.log_odds(np.array([0.5, 0.75, 0.0, 1.0]))
    assert odds[:2] == pytest.approx([0.0, np.log(3)])
    assert np.isfinite(odds).all() and odds[2] == pytest.approx(-odds[3])


def test_the_row_that_is_drawn_is_a_row_of_table_2():
    from osln.reproduction.gallery import SHOWN_ROW

    assert SHOWN_ROW in TABLES["2"].rows and SHOWN_ROW.setting == ROWS["lf-stratified"]
