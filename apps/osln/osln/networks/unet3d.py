"""The 3D U-Net that proposes lymph-node voxels."""

from collections.abc import Sequence

import torch
from torch import nn


class UNet3D(nn.Module):
    """3D U-Net with full-resolution first level (Cicek et al. 2016; paper, section 4.2).

    Two 3 x 3 x 3 convolutions with batch normalization and ReLU at each level, 2 x 2 x 2 max pooling
    on the way down, 2 x 2 x 2 transposed convolution and concatenation on the way up, 1 x 1 x 1
    convolution at the end. Convolutions are padded, so that the output has the input's size. With
    three inputs, three outputs and the `paper` widths its convolutions have the 19,069,955 weights and
    biases of the published network (transposed ones have no bias); the scales and shifts of batch
    normalization, 4,672, come on top. In evaluation mode batch normalization uses the training set's
    statistics, so that a window's result does not depend on what else is in it or beside it.

    Args:
        in_channels: Number of input images.
        widths: Channels after the first and the second convolution of each level, top to bottom.
        out_channels: Number of logit maps.
        output_bias: Start value of the last bias.
    """

    def __init__(
        self,
        in_channels: int,
        widths: Sequence[tuple[int, int]],
        out_channels: int = 1,
        output_bias: float = 0.0,
    ) -> None:
        super().__init__()
        self.stride = 2 ** (len(widths) - 1)
        inputs = [in_channels] + [width for _, width in widths[:-1]]
        self.encoder = nn.ModuleList(
            double_convolution(i, first, second) for i, (first, second) in zip(inputs, widths, strict=True)
        )
        outs = [second for _, second in widths]
        self.upsample = nn.ModuleList(
            nn.ConvTranspose3d(below, below, kernel_size=2, stride=2, bias=False) for below in outs[:0:-1]
        )
        self.decoder = nn.ModuleList(
            double_convolution(below + here, here, here)
            for below, here in zip(outs[:0:-1], outs[-2::-1], strict=True)
        )
        self.output = nn.Conv3d(outs[0], out_channels, kernel_size=1)
        nn.init.constant_(self.output.bias, output_bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (B, out_channels, X, Y, Z) of images (B, in_channels, X, Y, Z).

        X, Y and Z must be divisible by `stride`.
        """
        skips = []
        for level, block in enumerate(self.encoder):
            x = block(nn.functional.max_pool3d(x, 2) if level else x)
            skips.append(x)
        for upsample, block, skip in zip(self.upsample, self.decoder, skips[-2::-1], strict=True):
            x = block(torch.cat([upsample(x), skip], dim=1))
        return self.output(x)


def double_convolution(inputs: int, first: int, second: int) -> nn.Sequential:
    """Two padded 3 x 3 x 3 convolutions, each with batch normalization and ReLU: a level of the U-Net."""
    return nn.Sequential(
        nn.Conv3d(inputs, first, kernel_size=3, padding=1),
        nn.BatchNorm3d(first),
        nn.ReLU(inplace=True),
        nn.Conv3d(first, second, kernel_size=3, padding=1),
        nn.BatchNorm3d(second),
        nn.ReLU(inplace=True),
    )
