"""The finest level of a narrow U-Net on pairs of voxels: OpenVINO nodes.

A processor with AVX-512 multiplies 16 numbers at once, and 8 channels fill half of it. Two neighbors along
the first axis, taken as one voxel of 16 channels, fill it. Even pairs are the voxels (0, 1), (2, 3), ...; odd
ones (-1, 0), (1, 2), ..., one more. A convolution of kernel 3 from even pairs to odd ones, or back, reads two
pairs: 4 products where 3 are needed, in half the time each.
"""

import numpy as np
import openvino as ov
import torch
from openvino import opset13 as op
from torch import nn

from osln.networks.openvino_nodes import convolution, folded, values

WIDEST = 8
"""Channels whose pairs still fit into what is multiplied at once."""


def in_pairs(image: ov.Node) -> ov.Node:
    """Even pairs (B, 2 * C, X / 2, Y, Z) of an image (B, C, X, Y, Z), X even."""
    batch, channels, size, *others = image.shape
    x = op.reshape(image, op.constant([batch, channels, size // 2, 2, *others]), special_zero=False)
    x = op.transpose(x, op.constant([0, 3, 1, 2, 4, 5]))
    return op.reshape(x, op.constant([batch, 2 * channels, size // 2, *others]), special_zero=False)


def double_convolution(x: ov.Node, block: nn.Sequential) -> ov.Node:
    """A level of the U-Net, from even pairs to even pairs."""
    x = _inside(op.relu(_to_odd(x, *folded(block[0], block[1]))))
    return op.relu(_to_even(x, *folded(block[3], block[4])))


def halved(x: ov.Node) -> ov.Node:
    """The largest of 2 x 2 x 2 voxels, (B, C, X / 2, Y / 2, Z / 2), of even pairs."""
    pooled = op.max_pool(x, [1, 2, 2], [1] * 3, [0] * 3, [0] * 3, [1, 2, 2], index_element_type="i32")
    of_pair = op.split(pooled.output(0), op.constant(1), 2)
    return op.maximum(of_pair.output(0), of_pair.output(1))


def upward(x: ov.Node, skip: ov.Node, upsample: torch.Tensor, block: nn.Sequential) -> ov.Node:
    """Double convolution over what is upsampled and the skip, both even pairs.

    Args:
        x: The level below, (B, C, X / 2, Y / 2, Z / 2).
        skip: Even pairs of the finest level.
        upsample: (C, channels, 4, 4, 4): upsampling and first convolution as one transposed convolution.
        block: The double convolution; the skip's channels are the last of its inputs.
    """
    weight, bias = folded(block[0], block[1])
    below, outputs = upsample.shape[:2]
    # Voxel 2 * n - 1 + h, half h of odd pair n, reads the voxels n and n - 1 below by the taps h and 2 + h.
    kernel = values(upsample.reshape(below, outputs, 2, 2, 4, 4).permute(0, 3, 1, 2, 4, 5))
    kernel = kernel.reshape(below, 2 * outputs, 2, 4, 4)
    above = op.convolution_backprop_data(
        x, op.constant(kernel), [1, 2, 2], pads_begin=[0, 1, 1], pads_end=[0, 1, 1]
    )
    own = weight.shape[1] - skip.shape[1] // 2
    x = _inside(op.relu(op.add(_to_odd(skip, weight[:, own:], bias), above)))
    return op.relu(_to_even(x, *folded(block[3], block[4])))


def last(x: ov.Node, layer: nn.Conv3d) -> ov.Node:
    """The last layer, of kernel 1, voxel by voxel, (B, outputs, X, Y, Z), from even pairs."""
    return _single(x, values(layer.weight), values(layer.bias))


def head(x: ov.Node, first: tuple[np.ndarray, np.ndarray], last: tuple[np.ndarray, np.ndarray]) -> ov.Node:
    """Convolution, ReLU, convolution of kernel 1; voxel by voxel, (B, outputs, X, Y, Z), from even pairs."""
    x = _single(op.relu(_to_odd(x, *first)), *last)
    # Odd pairs begin a voxel before the image and end one behind it.
    begin, end, step, axis = (op.constant([one]) for one in (1, x.shape[2] - 1, 1, 2))
    return op.slice(x, begin, end, step, axis)


def _single(x: ov.Node, weight: np.ndarray, bias: np.ndarray) -> ov.Node:
    """A convolution of kernel 1, written down voxel by voxel."""
    outputs, inputs = weight.shape[:2]
    both = np.zeros((2, outputs, 2, inputs, 1, 1, 1), dtype=weight.dtype)
    both[0, :, 0] = both[1, :, 1] = weight
    x = convolution(x, both.reshape(2 * outputs, 2 * inputs, 1, 1, 1), np.tile(bias, 2))
    batch, _, pairs, *others = x.shape
    x = op.reshape(x, op.constant([batch, 2, outputs, pairs, *others]), special_zero=False)
    x = op.transpose(x, op.constant([0, 2, 3, 1, 4, 5]))
    return op.reshape(x, op.constant([batch, outputs, 2 * pairs, *others]), special_zero=False)


def _to_odd(x: ov.Node, weight: np.ndarray, bias: np.ndarray) -> ov.Node:
    return _convolution(x, weight, bias, pad=1)


def _to_even(x: ov.Node, weight: np.ndarray, bias: np.ndarray) -> ov.Node:
    return _convolution(x, weight, bias, pad=0)


def _convolution(x: ov.Node, weight: np.ndarray, bias: np.ndarray, pad: int) -> ov.Node:
    outputs, inputs = weight.shape[:2]
    kernel = np.zeros((2, outputs, 2, inputs, 2, 3, 3), dtype=weight.dtype)
    for half in range(2):
        for tap in range(3):
            pair, other = divmod(half + tap, 2)
            kernel[half, :, other, :, pair] = weight[:, :, tap]
    kernel = kernel.reshape(2 * outputs, 2 * inputs, 2, 3, 3)
    around = [pad, 1, 1]
    x = op.convolution(x, op.constant(kernel), [1] * 3, around, around, [1] * 3)
    return op.add(x, op.constant(np.tile(bias, 2).reshape(1, -1, 1, 1, 1)))


def _inside(x: ov.Node) -> ov.Node:
    """Odd pairs whose outermost halves, which lie outside the image, are 0, as padding is."""
    _, channels, pairs, *_ = x.shape
    inside = np.ones((1, channels, pairs, 1, 1), dtype=np.float32)
    inside[:, : channels // 2, 0] = inside[:, channels // 2 :, -1] = 0
    return op.multiply(x, op.constant(inside))
