"""Steps are counted, averaged and reported, and an interrupted run goes on where it was."""

import pytest
import torch

from osln.step_run import StepRun, set_rate, weight_groups


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


def test_biases_do_not_decay_and_learn_twice_as_fast():
    network = torch.nn.Linear(2, 3)
    optimizer = torch.optim.SGD(weight_groups(network, 0.1), lr=1.0)
    set_rate(optimizer, 0.25)

    weights, biases = optimizer.param_groups
    assert weights["params"] == [network.weight] and (weights["weight_decay"], weights["lr"]) == (0.1, 0.25)
    assert biases["params"] == [network.bias] and (biases["weight_decay"], biases["lr"]) == (0.0, 0.5)
