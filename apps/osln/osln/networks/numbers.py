"""Logistic regression on the numbers of a candidate, as a network of stage two. Not in the paper."""

from typing import Any

import torch
from torch import nn

STRONGEST_SD = 6.0
"""Numbers further from the mean than this say no more."""


class NumbersNet(nn.Module):
    """One linear layer on numbers that are standardized with those of the candidates it was learned from.

    Args:
        count: Numbers of a candidate.
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(count))
        self.register_buffer("spread", torch.ones(count))
        self.score = nn.Linear(count, 1)

    def features(self, patches: torch.Tensor | None, boxes: Any, known: Any) -> torch.Tensor:
        """(N, count) standardized numbers of `known`; `patches` and `boxes` are not looked at."""
        return ((known - self.mean) / self.spread).clamp(-STRONGEST_SD, STRONGEST_SD)

    def judge(self, features: torch.Tensor) -> torch.Tensor:
        """(N,) float32 logits of N candidates from their features."""
        return self.score(features).float()[:, 0]

    def forward(self, patches: torch.Tensor | None, boxes: Any, known: Any) -> torch.Tensor:
        """(N,) float32 logits of N candidates from `known`, (N, count) numbers."""
        return self.judge(self.features(patches, boxes, known))
