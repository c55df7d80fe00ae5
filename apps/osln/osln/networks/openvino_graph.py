"""A stage-one network as an OpenVINO graph: written down for the U-Net, converted for every other one."""

import warnings

import openvino as ov
import torch
from torch import nn

from osln.networks import unet3d_openvino
from osln.networks.unet3d import UNet3D

TRACED = (64, 64, 64)
"""Window that the converter runs once; large enough for two voxels at the lowest resolution."""


def probability_graph(network: nn.Module, shape: tuple[int, ...]) -> ov.Model:
    """Graph from images to probability: the network in evaluation mode, then a sigmoid.

    OpenVINO's own converter serves any network, at a second and more for each; the U-Nets that a user waits
    for are written down in milliseconds.

    Args:
        network: Trained network in evaluation mode.
        shape: (B, in_channels, X, Y, Z) of the input; X, Y, Z divisible by `network.stride`.

    Returns:
        A model with one input of that shape and one output (B, 1, X, Y, Z).
    """
    # A network derived from the U-Net has more than what is written down.
    if type(network) is UNet3D:
        return unet3d_openvino.probability_graph(network, shape)
    module = nn.Sequential(network, nn.Sigmoid()).eval()
    with torch.inference_mode(), warnings.catch_warnings():
        # The converter uses what torch would rather have replaced, and says so of every network.
        warnings.simplefilter("ignore")
        return ov.convert_model(module, example_input=torch.zeros(*shape[:2], *TRACED), input=[shape])
