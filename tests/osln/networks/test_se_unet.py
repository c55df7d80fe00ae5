"""The SE-UNet is the U-Net whose levels weigh their channels by their mean over the window."""

import pytest
import torch

from osln.networks.se_unet import SEUNet
from osln.networks.unet3d import UNet3D

WIDTHS = ((4, 4), (8, 32))


def weights(network: torch.nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def test_number_of_added_weights_by_hand():
    # Two linear layers a level: 32 -> 2 -> 32 below, 4 -> 2 -> 4 above, there on both ways.
    below = (32 * 2 + 2) + (2 * 32 + 32)
    above = (4 * 2 + 2) + (2 * 4 + 4)

    assert weights(SEUNet(1, WIDTHS)) - weights(UNet3D(1, WIDTHS)) == below + 2 * above


def test_blocks_that_weigh_all_channels_by_half_halve_each_levels_features():
    network = SEUNet(1, WIDTHS).eval()
    with torch.no_grad():
        for block in (*network.encoder, *network.decoder):
            for weight in block[1].parameters():
                weight.zero_()
    images = torch.randn(1, 1, 8, 8, 8)

    with torch.inference_mode():
        torch.testing.assert_close(network.encoder[0](images), 0.5 * network.encoder[0][0](images))


def test_what_lies_elsewhere_in_the_window_changes_a_result():
    torch.manual_seed(0)
    images = torch.randn(1, 1, 32, 16, 16)
    other = images.clone()
    other[:, :, 24:] += 50.0

    def far_from_the_change(network):
        with torch.inference_mode():
            return (network.eval()(images) - network(other))[:, :, :8].abs().max().item()

    assert far_from_the_change(UNet3D(1, WIDTHS)) == pytest.approx(0, abs=1e-6)
    assert far_from_the_change(SEUNet(1, WIDTHS)) > 1e-5
