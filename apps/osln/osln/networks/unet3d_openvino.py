"""A stage-one network as an OpenVINO graph: written down for the U-Net, converted for every other one.

OpenVINO's converter traces and decodes the torch module, a second and more per network, which a user
would wait for at the first request; writing the few nodes of a U-Net down takes milliseconds.
"""

import warnings

import numpy as np
import openvino as ov
import torch
from openvino import opset13 as op
from torch import nn

from osln.networks.unet3d import UNet3D

TRACED = (64, 64, 64)
"""Window that the converter runs once; large enough for two voxels at the lowest resolution."""


def probability_graph(network: nn.Module, shape: tuple[int, ...]) -> ov.Model:
    """Graph from images to probability: the network in evaluation mode, then a sigmoid.

    Args:
        network: Trained network in evaluation mode; its weights are copied.
        shape: (B, in_channels, X, Y, Z) of the input; X, Y, Z divisible by `network.stride`.

    Returns:
        A model with one input of that shape and one output (B, 1, X, Y, Z).
    """
    # A network derived from the U-Net has more than what is written down.
    if type(network) is UNet3D:
        return _written_down(network, shape)
    module = nn.Sequential(network, nn.Sigmoid()).eval()
    with torch.inference_mode(), warnings.catch_warnings():
        # The converter uses what torch would rather have replaced, and says so of every network.
        warnings.simplefilter("ignore")
        return ov.convert_model(module, example_input=torch.zeros(*shape[:2], *TRACED), input=[shape])


def _written_down(network: UNet3D, shape: tuple[int, ...]) -> ov.Model:
    """The U-Net node by node; batch normalization is folded into the weights."""
    image = op.parameter(shape, np.float32, name="image")
    x, skips = image, []
    for level, block in enumerate(network.encoder):
        if level:
            x = op.max_pool(x, [2] * 3, [1] * 3, [0] * 3, [0] * 3, [2] * 3, index_element_type="i32").output(
                0
            )
        x = _double_convolution(x, block)
        skips.append(x)
    for upsample, block, skip in zip(network.upsample, network.decoder, skips[-2::-1], strict=True):
        weight = op.constant(_values(upsample.weight))
        x = op.convolution_backprop_data(x, weight, [2] * 3, pads_begin=[0] * 3, pads_end=[0] * 3)
        x = _double_convolution(op.concat([x, skip], axis=1), block)
    x = op.sigmoid(_convolution(x, _values(network.output.weight), _values(network.output.bias)))
    return ov.Model([x], [image], "unet3d")


def _double_convolution(x: ov.Node, block: nn.Sequential) -> ov.Node:
    for convolution, norm in ((block[0], block[1]), (block[3], block[4])):
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        weight = convolution.weight * scale[:, None, None, None, None]
        bias = (convolution.bias - norm.running_mean) * scale + norm.bias
        x = op.relu(_convolution(x, _values(weight), _values(bias)))
    return x


def _convolution(x: ov.Node, weight: np.ndarray, bias: np.ndarray) -> ov.Node:
    padding = [weight.shape[-1] // 2] * 3
    x = op.convolution(x, op.constant(weight), [1] * 3, padding, padding, [1] * 3)
    return op.add(x, op.constant(bias.reshape(1, -1, 1, 1, 1)))


def _values(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()
