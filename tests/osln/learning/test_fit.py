"""Steps are counted, averaged and reported, and an interrupted training goes on where it was."""

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from osln.learning.fit import Lesson, Progress, cpu_threads, fit, weights_of
from osln.learning.state import save_state

CPU = torch.device("cpu")


@dataclass(kw_only=True)
class Falling(Lesson[torch.nn.Linear]):
    """One weight, first 1, that every step lowers by .5; the further loss "number" is that of the step."""

    steps: int = 4
    epoch_steps: int = 2
    seed: int = 0
    device: torch.device = CPU
    learning_rate: float = 0.5
    slope: float = 1.0
    data: tuple = ()
    figures: bool = False
    done: list[int] = field(default_factory=list)

    def network(self):
        network = torch.nn.Linear(1, 1)
        torch.nn.init.ones_(network.weight)
        return network

    def optimizer(self, network):
        return torch.optim.SGD(network.parameters(), lr=1.0)

    def loss(self, network, step):
        self.done.append(step)
        return {"total": self.slope * network.weight.sum(), "number": torch.tensor(float(step))}

    def identity(self):
        return {"steps": self.steps}, self.data

    def look(self, network, step):
        return {"recall": step / self.steps} if self.figures else None

    def rate(self, step):
        return self.learning_rate


def stopped(lesson, path, at):
    """Trains until the report after so many steps."""

    def stop(progress):
        if progress.step == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(lesson, resume_path=path, on_progress=stop)


def test_reports_come_at_fixed_steps_with_mean_losses():
    seen = []
    learned = fit(Falling(steps=5), on_progress=seen.append)

    assert [(p.step, p.steps, p.losses["number"]) for p in seen] == [(2, 5, 0.5), (4, 5, 2.5), (5, 5, 4.0)]
    # The weight is 1, .5, 0, -.5 and -1 before the five steps.
    assert [p.loss for p in seen] == [0.75, -0.25, -1.0]
    assert learned.reports == [{"step": p.step, **p.losses} for p in seen]
    assert seen[-1].seconds_left == 0 and learned.network.weight.item() == 1 - 5 * 0.5


def test_progress_knows_its_share_and_counts_reports():
    progress = [Progress(step, 12, 5, {"total": 2.0}, None, 0.0) for step in (5, 10, 12)]
    assert [(p.epoch, p.epochs) for p in progress] == [(1, 3), (2, 3), (3, 3)]
    assert [p.share for p in progress] == [5 / 12, 10 / 12, 1.0] and progress[0].loss == 2.0


def test_the_record_says_how_it_was_learned():
    record = fit(Falling(seed=7)).record
    assert record.pop("seconds") >= 0
    assert record == {"steps": 4, "seed": 7, "device": "cpu", "torch": str(torch.__version__)}


@pytest.mark.usefixtures("state_after_every_step")
def test_an_interrupted_training_goes_on_and_another_one_starts_anew(tmp_path):
    path = tmp_path / "run.resume"
    stopped(Falling(), path, at=2)
    lesson = Falling()
    learned = fit(lesson, resume_path=path)
    assert lesson.done == [2, 3] and learned.network.weight.item() == 1 - 4 * 0.5
    assert [report["step"] for report in learned.reports] == [2, 4]

    for other in (Falling(data=(np.arange(3),)), Falling(seed=1), Falling(steps=3)):
        fit(other, resume_path=path)
        assert other.done == list(range(other.steps))


def test_other_first_weights_are_another_training(tmp_path, monkeypatch):
    path = tmp_path / "run.resume"
    fit(Falling(), resume_path=path)
    monkeypatch.setattr(torch.nn.init, "ones_", torch.nn.init.zeros_)
    again = Falling()
    fit(again, resume_path=path)
    assert again.done == [0, 1, 2, 3]


@pytest.mark.parametrize("content", ["other names", "no key"])
def test_a_state_of_a_former_version_starts_the_training_anew(tmp_path, content):
    path = tmp_path / "run.resume"
    fit(Falling(), resume_path=path)
    state = torch.load(path, weights_only=True)
    if content == "no key":
        torch.save([1, 2], path)
    else:
        save_state(path, state["key"], {"iteration": 2, "network": state["network"]})
    lesson = Falling()
    learned = fit(lesson, resume_path=path)
    assert lesson.done == [0, 1, 2, 3] and learned.network.weight.item() == 1 - 4 * 0.5


@pytest.mark.usefixtures("state_after_every_step")
def test_a_training_that_is_stopped_between_two_reports_loses_that_step_alone(tmp_path):
    path = tmp_path / "run.resume"

    class Broken(Falling):
        def loss(self, network, step):
            if step == 3:
                raise KeyboardInterrupt
            return super().loss(network, step)

    with pytest.raises(KeyboardInterrupt):
        fit(Broken(epoch_steps=4), resume_path=path)
    lesson, seen = Falling(epoch_steps=4), []
    fit(lesson, resume_path=path, on_progress=seen.append)
    assert lesson.done == [3] and seen[0].losses["number"] == (0 + 1 + 2 + 3) / 4


def test_figures_of_the_validation_patients_are_told_and_survive_an_interruption(tmp_path):
    path, seen = tmp_path / "run.resume", []
    fit(Falling(figures=True), resume_path=path, on_progress=lambda p: seen.append(p.validation))
    assert seen == [{"recall": 0.5}, {"recall": 1.0}]
    assert fit(Falling(), resume_path=path).validation == {"recall": 1.0}


def test_what_works_for_a_lesson_is_ended_with_it_and_after_an_error():
    closed = []

    class Busy(Falling):
        def close(self):
            closed.append(len(self.done))

    fit(Busy())
    with pytest.raises(ValueError, match="not a number"):
        fit(Busy(slope=float("nan")))
    assert closed == [4, 1]


def test_the_mean_losses_are_recorded_to_four_decimals():
    learned = fit(Falling(steps=2, slope=1 / 3, learning_rate=0.0))
    assert learned.losses == [{"step": 2.0, "total": 0.3333, "number": 0.5}]


def test_weights_descend_along_the_gradient_no_further_than_allowed():
    short = fit(Falling(steps=1, slope=8.0, learning_rate=0.25, largest_gradient=2.0)).network
    assert short.weight.item() == pytest.approx(1 - 0.25 * 2) and short.weight.grad is None
    assert fit(Falling(steps=1, slope=8.0, learning_rate=0.25)).network.weight.item() == 1 - 0.25 * 8


def test_what_cannot_be_learned_is_refused_in_words():
    with pytest.raises(ValueError, match=r"not a number at step 1: lower the learning rate \(now 0\.5\) or"):
        fit(Falling(slope=float("nan")))
    with pytest.raises(ValueError, match="iterations or epochs must be at least 1, not 0"):
        Falling(steps=0)


def test_a_copy_of_the_weights_stays_as_it_was():
    network = Falling().network()
    before = weights_of(network)
    torch.nn.init.zeros_(network.weight)
    assert before["weight"].item() == 1 and weights_of(network)["weight"].item() == 0


def test_training_leaves_threads_and_the_source_of_chance_as_they_were():
    torch.manual_seed(4)
    expected, threads = torch.rand(3), torch.get_num_threads()
    torch.manual_seed(4)
    fit(Falling(), threads=threads + 1)
    assert torch.equal(torch.rand(3), expected) and torch.get_num_threads() == threads


def test_threads_are_set_for_a_while_and_after_an_error_too():
    before = torch.get_num_threads()
    with pytest.raises(RuntimeError), cpu_threads(before + 1):
        assert torch.get_num_threads() == before + 1
        raise RuntimeError
    assert torch.get_num_threads() == before
    with cpu_threads(None):
        assert torch.get_num_threads() == before
