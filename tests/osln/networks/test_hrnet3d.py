"""HRNet keeps branches of several resolutions and lets each see all others."""

import pytest
import torch
from torch import nn

from osln.networks.hrnet3d import HRNet3D
from osln.rows.presets import HighResolution

SIZE = HighResolution(width=2, modules=(1, 1, 1), blocks=1)


def network(size: HighResolution = SIZE) -> HRNet3D:
    torch.manual_seed(0)
    return HRNet3D(1, size, output_bias=-4.0).eval()


def test_the_finest_branch_has_a_quarter_of_the_resolution_and_each_further_one_half_of_that():
    seen = []
    hrnet = network()
    hrnet.stages[-1].register_forward_hook(lambda _, __, branches: seen.extend(branches))

    with torch.inference_mode():
        found = hrnet(torch.zeros(1, 1, 32, 32, 16))

    assert [tuple(branch.shape) for branch in seen] == [(1, 2, 8, 8, 4), (1, 4, 4, 4, 2), (1, 8, 2, 2, 1)]
    assert found.shape == (1, 1, 32, 32, 16)


def test_a_window_that_the_coarse_branches_do_not_divide_keeps_its_size():
    with torch.inference_mode():
        # 44 / 4 = 11 cells, then 6, then 3.
        assert network()(torch.zeros(1, 1, 44, 44, 20)).shape == (1, 1, 44, 44, 20)


def test_every_branch_ends_as_the_sum_of_all():
    module = network().stages[1][0]
    for source in range(2):
        for target in range(2):
            if source != target:
                for weight in module.exchange[target][source].parameters():
                    nn.init.zeros_(weight)
    branches = [torch.rand(1, 2, 4, 4, 4), torch.rand(1, 4, 2, 2, 2)]

    with torch.inference_mode():
        alone = module(branches)
        expected = [block(x) for block, x in zip(module.branches, branches, strict=True)]
        torch.testing.assert_close(alone, expected)
        nn.init.constant_(module.exchange[0][1][1].bias, 3.0)
        torch.testing.assert_close(module(branches)[0], expected[0] + 3.0)


@pytest.mark.parametrize(("modules", "weights"), [((1,), 1), ((1, 1), 2), ((2, 1), 2)])
def test_the_number_of_stages_is_that_of_the_branches(modules, weights):
    hrnet = network(HighResolution(2, modules, 1))

    assert len(hrnet.stages) == len(hrnet.added) + 1 == weights
    assert [len(stage) for stage in hrnet.stages] == list(modules)
