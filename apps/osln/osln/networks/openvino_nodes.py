"""Nodes that the OpenVINO graphs of several networks are written with; in two or three dimensions."""

import numpy as np
import openvino as ov
import torch
from openvino import opset13 as op
from torch import nn


def convolution(x: ov.Node, weight: np.ndarray, bias: np.ndarray, stride: int = 1) -> ov.Node:
    """A convolution with kernels of odd size, padded by half of it."""
    axes = weight.ndim - 2
    padding = [weight.shape[-1] // 2] * axes
    x = op.convolution(x, op.constant(weight), [stride] * axes, padding, padding, [1] * axes)
    return op.add(x, op.constant(bias.reshape(1, -1, *[1] * axes)))


def halved(x: ov.Node, axes: int) -> ov.Node:
    """The largest of two neighbors along each axis; of an odd size the last is left out, as torch does."""
    pooled = op.max_pool(
        x, [2] * axes, [1] * axes, [0] * axes, [0] * axes, [2] * axes, index_element_type="i32"
    )
    return pooled.output(0)


def linear(x: ov.Node, layer: nn.Linear) -> ov.Node:
    """A linear layer on (N, inputs)."""
    product = op.matmul(x, op.constant(values(layer.weight)), transpose_a=False, transpose_b=True)
    return op.add(product, op.constant(values(layer.bias)[None]))


def folded(layer: nn.Module, norm: nn.Module) -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias of a convolution with the batch normalization behind it.

    Raises:
        ValueError: If one is no finite number, of which a ReLU of OpenVINO would make 0.
    """
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    weight = layer.weight * scale.reshape(-1, *[1] * (layer.weight.ndim - 1))
    before = norm.running_mean if layer.bias is None else norm.running_mean - layer.bias
    bias = norm.bias - before * scale
    if not bool(torch.isfinite(weight).all() and torch.isfinite(bias).all()):
        raise ValueError("weights and running statistics give no finite numbers: train the network again")
    return values(weight), values(bias)


def values(tensor: torch.Tensor) -> np.ndarray:
    """A tensor as an array."""
    return tensor.detach().cpu().numpy()
