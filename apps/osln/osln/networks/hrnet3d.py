"""HRNet in 3D, a backbone of the paper's Table 1a: branches of several resolutions side by side."""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from osln.networks.residual import ResidualBlock
from osln.rows.presets import HighResolution


class HRNet3D(nn.Module):
    """High-resolution network whose finest branch has a quarter of the image's resolution.

    The source (Wang et al. 2020) fixes the structure, here with 3 x 3 x 3 kernels: a stem of two
    convolutions of stride 2; a stage of one branch; then stages of two, three, four branches, each new one
    of half the resolution and twice the channels of the last; each stage has modules of residual blocks,
    and at the end of a module every branch becomes the sum of all, brought to its resolution (1 x 1 x 1
    convolution and enlarging upward, convolutions of stride 2 downward); in the end all are enlarged to the
    finest, joined, mixed by a 1 x 1 x 1 convolution and read. The paper fixes that the finest branch comes
    after two halvings, for memory. Chosen here: the stem has the first branch's channels and the first
    stage plain instead of bottleneck blocks; branches and logits are enlarged linearly.

    Args:
        in_channels: Number of input images.
        size: Channels, stages and blocks.
        output_bias: Start value of the last bias.

    Reference:
        Wang et al.: Deep High-Resolution Representation Learning for Visual Recognition, 2020; the paper,
        section 4.4.
    """

    def __init__(self, in_channels: int, size: HighResolution, output_bias: float = 0.0) -> None:
        super().__init__()
        self.stride = 4
        widths = [size.width * 2**branch for branch in range(len(size.modules))]
        self.stem = nn.Sequential(
            *_convolution(in_channels, size.width, stride=2),
            nn.ReLU(inplace=True),
            *_convolution(size.width, size.width, stride=2),
            nn.ReLU(inplace=True),
        )
        self.added = nn.ModuleList(
            nn.Sequential(*_convolution(before, width, stride=2), nn.ReLU(inplace=True))
            for before, width in pairwise(widths)
        )
        self.stages = nn.ModuleList(
            nn.Sequential(*(_Module(widths[: branches + 1], size.blocks) for _ in range(modules)))
            for branches, modules in enumerate(size.modules)
        )
        self.mix = nn.Sequential(*_convolution(sum(widths), sum(widths), kernel=1), nn.ReLU(inplace=True))
        self.output = nn.Conv3d(sum(widths), 1, kernel_size=1)
        nn.init.constant_(self.output.bias, output_bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (B, 1, X, Y, Z) of images (B, in_channels, X, Y, Z)."""
        size = x.shape[2:]
        branches = [self.stem(x)]
        for number, stage in enumerate(self.stages):
            if number:
                branches = [*branches, self.added[number - 1](branches[-1])]
            branches = stage(branches)
        finest = branches[0].shape[2:]
        joined = torch.cat([branches[0], *(_enlarged(one, finest) for one in branches[1:])], dim=1)
        return _enlarged(self.output(self.mix(joined)), size)


class _Module(nn.Module):
    """Residual blocks of each branch, then their exchange."""

    def __init__(self, widths: list[int], blocks: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(ResidualBlock(width, width) for _ in range(blocks))) for width in widths
        )
        self.exchange = nn.ModuleList(
            nn.ModuleList(_path(widths, source, target) for source in range(len(widths)))
            for target in range(len(widths))
        )

    def forward(self, branches: list[torch.Tensor]) -> list[torch.Tensor]:
        found = [block(x) for block, x in zip(self.branches, branches, strict=True)]
        sums = []
        for target, paths in zip(found, self.exchange, strict=True):
            parts = [_enlarged(path(x), target.shape[2:]) for path, x in zip(paths, found, strict=True)]
            sums.append(F.relu(sum(parts[1:], parts[0])))
        return sums


def _path(widths: list[int], source: int, target: int) -> nn.Module:
    """What brings a branch to another one's channels, and to its resolution if that is coarser."""
    if source == target:
        return nn.Identity()
    if source > target:
        return nn.Sequential(*_convolution(widths[source], widths[target], kernel=1))
    steps: list[nn.Module] = []
    for _ in range(target - source - 1):
        steps += [*_convolution(widths[source], widths[source], stride=2), nn.ReLU(inplace=True)]
    return nn.Sequential(*steps, *_convolution(widths[source], widths[target], stride=2))


def _convolution(inputs: int, width: int, kernel: int = 3, stride: int = 1) -> tuple[nn.Module, nn.Module]:
    """Padded convolution and its batch normalization."""
    plain = nn.Conv3d(inputs, width, kernel, stride=stride, padding=kernel // 2, bias=False)
    return plain, nn.BatchNorm3d(width)


def _enlarged(x: torch.Tensor, size: torch.Size) -> torch.Tensor:
    return x if x.shape[2:] == size else F.interpolate(x, size=size, mode="trilinear")
