"""The 2.5D classifier of random views, which the paper compares GLNet with (its reference [27])."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from osln.rows.presets import RandomViews

PLANES = ((0, 1), (0, 2), (1, 2))
"""Axes of the axial, coronal and sagittal plane: channels of a view."""
CANDIDATES_AT_ONCE = 4
"""At test, whose views are looked at together: more would only take memory."""


class RandomViewNet(nn.Module):
    """A small 2D network that sees a candidate in three orthogonal planes, from many sides.

    A view is the axial, coronal and sagittal plane through a point near the candidate's center, turned
    together about a random axis, as the three channels of a 32 x 32 image. In training every candidate is
    seen in a few random views a step; at test the probability is the mean over all combinations of scales,
    places and directions, always the same ones, so that a result can be repeated: 100 in the `paper` preset,
    16 in `demo`.

    Verified in the authors' published code: 3 x 32 x 32 views; the first place is the center and the first
    direction that of the axes; lengths of shifts uniform to 3 mm, directions random; axes of rotation random,
    angles uniform over a turn; the plain mean of the probabilities; HU from -100 to 200; the layers of the
    network with their sizes (two convolutions with pooling and normalization across channels, two locally
    connected layers, a fully connected one with DropConnect). Recalled and not verified: four scales of 30
    to 45 mm and 100 views, as in the published text.

    Chosen here, to have one path for all of stage two: views are cut linearly out of GLNet's local patch,
    about 50 mm wide, and beyond it repeat its border (corners of large turned views); a candidate larger
    than the patch is as small as in the patch; training is that of GLNet (Adam, class-balanced cross-entropy
    of the mean over the step's views, few epochs) from first weights after He et al. 2015; DropConnect drops
    one mask a step and at test uses the mean weights.

    Args:
        in_channels: Must be 1, the CT.
        size: Views and layers.
        spacing_mm: Of the patch's voxels.

    Raises:
        ValueError: If the network is to see anything but the CT.

    Reference:
        Roth et al.: Improving Computer-aided Detection using Convolutional Neural Networks and Random View
        Aggregation, 2016; the paper, section 4.5 and Table 2.
    """

    def __init__(self, in_channels: int, size: RandomViews, spacing_mm: tuple[float, float, float]) -> None:
        super().__init__()
        if in_channels != 1:
            raise ValueError(
                f"the planes of the CT are the channels of a view; {in_channels} images do not fit"
            )
        self.size, self.spacing_mm = size, spacing_mm
        first, second, third, fourth = size.widths
        cells = -(-size.pixels // 4)
        normalized = {"size": 9, "alpha": 1e-3, "beta": 0.75}
        self.layers = nn.Sequential(
            nn.Conv2d(3, first, 5, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, padding=1),
            nn.LocalResponseNorm(**normalized),
            nn.Conv2d(first, second, 5, padding=2),
            nn.ReLU(inplace=True),
            nn.LocalResponseNorm(**normalized),
            nn.MaxPool2d(3, 2, padding=1),
            LocallyConnected(second, third, cells),
            nn.ReLU(inplace=True),
            LocallyConnected(third, fourth, cells),
            nn.ReLU(inplace=True),
            nn.Flatten(),
            DropConnect(fourth * cells**2, size.hidden),
            nn.ReLU(inplace=True),
            nn.Linear(size.hidden, 1),
        )
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d | DropConnect):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

    def features(self, patches: Any, boxes: Any, known: torch.Tensor | None) -> torch.Tensor:
        """(N, 1) logits of the mean probability of N candidates over their views.

        Args:
            patches: (N, 1, x, y, z), centered on the candidates.
            boxes: Not used.
            known: Not used.
        """
        if self.training:
            return self._mean(patches, drawn_views(self.size, len(patches)))
        placed = tuple(part.expand(len(patches), *part.shape[1:]) for part in all_views(self.size))
        found = []
        for start in range(0, len(patches), CANDIDATES_AT_ONCE):
            part = slice(start, start + CANDIDATES_AT_ONCE)
            found.append(self._mean(patches[part], [one[part] for one in placed]))
        return torch.cat(found)

    def _mean(self, patches: torch.Tensor, placed: Sequence[torch.Tensor]) -> torch.Tensor:
        """(N, 1) logit of the mean probability over the views that are placed as `cut_views` wants them."""
        views = cut_views(patches, self.spacing_mm, self.size.pixels, *placed)
        logits = self.layers(views.flatten(0, 1)).float().reshape(views.shape[:2])
        return torch.logit(torch.sigmoid(logits).mean(dim=1, keepdim=True), eps=1e-6)

    def judge(self, features: torch.Tensor) -> torch.Tensor:
        """(N,) logits of (N, 1) features."""
        return features[:, 0]

    def forward(self, patches: Any, boxes: Any, known: torch.Tensor | None) -> torch.Tensor:
        """(N,) logits; arguments as in `features`."""
        return self.judge(self.features(patches, boxes, known))


def all_views(size: RandomViews) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Sides (1, V) in mm, shifts (1, V, 3) in mm and rotations (1, V, 3, 3) of the views at test."""
    generator = torch.Generator().manual_seed(0)
    shifts = _shifts(size.translations, size.shift_mm, generator)
    turns = _rotations(size.rotations, generator)
    shifts[0], turns[0] = 0.0, torch.eye(3)
    edge, place, turn = torch.meshgrid(
        torch.arange(len(size.edges_mm)),
        torch.arange(size.translations),
        torch.arange(size.rotations),
        indexing="ij",
    )
    edges = torch.tensor(size.edges_mm)
    return edges[edge.flatten()][None], shifts[place.flatten()][None], turns[turn.flatten()][None]


def drawn_views(size: RandomViews, count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """As `all_views`, `size.trained` random ones for each of `count` candidates, by torch's own chance."""
    views = count * size.trained
    edges = torch.tensor(size.edges_mm)[torch.randint(len(size.edges_mm), (views,))]
    shifts, turns = _shifts(views, size.shift_mm), _rotations(views)
    shifts[torch.rand(views) < 1 / size.translations] = 0.0
    turns[torch.rand(views) < 1 / size.rotations] = torch.eye(3)
    edges, shifts, turns = (part.unflatten(0, (count, size.trained)) for part in (edges, shifts, turns))
    return edges, shifts, turns


def cut_views(
    patches: torch.Tensor,
    spacing_mm: tuple[float, float, float],
    pixels: int,
    edges_mm: torch.Tensor,
    shifts_mm: torch.Tensor,
    rotations: torch.Tensor,
) -> torch.Tensor:
    """Three orthogonal planes of each patch, from V sides.

    Args:
        patches: (N, 1, x, y, z).
        spacing_mm: Of their voxels.
        pixels: Of a plane's side.
        edges_mm: (N, V) side of the planes.
        shifts_mm: (N, V, 3) where the planes meet, from the patch's center.
        rotations: (N, V, 3, 3) about that point.

    Returns:
        (N, V, 3, pixels, pixels): the axial (x, y), coronal (x, z) and sagittal (y, z) plane.
    """
    steps = (torch.arange(pixels) + 0.5) / pixels - 0.5
    planes = torch.zeros(3, pixels, pixels, 3)
    for plane, (down, across) in zip(planes, PLANES, strict=True):
        plane[..., down] = steps[:, None]
        plane[..., across] = steps
    at_mm = torch.einsum("nvij,cpqj->nvcpqi", rotations, planes) * edges_mm[:, :, None, None, None, None]
    at_mm = at_mm + shifts_mm[:, :, None, None, None]
    extent_mm = torch.tensor(patches.shape[2:]) * torch.tensor(spacing_mm)
    # Half the patch is 1; the last axis comes first.
    places = (at_mm * 2 / extent_mm).flip(-1).flatten(1, 2).to(patches.device)
    found = F.grid_sample(
        patches.float(), places, mode="bilinear", padding_mode="border", align_corners=False
    )
    return found[:, 0].unflatten(1, (edges_mm.shape[1], 3))


def _shifts(count: int, farthest: float, generator: torch.Generator | None = None) -> torch.Tensor:
    """(count, 3) in random directions, lengths uniform from 0."""
    directions = F.normalize(torch.randn(count, 3, generator=generator), dim=1)
    return directions * farthest * torch.rand(count, 1, generator=generator)


def _rotations(count: int, generator: torch.Generator | None = None) -> torch.Tensor:
    """(count, 3, 3) about random axes, by angles uniform over a turn."""
    x, y, z = F.normalize(torch.randn(count, 3, generator=generator), dim=1).T
    angles = 2 * torch.pi * torch.rand(count, generator=generator)
    zero = torch.zeros(count)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=1).reshape(count, 3, 3)
    sine, rest = torch.sin(angles)[:, None, None], 1 - torch.cos(angles)[:, None, None]
    return torch.eye(3) + sine * cross + rest * cross @ cross


class LocallyConnected(nn.Module):
    """A padded 3 x 3 layer whose weights differ from place to place."""

    def __init__(self, inputs: int, width: int, cells: int) -> None:
        super().__init__()
        self.cells = cells
        self.weight = nn.Parameter(torch.empty(cells**2, 9 * inputs, width))
        self.bias = nn.Parameter(torch.zeros(width, cells, cells))
        # He et al. 2015, for a ReLU behind.
        nn.init.normal_(self.weight, std=(2 / (9 * inputs)) ** 0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        around = F.unfold(x, 3, padding=1)
        found = torch.einsum("nip,pio->nop", around, self.weight)
        return found.unflatten(2, (self.cells, self.cells)) + self.bias


class DropConnect(nn.Linear):
    """A linear layer half of whose weights are left out in a training step (Wan et al. 2013)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, F.dropout(self.weight, 0.5, self.training), self.bias)
