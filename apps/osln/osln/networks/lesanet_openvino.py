"""LesaNet as two OpenVINO graphs: its blocks, and its small heads, which stay in single precision."""

import numpy as np
import openvino as ov
from openvino import opset13 as op

from osln.networks.lesanet import LAYERS, LESION_BLOCKS, POOLED, LesaNet
from osln.networks.openvino_nodes import convolution, folded, halved, linear


def regions_graph(network: LesaNet, shape: tuple[int, ...]) -> ov.Model:
    """Graph of `LesaNet.regions` in evaluation mode; batch normalization is folded into the weights.

    Args:
        network: Trained; its weights are copied.
        shape: (N, 3, rows, columns) of the images.

    Returns:
        A model from images and (N, 4) lesion boxes x1, y1, x2, y2 to five outputs (N, channels * 25).
    """
    count, _, rows, columns = shape
    images = op.parameter(shape, np.float32, name="images")
    boxes = op.parameter((count, 4), np.float32, name="boxes")
    numbers = np.arange(count, dtype=np.float32)[:, None]
    lesion = op.concat([op.constant(numbers), boxes], axis=1)
    field = np.array([0, 0, columns, rows], dtype=np.float32)
    whole = op.constant(np.concatenate([numbers, np.tile(field, (count, 1))], axis=1))
    x, regions = images, []
    for block, layers in enumerate(LAYERS, start=1):
        if block > 1:
            x = halved(x, axes=2)
        for layer in range(1, layers + 1):
            one = getattr(network, f"conv{block}_{layer}"), getattr(network, f"bn{block}_{layer}")
            x = op.relu(convolution(x, *folded(*one)))
        region = lesion if block <= LESION_BLOCKS else whole
        pooled = op.roi_pooling(x, region, [POOLED] * 2, 0.5 ** (block - 1), "max")
        regions.append(op.reshape(pooled, op.constant(np.array([count, -1])), special_zero=False))
    return ov.Model(regions, [images, boxes], "lesanet")


def tags_graph(network: LesaNet, count: int) -> ov.Model:
    """Graph from what `regions_graph` gives of `count` lesions to the tags' probabilities (N, 171)."""
    heads = [getattr(network, f"fc_pool{block}") for block in range(1, len(LAYERS) + 1)]
    regions = [op.parameter((count, head.in_features), np.float32) for head in heads]
    parts = [linear(part, head) for part, head in zip(regions, heads, strict=True)]
    scores = linear(op.concat(parts, axis=1), network.class_scores1)
    return ov.Model([op.sigmoid(linear(scores, network.class_scores2))], regions, "lesanet heads")
