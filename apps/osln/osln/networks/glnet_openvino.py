"""The local module of GLNet as an OpenVINO graph."""

from collections.abc import Sequence

import numpy as np
import openvino as ov
import torch
from openvino import opset13 as op
from torch import nn

from osln.networks.glnet import GLNet, roi_weights
from osln.networks.openvino_nodes import convolution, folded, linear
from osln.networks.residual import ResidualBlock


def local_graph(network: GLNet, shape: tuple[int, ...]) -> ov.Model:
    """Graph of `GLNet.local` in evaluation mode; batch normalization is folded into the weights.

    Args:
        network: Trained; its weights are copied. It has a local module.
        shape: (N, C, x, y, z) of the patches.

    Returns:
        A model from the patches, and from `box_weights` for each block, to (N, features of all blocks).
    """
    x = patches = op.parameter(shape, np.float32, name="patches")
    weights, found = [], []
    for block, scale in zip(network.blocks, network.scales, strict=True):
        x = _residual(x, block)
        inside = op.parameter((shape[0], 1, *x.shape[2:]), np.float32)
        mean = op.reduce_sum(op.multiply(x, inside), op.constant([2, 3, 4]), keep_dims=False)
        found.append(op.relu(linear(mean, scale)))
        weights.append(inside)
    return ov.Model([op.concat(found, axis=1)], [patches, *weights], "glnet")


def box_weights(boxes: np.ndarray, shape: Sequence[int], blocks: int) -> list[np.ndarray]:
    """What each cell of each block's map weighs in the mean inside N boxes.

    They are not computed in the graph, in which bfloat16 would move the boxes.

    Args:
        boxes: (N, 3, 2) as `GLNet.features` takes them.
        shape: x, y, z of the patch.
        blocks: Of the network.

    Returns:
        For each block (N, 1, X, Y, Z) float32, whose sum over a box is 1.
    """
    found = []
    for level in range(blocks):
        # A stride of 2 leaves the larger half of an odd size.
        cells = [-(-side // 2**level) for side in shape]
        x, y, z = (part.numpy() for part in roi_weights(torch.from_numpy(boxes), cells, 2**level))
        found.append((x[:, :, None, None] * y[:, None, :, None] * z[:, None, None, :])[:, None])
    return found


def _residual(x: ov.Node, block: ResidualBlock) -> ov.Node:
    y = op.relu(convolution(x, *folded(block.first, block.first_norm), stride=block.first.stride[0]))
    y = convolution(y, *folded(block.second, block.second_norm))
    if not isinstance(block.shortcut, nn.Identity):
        short = folded(block.shortcut, block.shortcut_norm)
        x = convolution(x, *short, stride=block.shortcut.stride[0])
    return op.relu(op.add(y, x))
