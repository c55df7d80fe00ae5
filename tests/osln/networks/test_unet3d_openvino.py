"""The graph that OpenVINO runs is the network that was trained."""

import numpy as np
import pytest
import torch

from osln.networks.unet3d import UNet3D
from osln.rows.experiments import PRESETS

openvino = pytest.importorskip("openvino")


def trained(channels: int, widths: tuple[tuple[int, int], ...]) -> UNet3D:
    """A network whose batch normalization has seen data: every statistic differs from its start."""
    network = UNet3D(channels, widths, output_bias=-1.0)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
            torch.nn.init.uniform_(module.weight, 0.5, 2.0)
            torch.nn.init.normal_(module.bias)
    return network.eval()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("widths", [PRESETS["demo"].widths, ((3, 5), (4, 6))])
def test_the_graph_gives_the_probability_of_the_torch_network(channels, widths):
    from osln.networks.unet3d_openvino import probability_graph

    network = trained(channels, widths)
    images = torch.randn(1, channels, 24, 16, 32)
    with torch.inference_mode():
        expected = torch.sigmoid(network(images)).numpy()

    graph = probability_graph(network, tuple(images.shape))
    compiled = openvino.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    result = compiled(images.numpy())[0]

    assert expected.std() > 1e-3
    np.testing.assert_allclose(result, expected, atol=2e-6)


def test_the_graph_keeps_its_weights_when_the_network_changes():
    from osln.networks.unet3d_openvino import probability_graph

    network = trained(1, ((2, 2), (3, 3)))
    images = torch.randn(1, 1, 8, 8, 8)
    with torch.inference_mode():
        expected = torch.sigmoid(network(images)).numpy()
    graph = probability_graph(network, tuple(images.shape))
    with torch.no_grad():
        network.output.bias += 3.0

    compiled = openvino.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    np.testing.assert_allclose(compiled(images.numpy())[0], expected, atol=2e-6)
