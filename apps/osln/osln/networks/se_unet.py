"""The 3D U-Net with squeeze-and-excitation blocks, a backbone of the paper's Table 1a."""

from collections.abc import Sequence

import torch
from torch import nn

from osln.networks.unet3d import UNet3D

REDUCTION = 16
"""Channels for each one between the two linear layers (Hu et al. 2018, section 3.2)."""
FEWEST_CHANNELS = 2
"""Left between the two linear layers of a narrow level."""


class SEUNet(UNet3D):
    """3D U-Net whose levels weigh their channels by what the whole window holds.

    The source (Hu et al. 2018) fixes the block: the mean of each channel over space, two linear layers with
    ReLU between and a sigmoid behind, whose outputs multiply the channels; the inner one has a 16th of the
    channels. The paper does not say where in the U-Net the blocks stand. Chosen here: one after both
    convolutions of each level, on the way down and on the way up. Levels of fewer than 32 channels keep two
    inner ones.

    The mean is over the window. So unlike the other backbones' a window's result depends on all that is in
    it, and training patches, which are smaller than windows, have other means.

    Args:
        in_channels, widths, output_bias: As for `UNet3D`.

    Reference:
        Hu et al.: Squeeze-and-Excitation Networks, 2018; the paper, section 4.4.
    """

    def __init__(self, in_channels: int, widths: Sequence[tuple[int, int]], output_bias: float = 0.0) -> None:
        super().__init__(in_channels, widths, output_bias=output_bias)
        levels = [second for _, second in widths]
        self.encoder = _weighed(self.encoder, levels)
        self.decoder = _weighed(self.decoder, levels[-2::-1])


def _weighed(blocks: nn.ModuleList, widths: Sequence[int]) -> nn.ModuleList:
    return nn.ModuleList(
        nn.Sequential(block, _Excitation(width, max(FEWEST_CHANNELS, width // REDUCTION)))
        for block, width in zip(blocks, widths, strict=True)
    )


class _Excitation(nn.Module):
    """Squeeze and excitation; MONAI has the block, but its import takes seconds and loads a web server."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.weigh = nn.Sequential(
            nn.Linear(width, inner), nn.ReLU(inplace=True), nn.Linear(inner, width), nn.Sigmoid()
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weigh(x.mean(dim=(2, 3, 4)))[:, :, None, None, None]
