"""PSNN, the progressive semantically nested network, a backbone of the paper's Table 1a."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from osln.networks.unet3d import double_convolution


class PSNN(nn.Module):
    """Encoder whose levels each give logits, added up from the coarsest to the finest.

    The source (Jin et al. 2019) fixes the principle: no symmetric decoder; a 1 x 1 x 1 convolution on each
    level of the encoder; from the deepest level upward, the logits so far are enlarged and those of the
    next level added; each sum is an output that the loss is asked of (deep supervision). No public code
    exists and only its abstract was at hand, so the following is our reading: the levels are those of our
    U-Net's encoder; logits are enlarged linearly; each sum is enlarged to full resolution before the loss,
    since a small node vanishes in a smaller label map; all sums weigh alike. The finest sum is the answer.

    Args:
        in_channels: Number of input images.
        widths: Channels after the first and the second convolution of each level, top to bottom.
        output_bias: Start of the deepest level's last bias; those of the others, which are added, start at 0.

    Reference:
        Jin et al.: Accurate esophageal gross tumor volume segmentation in PET/CT using two-stream chained
        3D deep network fusion, 2019; the paper, section 4.4.
    """

    def __init__(self, in_channels: int, widths: Sequence[tuple[int, int]], output_bias: float = 0.0) -> None:
        super().__init__()
        self.stride = 2 ** (len(widths) - 1)
        inputs = [in_channels] + [width for _, width in widths[:-1]]
        self.encoder = nn.ModuleList(
            double_convolution(i, first, second) for i, (first, second) in zip(inputs, widths, strict=True)
        )
        self.sides = nn.ModuleList(nn.Conv3d(width, 1, kernel_size=1) for _, width in widths)
        for level, side in enumerate(self.sides):
            nn.init.constant_(side.bias, output_bias if level == len(widths) - 1 else 0.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of images (B, in_channels, X, Y, Z), whose sides must be divisible by `stride`.

        Returns:
            (B, 1, X, Y, Z); in training (B, levels, X, Y, Z), the sum down to each level, the finest first.
        """
        size = x.shape[2:]
        found = []
        for level, (block, side) in enumerate(zip(self.encoder, self.sides, strict=True)):
            x = block(F.max_pool3d(x, 2) if level else x)
            found.append(side(x))
        sums = [found.pop()]
        for logits in reversed(found):
            sums.append(logits + F.interpolate(sums[-1], size=logits.shape[2:], mode="trilinear"))
        if not self.training:
            return sums[-1]
        whole = [F.interpolate(one, size=size, mode="trilinear") for one in sums[:-1]]
        return torch.cat([sums[-1], *reversed(whole)], dim=1)
