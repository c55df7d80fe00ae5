"""Steps are counted, averaged and reported, and an interrupted run goes on where it was."""

import pytest
import torch

from osln.learning.run import StepRun, set_rate, weight_groups
from osln.learning.state import save_state


class Falling(StepRun):
    """One weight that every step lowers by .5; the loss is the number of the step."""

    def __init__(self, steps: int) -> None:
        network = torch.nn.Linear(1, 1)
        torch.nn.init.ones_(network.weight)
        super().__init__(network, torch.optim.SGD(network.parameters(), lr=0.5), steps, torch.device("cpu"))

    def one_step(self) -> dict[str, float]:
        self.network.weight.grad = torch.ones(1, 1)
        self.optimizer.step()
        return {"total": float(self.step)}


def test_reports_come_at_fixed_steps_with_mean_losses():
    run, seen = Falling(5), []
    run.finish(2, None, "key", seen.append)

    assert [(p.step, p.steps, p.losses["total"]) for p in seen] == [(2, 5, 0.5), (4, 5, 2.5), (5, 5, 4.0)]
    assert run.losses == [{"step": p.step, "total": p.losses["total"]} for p in seen]
    assert seen[-1].seconds_left == 0 and run.network.weight.item() == 1 - 5 * 0.5


def test_an_interrupted_run_goes_on_and_one_of_another_key_starts_anew(tmp_path):
    path = tmp_path / "run.resume"

    def stop(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Falling(4).finish(3, path, "key", stop)
    run, seen = Falling(4), []
    run.finish(3, path, "key", seen.append)
    assert [p.step for p in seen] == [4] and run.network.weight.item() == 1 - 4 * 0.5

    Falling(4).finish(3, path, "another", seen.append)
    assert [p.step for p in seen] == [4, 3, 4]


def test_a_state_of_other_contents_starts_the_training_anew(tmp_path):
    path = tmp_path / "run.resume"
    save_state(path, "key", {"iteration": 2, "network": Falling(3).network.state_dict()})
    run, seen = Falling(3), []
    run.finish(2, path, "key", seen.append)

    assert [p.step for p in seen] == [2, 3] and run.network.weight.item() == 1 - 3 * 0.5


def test_figures_of_the_validation_patients_are_told_and_survive_an_interruption(tmp_path):
    path, run, seen = tmp_path / "run.resume", Falling(4), []
    run.finish(2, path, "key", lambda _: seen.append(run.validation), lambda: {"recall": run.step / 4})
    assert seen == [{"recall": 0.5}, {"recall": 1.0}]

    again = Falling(4)
    again.finish(2, path, "key", None)
    assert again.validation == {"recall": 1.0}


def test_the_mean_losses_are_recorded_to_four_decimals():
    run, seen = Falling(3), []
    run.one_step = lambda: {"total": 1 / 3}
    run.finish(3, None, "key", seen.append)
    assert run.losses == [{"step": 3.0, "total": 0.3333}] and seen[0].losses["total"] == pytest.approx(1 / 3)


def test_weights_descend_along_the_gradient_no_further_than_allowed():
    run = Falling(1)
    torch.nn.init.zeros_(run.network.bias)
    run.descend(8 * run.network.weight.sum(), rate=0.25, largest_gradient=2.0)
    assert run.network.weight.item() == pytest.approx(1 - 0.25 * 2) and run.network.weight.grad is None
    run.descend(run.network.bias.sum(), rate=1.0)
    assert run.network.bias.item() == -1

    nothing = run.network.weight.sum() * float("nan")
    with pytest.raises(ValueError, match=r"not a number at step 1: lower the learning rate \(now 0\.5\) or"):
        run.descend(nothing, rate=0.5)
    with pytest.raises(ValueError, match="not a number in epoch 3: lower"):
        run.descend(nothing, rate=0.5, place="in epoch 3")
    assert run.network.weight.item() == pytest.approx(0.5)


def test_a_copy_of_the_weights_stays_as_it_was():
    run = Falling(2)
    before = run.weights()
    run.finish(2, None, "key", None)
    assert before["weight"].item() == 1 and run.weights()["weight"].item() == 0


def test_biases_do_not_decay_and_learn_twice_as_fast():
    network = torch.nn.Linear(2, 3)
    optimizer = torch.optim.SGD(weight_groups(network, 0.1), lr=1.0)
    set_rate(optimizer, 0.25)

    weights, biases = optimizer.param_groups
    assert weights["params"] == [network.weight] and (weights["weight_decay"], weights["lr"]) == (0.1, 0.25)
    assert biases["params"] == [network.bias] and (biases["weight_decay"], biases["lr"]) == (0.0, 0.5)
