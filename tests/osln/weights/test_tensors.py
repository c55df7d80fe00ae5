"""Named tensors of a network."""

import pytest
import torch

from osln.weights.tensors import filled, halved


def test_kernels_are_halved_unless_half_precision_cannot_hold_them():
    weights = {"kernel": torch.full((2, 1, 3, 3, 3), 0.1), "huge": torch.full((1, 1, 1, 1, 1), 1e6)}
    weights |= {"bias": torch.tensor([0.1]), "linear": torch.full((2, 2), 0.1)}
    kept = halved(weights)
    assert {name: one.dtype for name, one in kept.items()} == {
        "kernel": torch.float16,
        "huge": torch.float32,
        "bias": torch.float32,
        "linear": torch.float32,
    }
    assert abs(float(kept["kernel"].float().max()) - 0.1) < 0.1 / 2**11 and kept["huge"].equal(
        weights["huge"]
    )


def test_filled_copies_and_keeps_the_types_of_the_network():
    weights = {"weight": torch.tensor([[1.5, 2.0]], dtype=torch.float16), "bias": torch.zeros(1)}
    with torch.device("meta"):
        network = torch.nn.Linear(2, 1)
    filled(network, weights)
    weights["bias"].fill_(5)
    assert network.weight.dtype == torch.float32 and network.weight.requires_grad
    assert network.weight.tolist() == [[1.5, 2.0]] and network.bias.tolist() == [0.0]
    with pytest.raises(RuntimeError, match="Missing key"):
        filled(network, {"bias": torch.zeros(1)})
