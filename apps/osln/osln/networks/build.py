"""The network of a row of the tables, in the size of a preset; untrained."""

import torch
from torch import nn

from osln.imaging.distance import LIMIT_MM
from osln.networks.gated_unet import GATES, GatedUNet
from osln.networks.glnet import GLNet
from osln.networks.hrnet3d import HRNet3D
from osln.networks.numbers import NumbersNet
from osln.networks.psnn import PSNN
from osln.networks.quality_glnet import QualityGLNet
from osln.networks.random_views import RandomViewNet
from osln.networks.se_unet import SEUNet
from osln.networks.set_glnet import SetGLNet
from osln.networks.unet3d import UNet3D
from osln.rows.experiments import NUMBER_INPUTS, Classifier, Preset, Segmenter


def segmenter_network(segmenter: Segmenter, preset: Preset) -> nn.Module:
    """The network of a row of `SEGMENTERS`.

    Returns:
        A module from images (B, C, X, Y, Z) to logits (B, 1, X, Y, Z). Its `stride` says what X, Y and Z are
        multiples of. In training some give several maps, (B, L, X, Y, Z), each of which the loss is asked of.

    Raises:
        ValueError: The row names a backbone that is not there.
    """
    channels, bias = len(segmenter.inputs), preset.output_bias
    if segmenter.gate is not None:
        return GatedUNet(
            channels,
            preset.widths,
            GATES[segmenter.gate],
            distance=segmenter.inputs.index("distance"),
            unit_mm=LIMIT_MM,
            output_bias=bias,
        )
    if segmenter.backbone == "unet":
        return UNet3D(channels, preset.widths, output_bias=bias)
    if segmenter.backbone == "se-unet":
        return SEUNet(channels, preset.widths, output_bias=bias)
    if segmenter.backbone == "hrnet":
        return HRNet3D(channels, preset.hrnet, output_bias=bias)
    if segmenter.backbone == "psnn":
        return PSNN(channels, preset.widths, output_bias=bias)
    raise ValueError(
        f"unknown backbone {segmenter.backbone!r} of {segmenter.name}: expected unet, se-unet, hrnet or psnn"
    )


def classifier_network(classifier: Classifier, preset: Preset) -> nn.Module:
    """The network of a row of `CLASSIFIERS`.

    Returns:
        A module with `features` (patches, boxes and what is known of N candidates to (N, F)), `judge` (those
        of one patient to (N,) logits), and both in a row, which in training may give (N, 2): of a node and of
        its overlap.

    Raises:
        ValueError: The row names a network that is not there.
    """
    stage_two = preset.stage_two
    if classifier.network == "glnet":
        return GLNet.of(classifier, stage_two)
    if classifier.network == "set-glnet":
        return SetGLNet(GLNet.of(classifier, stage_two), stage_two.attention)
    if classifier.network == "quality-glnet":
        return QualityGLNet(GLNet.of(classifier, stage_two))
    if classifier.network == "random-views":
        return RandomViewNet(len(classifier.inputs), stage_two.views, preset.spacing_mm)
    if classifier.network == "numbers":
        return NumbersNet(NUMBER_INPUTS)
    raise ValueError(
        f"unknown network {classifier.network!r} of {classifier.name}: expected glnet, set-glnet, "
        "quality-glnet, random-views or numbers"
    )


def on_device(network: nn.Module, device: torch.device) -> nn.Module:
    """The network on a device, its 3D convolutions in the memory format in which they are fast."""
    network = network.to(device)
    for part in network.modules():
        if isinstance(part, nn.Conv3d):
            part.to(memory_format=torch.channels_last_3d)
    return network
