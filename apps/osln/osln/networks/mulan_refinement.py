"""Score refinement layer of MULAN."""

import torch
from torch import nn

from osln.networks.mulan_heads import CLASSES
from osln.rows.tags import TAG_NAMES


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
