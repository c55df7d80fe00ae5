"""The graph that OpenVINO runs pools what the trained LesaNet pools."""

import numpy as np
import pytest
import torch

from osln.networks.lesanet import LesaNet

openvino = pytest.importorskip("openvino")

BOXES = {
    "as usual": [45, 45, 75, 75],
    "of one pixel": [60, 60, 60, 60],
    "between pixels": [50.5, 49.5, 62.49, 70.51],
    "reversed": [70, 70, 50, 50],
    "over the edge": [-8, 100, 30, 140],
    "beyond the image": [130, 10, 150, 30],
    "narrow": [58, 20, 60, 110],
    "the whole image": [0, 0, 120, 120],
}


def trained() -> LesaNet:
    """A network whose batch normalization has seen data: every statistic differs from its start."""
    torch.manual_seed(0)
    network = LesaNet(width=3, embedding=4)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
            torch.nn.init.uniform_(module.weight, 0.5, 2.0)
            torch.nn.init.normal_(module.bias)
    return network.eval()


@pytest.mark.parametrize(("number_format", "share"), [("f32", 1e-5), ("bf16", 0.03)])
def test_the_graph_gives_what_the_torch_network_pools(number_format, share):
    """Errors are told as a share of the features' spread; a box moved by a pixel costs .1 of it and more."""
    from osln.networks.lesanet_openvino import block_boxes, regions_graph

    network = trained()
    images = torch.randn(len(BOXES), 3, 120, 120)
    boxes = torch.tensor(list(BOXES.values()), dtype=torch.float32)
    with torch.inference_mode():
        expected = [part.numpy() for part in network.regions(images, boxes)]

    graph = regions_graph(network, tuple(images.shape))
    with torch.no_grad():
        network.conv1_1.bias += 3.0  # The graph has its own weights.
    compiled = openvino.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": number_format})
    found = compiled([images.numpy(), *block_boxes(boxes.numpy())])

    assert len(found) == len(expected) == 5
    assert not expected[0][list(BOXES).index("beyond the image")].any()
    for index, part in enumerate(expected):
        assert part.std() > 0.1
        assert np.sqrt(((found[index] - part) ** 2).mean()) < share * part.std()


def test_boxes_are_rounded_to_whole_pixels_of_each_block_before_they_are_given():
    from osln.networks.lesanet_openvino import block_boxes

    boxes = np.float32([[45.5, 50.49, 74.5, -3.0]])
    assert [one.tolist() for one in block_boxes(boxes)] == [
        [[46, 50, 75, -3]],
        [[23, 25, 37, -2]],
        [[11, 13, 19, -1]],
    ]


def test_weights_that_give_no_numbers_have_no_graph():
    from osln.networks.lesanet_openvino import regions_graph

    network = trained()
    network.bn3_2.running_var[1] = -1.0
    with pytest.raises(ValueError, match="weights and running statistics give no finite numbers"):
        regions_graph(network, (1, 3, 120, 120))
