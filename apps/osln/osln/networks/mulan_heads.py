"""Tag head, mask head and score refinement of MULAN; its box head is torchvision's."""

import torch
from torch import nn
from torchvision.models.detection.faster_rcnn import TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops import roi_align

from osln.rows.tags import TAG_NAMES

POOLED = 7
"""Cells of a box along each axis that box and tag head see."""
MASK_POOLED = 14
MASK_PIXELS = 28
MASK_LAYERS = 4
DICE_SMOOTHING = 0.01
CLASSES = 2
"""Background and node."""


class TagHead(nn.Module):
    """Two fully connected layers to the logits of the 171 tags.

    Args:
        channels: Of the map.
        features: Of each hidden layer.
    """

    def __init__(self, channels: int, features: int) -> None:
        super().__init__()
        self.layers = TwoMLPHead(channels * POOLED**2, features)
        self.scores = nn.Linear(features, len(TAG_NAMES))

    def forward(self, pooled: torch.Tensor) -> torch.Tensor:
        """(N, 171) from (N, channels, 7, 7)."""
        logits: torch.Tensor = self.scores(self.layers(pooled))
        return logits


class MaskHead(nn.Module):
    """Four convolutions, one upsampling, one logit per cell of the box.

    Args:
        channels: Of the map.
        width: Of the convolutions.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.layers = MaskRCNNHeads(channels, (width,) * MASK_LAYERS, dilation=1)
        self.scores = MaskRCNNPredictor(width, width, num_classes=1)
        # On a map without normalization the first logits of a wide head are far from 0, and so is the loss.
        nn.init.normal_(self.scores.mask_fcn_logits.weight, std=0.01)

    def forward(self, pooled: torch.Tensor) -> torch.Tensor:
        """(N, 28, 28) from (N, channels, 14, 14)."""
        logits: torch.Tensor = self.scores(self.layers(pooled))[:, 0]
        return logits


class Refinement(nn.Module):
    """Score refinement layer: lets class and tags of a box correct each other (MULAN, section 2.2).

    It starts as identity.
    """

    def __init__(self) -> None:
        super().__init__()
        together = CLASSES + len(TAG_NAMES)
        self.classes = nn.Linear(together, CLASSES)
        self.tags = nn.Linear(together, len(TAG_NAMES))
        with torch.no_grad():
            for layer, start in ((self.classes, 0), (self.tags, CLASSES)):
                layer.weight.zero_()
                layer.bias.zero_()
                size = layer.out_features
                layer.weight[:, start : start + size] = torch.eye(size)

    def forward(self, classes: torch.Tensor, tags: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Refined logits (N, 2) and (N, 171) from those of the heads."""
        together = torch.cat([classes, tags], dim=1)
        return self.classes(together), self.tags(together)


def box_masks(masks: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    """What the mask head should answer: the share of the node in each of the 28 x 28 cells of its box.

    torchvision's `project_masks_on_boxes` takes pixel i to lie at i, half a pixel beside its center; nodes of
    a few pixels would be painted in the wrong place.

    Args:
        masks: (N, rows, columns) float32, one for each box.
        boxes: (N, 4) x1, y1, x2, y2 in edges of pixels.

    Returns:
        (N, 28, 28).
    """
    index = torch.arange(len(boxes), dtype=boxes.dtype, device=boxes.device)[:, None]
    regions = torch.cat([index, boxes], dim=1)
    return roi_align(masks[:, None], regions, MASK_PIXELS, aligned=True)[:, 0]


def dice_loss(probability: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Mean over N masks of 1 - Dice; both (N, cells) float32, N at least 1."""
    shared = (probability * truth).sum(1)
    both = probability.sum(1) + truth.sum(1)
    return (1 - (2 * shared + DICE_SMOOTHING) / (both + DICE_SMOOTHING)).mean()
