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
        A model from the images and the `block_boxes` of the lesions to five outputs (N, channels * 25).
    """
    count, _, rows, columns = shape
    images = op.parameter(shape, np.float32, name="images")
    boxes = [op.parameter((count, 4), np.float32) for _ in range(LESION_BLOCKS)]
    field = np.array([0, 0, columns, rows], dtype=np.float32)
    whole = op.constant(np.tile(field, (count, 1)))
    x, regions = images, []
    for block, layers in enumerate(LAYERS, start=1):
        if block > 1:
            x = halved(x, axes=2)
        for layer in range(1, layers + 1):
            one = getattr(network, f"conv{block}_{layer}"), getattr(network, f"bn{block}_{layer}")
            x = op.relu(convolution(x, *folded(*one)))
        region, scale = (boxes[block - 1], 1.0) if block <= LESION_BLOCKS else (whole, 0.5 ** (block - 1))
        numbered = op.concat([op.constant(np.arange(count, dtype=np.float32)[:, None]), region], axis=1)
        pooled = op.roi_pooling(x, numbered, [POOLED] * 2, scale, "max")
        regions.append(op.reshape(pooled, op.constant(np.array([count, -1])), special_zero=False))
    return ov.Model(regions, [images, *boxes], "lesanet")


def block_boxes(boxes: np.ndarray) -> list[np.ndarray]:
    """(N, 4) float32 lesion boxes in whole pixels of each block that is pooled in them.

    They are not rounded in the graph, in which bfloat16 would move them first; whole numbers up to 256 it
    holds as they are.

    Args:
        boxes: (N, 4) as `LesaNet.forward` takes them.
    """
    return [
        (np.sign(boxes) * np.floor(np.abs(boxes) * 0.5**block + 0.5)).astype(np.float32)
        for block in range(LESION_BLOCKS)
    ]


def tags_graph(network: LesaNet, count: int) -> ov.Model:
    """Graph from what `regions_graph` gives of `count` lesions to the tags' probabilities (N, 171)."""
    heads = [getattr(network, f"fc_pool{block}") for block in range(1, len(LAYERS) + 1)]
    regions = [op.parameter((count, head.in_features), np.float32) for head in heads]
    parts = [linear(part, head) for part, head in zip(regions, heads, strict=True)]
    scores = linear(op.concat(parts, axis=1), network.class_scores1)
    return ov.Model([op.sigmoid(linear(scores, network.class_scores2))], regions, "lesanet heads")
