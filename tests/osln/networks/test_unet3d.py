"""The 3D U-Net has the published size, keeps the image's shape and judges windows independently."""

import pytest
import torch
from torch import nn

from osln.networks.unet3d import UNet3D
from osln.rows.experiments import PRESETS


def counted(network: nn.Module, *kinds: type) -> int:
    return sum(p.numel() for part in network.modules() if isinstance(part, kinds) for p in part.parameters())


def test_the_paper_preset_has_exactly_the_published_number_of_weights():
    with torch.device("meta"):
        network = UNet3D(3, PRESETS["paper"].widths, out_channels=3)

    assert counted(network, nn.Conv3d, nn.ConvTranspose3d) == 19_069_955
    assert counted(network, nn.BatchNorm3d) == 4_672
    assert sum(p.numel() for p in network.parameters()) == 19_069_955 + 4_672


def test_number_of_weights_of_a_two_level_network_by_hand():
    network = UNet3D(2, ((3, 4), (5, 6)))

    down = (27 * 2 * 3 + 3) + (27 * 3 * 4 + 4) + (27 * 4 * 5 + 5) + (27 * 5 * 6 + 6)
    up = 8 * 6 * 6 + (27 * (6 + 4) * 4 + 4) + (27 * 4 * 4 + 4)
    assert counted(network, nn.Conv3d, nn.ConvTranspose3d) == down + up + (4 + 1)


@pytest.mark.parametrize(("inputs", "weights"), [(1, 408_193), (3, 408_625)])
def test_the_demo_preset_is_small(inputs, weights):
    with torch.device("meta"):
        network = UNet3D(inputs, PRESETS["demo"].widths)

    assert counted(network, nn.Conv3d, nn.ConvTranspose3d) == weights


def test_the_output_has_the_shape_of_the_image():
    network = UNet3D(3, PRESETS["demo"].widths, out_channels=2).eval()

    with torch.inference_mode():
        result = network(torch.zeros(2, 3, 16, 24, 8))

    assert network.stride == 8
    assert result.shape == (2, 2, 16, 24, 8)


def test_the_last_bias_is_the_logit_of_a_nodes_rarity():
    network = UNet3D(1, PRESETS["demo"].widths, output_bias=-4.0)

    assert network.output.bias.tolist() == [-4.0]


def test_a_trained_network_judges_an_image_alone_as_in_a_batch():
    torch.manual_seed(0)
    network = UNet3D(1, ((4, 4), (8, 8))).eval()
    images = torch.randn(3, 1, 8, 8, 8) * torch.tensor([1.0, 10.0, 100.0]).view(3, 1, 1, 1, 1)

    with torch.inference_mode():
        together = network(images)
        alone = torch.cat([network(image[None]) for image in images])

    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


def test_every_weight_takes_part():
    torch.manual_seed(0)
    network = UNet3D(2, ((4, 4), (8, 8), (8, 8)))

    network(torch.randn(2, 2, 8, 8, 8)).square().sum().backward()

    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.output.parameters())
    assert all(p.grad is not None for p in network.parameters())
