"""The command: options, exit status, and what it says."""

import json
import shutil

import pytest

from osln.__main__ import main
from osln.imaging.grid import read_volume
from small import store as small_store
from small.outputs import bright as bright
from small.outputs import bright_models as bright_models


@pytest.fixture
def command(bright, bright_models, tmp_path):
    """Runs the command with networks that find what is bright; returns the exit status."""
    small_store.make_case(tmp_path / "store", "a")
    small_store.make_case(tmp_path / "store", "b", faint=True)

    def run(*arguments, output=tmp_path / "out"):
        given = [
            str(tmp_path / "store"),
            "-o",
            str(output),
            "--models",
            str(bright_models),
            "--device",
            "cpu",
        ]
        return main(["detect", *given, "--model", "ct", *arguments])

    return run


def test_all_cases_are_done_and_told(command, tmp_path, capsys):
    assert command("--overview") == 0
    said = capsys.readouterr().out
    assert "a: 1 of 1 candidates kept" in said and "b: 2 of 2 candidates kept" in said
    assert "cases: 2 done, 0 done before, 0 failed" in said
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "a.json", "a.nii.gz", "a.png", "b.json", "b.nii.gz", "b.png", "index.html",
    ]  # fmt: skip


def test_every_candidate_and_its_score_are_what_evaluate_reads(command, tmp_path, capsys):
    assert command("--every-candidate") == 0
    found = {name: json.loads((tmp_path / "out" / f"{name}.json").read_text())["candidates"] for name in "ab"}
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert scores == {case: {str(one["id"]): one["score"] for one in ones} for case, ones in found.items()}
    assert [len(of_case) for of_case in scores.values()] == [1, 2]
    labels = read_volume(tmp_path / "out" / "b.nii.gz").array
    assert sorted(set(labels.ravel().tolist())) == [0, 1, 2]

    truth = tmp_path / "truth"
    truth.mkdir()
    for case in "ab":
        shutil.copy(tmp_path / "out" / f"{case}.nii.gz", truth)
    figures = []
    for _ in range(2):
        to = ["--json", str(tmp_path / "e.json"), "--resamples", "10"]
        assert main(["evaluate", "maps", str(tmp_path / "out"), str(truth), *to]) == 0
        figures.append(json.loads((tmp_path / "e.json").read_text())["sets"]["out"]["figures"])
        # As a run leaves it that was stopped: the results have the scores, too.
        (tmp_path / "out" / "scores.json").unlink(missing_ok=True)
    assert figures[0] == figures[1]
    # Asked otherwise the label maps are made anew, and scores of former ones do not stay.
    assert command() == 0 and set(read_volume(tmp_path / "out" / "b.nii.gz").array.ravel()) == {0, 1}
    assert not (tmp_path / "out" / "scores.json").exists()
    # Somebody else's are left alone.
    (tmp_path / "out" / "scores.json").write_text('{"a": {"1": 0.5}}')
    assert command() == 0 and command("--every-candidate") == 1
    assert "choose another folder" in capsys.readouterr().err
    assert (tmp_path / "out" / "scores.json").read_text() == '{"a": {"1": 0.5}}'


def test_a_failed_case_is_status_1_and_counted(command, tmp_path, capsys):
    (tmp_path / "store" / "c.nii.gz").write_bytes(b"")
    assert command() == 1
    assert "cases: 2 done, 0 done before, 1 failed" in capsys.readouterr().out


def test_parts_together_do_every_case(command, tmp_path):
    assert command("--parts", "1/2") == 0
    assert not (tmp_path / "out" / "b.json").exists()
    assert command("--parts", "2/2") == 0
    assert (tmp_path / "out" / "b.json").exists()


def test_a_machine_reads_what_became_of_the_cases(command, capsys):
    command("--cases", "b", "--json")
    [outcome] = json.loads(capsys.readouterr().out)
    assert (outcome["case"], outcome["state"], outcome["kept"]) == ("b", "done", 2)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--precision", "0.9"], "ct has no operating point 'precision 0.9': choose one of threshold 0.5"),
        (["--score", "0.5"], "ct ends with stage one"),
        (["--score", "2"], "--score lies above 0 and up to 1"),
        (["--extension", ".dcm"], "a label map ends with one of .nii.gz"),
        (["--device", "tpu"], "device 'tpu' is not available"),
        (["--cases", "z"], "there is no case z"),
        (["--parts", "3/2"], "expected K/N with K from 1 to N, like 2/8, got 3/2"),
        (["--processes", "1", "--device", "cpu"], "--device is for one process"),
        (["--model", "osln"], "no weights for"),
        (["--seg"], "stores, imported ones too, do not have (2 of 2 cases: a, b): say where they are with"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_sentence(command, capsys, options, sentence):
    assert command(*options) == 1
    said = capsys.readouterr().err
    assert sentence in said and "Traceback" not in said


def test_results_are_never_written_among_the_images(command, tmp_path, capsys):
    before = sorted((tmp_path / "store").rglob("*"))
    assert command(output=tmp_path / "store") == 1
    assert "would lie among the images" in capsys.readouterr().err
    # Nor where the labels of annotators lie, of this store or of another one.
    small_store.make_case(tmp_path / "other", "z")
    for store in (tmp_path / "store", tmp_path / "other"):
        (store / "labels" / "final").mkdir(parents=True, exist_ok=True)
        for folder in (store / "labels" / "final", store / "found"):
            assert command(output=folder) == 1
            assert f"would lie in {store}, among the labels" in capsys.readouterr().err
    assert [one for one in sorted((tmp_path / "store").rglob("*")) if one.is_file()] == [
        one for one in before if one.is_file()
    ]


def test_a_cluster_has_to_see_all_that_is_read_the_dicom_of_the_cts_too(
    bright_models, tmp_path, monkeypatch, capsys
):
    def refuse(options, shared):
        raise ValueError(f"looks at {[path.name for path in shared]}")

    monkeypatch.setattr("osln.cli.detect.engine_of", refuse)
    small_store.make_case(tmp_path / "store", "a")
    named = {"-o": "out", "--models": bright_models, "--ct-dicom": "dicom"}
    given = [str(one) for name, path in named.items() for one in (name, tmp_path / path)]
    assert main(["detect", str(tmp_path / "store"), *given, "--model", "ct", "--cluster", "head:6379"]) == 1
    assert f"looks at ['out', '{bright_models.name}', 'dicom', 'store']" in capsys.readouterr().err
