"""GLNet that also predicts how well a candidate lies on its node. Not in the paper."""

from typing import Any

import torch
from torch import nn

from osln.networks.glnet import GLNet


class QualityGLNet(nn.Module):
    """GLNet with a second output: the overlap (IoU) that the candidate has with its node, if it is one.

    The score is the product of both, probability of a node times predicted overlap. The overlap is learned on
    nodes alone, so that the product is the overlap to be expected, of which a candidate that is no node
    has none; one that had learned 0 from these would count the probability twice. The idea is that of Wang
    et al. 2024, who choose a transformer's queries by it.

    Args:
        glnet: Network of the single candidate.

    Reference:
        Wang et al.: Effective Lymph Nodes Detection in CT Scans Using Location Debiased Query Selection and
        Contrastive Query Representation in Transformer, arXiv 2404.03819, 2024.
    """

    def __init__(self, glnet: GLNet) -> None:
        super().__init__()
        self.glnet = glnet
        self.overlap = nn.Linear(glnet.score.in_features, 1)

    def features(self, patches: torch.Tensor | None, boxes: Any, known: torch.Tensor | None) -> torch.Tensor:
        """As `GLNet.features`."""
        return self.glnet.features(patches, boxes, known)

    def judge(self, features: torch.Tensor) -> torch.Tensor:
        """(N,) float32 logits of the product, from features (N, F)."""
        node, overlap = self._outputs(features).unbind(dim=1)
        # The odds of a product of sigmoids: 1 / (e^-a + e^-b + e^-(a + b)).
        return -torch.logsumexp(torch.stack([-node, -overlap, -node - overlap]), dim=0)

    def forward(self, patches: torch.Tensor | None, boxes: Any, known: torch.Tensor | None) -> torch.Tensor:
        """As `GLNet.forward`; in training (N, 2) logits, of a node and of the overlap."""
        features = self.features(patches, boxes, known)
        return self._outputs(features) if self.training else self.judge(features)

    def _outputs(self, features: torch.Tensor) -> torch.Tensor:
        return torch.stack([self.glnet.judge(features), self.overlap(features).float()[:, 0]], dim=1)
