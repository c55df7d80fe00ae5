"""Learning rates: how they fall over a training, and which weights take a multiple of them."""

import torch

LAST_LEARNING_RATE = 0.02
"""Share of the learning rate that is left after the last step."""


def learning_rate(peak: float, iteration: int, iterations: int) -> float:
    """Constant for the first half of the steps, then linear down to 2 % at the last one."""
    half = iterations // 2
    if iteration < half:
        return peak
    done = (iteration - half) / max(iterations - 1 - half, 1)
    return peak * (1 - (1 - LAST_LEARNING_RATE) * done)


def weight_groups(network: torch.nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Parameter groups of an optimizer: biases do not decay; their rate is "times" 2 that of the weights."""
    named = list(network.named_parameters())
    return [
        {
            "params": [value for name, value in named if name.endswith("bias") == is_bias],
            "weight_decay": decay,
            "times": times,
        }
        for is_bias, decay, times in ((False, weight_decay, 1.0), (True, 0.0, 2.0))
    ]


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Sets the learning rate; that of a group of `weight_groups` is so many "times" it."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("times", 1.0)
