"""./scripts/osln evaluate as a person runs it."""

import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from osln.__main__ import main
from osln.imaging.grid import Grid, write_volume
from osln.store.revisions import label_revisions
from small.parts import submit_in_part
from small.studies import add_case, of_patient


def run(*arguments: str | Path) -> int:
    """Exit status of the command in this process."""
    return main(["evaluate", *(str(argument) for argument in arguments)])


@pytest.fixture
def marks(tmp_path) -> Path:
    """A folder with the four tables of a small LUNA16."""
    header = "seriesuid,coordX,coordY,coordZ,"
    (tmp_path / "annotations.csv").write_text(header + "diameter_mm\n1.1,0,0,0,10\n1.2,0,0,0,10\n")
    (tmp_path / "annotations_excluded.csv").write_text(header + "diameter_mm\n1.1,90,0,0,-1\n")
    (tmp_path / "seriesuids.csv").write_text("1.1\n1.2\n1.3\n")
    body = "1.1,1,0,0,0.9\n1.1,91,0,0,0.8\n1.2,9,0,0,0.7\n1.3,0,0,0,0.6\n"
    (tmp_path / "mine.csv").write_text(header + "probability\n" + body)
    (tmp_path / "theirs.csv").write_text(header + "probability\n" + body + "1.2,1,0,0,0.95\n")
    return tmp_path


def luna16(folder: Path, *more: str | Path) -> tuple[str | Path, ...]:
    tables = (folder / "mine.csv", folder / "annotations.csv")
    others = ("--ignore", folder / "annotations_excluded.csv", "--patients", folder / "seriesuids.csv")
    return ("marks", *tables, *others, "--criterion", "luna16", "--resamples", "50", *more)


def test_marks_as_in_luna16_give_a_table_json_markdown_and_a_curve(marks):
    files = [marks / name for name in ("out.json", "out.md", "curve.csv")]
    outputs = ("--json", files[0], "--markdown", files[1], "--curve", files[2])
    command = [sys.executable, "-m", "osln", "evaluate", *luna16(marks, "--at", "0.125", "0.5", *outputs)]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "3 patients (1 without nodes, 0 without predictions), 2 nodes, 1 found; 2 false" in done.stdout
    content = json.loads(files[0].read_text())["sets"]["mine.csv"]
    assert content["figures"]["froc_0.125"]["value"] == 0.5 and content["neither"] == 1
    assert "| mFROC at 0.125, 0.5 | 0.500 [" in files[1].read_text()
    assert files[2].read_text().splitlines()[-1] == "mine.csv,0.6,0.6666666666666666,0.5"


def test_two_sets_of_marks_are_compared(marks, capsys):
    assert run(*luna16(marks, "--compare", marks / "theirs.csv")) == 0
    shown = capsys.readouterr().out
    assert "mine.csv" in shown and "theirs.csv" in shown and "difference" in shown and "-0.500 [" in shown


def test_sets_of_other_patients_are_refused_before_anything_is_computed(marks, capsys):
    header = "seriesuid,coordX,coordY,coordZ,probability\n"
    (marks / "few.csv").write_text(header + "1.1,1,0,0,0.9\n")
    command = luna16(marks, "--compare", marks / "few.csv")
    # Without a list everybody with a mark is a patient: here one of the two sets lacks 1.3.
    unlisted = [word for word in command if word not in ("--patients", marks / "seriesuids.csv")]
    assert run(*unlisted) == 1
    told = capsys.readouterr()
    assert "the sets differ in 1.3: give predictions of the same patients" in told.err and not told.out
    assert run(*command) == 0


def test_folders_of_label_maps_and_bare_lists_are_scored(tmp_path, capsys, monkeypatch):
    grid = Grid((6, 4, 4), np.eye(4))
    array = np.zeros(grid.shape, dtype=np.uint8)
    array[1:4, 1, 1] = 1
    for name in ("predictions", "truth"):
        (tmp_path / name).mkdir()
        write_volume(tmp_path / name / "a.nii.gz", array, grid)
    assert run("maps", tmp_path / "predictions", tmp_path / "truth", "--resamples", "20") == 0
    assert "1 nodes, 1 found; 0 false" in capsys.readouterr().out
    monkeypatch.chdir(tmp_path / "predictions")
    assert run("maps", ".", "../truth", "--resamples", "20") == 0
    assert "\npredictions: 1 patients" in capsys.readouterr().out
    (tmp_path / "pairs.csv").write_text("patient,score,hit\na,0.5,1\na,0.4,0\n")
    (tmp_path / "nodes.csv").write_text("patient,nodes\na,2\n")
    lists = ("lists", tmp_path / "pairs.csv", tmp_path / "nodes.csv", "--threshold", "0.45")
    assert run(*lists) == 0
    assert "recall, score from 0.45" in capsys.readouterr().out


def test_what_cannot_be_used_ends_with_words_and_status_1(marks, capsys):
    assert run("marks", marks / "mine.csv", marks / "annotations.csv") == 1
    assert "needs the radius of the predictions" in capsys.readouterr().err
    assert run("maps", marks / "none", marks) == 1
    assert "is not a folder" in capsys.readouterr().err
    assert run(*luna16(marks, "--at", "4", "2")) == 1
    assert "must ascend" in capsys.readouterr().err


def test_options_that_do_not_fit_are_refused(marks, capsys):
    for *wrong, words in (
        ("--resamples", "0", "must be at least 1"),
        ("--seed", "-1", "must be at least 0"),
        ("--threshold", "nan", "not a finite number"),
        ("--threshold", "inf", "not a finite number"),
        ("--threshold", "2", "leaves no prediction of mine.csv: the highest score is "),
        ("--compare", marks / "mine.csv", "names the same predictions again"),
        ("--json", marks / "missing" / "out.json", "missing to write out.json into"),
    ):
        assert run(*luna16(marks), *wrong) == 1
        assert words in capsys.readouterr().err
    assert run("maps", marks, marks, "--compare", marks / "other", "--scores", marks / "s.csv") == 1
    assert "lie beside it as scores.csv" in capsys.readouterr().err


def test_folders_in_the_wrong_order_are_told_by_where_the_scores_lie(tmp_path, capsys):
    for name in ("truth", "found"):
        (tmp_path / name).mkdir()
    (tmp_path / "found" / "scores.json").write_text("{}")
    assert run("maps", tmp_path / "truth", tmp_path / "found") == 1
    assert "found, which is named as the truth: predictions come first" in capsys.readouterr().err


def test_the_labels_of_a_store_are_judged_by_where_they_are_complete(tmp_path, capsys):
    for case in "df":
        add_case(tmp_path / "store", case)
    submit_in_part(tmp_path / "store", "f", undecided=[[[0.0, 0.0, 0.0], [5.0, 5.0, 5.0]]])
    labels = tmp_path / "store" / "labels" / "final"
    # A store's labels have one value, and their nodes are the parts.
    found = shutil.copytree(labels, tmp_path / "found")
    assert run("maps", found, labels, "--split-truth", "--resamples", "50") == 0
    assert "left out: cases that were submitted in part: f; complete their review" in capsys.readouterr().out


@pytest.mark.parametrize("lies", [True, False])
def test_a_store_whose_newest_label_waits_is_no_truth(tmp_path, capsys, monkeypatch, lies):
    for case in "df":
        add_case(tmp_path / "store", case)
    labels = tmp_path / "store" / "labels" / "final"
    found = shutil.copytree(labels, tmp_path / "found")
    kept = label_revisions(tmp_path / "store", "d", "final")
    label = kept.final.read_bytes()
    with kept.lock():
        kept.settle()
        # The next one, whose copy is not put in place.
        monkeypatch.setattr(kept, "_publish", lambda: None)
        if not lies:
            kept.remove_final()
        kept.submit(gzip.compress(gzip.decompress(label), 1), by="anna", source="submission")
    assert run("maps", found, labels, "--split-truth") == 1
    assert "the newest label of case d does not lie in" in capsys.readouterr().err


def test_cases_of_one_patient_of_a_store_are_drawn_together(tmp_path, capsys):
    store = tmp_path / "store"
    for case in "df":
        add_case(store, case)
    labels = store / "labels" / "final"
    found = shutil.copytree(labels, tmp_path / "found")
    call = ("maps", found, labels, "--split-truth", "--resamples", "50")
    assert run(*call) == 0 and "no interval" not in capsys.readouterr().out
    of_patient(store, "P1", "d", "f")
    assert run(*call) == 0
    told = capsys.readouterr().out
    assert "[no interval]" in told
    assert "found: 2 cases of 1 patients: intervals are over patients, figures over cases" in told


def test_nothing_that_is_read_is_written_over(marks, tmp_path, capsys):
    before = {path: path.read_bytes() for path in marks.iterdir()}
    for option, name in (
        ("--curve", "annotations.csv"),
        ("--json", "mine.csv"),
        ("--markdown", "seriesuids.csv"),
    ):
        assert run(*luna16(marks, option, marks / name)) == 1
        assert "is read and would be written over" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in marks.iterdir()} == before
    folders = [tmp_path / name for name in ("predictions", "truth")]
    for folder in folders:
        folder.mkdir()
        write_volume(folder / "a.nii.gz", np.ones((3, 3, 3), np.uint8), Grid((3, 3, 3), np.eye(4)))
    for place in (folders[0] / "scores.json", folders[1] / "a.nii.gz"):
        assert run("maps", *folders, "--json", place) == 1
        assert "would be written over" in capsys.readouterr().err
    for _ in range(2):
        assert (
            run("maps", *folders, "--markdown", folders[0] / "report.md", "--json", folders[0] / "r.json")
            == 0
        )


def test_a_heading_that_nobody_knows_is_told_and_quoted_ids_are_read(marks, capsys):
    listed = marks / "seriesuids.csv"
    listed.write_text('SeriesInstanceUID\n"1.1"\n"1.2"\n"1.3"\n')
    assert run(*luna16(marks)) == 0
    shown = capsys.readouterr().out
    assert "3 patients" in shown and "taken for a patient" not in shown
    listed.write_text("Studie\n1.1\n1.2\n1.3\n")
    assert run(*luna16(marks)) == 0
    assert "'Studie', the first line of seriesuids.csv, was taken for a patient" in capsys.readouterr().out
    listed.write_text('1.1\n"1.2\n1.3\n')
    assert run(*luna16(marks)) == 1
    assert "a quote that begins at '1.2" in capsys.readouterr().err
    listed.write_text("x1\nx2\n")
    assert run(*luna16(marks, "--only-common")) == 1
    assert "names none of the patients that have marks" in capsys.readouterr().err


def test_a_case_that_failed_in_the_last_detection_is_not_scored_by_an_older_result(tmp_path, capsys):
    folders = [tmp_path / name for name in ("predictions", "truth")]
    for folder in folders:
        folder.mkdir()
        write_volume(folder / "a.nii.gz", np.ones((3, 3, 3), np.uint8), Grid((3, 3, 3), np.eye(4)))
    (folders[0] / "a.json").write_text(json.dumps({"made_from": {}, "case": "a"}))
    (folders[0] / "other.json").write_text(json.dumps({"made_from": "a recipe"}))
    (folders[0] / "z.failed.json").write_text(json.dumps({"case": "z", "failed": "no CT"}))
    assert run("maps", *folders) == 0
    (folders[0] / "a.failed.json").write_text(json.dumps({"case": "a", "failed": "no PET"}))
    capsys.readouterr()
    assert run("maps", *folders) == 1
    assert "the last run of detect failed in case a" in capsys.readouterr().err
    # What was half written has no result beside it.
    (folders[0] / "a.json").unlink()
    assert run("maps", *folders) == 1


def test_what_is_written_is_one_file_each_and_goes_where_a_link_leads(marks, capsys):
    real, link, pipe = (marks / name for name in ("real.json", "link.json", "pipe"))
    real.write_text("old")
    link.symlink_to(real)
    os.mkfifo(pipe)
    assert run(*luna16(marks, "--json", link)) == 0
    assert link.is_symlink() and json.loads(real.read_text())["sets"]
    capsys.readouterr()
    for given, words in (
        (("--json", marks / "a", "--curve", marks / "a"), "is named for two outputs"),
        (("--json", real, "--curve", link), "is named for two outputs"),
        (("--json", ""), "argument --json: expected a path, got an empty one"),
        (("--curve", ""), "argument --curve: expected a path, got an empty one"),
        (("--compare", ""), "argument --compare: expected a path"),
        (("--json", pipe), "pipe is a device or a pipe, expected a file"),
        (("--markdown", pipe), "pipe is a device or a pipe, expected a file"),
    ):
        assert run(*luna16(marks, *given)) == 1
        assert words in capsys.readouterr().err
    assert not (marks / "a").exists() and pipe.is_fifo()


def test_results_of_several_rows_in_one_folder_are_told(tmp_path, capsys):
    folders = [tmp_path / name for name in ("predictions", "truth")]
    for folder in folders:
        folder.mkdir()
        for case in "abc":
            write_volume(folder / f"{case}.nii.gz", np.ones((3, 3, 3), np.uint8), Grid((3, 3, 3), np.eye(4)))

    def told(**models: str) -> str:
        for case, model in models.items():
            content = {"case": case, "made_from": {"model": model, "weights": {"ct": "1"}}}
            (folders[0] / f"{case}.json").write_text(json.dumps(content))
        assert run("maps", *folders) == 0
        return capsys.readouterr().out

    assert "not all made by one row" not in told(a="osln", b="osln")
    words = "not all made by one row with the same weights and thresholds: osln in 2 cases (a, ...); ct in 1"
    assert words in told(c="ct")
