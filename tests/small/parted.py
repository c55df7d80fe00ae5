"""A batch of images and a network of batch normalization, of which each process has a part."""

import torch
from torch import nn

from osln.learning.losses import masked_loss
from osln.learning.team import ALONE, Team, normalize_together

BATCH = 5


def learned(team: Team = ALONE) -> dict[str, torch.Tensor]:
    """Loss, Dice part, gradients, and weights after a step of a network in double precision."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv3d(2, 3, 3, padding=1), nn.BatchNorm3d(3), nn.ReLU(), nn.Conv3d(3, 2, 1)
    ).double()
    normalize_together(network, team)
    images = 7 + 3 * torch.randn(BATCH, 2, 4, 4, 4, dtype=torch.float64)
    target = (torch.rand(BATCH, 1, 4, 4, 4) > 0.8).double()
    mask = (torch.rand(BATCH, 1, 4, 4, 4) > 0.3).double()
    # The parts differ in what is inside the mask: means over parts would be seen.
    mask[:2], target[3:] = mask[:2] * (torch.rand(2, 1, 4, 4, 4) > 0.8), 0
    part = team.part(BATCH)
    loss, dice = masked_loss(network(images[part]), target[part], mask[part], 20.0, team)
    loss.backward()
    team.mean_gradients(network.parameters())
    gradients = {f"gradient {name}": one.grad for name, one in network.named_parameters()}
    values = {"loss": loss, "dice": dice, **gradients, **network.state_dict()}
    return {name: value.detach().clone() for name, value in values.items()}


def handed(team: Team) -> object:
    """What each process has of what the first one hands out."""
    return team.handed({"numbers": torch.arange(3), "of": team.rank})
