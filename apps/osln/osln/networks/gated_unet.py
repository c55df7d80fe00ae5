"""One U-Net with a head for each zone, between which the distance to the tumor decides. Not in the paper."""

from collections.abc import Sequence

import torch
from torch import nn

from osln.networks.unet3d import UNet3D

WIDTH_MM = 10.0
"""Start of a soft gate's width: at that distance from the border the nearer zone's head has 73 % of the
say."""


class GatedUNet(nn.Module):
    """3D U-Net as shared trunk; a proximal and a distal head; a gate by the distance to the tumor.

    In place of the paper's separate networks for the zones (one trunk instead of two). The idea is that of
    Zhu et al. 2020b, whose gated branches are decoders; here they are a 3 x 3 x 3 convolution with batch
    normalization and ReLU and one of 1 x 1 x 1, behind the common decoder, so that the network costs little
    more than one U-Net. The gate is

    - hard: the head of the voxel's zone has all the say, as in the paper's stratification; both heads meet
    at the
      border without a transition;
    - soft: the logits are mixed, the proximal head's by a sigmoid of the distance to the border, the distal
    one's
      by the rest. The width of the transition is learned.

    Args:
        in_channels: Number of input images, the distance among them.
        widths: Of the U-Net.
        distance: Channel of the distance.
        border: Distance at which the zones meet, in units of that channel.
        unit_mm: Millimeters of such a unit.
        soft: Whether the gate is soft.
        output_bias: Start value of the heads' last biases.

    Reference:
        Zhu et al.: Lymph Node Gross Tumor Volume Detection and Segmentation via Distance-based Gating using
        3D CT/PET Imaging in Radiotherapy, 2020.
    """

    def __init__(
        self,
        in_channels: int,
        widths: Sequence[tuple[int, int]],
        *,
        distance: int,
        border: float,
        unit_mm: float,
        soft: bool,
        output_bias: float = 0.0,
    ) -> None:
        super().__init__()
        width = widths[0][1]
        self.trunk = UNet3D(in_channels, widths)
        self.trunk.output = nn.Identity()
        self.stride = self.trunk.stride
        self.proximal, self.distal = (_head(width, output_bias) for _ in range(2))
        self.distance, self.border, self.start = distance, border, WIDTH_MM / unit_mm
        # Weight decay draws it to 0, that is the width to its start.
        self.log_width = nn.Parameter(torch.zeros(1)) if soft else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (B, 1, X, Y, Z) of images (B, in_channels, X, Y, Z), sides divisible by `stride`."""
        shared = self.trunk(x)
        near, far = self.proximal(shared), self.distal(shared)
        beyond = x[:, self.distance : self.distance + 1] - self.border
        if self.log_width is None:
            return torch.where(beyond <= 0, near, far)
        gate = torch.sigmoid(-beyond / (self.start * self.log_width.exp()))
        return far + gate * (near - far)


def _head(width: int, output_bias: float) -> nn.Sequential:
    last = nn.Conv3d(width, 1, kernel_size=1)
    nn.init.constant_(last.bias, output_bias)
    return nn.Sequential(
        nn.Conv3d(width, width, kernel_size=3, padding=1),
        nn.BatchNorm3d(width),
        nn.ReLU(inplace=True),
        last,
    )
