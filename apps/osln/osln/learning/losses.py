"""Losses of the networks of both stages."""

import torch
from torch.nn import functional as F

from osln.learning.team import ALONE, Team


def masked_loss(
    logits: torch.Tensor,
    target: torch.Tensor,
    mask: torch.Tensor,
    positive_weight: float,
    team: Team = ALONE,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Batch Dice plus weighted cross-entropy of the voxels inside the mask.

    Args:
        logits: (B, L, x, y, z) float32: L maps, each of which the loss is asked of (deep supervision).
        target, mask: (B, 1, x, y, z) float32 of 0 and 1.
        positive_weight: Weight of a node voxel in the cross-entropy.
        team: Processes that have the other parts of the batch.

    Returns:
        The loss of the whole batch, the mean over the maps, and its Dice part. An empty mask gives a
        cross-entropy of 0.
    """
    if logits.shape[1] > 1:
        pairs = [masked_loss(one, target, mask, positive_weight, team) for one in logits.split(1, dim=1)]
        loss, dice = (torch.stack(part).mean() for part in zip(*pairs, strict=True))
        return loss, dice
    prob = torch.sigmoid(logits) * mask
    target = target * mask
    weight = mask * (1 + (positive_weight - 1) * target)
    entropy = F.binary_cross_entropy_with_logits(logits, target, weight=weight, reduction="sum")
    # Of the whole batch: the mean of the parts' Dice is not its Dice.
    sums = torch.stack([(prob * target).sum(), prob.sum(), target.sum(), entropy, mask.sum()])
    both, found, true, entropy, counted = team.summed(sums)
    # One voxel of smoothing keeps the loss defined for a batch without nodes.
    dice = 1 - (2 * both + 1) / (found + true + 1)
    return dice + entropy / counted.clamp(min=1), dice


def candidate_loss(logits: torch.Tensor, truth: torch.Tensor, positive_weight: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of the candidates that are a node or none.

    Args:
        logits: (N,), or (N, 2) with the logit of the overlap with the node.
        truth: (N,) float32: 1, 0, or negative for neither; or (N, 2) with the overlap, 0 to 1, which is read
            of nodes alone.
        positive_weight: Weight of a node.

    Returns:
        The loss, with that of the overlap added; 0 if no candidate counts.
    """
    if logits.dim() == 2:
        found = candidate_loss(logits[:, 0], truth[:, 0], positive_weight)
        return found + _overlap_loss(logits[:, 1], truth)
    counted = truth >= 0
    if not counted.any():
        return 0.0 * logits.sum()
    return F.binary_cross_entropy_with_logits(logits[counted], truth[counted], pos_weight=positive_weight)


def _overlap_loss(logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy with the overlap itself as the target, of the nodes.

    It is least at the mean overlap of nodes that look alike, which makes the product with their probability
    an expectation; the absolute difference is least at the median, and has hardly a gradient where the
    sigmoid is flat.
    """
    nodes = truth[:, 0] > 0
    if not nodes.any():
        return 0.0 * logits.sum()
    return F.binary_cross_entropy_with_logits(logits[nodes], truth[nodes, 1])
