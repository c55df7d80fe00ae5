"""Loss, learning rate and arithmetic with which the networks learn."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

LAST_LEARNING_RATE = 0.02
"""Share of the learning rate that is left after the last step."""


def masked_loss(
    logits: torch.Tensor, target: torch.Tensor, mask: torch.Tensor, positive_weight: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Batch Dice plus weighted cross-entropy of the voxels inside the mask.

    Args:
        logits: (B, L, x, y, z) float32: L maps, each of which the loss is asked of (deep supervision).
        target, mask: (B, 1, x, y, z) float32 of 0 and 1.
        positive_weight: Weight of a node voxel in the cross-entropy.

    Returns:
        The loss, the mean over the maps, and its Dice part. An empty mask gives a cross-entropy of 0.
    """
    if logits.shape[1] > 1:
        pairs = [masked_loss(one, target, mask, positive_weight) for one in logits.split(1, dim=1)]
        loss, dice = (torch.stack(part).mean() for part in zip(*pairs, strict=True))
        return loss, dice
    prob = torch.sigmoid(logits) * mask
    target = target * mask
    # One voxel of smoothing keeps the loss defined for a batch without nodes.
    dice = 1 - (2 * (prob * target).sum() + 1) / (prob.sum() + target.sum() + 1)
    weight = mask * (1 + (positive_weight - 1) * target)
    entropy = F.binary_cross_entropy_with_logits(logits, target, weight=weight, reduction="sum")
    return dice + entropy / mask.sum().clamp(min=1), dice


def candidate_loss(logits: torch.Tensor, truth: torch.Tensor, positive_weight: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of the candidates that are a node or none.

    Args:
        logits: (N,).
        truth: (N,) float32: 1, 0, or negative for neither.
        positive_weight: Weight of a node.

    Returns:
        The loss; 0 if no candidate counts.
    """
    counted = truth >= 0
    if not counted.any():
        return 0.0 * logits.sum()
    return F.binary_cross_entropy_with_logits(logits[counted], truth[counted], pos_weight=positive_weight)


def learning_rate(peak: float, iteration: int, iterations: int) -> float:
    """Constant for the first half of the steps, then linear down to 2 % at the last one."""
    half = iterations // 2
    if iteration < half:
        return peak
    done = (iteration - half) / max(iterations - 1 - half, 1)
    return peak * (1 - (1 - LAST_LEARNING_RATE) * done)


def bf16_is_fast(device: torch.device) -> bool:
    """Whether the device multiplies in bfloat16 itself; elsewhere autocast costs time and precision."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
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
