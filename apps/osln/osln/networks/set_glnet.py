"""GLNet over the set of a patient's candidates: what a node means depends on the others. Not in the paper."""

from typing import Any

import torch
from torch import nn

from osln.networks.glnet import GLNet
from osln.rows.presets import SetAttention


class SetGLNet(nn.Module):
    """GLNet whose score is corrected by attention over all candidates of the patient.

    Each candidate is a token made of all that GLNet knows of it: local features, tags if it reads them, and
    its context, place seen from the tumor among it. A transformer encoder lets every token ask all others;
    there is no order among them. What comes out is added to GLNet's own score, so that a patient with one
    candidate is judged too, and starts at zero. The idea is that of Chao et al. 2020, who use a graph;
    attention is the graph in which all are neighbors.

    Args:
        glnet: Network of the single candidate.
        size: Of the attention.

    Reference:
        Chao et al.: Lymph Node Gross Tumor Volume Detection in Oncology Imaging via Relationship Learning
        Using Graph Neural Network, 2020.
    """

    def __init__(self, glnet: GLNet, size: SetAttention) -> None:
        super().__init__()
        self.glnet = glnet
        self.token = nn.Linear(glnet.score.in_features, size.width)
        layer = nn.TransformerEncoderLayer(
            size.width, size.heads, 2 * size.width, size.dropout, batch_first=True, norm_first=True
        )
        self.attention = nn.TransformerEncoder(layer, size.layers, enable_nested_tensor=False)
        self.relation = nn.Linear(size.width, 1)
        nn.init.zeros_(self.relation.weight)
        nn.init.zeros_(self.relation.bias)

    def features(self, patches: torch.Tensor | None, boxes: Any, known: torch.Tensor | None) -> torch.Tensor:
        """As `GLNet.features`."""
        return self.glnet.features(patches, boxes, known)

    def judge(self, features: torch.Tensor) -> torch.Tensor:
        """(N,) logits of one patient's N candidates from their features (N, F)."""
        related = self.attention(self.token(features)[None])[0]
        return self.glnet.judge(features) + self.relation(related).float()[:, 0]

    def forward(self, patches: torch.Tensor | None, boxes: Any, known: torch.Tensor | None) -> torch.Tensor:
        """As `GLNet.forward`, of the candidates of one patient."""
        return self.judge(self.features(patches, boxes, known))
