"""Named tensors of a network: whether they are its own and numbers, how they are stored, and put into it."""

from collections.abc import Mapping

import torch
from torch import nn

VARIANCE = "running_var"
"""End of the names of batch normalization's variances."""


def filled(network: nn.Module, weights: Mapping[str, torch.Tensor]) -> nn.Module:
    """A network that was laid out on the device "meta", with a copy of these weights.

    Random starting weights would only be overwritten, and room for them (`to_empty`) would import torch's
    symbolic shapes, which takes longer than reading the file.

    Args:
        network: Without any content.
        weights: All of its tensors by name, of any type.
    """
    types = {name: tensor.dtype for name, tensor in network.state_dict().items()}
    copies = {
        name: tensor.to("cpu", types.get(name), copy=True, memory_format=torch.contiguous_format)
        for name, tensor in weights.items()
    }
    network.load_state_dict(copies, assign=True)
    return network


def halved(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights with the kernels in half precision, which rounds an eighth as much as bfloat16 does.

    Everything that has fewer dimensions than a kernel, and a kernel that half precision cannot hold, stays.

    Args:
        weights: By name, in float32.
    """
    limit = torch.finfo(torch.float16).max
    return {
        name: one.half() if one.ndim > 2 and bool(one.abs().max() < limit) else one
        for name, one in weights.items()
    }


def differing_tensors(
    wanted: Mapping[str, torch.Tensor], given: Mapping[str, torch.Tensor], ignored: str | None = None
) -> list[str]:
    """In words, sorted: tensors that are missing, of another shape or too many; empty if all fit.

    Args:
        wanted: Tensors of the architecture by name.
        given: Tensors of the file.
        ignored: End of the names that do not matter.
    """
    shapes = [
        {
            name: tuple(tensor.shape)
            for name, tensor in state.items()
            if ignored is None or not name.endswith(ignored)
        }
        for state in (wanted, given)
    ]
    return sorted(
        f"{name}: {shapes[1].get(name, 'missing')} instead of {shapes[0].get(name, 'nothing')}"
        for name in shapes[0].keys() | shapes[1].keys()
        if shapes[0].get(name) != shapes[1].get(name)
    )


def check_numbers(weights: Mapping[str, torch.Tensor], whose: str, advice: str) -> None:
    """Refuse weights whose answers would be no numbers: OpenVINO's ReLU makes 0 of them, and nothing tells.

    Args:
        weights: By name.
        whose: Name of the network.
        advice: What to do.

    Raises:
        ValueError: If a weight is not a finite number, or a running variance is negative.
    """
    for name, tensor in weights.items():
        if not tensor.is_floating_point():
            continue
        if not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"the weights {name} of {whose} are not finite numbers: {advice}")
        if name.endswith(VARIANCE) and bool((tensor < 0).any()):
            raise ValueError(f"the variance {name} of {whose} is negative: {advice}")
