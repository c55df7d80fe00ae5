"""Rounds in workers: what goes wrong in one of them is told, and ends no other."""

import pytest

from osln.retraining import spread
from osln.retraining.publishing import alone
from osln.retraining.settings import Settings
from osln.retraining.spread import Trainings, learn, whole_round
from osln.weights.model_store import BusyError
from small import store as small_store


def broken(name, device):
    raise OSError("no room on the disk")


def refused(name, device):
    raise ValueError("approve further cases")


@pytest.mark.parametrize(
    ("work", "told"),
    [(broken, "OSError: no room on the disk"), (refused, "approve further cases")],
)
def test_what_a_round_fails_of_is_its_answer(tmp_path, work, told):
    assert whole_round(Trainings(tmp_path, tmp_path, Settings(), work), "ct") == told


def test_a_training_that_fails_is_left_to_its_round(tmp_path, monkeypatch, caplog):
    class Round:
        def __init__(self, *given):
            raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr(spread, "SegmenterRound", Round)
    learn(Trainings(tmp_path, tmp_path, Settings(), broken), "ct", 2)
    assert "training of ct, part 2" in caplog.text and "CUDA out of memory" in caplog.text


def test_each_round_waits_for_its_trainings_and_for_the_round_before(tmp_path):
    first, second = Trainings(tmp_path, tmp_path, Settings(cross_fit=False), broken).artifacts(
        ["ct", "glnet"]
    )
    assert [one.name for one in first.needs] == ["training ct"]
    assert second.needs == (first,)


def test_a_round_trains_under_its_own_lock_or_under_that_of_whoever_asks(tmp_path, monkeypatch):
    monkeypatch.setattr("osln.weights.model_store.END_SECONDS", 0.1)
    work = alone(lambda root, store, network, **options: (network, options))
    with small_store.trained_elsewhere(tmp_path, "ct"):
        with pytest.raises(BusyError, match="ct is being trained for"):
            work(tmp_path, tmp_path, "ct", seed=1)
        assert work(tmp_path, tmp_path, "ct", seed=1, held=True) == ("ct", {"seed": 1})
