"""The residual block adds what it has learned to its input."""

import torch
from torch import nn

from osln.networks.residual import ResidualBlock


def test_a_block_that_has_learned_nothing_hands_on_what_is_positive():
    block = ResidualBlock(3, 3).eval()
    nn.init.zeros_(block.second.weight)
    images = torch.randn(2, 3, 4, 4, 4)

    torch.testing.assert_close(block(images), images.relu())


def test_the_shortcut_is_learned_only_where_channels_or_resolution_change():
    kinds = [type(ResidualBlock(*given).shortcut) for given in ((2, 2), (2, 4), (2, 2, 2))]

    assert kinds == [nn.Identity, nn.Conv3d, nn.Conv3d]
    assert ResidualBlock(2, 4, 2)(torch.zeros(2, 2, 6, 6, 4)).shape == (2, 4, 3, 3, 2)
