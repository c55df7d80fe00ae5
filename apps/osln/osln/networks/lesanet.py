"""LesaNet: tells 171 tags of a lesion on CT."""

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from osln.networks.roi_pool import roi_pool
from osln.rows.tags import TAG_NAMES

POOLED = 5
LAYERS = (2, 2, 3, 3, 3)
WIDTHS = (1, 2, 4, 8, 8)
LESION_BLOCKS = 3
"""The first three blocks are pooled in the lesion's box, the others over the whole patch."""


class LesaNetOutput(NamedTuple):
    """What LesaNet says of N lesions.

    Attributes:
        logits: (N, 171) scores of the first head.
        propagated: (N, 171) the same after score propagation; their sigmoid is the tags' probability.
        embedding: (N, embedding) vectors of length 1 whose distances compare lesions.
    """

    logits: torch.Tensor
    propagated: torch.Tensor
    embedding: torch.Tensor


class LesaNet(nn.Module):
    """VGG-16 with batch normalization, pooled at five depths (Yan et al. 2019, section 4, figure 3).

    After each of the five blocks the features are max-pooled to 5 x 5: those of the first three blocks in
    the lesion's box, those of the last two over the whole patch. A linear layer turns each into one
    vector; the five together give the tags' scores, which a last layer, that starts as identity, mixes
    (score propagation). Modules have the names of the published network, so that its weights fit; with the
    defaults it has the published 24,721,615 parameters. Pooling rounds boxes to whole pixels as the
    published one does (`roi_pool`, which is not `roi_align`).

    Args:
        width: Channels of the first block; the others have 2, 4, 8 and 8 times as many.
        embedding: Length of the vectors.
    """

    def __init__(self, width: int = 64, embedding: int = 256) -> None:
        super().__init__()
        self.width = width
        self.embedding = embedding
        inputs = 3
        for block, (layers, factor) in enumerate(zip(LAYERS, WIDTHS, strict=True), start=1):
            outputs = width * factor
            for layer in range(1, layers + 1):
                self.add_module(f"conv{block}_{layer}", nn.Conv2d(inputs, outputs, kernel_size=3, padding=1))
                self.add_module(f"bn{block}_{layer}", nn.BatchNorm2d(outputs))
                inputs = outputs
            self.add_module(f"fc_pool{block}", nn.Linear(outputs * POOLED**2, embedding))
        self.fc_emb = nn.Linear(len(LAYERS) * embedding, embedding)
        self.class_scores1 = nn.Linear(len(LAYERS) * embedding, len(TAG_NAMES))
        self.class_scores2 = nn.Linear(len(TAG_NAMES), len(TAG_NAMES))
        with torch.no_grad():
            # An identity; `nn.init.eye_` would import the compiler where a network is only laid out (meta).
            self.class_scores2.weight.zero_().fill_diagonal_(1.0)
            self.class_scores2.bias.zero_()

    def forward(self, images: torch.Tensor, boxes: torch.Tensor) -> LesaNetOutput:
        """Scores and embedding of lesions.

        Args:
            images: (N, 3, rows, columns) float32 from `osln.tagging.lesion_patch`; N at least 1.
            boxes: (N, 4) lesion boxes x1, y1, x2, y2 in pixels of the patch, last pixel included.
        """
        regions = self.regions(images, boxes)
        # The heads are a small part of the work; half precision would only blur the probabilities.
        with torch.autocast(images.device.type, enabled=False):
            joined = torch.cat(
                [getattr(self, f"fc_pool{block}")(part) for block, part in enumerate(regions, start=1)], dim=1
            )
            logits = self.class_scores1(joined)
            return LesaNetOutput(logits, self.class_scores2(logits), F.normalize(self.fc_emb(joined), dim=1))

    def regions(self, images: torch.Tensor, boxes: torch.Tensor) -> list[torch.Tensor]:
        """Features of each block, pooled to 5 x 5: five times (N, channels * 25) float32.

        Arguments as `forward`.
        """
        rows, columns = images.shape[-2:]
        lesion = boxes.float()
        whole = lesion.new_tensor([0, 0, columns, rows]).expand(len(images), 4)
        regions = []
        features = images
        for block, layers in enumerate(LAYERS, start=1):
            if block > 1:
                features = F.max_pool2d(features, kernel_size=2, stride=2)
            for layer in range(1, layers + 1):
                features = getattr(self, f"conv{block}_{layer}")(features)
                features = F.relu(getattr(self, f"bn{block}_{layer}")(features), inplace=True)
            region = lesion if block <= LESION_BLOCKS else whole
            pooled = roi_pool(features, region, POOLED, 0.5 ** (block - 1))
            regions.append(pooled.flatten(1))
        return regions
