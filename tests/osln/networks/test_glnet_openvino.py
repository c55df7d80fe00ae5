"""The graph that OpenVINO runs gives what GLNet's local module gives."""

import numpy as np
import pytest
import torch

from osln.networks.glnet import GLNet

openvino = pytest.importorskip("openvino")

BOXES = torch.tensor(
    [
        [[6, 14], [7, 13], [5, 11]],
        [[9.5, 10.5], [9.25, 9.75], [7, 8]],
        [[0, 20], [0, 20], [0, 16]],
        [[-3, 4], [15, 25], [14, 16]],
    ],
    dtype=torch.float32,
)


def trained(widths: tuple[int, ...]) -> GLNet:
    """A network whose batch normalization has seen data: every statistic differs from its start."""
    torch.manual_seed(0)
    network = GLNet(2, widths, features=8, known=3)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            module.running_mean.normal_(std=0.2)
            module.running_var.uniform_(0.5, 1.5)
            torch.nn.init.uniform_(module.weight, 0.5, 2.0)
            torch.nn.init.normal_(module.bias)
    return network.eval()


@pytest.mark.parametrize("widths", [(8, 16, 32, 64), (2, 2, 6)])
def test_the_graph_gives_what_the_torch_network_says_of_a_patch(widths):
    from osln.networks.glnet_openvino import box_weights, local_graph

    network = trained(widths)
    patches = torch.randn(len(BOXES), 2, 20, 20, 16)
    with torch.inference_mode():
        expected = torch.cat(network.local(patches, BOXES), dim=1).numpy()

    graph = local_graph(network, tuple(patches.shape))
    with torch.no_grad():
        network.blocks[0].first_norm.bias += 3.0  # The graph has its own weights.
    compiled = openvino.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    weights = box_weights(BOXES.numpy(), patches.shape[2:], len(widths))
    found = compiled([patches.numpy(), *weights])[0]

    assert expected.std() > 0.1
    np.testing.assert_allclose(found, expected, atol=2e-5, rtol=1e-5)


def test_weights_of_a_box_are_the_shares_of_the_cells_that_it_covers():
    from osln.networks.glnet_openvino import box_weights

    # 2 x 1 x 1 voxels at full resolution; of the coarser cells along x half of the second and of the third.
    fine, coarse = box_weights(np.float32([[[3, 5], [0, 1], [4, 5]]]), (5, 2, 5), blocks=2)

    assert fine.shape == (1, 1, 5, 2, 5) and coarse.shape == (1, 1, 3, 1, 3)
    assert {tuple(at): fine[0, 0][tuple(at)] for at in np.argwhere(fine[0, 0])} == {
        (3, 0, 4): 0.5,
        (4, 0, 4): 0.5,
    }
    assert coarse[0, 0, :, 0, 2].tolist() == [0.0, 0.5, 0.5]
    assert coarse.sum() == 1.0
