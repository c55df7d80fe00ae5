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

from osln.networks.openvino_nodes import convolution, folded, halved, values
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
            x = halved(x, axes=3)
        x = _double_convolution(x, block)
        skips.append(x)
    for upsample, block, skip in zip(network.upsample, network.decoder, skips[-2::-1], strict=True):
        x = _upward(x, skip, upsample, block)
    x = op.sigmoid(convolution(x, values(network.output.weight), values(network.output.bias)))
    return ov.Model([x], [image], "unet3d")


def _double_convolution(x: ov.Node, block: nn.Sequential) -> ov.Node:
    x = op.relu(convolution(x, *folded(block[0], block[1])))
    return op.relu(convolution(x, *folded(block[3], block[4])))


def _upward(x: ov.Node, skip: ov.Node, upsample: nn.ConvTranspose3d, block: nn.Sequential) -> ov.Node:
    """Upsampling and the double convolution over its result and the skip, without writing down either.

    Nothing between upsampling and the first convolution is more than linear, and the upsampling has no bias.
    So the part of that convolution which reads its result is, with it, one transposed convolution of kernel 4
    and stride 2, which takes 16 of 58 multiplications for each voxel and pair of output channels.
    """
    weight, bias = folded(block[0], block[1])
    own = upsample.weight.shape[1]
    with torch.inference_mode():
        both = torch.conv3d(upsample.weight.double(), torch.from_numpy(weight[:, :own]).double(), padding=2)
    above = op.convolution_backprop_data(
        x, op.constant(values(both.float())), [2] * 3, pads_begin=[1] * 3, pads_end=[1] * 3
    )
    x = op.relu(op.add(convolution(skip, weight[:, own:], bias), above))
    return op.relu(convolution(x, *folded(block[3], block[4])))
