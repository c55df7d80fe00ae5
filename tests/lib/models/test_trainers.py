import json
import logging
import threading
from contextlib import nullcontext
from dataclasses import dataclass, replace

import pytest
from fastapi import HTTPException

from lib.models import trainers
from osln.learning.fit import Progress
from osln.rows.experiments import SERVED_SEGMENTERS
from osln.store.splits import assign, stored_splits
from osln.weights.model_store import ModelStore
from small import store as small_store

FIGURES = {"metric": 0.5, "recall": 0.625, "false_positives": 2.25}


class Folder:
    """Stands in for a store whose images lie in the folder already."""

    def at_hand(self, on_step):
        return nullcontext()


@dataclass
class Report:
    """Stands in for the report of a comparison."""

    sentence: str = "published: 0.500 is better than 0.400"
    next_step: str = "ask for the next case"

    def to_json(self) -> dict:
        return {"version": "v1", "published": True, "metric": 0.5, "before": float("nan")}


@pytest.fixture
def trainer(tmp_path, monkeypatch):
    """The trainer of one network; the training itself is replaced by two reports."""
    calls = []

    def retrain(root, models, name, *, on_progress, **options):
        calls.append((root, models, name, options))
        if options["learning_rate"] == 1.0:
            raise ValueError("no approved label: review cases and submit them first")
        on_progress(Progress(50, 100, 50, {"total": 1.25}, None, 75.4))
        on_progress(Progress(100, 100, 50, {"total": 0.75}, FIGURES, 0.0))
        return Report()

    monkeypatch.setattr("osln.retraining.segmenter.retrain", retrain)
    built = trainers.build(tmp_path / "studies", tmp_path / "models", "demo", ("cpu",))
    built["ct-distal"].calls = calls
    return built["ct-distal"]


def test_there_is_one_trainer_for_each_network(tmp_path):
    built = trainers.build(tmp_path, tmp_path, "demo", ("cpu",))
    second = ["glnet", "local-ct-pet", "local-ct", "tag", "set-glnet", "numbers"]
    assert list(built) == [*SERVED_SEGMENTERS, *second]
    assert "zone distal" in built["ef-distal"].info()["description"]
    assert "stage two, GLNet: CT + PET + tags" in built["glnet"].info()["description"]


def test_the_viewers_are_shown_the_options(trainer):
    assert trainer.config() == {
        "iterations": 0,
        "learning_rate": 0.0,
        "from_scratch": False,
        "highest_risk": 0.2,
        "cross_fit": True,
        "device": ["cpu"],
    }


def test_a_training_gets_the_checked_options_and_returns_the_comparison(trainer, tmp_path):
    request = {
        "model": "ct-distal",
        "iterations": "100",
        "from_scratch": True,
        "gpus": "all",
        "local_rank": 0,
    }
    outcome = trainer({**request, "client_id": "slicer"}, Folder())
    assert outcome == {"version": "v1", "published": True, "metric": 0.5, "before": None}
    ((root, models, name, options),) = trainer.calls
    assert (root, models, name) == (tmp_path / "studies", tmp_path / "models", "ct-distal")
    assert options["iterations"] == 100 and options["from_scratch"] is True and options["preset"] == "demo"
    assert options["learning_rate"] is None and options["device"] == "cpu"


def test_progress_is_in_the_log_and_in_the_stats_that_viewers_show(trainer, caplog):
    caplog.set_level(logging.INFO)
    trainer({"model": "ct-distal"}, Folder())
    said = [record.getMessage() for record in caplog.records]
    assert "ct-distal epoch 1/2, loss 1.250, 0:01:15 left" in said
    assert "ct-distal epoch 2/2, loss 0.750, lesion recall 0.62, FP per patient 2.25, 0:00:00 left" in said
    assert "ct-distal: published: 0.500 is better than 0.400. Next: ask for the next case" in said
    stats = trainer.stats()
    assert (stats["epoch"], stats["total_epochs"], stats["best_metric"]) == (2, 2, 0.5)
    assert stats["total_time"] == "0:00:00"
    assert stats["status"] == "done" and stats["report"]["published"] is True


def test_a_disk_that_is_full_for_a_moment_costs_what_is_shown_and_not_the_training(
    trainer, monkeypatch, caplog
):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    def retrain(*_, on_progress, on_step, **__):
        with monkeypatch.context() as disk:
            disk.setattr("lib.models.training_record.write_atomically", full)
            on_step("setting the operating points")
            on_progress(Progress(50, 100, 50, {"total": 1.25}, None, 75.4))
        return Report()

    monkeypatch.setattr("osln.retraining.segmenter.retrain", retrain)
    monkeypatch.setattr(trainers, "write_json", full)
    outcome = trainer({"model": "ct-distal"}, Folder())
    assert outcome["published"] and trainer.stats()["status"] == "done"
    assert len(trainer.curve()) == 1
    assert caplog.text.count("ct-distal.json cannot be written ([Errno 28] No space left on device)") == 2
    assert "v1.json cannot be written" in caplog.text and "the report is in the log alone" in caplog.text


def test_stats_are_there_while_the_training_runs(trainer, monkeypatch):
    seen = []

    def retrain(*_, on_progress, **__):
        on_progress(Progress(50, 200, 50, {"total": 1.0}, None, 30.0))
        seen.append(trainer.stats())
        return Report()

    monkeypatch.setattr("osln.retraining.segmenter.retrain", retrain)
    trainer({"model": "ct-distal"}, Folder())
    assert seen[0]["epoch"] == 1 and seen[0]["status"] == "running" and seen[0]["best_metric"] == 0.0
    assert "total_time" not in seen[0], "Slicer would show no progress"


def test_slicer_can_divide_by_the_epochs_before_the_first_one(trainer, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "osln.retraining.segmenter.retrain", lambda *_, **__: seen.append(trainer.stats()) or Report()
    )
    trainer({"model": "ct-distal"}, Folder())
    assert (seen[0]["epoch"], seen[0]["total_epochs"]) == (0, 1)


def test_the_latest_training_comes_first_and_those_that_never_ran_last():
    stats = {"a": {}, "b": {"start_ts": 5}, "c": {"start_ts": 9}}
    assert list(trainers.newest_first(stats)) == ["c", "b", "a"]


def test_a_training_without_a_case_to_learn_from_is_refused_before_it_starts(trainer, tmp_path):
    (tmp_path / "studies").mkdir(exist_ok=True)
    with pytest.raises(ValueError, match="no approved label: review a case"):
        trainer.check_cases()
    assign(tmp_path / "studies", ["a"])
    small_store.make_case(tmp_path / "studies", "a")
    table = tmp_path / "studies" / ".osln" / "splits.json"
    for split, enough in (("validation", False), ("train", True)):
        table.write_text(json.dumps({"seed": 0, "cases": {"a": split}}))
        small_store.write(tmp_path / "studies" / "labels" / "final" / "a.nii.gz", small_store.tumor())
        if enough:
            trainer.check_cases()
        else:
            with pytest.raises(ValueError, match="of 1, 1 are kept for validation and test"):
                trainer.check_cases()


def test_a_label_without_a_ct_is_none_to_train_with_but_where_images_are_fetched(trainer, tmp_path):
    studies = tmp_path / "studies"
    small_store.write(studies / "labels" / "final" / "lonely.nii.gz", small_store.tumor())
    with pytest.raises(ValueError, match="left out were lonely: labels/final has a label of it, but no case"):
        trainer.check_cases()
    given = (studies, tmp_path / "models", "demo", ("cpu",))
    trainers.build(*given, fetches=True)["ct-distal"].check_cases()
    assert stored_splits(studies) == {}, "a look decides nothing"


def test_before_the_first_training_there_are_no_stats(trainer):
    assert trainer.stats() == {}


def test_damaged_stats_do_not_break_the_server(trainer):
    trainer.record.parent.mkdir(parents=True)
    trainer.record.write_text("{")
    assert trainer.stats() == {}


def test_a_training_that_cannot_start_says_why_in_log_and_stats(trainer, caplog):
    with pytest.raises((HTTPException, ValueError), match="no approved label"):
        trainer({"model": "ct-distal", "learning_rate": 1.0}, Folder())
    assert "ct-distal was not trained: no approved label" in caplog.text
    assert trainer.stats()["status"] == "failed"
    json.dumps(trainer.stats(), allow_nan=False)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"multi_gpu": True, "gpus": "first"},
            'gpus is "all" or numbers of GPUs as text, such as "0,1", not .first',
        ),
        ({"iterations": -5}, "iterations is a whole number from 0"),
        ({"learning_rate": 2}, "learning_rate is a number"),
        ({"device": "cuda:9"}, "device is one of cpu"),
        ({"val_split": 0.5}, "unknown option val_split; the options here are: iterations, learning_rate"),
        ({"train_ds": "/etc/passwd"}, "unknown option train_ds"),
    ],
)
def test_what_is_not_allowed_is_refused(trainer, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        trainer.check({"model": "ct-distal", **options})
    with pytest.raises(HTTPException, match=sentence):
        trainer({"model": "ct-distal", **options}, Folder())
    assert trainer.calls == []


def test_a_training_that_goes_on_keeps_the_size_of_the_published_network(trainer):
    store = ModelStore(trainer.place.models)
    weights = replace(small_store.untrained("ct-distal"), metadata={"preset": "demo"})
    store.publish("ct-distal", store.add(weights).name)
    trainer.place = replace(trainer.place, preset="paper")
    assert trainer.preset_for({"from_scratch": False}) == "demo"
    assert trainer.preset_for({"from_scratch": True}) == "paper"


def test_a_training_from_a_version_that_is_lost_is_refused_before_it_starts(trainer):
    models = ModelStore(trainer.place.models)
    version = models.add(small_store.untrained("ct-distal"))
    models.publish("ct-distal", version.name)
    version.path.with_suffix(".json").unlink()
    with pytest.raises(ValueError, match=f"the published version {version.name} of .* is gone from"):
        trainer.check({})
    trainer.check({"from_scratch": True})


def test_one_gpu_may_be_named(trainer):
    trainer.check({"model": "ct-distal", "gpus": "1", "multi_gpu": False})


@pytest.mark.parametrize(
    "request_", [{"multi_gpu": True}, {"multi_gpu": "true", "gpus": "0,1"}, {"gpus": "0,1"}]
)
@pytest.mark.parametrize("devices", [("cpu",), ("cuda", "cuda:0", "cpu")])
def test_without_several_gpus_one_device_is_used_and_the_result_says_so(trainer, request_, devices):
    trainer.place = replace(trainer.place, devices=devices)
    outcome = trainer({"model": "ct-distal", "device": "cpu", **request_}, Folder())
    assert outcome["devices"] == "several GPUs were asked for; one device was used (cpu)"
    assert trainer.stats()["report"]["devices"] == outcome["devices"]
    (call,) = trainer.calls
    assert "devices" not in call[-1] and call[-1]["device"] == "cpu"


@pytest.mark.parametrize(
    ("request_", "shared"),
    [
        ({"multi_gpu": True}, ("cuda:0", "cuda:1", "cuda:2")),
        ({"multi_gpu": True, "gpus": "all"}, ("cuda:0", "cuda:1", "cuda:2")),
        ({"multi_gpu": True, "gpus": "2, 0"}, ("cuda:2", "cuda:0")),
        ({"gpus": "1,2"}, ("cuda:1", "cuda:2")),
        ({"multi_gpu": True, "gpus": "1"}, ()),
        ({"multi_gpu": False, "gpus": "0,1"}, ()),
        ({"gpus": "all"}, ()),
        ({}, ()),
    ],
)
def test_several_gpus_share_a_training_of_stage_one(trainer, request_, shared):
    trainer.place = replace(trainer.place, devices=("cuda", "cuda:2", "cuda:0", "cuda:1", "cpu"))
    outcome = trainer({"model": "ct-distal", **request_}, Folder())
    (call,) = trainer.calls
    assert call[-1].get("devices", ()) == shared and call[-1]["device"] == (shared or ("cpu",))[0]
    if shared:
        assert outcome["devices"] == f"{', '.join(shared)} shared each training"


def test_no_more_gpus_than_a_batch_has_patches_and_none_that_is_not_there(trainer):
    trainer.place = replace(trainer.place, devices=(*(f"cuda:{number}" for number in range(12)), "cpu"))
    trainer({"model": "ct-distal", "multi_gpu": True}, Folder())
    assert trainer.calls[0][-1]["devices"] == tuple(f"cuda:{number}" for number in range(8))
    with pytest.raises(ValueError, match="gpus names cuda:17: this server has cuda:0, cuda:1, "):
        trainer.check({"multi_gpu": True, "gpus": "0,17"})


def test_a_network_of_stage_two_is_trained_in_epochs_with_the_tagger_in_use(tmp_path, monkeypatch):
    calls = []

    def retrain_classifier(root, models, name, *, on_step, **options):
        on_step("looking for the candidates of case-1 (1 of 2)")
        calls.append((name, options, json.loads((models / "training" / "glnet.json").read_text())))
        return Report()

    monkeypatch.setattr("osln.retraining.classifier.retrain_classifier", retrain_classifier)
    tagger = tmp_path / "lesanet.safetensors"
    built = trainers.build(tmp_path / "studies", tmp_path / "models", "demo", ("cpu",), tagger)
    glnet = built["glnet"]
    assert glnet.config()["epochs"] == 0 and "iterations" not in glnet.config()
    glnet({"model": "glnet", "epochs": 3}, Folder())
    ((name, options, state),) = calls
    assert name == "glnet" and options["epochs"] == 3 and options["tagger_path"] == tagger
    assert state["status"] == "preparing" and state["step"] == "looking for the candidates of case-1 (1 of 2)"
    assert glnet.stats()["status"] == "done"


def test_a_training_beside_another_of_the_network_is_refused_and_spares_its_record(
    trainer, tmp_path, monkeypatch
):
    monkeypatch.setattr("osln.weights.model_store.END_SECONDS", 0.1)
    trainer({"model": "ct-distal"}, Folder())
    record = trainer.stats()
    refused = []

    def second():
        for ask in (trainer.check_free, lambda: trainer({"model": "ct-distal"}, Folder())):
            try:
                ask()
            except (HTTPException, ValueError) as error:
                refused.append(error)

    with ModelStore(tmp_path / "models").training("ct-distal"):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert len(refused) == 2 and "is being trained" in str(refused[0])
    assert refused[1].status_code == 409
    assert trainer.stats() == record and len(trainer.calls) == 1
