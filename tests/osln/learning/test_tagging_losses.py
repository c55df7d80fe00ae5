"""The tagger's losses on cells that can be computed by hand."""

import math

import pytest
import torch

from osln.learning.tagging_losses import (
    hard_example_loss,
    label_similarity,
    tag_weights,
    triplet_loss,
    weighted_cross_entropy,
)


def boolean(*rows: str) -> torch.Tensor:
    return torch.tensor([[mark == "1" for mark in row] for row in rows])


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_both_sides_of_a_tag_count_the_same():
    labels = boolean("1", "0", "0", "0")
    positive, negative = tag_weights(labels, torch.ones_like(labels))
    assert positive.item() == pytest.approx(4 / 2)
    assert negative.item() == pytest.approx(4 / 6)


def test_uncertain_cells_are_not_counted():
    labels, certain = boolean("1", "0", "0", "0"), boolean("1", "1", "0", "0")
    positive, negative = tag_weights(labels, certain)
    assert (positive.item(), negative.item()) == pytest.approx((1.0, 1.0))


def test_no_weight_is_above_300():
    rare = torch.zeros((1000, 3), dtype=torch.bool)
    rare[0, 0] = True
    rare[:, 2] = True
    positive, negative = tag_weights(rare, torch.ones_like(rare))
    assert positive.tolist() == pytest.approx([300, 300, 0.5])
    assert negative.tolist() == pytest.approx([1000 / 1998, 0.5, 300])


def test_the_cross_entropy_is_the_mean_of_all_cells_by_their_weights():
    logits = torch.tensor([[0.0, 0.0], [math.log(3), 0.0]])
    labels, certain = boolean("10", "00"), boolean("11", "10")
    weights = torch.tensor([2.0, 5.0]), torch.tensor([0.5, 4.0])
    # Cells: 2 ln 2 (holds), 4 ln 2 (not), 0.5 ln 4 (not, at probability 3/4), 0 (uncertain).
    expected = (2 * math.log(2) + 4 * math.log(2) + 0.5 * math.log(4)) / 4
    assert weighted_cross_entropy(logits, labels, certain, weights).item() == pytest.approx(expected)


def test_an_uncertain_cell_has_no_gradient():
    logits = torch.zeros((1, 2), requires_grad=True)
    ones = torch.ones(2)
    weighted_cross_entropy(logits, boolean("11"), boolean("10"), (ones, ones)).backward()
    assert logits.grad[0, 1] == 0 and logits.grad[0, 0] < 0


def test_only_reliable_cells_are_mined():
    logits = torch.tensor([[0.0, 9.0]])
    loss = hard_example_loss(logits, boolean("00"), boolean("10"), seeded())
    assert loss.item() == pytest.approx(math.log(2))


def test_cells_are_drawn_by_their_squared_error():
    # Errors 3/4 and 1/4: the first is drawn nine times as often. Cross-entropies: ln 4 and ln 4/3.
    logits = torch.tensor([[math.log(3), -math.log(3)]])
    loss = hard_example_loss(logits, boolean("00"), boolean("11"), seeded(), count=200_000)
    assert loss.item() == pytest.approx(0.9 * math.log(4) + 0.1 * math.log(4 / 3), rel=0.01)


def test_nothing_to_mine_costs_nothing_and_can_be_differentiated():
    logits = torch.ones((2, 3), requires_grad=True)
    loss = hard_example_loss(logits, boolean("000", "000"), boolean("000", "000"), seeded())
    loss.backward()
    assert loss.item() == 0 and (logits.grad == 0).all()


def test_the_same_generator_draws_the_same_cells():
    logits = torch.linspace(-3, 3, 60).reshape(2, 30)
    labels, reliable = torch.zeros((2, 30), dtype=torch.bool), torch.ones((2, 30), dtype=torch.bool)
    first, second = (hard_example_loss(logits, labels, reliable, seeded(), count=50) for _ in range(2))
    assert first == second


def test_similarity_is_shared_tags_times_jaccard():
    similarity = label_similarity(boolean("1100", "1110", "0001", "0000"))
    # Two shared of three in all: 2 * 2 / 3.
    assert similarity[0, 1].item() == pytest.approx(4 / 3)
    assert similarity[0, 2] == similarity[0, 3] == similarity[3, 3] == 0
    assert similarity[1, 1].item() == pytest.approx(3)


def test_a_triplet_costs_what_its_distances_lack_to_the_margin():
    # Squared distances: anchor to similar 2 - 2 cos 60 degrees = 1, to the other 2.
    embedding = torch.tensor([[1.0, 0.0], [0.5, math.sqrt(3) / 2], [0.0, -1.0]])
    labels = boolean("10", "10", "01")
    # The anchors are the first two; the second is 2 + sqrt 3 away from the other.
    assert triplet_loss(embedding, labels, seeded()).item() == 0
    turned = embedding[[0, 2, 1]]
    # Now similar are the first (distance 2) and it; the other is 1 from the first, 3.73 from the second.
    expected = (2 - 1 + 0.1) / 2
    assert triplet_loss(turned, labels, seeded(), count=100_000).item() == pytest.approx(expected, rel=0.02)


def test_a_batch_without_pairs_has_no_triplet_loss():
    embedding = torch.eye(3, requires_grad=True)
    loss = triplet_loss(embedding, boolean("100", "010", "001"), seeded())
    loss.backward()
    assert loss.item() == 0 and (embedding.grad == 0).all()
    assert triplet_loss(torch.eye(2), boolean("11", "11"), seeded()) == 0
