"""The residual block of GLNet and HRNet."""

import torch
from torch import nn
from torch.nn import functional as F


class ResidualBlock(nn.Module):
    """Two 3 x 3 x 3 convolutions with batch normalization around a shortcut (He et al. 2016, in 3D).

    The shortcut is the input itself, or a 1 x 1 x 1 convolution of it where channels or resolution change.
    """

    def __init__(self, inputs: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv3d(inputs, width, 3, stride=stride, padding=1, bias=False)
        self.first_norm = nn.BatchNorm3d(width)
        self.second = nn.Conv3d(width, width, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm3d(width)
        changes = inputs != width or stride != 1
        self.shortcut = nn.Conv3d(inputs, width, 1, stride=stride, bias=False) if changes else nn.Identity()
        self.shortcut_norm = nn.BatchNorm3d(width) if changes else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.first_norm(self.first(x)))
        return F.relu(self.second_norm(self.second(y)) + self.shortcut_norm(self.shortcut(x)))
