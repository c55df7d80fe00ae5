"""MULAN learns, depends on its seed alone and goes on where it was interrupted."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from osln.mulan import training as detector_training
from osln.mulan.detection import SliceDetector
from osln.mulan.training import train_detector
from osln.rows.detectors import DETECTORS
from osln.weights.checkpoint import load_checkpoint, save_checkpoint
from small.columns import small_column, tiny_preset
from small.detectors import tiny_recipe, use_tiny


@pytest.fixture(autouse=True)
def small_reports(monkeypatch):
    """The tiny network and a report after every other step."""
    use_tiny(monkeypatch)
    monkeypatch.setattr(detector_training, "REPORT_STEPS", 2)


@pytest.fixture(scope="module")
def columns():
    return [small_column(seed) for seed in range(3)]


def quick(columns, name="mulan-ct", tags=None, **options):
    return train_detector(
        DETECTORS[name],
        tiny_preset(),
        columns,
        tags,
        **({"iterations": 4, "recipe": tiny_recipe()} | options),
    )


def same(a, b) -> bool:
    return all(torch.equal(a.state_dict[name], b.state_dict[name]) for name in a.state_dict)


def test_the_same_seed_gives_the_same_weights_another_seed_others(columns):
    first = quick(columns)

    assert same(first, quick(columns)) and not same(first, quick(columns, seed=1))


@pytest.mark.usefixtures("state_after_every_step")
def test_an_interrupted_training_ends_like_an_uninterrupted_one(columns, tmp_path):
    path = tmp_path / "run.resume"
    whole = quick(columns, iterations=5)

    def stop(progress):
        if progress.step == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quick(columns, iterations=5, resume_path=path, on_progress=stop)
    seen = []
    resumed = quick(columns, iterations=5, resume_path=path, on_progress=seen.append)

    assert [progress.step for progress in seen] == [5] and same(whole, resumed)
    assert [entry["step"] for entry in resumed.metadata["losses"]] == [2, 4, 5]


def test_a_resume_file_of_other_labels_tags_or_settings_is_not_used(columns, tmp_path):
    path = tmp_path / "run.resume"
    quick(columns, resume_path=path)
    tags = [{1: np.ones(171, dtype=bool)}, {}, {}]
    corrected = [
        replace(columns[0], nodes=np.where(columns[0].nodes == 1, 0, columns[0].nodes)),
        *columns[1:],
    ]

    assert same(quick(columns, seed=3, resume_path=path), quick(columns, seed=3))
    assert same(quick(columns, tags=tags, resume_path=path), quick(columns, tags=tags))
    assert same(quick(corrected, resume_path=path), quick(corrected))


def test_progress_tells_all_losses_and_their_sum(columns):
    seen = []
    quick(columns, on_progress=seen.append)

    assert [(p.step, p.steps) for p in seen] == [(2, 4), (4, 4)] and seen[-1].seconds_left == 0
    losses = dict(seen[0].losses)
    assert losses.pop("total") == pytest.approx(sum(losses.values()), rel=1e-4)


def test_without_tags_their_losses_are_zero_and_with_tags_they_are_not(columns):
    seen = []
    quick(columns, on_progress=seen.append)
    tags = [{label: np.arange(171) < 20 for label in range(1, 5)}] * 3
    known = quick(columns, tags=tags, on_progress=seen.append)

    names = ("tags", "hard", "refined tags")
    assert [seen[0].losses[name] for name in names] == [0, 0, 0]
    assert all(seen[-1].losses[name] > 0.01 for name in names)
    assert known.metadata["tagged_nodes"] == 12


def test_the_checkpoint_holds_its_record_and_loads_with_weights_only(columns, tmp_path):
    checkpoint = quick(columns, "mulan-ct-pet", trained_on="phantom")
    save_checkpoint(tmp_path / "weights.pt", checkpoint)
    loaded = load_checkpoint(tmp_path / "weights.pt")

    assert (loaded.name, loaded.preset, loaded.trained_on) == ("mulan-ct-pet", "demo", "phantom")
    assert loaded.metadata["train_cases"] == ["case0", "case1", "case2"]
    assert loaded.metadata["recipe"]["batch"] == 2 and loaded.scaling.pet_mean > 0
    assert same(loaded, checkpoint) and loaded.network().training is False


def test_what_cannot_be_trained_is_refused(columns):
    with pytest.raises(ValueError, match="at least 1"):
        quick(columns, iterations=0)
    with pytest.raises(ValueError, match="tags of 1 patients for 3"):
        quick(columns, tags=[{}])
    broken = replace(columns[0], pet_suv=np.full_like(columns[0].pet_suv, np.nan))
    with pytest.raises(ValueError, match="not a number at step 1: lower the learning rate"):
        quick([broken], "mulan-ct-pet")


@pytest.mark.slow
def test_a_network_learns_to_find_bright_balls(columns, monkeypatch):
    recipe = use_tiny(monkeypatch, batch=4, pixel_mm=1.25, blocks=(2, 2, 2), channels=16, box_features=32)
    seen = []
    checkpoint = quick(columns[:2], "mulan-ct-pet", iterations=120, recipe=recipe, on_progress=seen.append)
    for name, share in (("total", 0.9), ("proposals", 0.3)):
        assert seen[-1].losses[name] < share * seen[0].losses[name]

    found = SliceDetector(checkpoint).detect(columns[2]).scored(columns[2].nodes)
    best = np.argsort(-found.scores)[:4]
    assert found.hits[best].all() and found.n_nodes == 4
