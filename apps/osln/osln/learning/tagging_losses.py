"""Losses of the lesion tagger (Yan et al. 2019, LesaNet).

Labels come from reports, which name what holds and are silent about the rest. The weighted
cross-entropy counts every tag, rare ones as much as frequent ones. Reliable hard example mining looks
only at cells (lesion, tag) that are known, and at the hardest of them most. The triplet loss brings the
embeddings of lesions with the same tags together.
"""

import torch
from torch.nn import functional as F

LARGEST_WEIGHT = 300.0
MINED_CELLS = 10_000
TRIPLETS = 5_000
MARGIN = 0.1
SIMILAR = 1.0
"""From this similarity on two lesions are a positive pair."""


def tag_weights(labels: torch.Tensor, certain: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights of holding and of not holding, by tag, that make both sides of each tag count the same.

    Args:
        labels, certain: (N, tags) bool of all training lesions.

    Returns:
        (tags,) float32 each: N / (2 N_with) and N / (2 N_without), N counting certain cells; at most 300,
        also for a tag that never holds or always does.
    """
    counted = certain.sum(0).float()
    with_tag = (labels & certain).sum(0).float()
    positive = counted / (2 * with_tag.clamp(min=1e-9))
    negative = counted / (2 * (counted - with_tag).clamp(min=1e-9))
    return positive.clamp(max=LARGEST_WEIGHT), negative.clamp(max=LARGEST_WEIGHT)


def weighted_cross_entropy(
    logits: torch.Tensor,
    labels: torch.Tensor,
    certain: torch.Tensor,
    weights: tuple[torch.Tensor, torch.Tensor],
) -> torch.Tensor:
    """Mean over all cells of the cross-entropy, weighted by tag; uncertain cells weigh nothing.

    Args:
        logits: (B, tags) float32.
        labels, certain: (B, tags) bool.
        weights: From `tag_weights`.
    """
    cell = torch.where(labels, weights[0], weights[1]) * certain
    return F.binary_cross_entropy_with_logits(logits, labels.float(), weight=cell)


def hard_example_loss(
    logits: torch.Tensor,
    labels: torch.Tensor,
    reliable: torch.Tensor,
    generator: torch.Generator,
    count: int = MINED_CELLS,
) -> torch.Tensor:
    """Cross-entropy of reliable cells, drawn with replacement by their squared error.

    Args:
        logits: (B, tags) float32.
        labels, reliable: (B, tags) bool.
        generator: On the CPU; decides the draw.
        count: Cells drawn.

    Returns:
        The mean over the draw; 0 if no cell is reliable.
    """
    error = (torch.sigmoid(logits.detach()) - labels.float()).abs() * reliable
    chance = error.square().flatten().cpu()
    if not chance.sum() > 0:
        return logits.sum() * 0
    drawn = torch.multinomial(chance, count, replacement=True, generator=generator).to(logits.device)
    return F.binary_cross_entropy_with_logits(logits.flatten()[drawn], labels.float().flatten()[drawn])


def label_similarity(labels: torch.Tensor) -> torch.Tensor:
    """Shared tags times Jaccard index of every pair of lesions.

    Args:
        labels: (B, tags) bool.

    Returns:
        (B, B) float32; 0 where both have no tag.
    """
    values = labels.float()
    shared = values @ values.T
    number = values.sum(1)
    either = number[:, None] + number[None, :] - shared
    return shared * shared / either.clamp(min=1)


def triplet_loss(
    embedding: torch.Tensor, labels: torch.Tensor, generator: torch.Generator, count: int = TRIPLETS
) -> torch.Tensor:
    """Mean of max(0, d(anchor, similar)^2 - d(anchor, other)^2 + 0.1) over random triplets.

    Args:
        embedding: (B, E) vectors of length 1.
        labels: (B, tags) bool.
        generator: On the CPU; decides the draw.
        count: Triplets drawn.

    Returns:
        The loss; 0 if no lesion of the batch has both a similar one and another one.
    """
    similar = (label_similarity(labels) >= SIMILAR).cpu()
    similar.fill_diagonal_(False)
    other = ~similar
    other.fill_diagonal_(False)
    anchors = torch.nonzero(similar.any(1) & other.any(1)).flatten()
    if not len(anchors):
        return embedding.sum() * 0
    anchor = anchors[torch.randint(len(anchors), (count,), generator=generator)]
    near = torch.multinomial(similar[anchor].float(), 1, generator=generator).flatten()
    far = torch.multinomial(other[anchor].float(), 1, generator=generator).flatten()
    distance = (2 - 2 * embedding @ embedding.T).clamp(min=0)
    anchor, near, far = (index.to(embedding.device) for index in (anchor, near, far))
    return F.relu(distance[anchor, near] - distance[anchor, far] + MARGIN).mean()
