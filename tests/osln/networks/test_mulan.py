"""MULAN's anchors, targets, losses and detections."""

import math

import pytest
import torch
from torchvision.models.detection.image_list import ImageList

from osln.networks import mulan
from osln.networks.mulan import Mulan, SliceTarget, TagLoss, build_mulan
from osln.rows.detectors import DETECTOR_RECIPES, DETECTORS
from small.detectors import tiny_recipe

SIZE = (32, 32)


def small(**changes: object) -> Mulan:
    torch.manual_seed(0)
    return build_mulan(DETECTORS["mulan-ct"], tiny_recipe(**changes))


def target(*boxes: tuple[float, float, float, float], tagged: bool = True) -> SliceTarget:
    """Nodes that fill their boxes; tag 3 holds."""
    masks = torch.zeros(len(boxes), *SIZE)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
        mask[int(y1) : int(y2), int(x1) : int(x2)] = 1
    tags = torch.zeros(len(boxes), 171, dtype=torch.bool)
    tags[:, 3] = tagged
    return SliceTarget(torch.tensor(boxes).reshape(-1, 4), masks, tags, torch.full_like(tags, tagged))


def losses(network: Mulan, *targets: SliceTarget) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    tagging = TagLoss((torch.ones(171), torch.ones(171)), torch.Generator().manual_seed(0))
    maps = network.train().trunk(
        torch.randn(3, 3, *SIZE).repeat(len(targets), 1, 1, 1), triples(len(targets))
    )
    return network.losses(maps, SIZE, list(targets), tagging)


def triples(keys: int) -> torch.Tensor:
    return torch.arange(3 * keys).view(keys, 3)


def test_anchors_have_the_recipe_s_sides_in_pixels_and_three_aspects_at_each_cell():
    generator = small(pixel_mm=1.25, anchors_mm=(20.0, 40.0)).proposals.anchor_generator
    images = ImageList(torch.zeros(1, 1, 32, 32), [(32, 32)])
    anchors = generator(images, [torch.zeros(1, 8, 8, 8)])[0].view(8, 8, 6, 4)

    # 16 pixels: 22.6 x 11.3, 16 x 16 and 11.3 x 22.6, rounded around the cell's corner.
    assert anchors[0, 0, ::2].tolist() == [[-11, -6, 11, 6], [-8, -8, 8, 8], [-6, -11, 6, 11]]
    assert anchors[0, 0, 3].tolist() == [-16, -16, 16, 16]
    assert (anchors[2, 5, 2] - anchors[0, 0, 2]).tolist() == [20, 8, 20, 8]


def test_published_anchors_are_16_to_96_pixels():
    with torch.device("meta"):
        network = build_mulan(DETECTORS["mulan-ct"], DETECTOR_RECIPES["paper"])
    squares = network.proposals.anchor_generator.cell_anchors[0][5:10]

    assert (squares[:, 2] - squares[:, 0]).tolist() == [16, 24, 32, 48, 96]


def test_anchors_and_proposals_become_examples_by_their_overlap():
    network = small(anchor_overlap=0.6)
    truth = [{"boxes": torch.tensor([[0.0, 0, 10, 10]]), "labels": torch.ones(1, dtype=torch.int64)}]
    # IoU 1, .65, .5 and .2: the same box, more than the anchors' threshold, between, below.
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 6.5], [0, 0, 10, 5], [0, 0, 10, 2]])

    labels, _ = network.proposals.assign_targets_to_anchors([boxes], truth)
    assert labels[0].tolist() == [1, 1, -1, 0]
    of_node, classes = network.boxes.assign_targets_to_proposals(
        [boxes], [truth[0]["boxes"]], [truth[0]["labels"]]
    )
    assert classes[0].tolist() == [1, 1, 1, 0] and of_node[0].tolist() == [0, 0, 0, 0]


def test_the_box_head_starts_from_the_rarity_of_nodes():
    bias = small().boxes.box_predictor.cls_score.bias

    assert bias.softmax(0)[1].item() == pytest.approx(0.01)


def test_every_loss_is_positive_with_a_tagged_node():
    found = losses(small(), target((8, 8, 20, 20)), target())

    assert set(found) == {
        *("proposals", "class", "box", "mask", "tags", "hard", "refined class", "refined tags")
    }
    assert all(math.isfinite(value.item()) and value >= 0 for value in found.values())
    assert min(found[name] for name in ("proposals", "class", "mask", "tags", "hard")) > 0.01


def test_refined_losses_start_equal_to_those_of_the_heads():
    found = losses(small(), target((8, 8, 20, 20)))

    torch.testing.assert_close(found["refined class"], found["class"])
    torch.testing.assert_close(found["refined tags"], found["tags"])


def test_nodes_without_tags_weigh_nothing_in_the_tag_losses_and_everything_elsewhere():
    found = losses(small(), target((8, 8, 20, 20), tagged=False))

    assert found["tags"] == found["hard"] == found["refined tags"] == 0
    assert found["mask"] > 0.01 and found["class"] > 0.01


def test_slices_without_nodes_have_no_box_mask_or_tag_loss():
    found = losses(small(), target(), target())

    assert [found[name].item() for name in ("box", "mask", "tags", "hard", "refined tags")] == [0] * 5
    assert found["proposals"] > 0 and found["class"] > 0


def test_the_losses_reach_every_weight_that_a_tagged_node_can_teach():
    network = small()
    torch.stack(list(losses(network, target((8, 8, 20, 20))).values())).sum().backward()

    assert not [name for name, value in network.named_parameters() if value.grad is None]


def test_detections_have_a_box_inside_the_image_a_score_and_a_mask(monkeypatch):
    monkeypatch.setattr(mulan, "LEAST_SCORE", 0.0)
    network = small().eval()
    with torch.inference_mode():
        maps = network.trunk(torch.randn(6, 3, *SIZE), triples(2))
        found = network.detections(maps, SIZE)

    assert len(found) == 2
    for slice_ in found:
        assert 0 < len(slice_.boxes) <= 50
        assert (slice_.boxes[:, :2] >= 0).all() and (slice_.boxes[:, 2:] <= 32).all()
        assert slice_.scores.shape == (len(slice_.boxes),)
        assert slice_.masks.shape == (len(slice_.boxes), 28, 28)
        assert ((slice_.masks >= 0) & (slice_.masks <= 1)).all()


def test_detections_above_no_score_are_empty(monkeypatch):
    monkeypatch.setattr(mulan, "LEAST_SCORE", 1.0)
    network = small().eval()
    with torch.inference_mode():
        found = network.detections(network.trunk(torch.randn(3, 3, *SIZE), triples(1)), SIZE)

    assert [part.shape for part in found[0]] == [(0, 4), (0,), (0, 28, 28)]


def test_of_overlapping_boxes_the_better_is_kept(monkeypatch):
    logits = torch.tensor([[0.0, 1.0], [0.0, 2.0], [0.0, 1.5], [9.0, 0.0]])
    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 0, 11, 10], [20, 20, 40, 40], [20, 0, 30, 10]])

    kept, of_kept = mulan._kept(boxes, logits, SIZE)

    # The first overlaps the second by 90 / 110; the last has a score of .0001; the third is clipped.
    assert kept.tolist() == [[1, 0, 11, 10], [20, 20, 32, 32]]
    assert of_kept.tolist() == [[0.0, 2.0], [0.0, 1.5]]
