import os
import signal
from pathlib import Path

import pytest

from osln.__main__ import main
from osln.jobs.artifact import Made
from osln.learning.fit import Progress
from osln.retraining import classifier, segmenter
from osln.retraining.publishing import RetrainReport
from osln.rows.experiments import SERVED_NETWORKS
from osln.weights.model_store import BusyError
from small import store as small_store


def report(name: str) -> RetrainReport:
    return RetrainReport(
        network=name,
        version="v1",
        published=True,
        sentence="v1 is published",
        next_step="ask for the next case",
        metric_name="mRecall",
        metric=0.5,
        metric_before=0.4,
        judgments={"in use": {"patients": 1}},
        version_before="shipped",
        cases={"a": {"after": {"found": 2}, "before": {"found": 1}}},
        train_cases=["d"],
        validation_cases=["a"],
        skipped={"e": "no PET"},
        training={},
    )


@pytest.fixture
def calls(monkeypatch):
    made = []

    def retrain(root, models, name, *, on_progress, **options):
        made.append((name, options))
        if options["seed"] == 9:
            raise ValueError("no approved label")
        on_progress(Progress(50, 50, 50, {"total": 1.0}, {"recall": 0.5, "false_positives": None}, 0.0))
        return report(name)

    monkeypatch.setattr(segmenter, "retrain", retrain)
    monkeypatch.setattr(classifier, "retrain_classifier", retrain)
    return made


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr("osln.jobs.processes.available_gpus", lambda: ("cuda:0", "cuda:1"))


def test_a_network_is_trained_from_a_store_and_the_outcome_told(calls, tmp_path, capsys):
    options = ["--store", str(tmp_path), "--model", "ef", "--iterations", "20", "--no-publish"]
    options += ["--no-cross-fit", "--highest-risk", ".1"]
    assert main(["train", *options]) == 0
    ((name, given),) = calls
    assert name == "ef" and given["iterations"] == 20 and given["publish"] is False
    assert given["cross_fit"] is False and given["highest_risk"] == 0.1
    said = capsys.readouterr().out
    assert "ef: v1 is published" in said and "left out e: no PET" in said and "next: ask" in said


def test_a_network_of_stage_two_takes_epochs_and_a_tagger(calls, tmp_path):
    store = ["--store", str(tmp_path), "--models", str(tmp_path)]
    assert main(["train", *store, "--model", "glnet", "--epochs", "3", "--tagger", "/own.safetensors"]) == 0
    assert main(["train", *store, "--model", "tag"]) == 0
    shipped = small_store.ship_untrained_tagger(tmp_path)
    assert main(["train", *store, "--model", "tag"]) == 0
    (name, own), (_, none), (_, found) = calls
    assert name == "glnet" and own["epochs"] == 3 and own["tagger_path"] == Path("/own.safetensors")
    assert none["tagger_path"] is None and found["tagger_path"] == shipped


def test_all_trains_every_network_and_an_error_is_a_sentence(calls, tmp_path, capsys):
    assert main(["train", "--store", str(tmp_path), "--model", "all", "--seed", "9"]) == 1
    assert [name for name, _ in calls] == list(SERVED_NETWORKS)
    assert "ct-distal: no approved label" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("extra", "sentence"),
    [
        (["--model", "ct", "--device", "cuda:0,cuda:1"], "several GPUs share a training with --gpus N"),
        (["--model", "ct", "--gpus", "2", "--processes", "2"], "--gpus chooses the devices: leave --proc"),
        (["--model", "ct", "--gpus", "2", "--device", "cuda:1"], "--gpus chooses the devices"),
        (["--model", "ct", "--gpus", "3"], "--gpus 3: this computer has 2 that PyTorch can use"),
        (["--model", "unknown"], "invalid choice"),
    ],
)
def test_what_does_not_go_together_is_refused_in_words(extra, sentence, tmp_path, capsys, two_gpus):
    assert main(["train", "--store", str(tmp_path), *extra]) == 1
    assert sentence in capsys.readouterr().err


def test_gpus_share_the_trainings_of_stage_one(calls, tmp_path, capsys, two_gpus):
    store = ["--store", str(tmp_path), "--models", str(tmp_path)]
    assert main(["train", *store, "--model", "ct", "--gpus", "2"]) == 0
    assert main(["train", *store, "--model", "glnet", "--gpus", "2"]) == 0
    assert main(["train", *store, "--model", "ct"]) == 0
    (_, shared), (_, two), (_, alone) = calls
    assert shared["devices"] == ("cuda:0", "cuda:1") and shared["device"] == "cuda:0"
    assert "devices" not in two and two["device"] == "cuda:0"
    assert alone["devices"] == () and alone["device"] == "cpu"
    assert "glnet: networks of stage two learn on one device" in capsys.readouterr().err


@pytest.mark.parametrize("extra", [["--gpus", "2"], ["--processes", "2"], ["--device", "cuda:0"]])
def test_torchrun_chooses_processes_and_gpus_itself(extra, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["train", "--store", str(tmp_path), "--model", "ct", *extra]) == 1
    assert "torchrun says how many processes there are: leave --gpus" in capsys.readouterr().err


def published_or_killed(options, name, device):
    """Stands for a whole round; that of "glnet" ends its worker."""
    if name == "glnet":
        os.kill(os.getpid(), signal.SIGKILL)
    return report(name)


@pytest.mark.slow
def test_a_killed_worker_costs_no_report_and_says_which_networks_are_left(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("osln.cli.train.in_worker", published_or_killed)
    monkeypatch.setattr("osln.cli.train.SERVED_NETWORKS", ("local-ct", "glnet", "tag"))
    options = ["--store", str(tmp_path), "--models", str(tmp_path / "models"), "--model", "all"]
    assert main(["train", *options, "--processes", "1"]) == 1
    said = capsys.readouterr()
    assert "local-ct: v1 is published" in said.out
    assert "done and not to be trained again: local-ct; the others go on" in said.err
    assert "with --model glnet, then --model tag" in said.err and "same command" not in said.err


def test_a_cluster_has_to_see_all_that_is_read_the_tagger_too(tmp_path, monkeypatch, capsys):
    def refuse(options, shared):
        raise ValueError(f"looks at {[path.name for path in shared]}")

    monkeypatch.setattr("osln.cli.train.engine_of", refuse)
    options = ["--store", str(tmp_path / "s"), "--models", str(tmp_path / "m"), "--model", "ct"]
    options += ["--tagger", str(tmp_path / "t"), "--cluster", "head:6379"]
    assert main(["train", *options]) == 1
    assert "looks at ['m', 's', 't']" in capsys.readouterr().err


def test_workers_are_not_started_for_a_network_that_is_being_trained_already(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("osln.weights.model_store.END_SECONDS", 0.1)
    monkeypatch.setattr("osln.jobs.run.run_jobs", lambda *_: pytest.fail("they would train for nothing"))
    options = ["--store", str(tmp_path), "--models", str(tmp_path), "--processes", "1"]
    monkeypatch.setattr("osln.cli.train.SERVED_NETWORKS", ("local-ct", "ct"))
    with small_store.trained_elsewhere(tmp_path, "ct"):
        for model in ("ct", "all"):
            assert main(["train", *options, "--model", model]) == 1
            assert f"ct is being trained for {tmp_path} already" in capsys.readouterr().err


def test_the_command_holds_the_locks_of_what_its_workers_train(calls, tmp_path, monkeypatch):
    monkeypatch.setattr("osln.weights.model_store.END_SECONDS", 0.1)

    def run_jobs(artifacts, engine, note):
        with pytest.raises(BusyError), small_store.trained_elsewhere(tmp_path, "ct"):
            pass
        note("ct", Made(0.0, artifacts[-1].make()))
        return {}

    monkeypatch.setattr("osln.jobs.run.run_jobs", run_jobs)
    monkeypatch.setattr("osln.retraining.spread.device", lambda: "cpu")
    options = ["--store", str(tmp_path), "--models", str(tmp_path), "--processes", "1"]
    assert main(["train", *options, "--model", "ct"]) == 0
    assert main(["train", *options[:-2], "--model", "ct"]) == 0
    assert [given["held"] for _, given in calls] == [True, False]
    with small_store.trained_elsewhere(tmp_path, "ct"):
        pass
