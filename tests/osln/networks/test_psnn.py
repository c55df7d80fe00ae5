"""PSNN adds up the logits of its levels from the coarsest to the finest."""

import torch
from torch.nn import functional as F

from osln.networks.psnn import PSNN

WIDTHS = ((2, 2), (3, 3), (4, 4))


def network() -> PSNN:
    torch.manual_seed(0)
    return PSNN(1, WIDTHS, output_bias=-4.0)


def test_with_constant_sides_each_sum_is_that_of_the_levels_so_far():
    psnn = network()
    with torch.no_grad():
        for side, bias in zip(psnn.sides, (1.0, 10.0, 100.0), strict=True):
            side.weight.zero_()
            side.bias.fill_(bias)
    images = torch.randn(2, 1, 8, 8, 8)

    found = psnn.train()(images)

    assert found.shape == (2, 3, 8, 8, 8)
    for level, expected in enumerate((111.0, 110.0, 100.0)):
        assert (found[:, level] == expected).all()
    assert (psnn.eval()(images) == 111.0).all()


def test_a_coarse_level_is_enlarged_linearly():
    psnn = network().eval()
    with torch.no_grad():
        for side in psnn.sides[:2]:
            side.weight.zero_()
    images = torch.randn(1, 1, 16, 16, 16)

    with torch.inference_mode():
        x = images
        for level, block in enumerate(psnn.encoder):
            x = block(F.max_pool3d(x, 2) if level else x)
        coarse = psnn.sides[2](x)
        twice = F.interpolate(
            F.interpolate(coarse, scale_factor=2, mode="trilinear"), scale_factor=2, mode="trilinear"
        )
        torch.testing.assert_close(psnn(images), twice)


def test_only_the_deepest_bias_starts_at_the_rarity_of_nodes():
    assert [side.bias.item() for side in network().sides] == [0.0, 0.0, -4.0]
