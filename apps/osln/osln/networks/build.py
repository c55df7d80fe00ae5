"""The network of a row of the tables, in the size of a preset; untrained."""

from torch import nn

from osln.experiments import Classifier, Preset, Segmenter
from osln.networks.glnet import GLNet
from osln.networks.hrnet3d import HRNet3D
from osln.networks.psnn import PSNN
from osln.networks.unet3d import UNet3D


def segmenter_network(segmenter: Segmenter, preset: Preset) -> nn.Module:
    """The network of a row of `SEGMENTERS`.

    Returns:
        A module from images (B, C, X, Y, Z) to logits (B, 1, X, Y, Z). Its `stride` says what X, Y and Z are
        multiples of. In training some give several maps, (B, L, X, Y, Z), each of which the loss is asked of.

    Raises:
        ValueError: The row names a backbone that is not there.
    """
    channels, bias = len(segmenter.inputs), preset.output_bias
    if segmenter.backbone == "unet":
        return UNet3D(channels, preset.widths, output_bias=bias)
    if segmenter.backbone == "se-unet":
        # Takes seconds to import, which only this row is worth.
        from osln.networks.se_unet import SEUNet

        return SEUNet(channels, preset.widths, output_bias=bias)
    if segmenter.backbone == "hrnet":
        return HRNet3D(channels, preset.hrnet, output_bias=bias)
    if segmenter.backbone == "psnn":
        return PSNN(channels, preset.widths, output_bias=bias)
    raise ValueError(
        f"unknown backbone {segmenter.backbone!r} of {segmenter.name}: expected unet, se-unet, hrnet or psnn"
    )


def classifier_network(classifier: Classifier, preset: Preset) -> nn.Module:
    """The network of a row of `CLASSIFIERS`."""
    return GLNet.of(classifier, preset.stage_two)
