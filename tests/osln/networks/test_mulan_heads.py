"""The heads have the published sizes; the mask loss is 1 - Dice; refinement starts as identity."""

import pytest
import torch

from osln.networks.mulan_heads import MaskHead, Refinement, TagHead, box_masks, dice_loss


def test_the_tag_head_gives_171_logits_of_each_box():
    assert TagHead(4, 8)(torch.randn(3, 4, 7, 7)).shape == (3, 171)


def test_the_mask_head_gives_28_by_28_logits_of_each_box():
    assert MaskHead(4, 6)(torch.randn(3, 4, 14, 14)).shape == (3, 28, 28)


def test_the_mask_head_has_four_convolutions_of_the_published_width():
    with torch.device("meta"):
        state = MaskHead(512, 256).state_dict()

    widths = [tensor.shape for tensor in state.values() if tensor.dim() == 4]
    assert widths == [(256, 512, 3, 3), *[(256, 256, 3, 3)] * 3, (256, 256, 2, 2), (1, 256, 1, 1)]


def test_masks_start_undecided_however_wide_the_head_is():
    torch.manual_seed(0)
    logits = MaskHead(64, 128)(torch.randn(2, 64, 14, 14))

    assert logits.abs().mean() < 0.5


def test_dice_loss_of_half_an_overlap_and_of_none():
    probability = torch.tensor([[1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0]])
    truth = torch.tensor([[1.0, 1.0, 0.0, 0.0], [0.0, 1.0, 1.0, 0.0], [0.0, 0.0, 1.0, 1.0]])

    # One minus 4 / 4, 2 / 4 and 0 / 4, each with .01 added above and below.
    wanted = (0 + (1 - 2.01 / 4.01) + (1 - 0.01 / 4.01)) / 3
    assert dice_loss(probability, truth).item() == pytest.approx(wanted)


def test_the_mask_of_a_box_is_what_lies_between_its_edges():
    masks = torch.zeros(2, 8, 10)
    masks[:, 2:4, 4:8] = 1
    boxes = torch.tensor([[4.0, 2, 8, 4], [2, 0, 6, 4]])

    whole, quarter = box_masks(masks, boxes)

    # Cells of 1 / 7 pixel; between centers of pixels it is interpolated, so that a border lies at one half.
    assert whole[7:21, 4:24].min() > 0.99
    assert quarter[18:24, 18:].min() > 0.8
    assert (quarter[:14] < 0.5).all() and (quarter[:, :14] < 0.5).all()


def test_refinement_starts_as_identity():
    classes, tags = torch.randn(3, 2), torch.randn(3, 171)

    refined_classes, refined_tags = Refinement()(classes, tags)

    assert torch.equal(refined_classes, classes)
    torch.testing.assert_close(refined_tags, tags)


def test_a_tag_can_raise_the_score_of_a_node_and_a_class_that_of_a_tag():
    layer = Refinement()
    with torch.no_grad():
        layer.classes.weight[1, 2 + 7] = 0.5  # tag 7 speaks for a node
        layer.tags.weight[7, 1] = 2.0  # a node speaks for tag 7
    classes, tags = torch.tensor([[0.0, 1.0]]), torch.zeros(1, 171)
    tags[0, 7] = 4.0

    refined_classes, refined_tags = layer(classes, tags)

    assert refined_classes.tolist() == [[0.0, 1.0 + 0.5 * 4.0]]
    assert refined_tags[0, 7].item() == 4.0 + 2.0 * 1.0
