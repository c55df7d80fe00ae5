"""Trunk of MULAN: axial slices to one map of features at a quarter of their resolution."""

import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models import DenseNet

LARGEST_STRIDE = 16
"""Rows and columns of the images must be multiples of it."""


class SliceFusion(nn.Module):
    """Mixes the maps of the image below, the key image and the image above: concatenation, then 1 x 1.

    It starts as the key image's map alone, so that the neighbors come in as far as they help.

    Args:
        channels: Of each map and of the result.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3 * channels, channels, kernel_size=1)
        with torch.no_grad():
            self.conv.weight.zero_()
            self.conv.weight[:, channels : 2 * channels, 0, 0] = torch.eye(channels)
            nn.init.zeros_(self.conv.bias)

    def forward(self, below: torch.Tensor, key: torch.Tensor, above: torch.Tensor) -> torch.Tensor:
        """(B, C, h, w) of the three."""
        fused: torch.Tensor = self.conv(torch.cat([below, key, above], dim=1))
        return fused


class Trunk(nn.Module):
    """Truncated DenseNet with 3D feature fusion and a top-down path (Yan et al. 2019, MULAN, section 2.1).

    A key slice is seen in three images of three neighboring slices each. The images pass the DenseNet alike
    up to its second transition; there the map of the key image is fused with those of the other two, and all
    three pass the third block. The maps of the three blocks (1/4, 1/8 and 1/16 of the resolution) are added
    from the coarsest to the finest, and the three final maps are fused again. An image that serves several
    key slices is computed once.

    Args:
        inputs: Channels of an image.
        first, growth, blocks: Sizes of the DenseNet; 64, 32 and (6, 12, 24) are those of DenseNet-121
            without its last block.
        channels: Of the final map.
    """

    def __init__(
        self, inputs: int, first: int, growth: int, blocks: tuple[int, int, int], channels: int
    ) -> None:
        super().__init__()
        dense = DenseNet(growth, blocks, first, num_classes=1).features
        convolution = nn.Conv2d(inputs, first, kernel_size=7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(convolution.weight)
        self.stem = nn.Sequential(convolution, dense.norm0, dense.relu0, dense.pool0)
        self.block1, self.transition1 = dense.denseblock1, dense.transition1
        self.block2, self.transition2 = dense.denseblock2, dense.transition2
        self.block3 = dense.denseblock3
        widths = []
        width = first
        for layers in blocks:
            widths.append(width + layers * growth)
            width = widths[-1] // 2
        self.inner_fusion = SliceFusion(widths[1] // 2)
        self.lateral = nn.ModuleList(nn.Conv2d(wide, channels, kernel_size=1) for wide in widths)
        self.final_fusion = SliceFusion(channels)

    def forward(self, images: torch.Tensor, triples: torch.Tensor) -> torch.Tensor:
        """Maps of key slices.

        Args:
            images: (N, inputs, rows, columns) different images.
            triples: (B, 3) long: which image lies below, at and above each key slice.

        Returns:
            (B, channels, rows / 4, columns / 4).
        """
        fine = self.block1(self.stem(images))
        middle = self.block2(self.transition1(fine))
        coarse = self.transition2(middle)
        below, key, above = triples.T
        fused = self.inner_fusion(coarse[below], coarse[key], coarse[above])
        beside = torch.unique(triples[:, ::2])
        of_image = torch.cat([beside, key])
        levels = [fine[of_image], middle[of_image], self.block3(torch.cat([coarse[beside], fused]))]
        maps = self._top_down(levels)
        neighbors, keys = maps[: len(beside)], maps[len(beside) :]
        at = torch.searchsorted(beside, triples.contiguous())
        found: torch.Tensor = self.final_fusion(neighbors[at[:, 0]], keys, neighbors[at[:, 2]])
        return found

    def _top_down(self, levels: list[torch.Tensor]) -> torch.Tensor:
        """Sum of the levels, fine to coarse, in the resolution of the first."""
        total: torch.Tensor = self.lateral[2](levels[2])
        for level in (1, 0):
            total = self.lateral[level](levels[level]) + F.interpolate(
                total, scale_factor=2.0, mode="nearest"
            )
        return total
