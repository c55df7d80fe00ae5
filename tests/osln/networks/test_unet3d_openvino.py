"""The graph that OpenVINO runs is the network that was trained."""

import numpy as np
import pytest
import torch

from osln.networks.build import segmenter_network
from osln.networks.gated_unet import GATES, GatedUNet
from osln.networks.unet3d import UNet3D
from osln.rows.experiments import PRESETS, SEGMENTERS

openvino = pytest.importorskip("openvino")


def trained(channels: int, widths: tuple[tuple[int, int], ...]) -> UNet3D:
    """A network that has seen data."""
    return with_statistics(UNet3D(channels, widths, output_bias=-1.0))


def with_statistics(network: torch.nn.Module) -> torch.nn.Module:
    """Every statistic of its batch normalization differs from its start."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
            torch.nn.init.uniform_(module.weight, 0.5, 2.0)
            torch.nn.init.normal_(module.bias)
    return network.eval()


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("widths", [PRESETS["demo"].widths, ((3, 5), (4, 6))])
def test_the_graph_gives_the_probability_of_the_torch_network(channels, widths, pairs):
    from osln.networks.unet3d_openvino import probability_graph

    network = trained(channels, widths)
    images = torch.randn(1, channels, 24, 16, 32)
    with torch.inference_mode():
        expected = torch.sigmoid(network(images)).numpy()

    graph = probability_graph(network, tuple(images.shape), pairs)
    compiled = openvino.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    result = compiled(images.numpy())[0]

    assert expected.std() > 1e-3
    np.testing.assert_allclose(result, expected, atol=2e-6)


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("gate", list(GATES))
def test_the_graph_of_a_gated_network_gives_its_probability_on_both_sides_of_each_border(gate, pairs):
    from osln.networks.unet3d_openvino import probability_graph

    network = GatedUNet(3, ((8, 8), (4, 6)), GATES[gate], distance=2, unit_mm=100.0)
    for name, parameter in network.named_parameters():
        if name in ("log_width", "shift"):
            torch.nn.init.uniform_(parameter, -1.0, 1.0)
    with_statistics(network)
    images = torch.randn(1, 3, 24, 16, 32)
    images[:, 2] = torch.linspace(0, 1.2, 24)[:, None, None]
    with torch.inference_mode():
        expected = torch.sigmoid(network(images)).numpy()

    graph = probability_graph(network, tuple(images.shape), pairs)
    compiled = openvino.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    result = compiled(images.numpy())[0]

    assert graph.get_friendly_name() == "gated_unet"
    assert min(expected[0, 0, x].std() for x in range(24)) > 1e-3
    np.testing.assert_allclose(result, expected, atol=5e-6)


@pytest.mark.parametrize(
    ("widths", "processor", "by_pairs"),
    [
        (((8, 8), (16, 16)), "AVX512", True),
        (((8, 8), (16, 16)), "AVX2", False),
        (((8, 16), (16, 16)), "AVX512", False),
        (((8, 8),), "AVX512", False),
    ],
)
def test_voxels_are_taken_in_pairs_where_a_narrow_level_leaves_the_processor_half_empty(
    monkeypatch, widths, processor, by_pairs
):
    from osln.networks.unet3d_openvino import probability_graph

    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: processor)
    graph = probability_graph(trained(1, widths), (1, 1, 8, 8, 8))
    first = next(node for node in graph.get_ordered_ops() if node.get_type_name() == "Convolution")

    assert list(first.get_output_shape(0)) == ([1, 16, 5, 8, 8] if by_pairs else [1, 8, 8, 8, 8])


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


def moved(network: torch.nn.Module) -> torch.nn.Module:
    """Batch normalization that has seen data, so that its statistics matter."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            module.running_mean.normal_(std=0.2)
            module.running_var.uniform_(0.5, 1.5)
    return network.eval()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["ef", "ef-se-unet", "ef-hrnet", "ef-psnn", "gated-hard", "gated-soft", "gated-strata"]
)
def test_every_row_of_stage_one_has_a_graph_with_its_probability(name):
    from osln.networks.unet3d_openvino import probability_graph

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
