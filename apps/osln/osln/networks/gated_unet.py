"""One U-Net with a head for each stratum of the distance to the tumor. Not in the paper."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from osln.networks.unet3d import UNet3D
from osln.rows.experiments import PROXIMAL_MM

WIDTH_MM = 10.0
"""Start of a soft border's width: at that distance from it the nearer stratum's head has 73 % of the say."""


@dataclass(frozen=True)
class Gate:
    """Who is asked where.

    Attributes:
        heads: Names of the strata from the tumor outwards, in the weights too.
        borders_mm: Distances between them, ascending.
        soft: Whether neighbors are blended, and the widths of the transitions learned.
        moving: Whether the borders of a soft gate are learned.
    """

    heads: tuple[str, ...]
    borders_mm: tuple[float, ...]
    soft: bool
    moving: bool = False


GATES = {
    "hard": Gate(("proximal", "distal"), (PROXIMAL_MM,), soft=False),
    "soft": Gate(("proximal", "distal"), (PROXIMAL_MM,), soft=True),
    # The paper's border, half of it, and the middle between it and 100 mm, beyond which a network is told no
    # distance (`osln.imaging.distance.LIMIT_MM`): a border there could not be learned.
    "strata": Gate(("nearest", "near", "far", "farthest"), (35.0, PROXIMAL_MM, 85.0), soft=True, moving=True),
}
"""By the names of `Segmenter.gate`."""


class GatedUNet(nn.Module):
    """3D U-Net as shared trunk; a head for each stratum; a gate by the distance to the tumor.

    In place of the paper's separate networks for the zones (one trunk instead of two). The idea is that of
    Zhu et al. 2020b, whose gated branches are decoders; here they are a 3 x 3 x 3 convolution with batch
    normalization and ReLU and one of 1 x 1 x 1, behind the common decoder, so that the network costs little
    more than one U-Net. More than two heads on one trunk are the idea of Yan et al. 2023, whose strata are
    nodal stations. The gate is

    - hard: the head of the voxel's stratum has all the say, as in the paper's stratification; heads meet at
      the border without a transition;
    - soft: the logits are mixed. From the tumor outwards, each stratum takes the share of what is left that
      a sigmoid of the distance to its outer border says; the last one gets the rest. So no share is negative
      and they sum to 1, wherever borders and widths go.

    Args:
        in_channels: Number of input images, the distance among them.
        widths: Of the U-Net.
        gate: Strata and how they meet.
        distance: Channel of the distance.
        unit_mm: Millimeters of a unit of that channel.
        output_bias: Start value of the heads' last biases.

    Reference:
        Zhu et al.: Lymph Node Gross Tumor Volume Detection and Segmentation via Distance-based Gating using
        3D CT/PET Imaging in Radiotherapy, 2020.
        Yan et al.: Anatomy-Aware Lymph Node Detection in Chest CT using Implicit Station Stratification,
        arXiv 2307.15271, 2023.
    """

    def __init__(
        self,
        in_channels: int,
        widths: Sequence[tuple[int, int]],
        gate: Gate,
        *,
        distance: int,
        unit_mm: float,
        output_bias: float = 0.0,
    ) -> None:
        super().__init__()
        self.trunk = UNet3D(in_channels, widths)
        self.trunk.output = nn.Identity()
        self.stride = self.trunk.stride
        for name in gate.heads:
            self.add_module(name, _head(widths[0][1], output_bias))
        self.gate, self.distance = gate, distance
        self.borders, self.start = [border / unit_mm for border in gate.borders_mm], WIDTH_MM / unit_mm
        # Weight decay draws both to 0, that is widths and borders to their start.
        count = len(self.borders)
        self.log_width = nn.Parameter(torch.zeros(count)) if gate.soft else None
        # In units of the width's start.
        self.shift = nn.Parameter(torch.zeros(count)) if gate.moving else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (B, 1, X, Y, Z) of images (B, in_channels, X, Y, Z), sides divisible by `stride`."""
        shared = self.trunk(x)
        distance = x[:, self.distance : self.distance + 1]
        *nearer, mixed = (self.get_submodule(name)(shared) for name in self.gate.heads)
        for index, logits in reversed(list(enumerate(nearer))):
            beyond = distance - self.border(index)
            if self.log_width is None:
                mixed = torch.where(beyond <= 0, logits, mixed)
            else:
                share = torch.sigmoid(-beyond / self.width(index))
                mixed = mixed + share * (logits - mixed)
        return mixed

    def border(self, index: int) -> float | torch.Tensor:
        """Where a stratum ends, in units of the distance's channel."""
        border = self.borders[index]
        return border if self.shift is None else border + self.start * self.shift[index]

    def width(self, index: int) -> torch.Tensor:
        """Of a soft gate's transition there, in the same unit."""
        assert self.log_width is not None
        return self.start * self.log_width[index].exp()


def _head(width: int, output_bias: float) -> nn.Sequential:
    last = nn.Conv3d(width, 1, kernel_size=1)
    nn.init.constant_(last.bias, output_bias)
    return nn.Sequential(
        nn.Conv3d(width, width, kernel_size=3, padding=1),
        nn.BatchNorm3d(width),
        nn.ReLU(inplace=True),
        last,
    )
