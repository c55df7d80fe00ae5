"""A stage-one network as an OpenVINO graph: written down for U-Nets, converted for every other one.

OpenVINO's converter traces and decodes the torch module, a second and more per network, which a user
would wait for at the first request; writing the few nodes of a U-Net down takes milliseconds.
"""

import warnings

import numpy as np
import openvino as ov
import torch
from openvino import opset13 as op
from torch import nn

from osln.networks import openvino_pairs
from osln.networks.gated_unet import GatedUNet
from osln.networks.openvino_nodes import convolution, folded, halved, values
from osln.networks.unet3d import UNet3D

TRACED = (64, 64, 64)
"""Window that the converter runs once; large enough for two voxels at the lowest resolution."""


def probability_graph(network: nn.Module, shape: tuple[int, ...], pairs: bool | None = None) -> ov.Model:
    """Graph from images to probability: the network in evaluation mode, then a sigmoid.

    Args:
        network: Trained network in evaluation mode; its weights are copied.
        shape: (B, in_channels, X, Y, Z) of the input; X, Y, Z divisible by `network.stride`.
        pairs: Whether a U-Net's finest level takes voxels in pairs; None for where this is faster.

    Returns:
        A model with one input of that shape and one output (B, 1, X, Y, Z).
    """
    # A network derived from one of these has more than what is written down.
    if type(network) is UNet3D:
        by_pairs = _pairs_are_faster(network) if pairs is None else pairs
        image, x = _features(network, shape, by_pairs)
        x = openvino_pairs.last(x, network.output) if by_pairs else _last(x, network.output)
        return ov.Model([op.sigmoid(x)], [image], "unet3d")
    if type(network) is GatedUNet:
        by_pairs = _pairs_are_faster(network.trunk) if pairs is None else pairs
        image, x = _features(network.trunk, shape, by_pairs)
        with torch.no_grad():
            x = op.sigmoid(_gated(x, image, network, by_pairs))
        return ov.Model([x], [image], "gated_unet")
    module = nn.Sequential(network, nn.Sigmoid()).eval()
    with torch.inference_mode(), warnings.catch_warnings():
        # The converter uses what torch would rather have replaced, and says so of every network.
        warnings.simplefilter("ignore")
        return ov.convert_model(module, example_input=torch.zeros(*shape[:2], *TRACED), input=[shape])


def _pairs_are_faster(network: UNet3D) -> bool:
    finest = network.encoder[0]
    widest = max(finest[0].out_channels, finest[3].out_channels)
    several = len(network.encoder) > 1
    return several and widest <= openvino_pairs.WIDEST and torch.backends.cpu.get_cpu_capability() == "AVX512"


def _features(network: UNet3D, shape: tuple[int, ...], pairs: bool) -> tuple[ov.Node, ov.Node]:
    """The image and what the U-Net's last layer reads; batch normalization is folded into the weights."""
    image = op.parameter(shape, np.float32, name="image")
    finest, *encoder = network.encoder
    if pairs:
        skips = [openvino_pairs.double_convolution(openvino_pairs.in_pairs(image), finest)]
    else:
        skips = [_double_convolution(image, finest)]
    for block in encoder:
        below = openvino_pairs.halved(skips[0]) if pairs and len(skips) == 1 else halved(skips[-1], axes=3)
        skips.append(_double_convolution(below, block))
    x = skips.pop()
    for upsample, block in zip(network.upsample, network.decoder, strict=True):
        skip = skips.pop()
        to = openvino_pairs.upward if pairs and not skips else _upward
        x = to(x, skip, _with_upsampling(upsample, block), block)
    return image, x


def _last(x: ov.Node, layer: nn.Conv3d) -> ov.Node:
    return convolution(x, values(layer.weight), values(layer.bias))


def _gated(x: ov.Node, image: ov.Node, network: GatedUNet, pairs: bool) -> ov.Node:
    """The logits of all heads, by one convolution, and the gate between them."""
    heads = [network.get_submodule(name) for name in network.gate.heads]
    weights, biases = zip(*(folded(head[0], head[1]) for head in heads), strict=True)
    first = np.concatenate(weights), np.concatenate(biases)
    width = len(biases[0])
    kernel = np.zeros((len(heads), len(heads) * width, 1, 1, 1), dtype=np.float32)
    for index, head in enumerate(heads):
        kernel[index, index * width : (index + 1) * width] = values(head[-1].weight)[0]
    last = kernel, np.concatenate([values(head[-1].bias) for head in heads])
    if pairs:
        logits = openvino_pairs.head(x, first, last)
    else:
        logits = convolution(op.relu(convolution(x, *first)), *last)
    *nearer, mixed = op.split(logits, op.constant(1), len(heads)).outputs()
    distance = op.split(image, op.constant(1), image.shape[1]).output(network.distance)
    for index, of_head in reversed(list(enumerate(nearer))):
        beyond = op.subtract(distance, op.constant(np.float32(float(network.border(index)))))
        if network.log_width is None:
            mixed = op.select(op.less_equal(beyond, op.constant(np.float32(0))), of_head, mixed)
        else:
            share = op.sigmoid(op.divide(beyond, op.constant(np.float32(-float(network.width(index))))))
            mixed = op.add(mixed, op.multiply(share, op.subtract(of_head, mixed)))
    return mixed


def _double_convolution(x: ov.Node, block: nn.Sequential) -> ov.Node:
    x = op.relu(convolution(x, *folded(block[0], block[1])))
    return op.relu(convolution(x, *folded(block[3], block[4])))


def _with_upsampling(upsample: nn.ConvTranspose3d, block: nn.Sequential) -> torch.Tensor:
    """Upsampling and the part of the first convolution that reads it, as one transposed convolution.

    Nothing between the two is more than linear, and the upsampling has no bias. The kernel of 4 at stride 2
    takes 16 of 58 multiplications for each voxel and pair of output channels.

    Returns:
        (channels below, channels, 4, 4, 4).
    """
    weight, _ = folded(block[0], block[1])
    own = upsample.weight.shape[1]
    with torch.inference_mode():
        first = torch.from_numpy(weight[:, :own]).double()
        return torch.conv3d(upsample.weight.double(), first, padding=2).float()


def _upward(x: ov.Node, skip: ov.Node, upsample: torch.Tensor, block: nn.Sequential) -> ov.Node:
    """The double convolution over what is upsampled and the skip, without writing down either."""
    weight, bias = folded(block[0], block[1])
    above = op.convolution_backprop_data(
        x, op.constant(values(upsample)), [2] * 3, pads_begin=[1] * 3, pads_end=[1] * 3
    )
    own = weight.shape[1] - skip.shape[1]
    x = op.relu(op.add(convolution(skip, weight[:, own:], bias), above))
    return op.relu(convolution(x, *folded(block[3], block[4])))
