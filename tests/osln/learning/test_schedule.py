"""How the learning rate falls, and which weights take twice of it."""

from itertools import pairwise

import pytest
import torch

from osln.learning.schedule import learning_rate, set_rate, weight_groups


def test_the_learning_rate_is_constant_for_half_and_ends_at_2_percent():
    rates = [learning_rate(1.0, i, 10) for i in range(10)]
    assert rates[:6] == [1.0] * 6
    assert rates[-1] == pytest.approx(0.02)
    steps = [a - b for a, b in pairwise(rates[5:])]
    assert steps == pytest.approx([0.245] * 4)


def test_a_training_of_one_step_has_a_learning_rate():
    assert learning_rate(0.5, 0, 1) == 0.5


def test_biases_do_not_decay_and_learn_twice_as_fast():
    network = torch.nn.Linear(2, 3)
    optimizer = torch.optim.SGD(weight_groups(network, 0.1), lr=1.0)
    set_rate(optimizer, 0.25)

    weights, biases = optimizer.param_groups
    assert weights["params"] == [network.weight] and (weights["weight_decay"], weights["lr"]) == (0.1, 0.25)
    assert biases["params"] == [network.bias] and (biases["weight_decay"], biases["lr"]) == (0.0, 0.5)
