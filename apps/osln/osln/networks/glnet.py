"""GLNet: scores a candidate from its local patch and from the tags of the tagger (paper, section 3.2)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from osln.networks.residual import ResidualBlock
from osln.rows.experiments import CONTEXT_INPUTS, Classifier, StageTwo
from osln.rows.tags import TAG_NAMES


class GLNet(nn.Module):
    """Global-local network (paper, section 3.2 and lower half of Figure 3).

    Local module: four residual 3D blocks; the features of each are averaged inside the candidate's box
    (3D ROI-GAP) and pass a linear layer, so that fine and coarse scales contribute alike. Global module:
    the tags' probabilities, as they come; a row that the paper does not have adds what stage one knows. One
    linear layer on all of them gives the score. A ReLU stands between the two linear layers, which would
    otherwise be one.

    Args:
        in_channels: Channels of the patch; 0 leaves out the local module.
        widths: Channels of the four blocks; each but the first halves the resolution.
        features: Numbers that each block contributes: 256 in the paper, 1024 together.
        known: Number of tags and of what else is known; 0 leaves out the global module.
        dropout: Share of the local features left out in a training step.

    Raises:
        ValueError: If both modules are left out.
    """

    def __init__(
        self, in_channels: int, widths: Sequence[int], features: int, known: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        if not in_channels and not known:
            raise ValueError("a classifier needs a local patch, tags or both")
        local = list(widths) if in_channels else []
        inputs = [in_channels, *local[:-1]] if local else []
        self.blocks = nn.ModuleList(
            ResidualBlock(before, width, stride=1 if level == 0 else 2)
            for level, (before, width) in enumerate(zip(inputs, local, strict=True))
        )
        self.scales = nn.ModuleList(nn.Linear(width, features) for width in local)
        self.dropout = nn.Dropout(dropout)
        self.score = nn.Linear(features * len(local) + known, 1)

    @classmethod
    def of(cls, classifier: Classifier, stage_two: StageTwo) -> "GLNet":
        """The network of a row of `CLASSIFIERS` in the size of a preset."""
        return cls(
            len(classifier.inputs),
            stage_two.widths,
            stage_two.features,
            len(TAG_NAMES) * classifier.tags + CONTEXT_INPUTS * classifier.context,
            stage_two.dropout,
        )

    def features(self, patches: torch.Tensor | None, boxes: Any, known: torch.Tensor | None) -> torch.Tensor:
        """Everything that the score of each of N candidates is made of.

        Args:
            patches: (N, C, x, y, z); None without local module.
            boxes: (N, 3, 2) faces of each candidate's box in voxels of the patch: voxel k lies between the
                faces k and k + 1; None without local module.
            known: (N, K) tags and what else is known; None without global module.

        Returns:
            (N, F) float32.
        """
        parts = [] if patches is None else self.local(patches, boxes)
        return torch.cat([part.float() for part in (*parts, known) if part is not None], dim=1)

    def local(self, patches: torch.Tensor, boxes: torch.Tensor) -> list[torch.Tensor]:
        """The local module's part of the features, (N, features) at each scale; arguments as `features`."""
        found, x = [], patches
        for level, (block, scale) in enumerate(zip(self.blocks, self.scales, strict=True)):
            x = block(x)
            found.append(self.dropout(F.relu(scale(roi_average(x, boxes, 2**level)))))
        return found

    def judge(self, features: torch.Tensor) -> torch.Tensor:
        """(N,) float32 logits of N candidates from their features (N, F)."""
        return self.score(features).float()[:, 0]

    def forward(self, patches: torch.Tensor | None, boxes: Any, known: torch.Tensor | None) -> torch.Tensor:
        """(N,) float32 logits of N candidates; arguments as in `features`."""
        return self.judge(self.features(patches, boxes, known))


def roi_average(features: torch.Tensor, boxes: torch.Tensor, stride: int) -> torch.Tensor:
    """Mean feature inside a box for each of N candidates (3D ROI-GAP).

    Cells that the box covers in part count by their covered share, so that boxes smaller than a cell of
    a coarse map have an average too.

    Args:
        features: (N, C, X, Y, Z) maps, one for each candidate.
        boxes: (N, 3, 2) faces in input voxels, each box overlapping the patch.
        stride: Input voxels per cell of the map.

    Returns:
        (N, C) float32.
    """
    weights = roi_weights(boxes, features.shape[2:], stride)
    return torch.einsum("ncxyz,nx,ny,nz->nc", features.float(), *weights)


def roi_weights(boxes: torch.Tensor, shape: Sequence[int], stride: int) -> list[torch.Tensor]:
    """Shares of the mean inside N boxes that the cells along each axis have: (N, X), (N, Y) and (N, Z).

    Args:
        boxes, stride: As `roi_average`.
        shape: X, Y, Z of the maps.
    """
    weights = []
    for axis, cells in enumerate(shape):
        low = torch.arange(cells, device=boxes.device) * stride
        first, past = boxes[:, axis, :1], boxes[:, axis, 1:]
        covered = (torch.minimum(past, low + stride) - torch.maximum(first, low)).clamp(min=0.0)
        weights.append(covered / covered.sum(dim=1, keepdim=True).clamp(min=1e-6))
    return weights
