"""OpenVINO runs every row of stage one with the probabilities of torch."""

import numpy as np
import pytest
import torch

from osln.networks.build import segmenter_network
from osln.rows.experiments import PRESETS, SEGMENTERS

openvino = pytest.importorskip("openvino")


def moved(network: torch.nn.Module) -> torch.nn.Module:
    """Batch normalization that has seen data, so that its statistics matter."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            module.running_mean.normal_(std=0.2)
            module.running_var.uniform_(0.5, 1.5)
    return network.eval()


@pytest.mark.parametrize("name", ["ef", "ef-se-unet", "ef-hrnet", "ef-psnn", "gated-hard", "gated-soft"])
def test_the_graph_gives_the_probability_of_the_torch_network(name):
    from osln.networks.openvino_graph import probability_graph

    torch.manual_seed(0)
    preset = PRESETS["demo"]
    network = moved(segmenter_network(SEGMENTERS[name], preset))
    # Not the size that the converter traces.
    images = 10 * torch.randn(1, 3, 40, 24, 48)
    with torch.inference_mode():
        expected = torch.sigmoid(network(images) - preset.output_bias).numpy()

    graph = probability_graph(network, tuple(images.shape))
    compiled = openvino.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = compiled(images.numpy())[0]
    # Taken back to even odds, where a difference is largest.
    found = 1 / (1 + np.exp(-(np.log(found / (1 - found)) - preset.output_bias)))

    assert expected.std() > 1e-3
    np.testing.assert_allclose(found, expected, atol=1e-5)
