"""Devices on which trained networks run, and the arithmetic they are fast and sound in."""

from collections.abc import Callable

import torch
from torch import nn


def available_devices() -> list[str]:
    """Devices that a `Predictor` can run on, on this computer."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return ["cpu"] + ["cuda"] * (count > 0) + [f"cuda:{index}" for index in range(count)]


def bf16_is_fast(device: torch.device) -> bool:
    """Whether the device multiplies in bfloat16 itself; elsewhere autocast costs time and precision."""
    if device.type == "cuda":
        # Volta and Turing GPUs only emulate it.
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def bf16_is_sound(device: torch.device, network: nn.Module, run: Callable[[], object]) -> bool:
    """Whether a network learns in bfloat16 as it should; False where the device does not multiply in it.

    On CPUs the bfloat16 weight gradient of a 3 x 3 x 3 convolution over maps that are two voxels wide along
    the first axis is partly memory that nobody wrote (oneDNN 3.12). Small patches in networks of many
    halvings have such maps; those networks learn in single precision.

    Args:
        device: Where it learns.
        network: The network.
        run: Passes a batch through it.
    """
    if not bf16_is_fast(device) or device.type != "cpu":
        return bf16_is_fast(device)
    widths: set[int] = set()
    wide = [one for one in network.modules() if isinstance(one, nn.Conv3d) and max(one.kernel_size) > 1]
    hooks = [one.register_forward_pre_hook(lambda _, given: widths.add(given[0].shape[2])) for one in wide]
    training = network.training
    network.eval()
    with torch.no_grad():
        run()
    network.train(training)
    for hook in hooks:
        hook.remove()
    return 2 not in widths
