"""MULAN: finds, outlines and tags nodes on axial slices (Yan et al. 2019, MICCAI).

What differs from the published network: random first weights instead of those of ImageNet; further channels
for a PET; fusions that start as the key image's map; masks that are placed by centers of pixels and learned
with cross-entropy beside Dice; a refinement layer without box, height, age and sex. docs/method.md has the
whole list, with reasons, that of training and inference included.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import MultiScaleRoIAlign, clip_boxes_to_image, nms

from osln.learning.tagging_losses import hard_example_loss, weighted_cross_entropy
from osln.networks.mulan_heads import (
    CLASSES,
    MASK_POOLED,
    POOLED,
    MaskHead,
    Refinement,
    TagHead,
    box_masks,
    dice_loss,
)
from osln.networks.mulan_trunk import Trunk
from osln.rows.detectors import Detector, DetectorRecipe

ASPECTS = (0.5, 1.0, 2.0)
BACKGROUND_OVERLAP = 0.3
PROPOSAL_SAMPLES = 32
PROPOSAL_NMS = 0.7
SMALLEST_MM = 6.4
"""Shortest side of a proposal, 8 pixels of the published size."""
NODE_OVERLAP = 0.5
NODE_SHARE = 0.25
BOX_WEIGHT = 10.0
DETECTION_NMS = 0.5
LEAST_SCORE = 0.05
MOST_DETECTIONS = 50
IMAGES = 3
"""Images that a key slice is seen in."""
SLICES = 3
"""Slices of an image."""


class SliceTarget(NamedTuple):
    """What is true of a slice with n nodes.

    Attributes:
        boxes: (n, 4) float32 x1, y1, x2, y2 in pixels, edges of pixels being whole numbers.
        masks: (n, rows, columns) float32, 1 in the node.
        tags, certain: (n, 171) bool: tags that hold, and those of which it is known.
    """

    boxes: torch.Tensor
    masks: torch.Tensor
    tags: torch.Tensor
    certain: torch.Tensor


class SliceDetections(NamedTuple):
    """What the network finds in a slice, by falling score of the box head.

    Attributes:
        boxes: (n, 4) float32 x1, y1, x2, y2 in pixels.
        scores: (n,) refined probability of a node.
        masks: (n, 28, 28) probability of the node over the cells of the box.
    """

    boxes: torch.Tensor
    scores: torch.Tensor
    masks: torch.Tensor


@dataclass(frozen=True)
class TagLoss:
    """What the losses of the tags need besides the slices.

    Attributes:
        weights: From `tagging_losses.tag_weights` over all training nodes.
        draws: Source of the mined cells, on the CPU.
    """

    weights: tuple[torch.Tensor, torch.Tensor]
    draws: torch.Generator


class Mulan(nn.Module):
    """Trunk, region proposals, box head, mask head, tag head and score refinement.

    Proposals, matching, sampling and pooling are torchvision's. With the `paper` recipe the sizes are the
    published ones; docs/method.md lists what differs.

    Args:
        inputs: Channels of an image: `SLICES` for each modality.
        recipe: Sizes.
    """

    def __init__(self, inputs: int, recipe: DetectorRecipe) -> None:
        super().__init__()
        self.trunk = Trunk(inputs, recipe.first, recipe.growth, recipe.blocks, recipe.channels)
        sides = tuple(side / recipe.pixel_mm for side in recipe.anchors_mm)
        # Anchors are constants outside the state, so that they must not be empty when the weights are.
        with torch.device("cpu"):
            anchors = AnchorGenerator((sides,), (ASPECTS,))
        number = anchors.num_anchors_per_location()[0]
        ranked, left = (
            dict(zip(("training", "testing"), counts, strict=True))
            for counts in (recipe.ranked, recipe.proposals)
        )
        self.proposals = RegionProposalNetwork(
            anchors,
            RPNHead(recipe.channels, number),
            fg_iou_thresh=recipe.anchor_overlap,
            bg_iou_thresh=BACKGROUND_OVERLAP,
            batch_size_per_image=PROPOSAL_SAMPLES,
            positive_fraction=0.5,
            pre_nms_top_n=ranked,
            post_nms_top_n=left,
            nms_thresh=PROPOSAL_NMS,
        )
        self.proposals.min_size = SMALLEST_MM / recipe.pixel_mm
        self.boxes = RoIHeads(
            MultiScaleRoIAlign(["map"], POOLED, sampling_ratio=2),
            TwoMLPHead(recipe.channels * POOLED**2, recipe.box_features),
            FastRCNNPredictor(recipe.box_features, CLASSES),
            fg_iou_thresh=NODE_OVERLAP,
            bg_iou_thresh=NODE_OVERLAP,
            batch_size_per_image=recipe.regions,
            positive_fraction=NODE_SHARE,
            bbox_reg_weights=None,
            score_thresh=LEAST_SCORE,
            nms_thresh=DETECTION_NMS,
            detections_per_img=MOST_DETECTIONS,
        )
        with torch.no_grad():
            self.boxes.box_predictor.cls_score.bias.copy_(torch.tensor([0.0, -math.log(99)]))
        self.mask_pool = MultiScaleRoIAlign(["map"], MASK_POOLED, sampling_ratio=2)
        self.mask_head = MaskHead(recipe.channels, recipe.mask_channels)
        self.tag_head = TagHead(recipe.channels, recipe.tag_features)
        self.refinement = Refinement()

    def losses(
        self, maps: torch.Tensor, size: tuple[int, int], targets: list[SliceTarget], tagging: TagLoss
    ) -> dict[str, torch.Tensor]:
        """Losses of a training step; their sum is minimized. The module must be in training mode.

        Args:
            maps: (B, channels, h, w) float32 from `trunk`.
            size: Rows and columns of the images.
            targets: B of them.
            tagging: Weights and draws.

        Returns:
            By name: "proposals" (objectness and boxes), "class", "box", "mask", "tags" (weighted
            cross-entropy), "hard" (mined tags), "refined class" and "refined tags". Those that no node takes
            part in are 0.
        """
        wanted = [
            {
                "boxes": target.boxes,
                "labels": torch.ones(len(target.boxes), dtype=torch.int64).to(maps.device),
            }
            for target in targets
        ]
        images, features = _as_torchvision(maps, size)
        proposals, of_proposals = self.proposals(images, features, wanted)
        regions, of_node, labels, shifts = self.boxes.select_training_samples(proposals, wanted)
        pooled = self.boxes.box_roi_pool(features, regions, images.image_sizes)
        classes, moves = self.boxes.box_predictor(self.boxes.box_head(pooled))
        tags = self.tag_head(pooled)
        refined_classes, refined_tags = self.refinement(classes, tags)
        truth = torch.cat(labels)
        positive = torch.nonzero(truth > 0).flatten()
        nodes = [chosen[label > 0] for chosen, label in zip(of_node, labels, strict=True)]
        true_tags, certain = (
            torch.cat([getattr(target, part)[node] for target, node in zip(targets, nodes, strict=True)])
            for part in ("tags", "certain")
        )
        box = F.smooth_l1_loss(
            moves.unflatten(1, (CLASSES, 4))[positive, 1],
            torch.cat(shifts)[positive],
            reduction="sum",
        )
        found = {
            "proposals": sum(of_proposals.values(), start=maps.new_zeros(())),
            "class": F.cross_entropy(classes, truth),
            "box": BOX_WEIGHT * box / max(len(truth), 1),
            "mask": self._mask_loss(features, size, targets, regions, of_node, labels),
            "refined class": F.cross_entropy(refined_classes, truth),
        }
        if not len(positive):
            return found | dict.fromkeys(("tags", "hard", "refined tags"), tags.sum() * 0)
        cells = (true_tags, certain, tagging.weights)
        return found | {
            "tags": weighted_cross_entropy(tags[positive], *cells),
            "hard": hard_example_loss(tags[positive], true_tags, certain, tagging.draws),
            "refined tags": weighted_cross_entropy(refined_tags[positive], *cells),
        }

    def _mask_loss(
        self,
        features: dict[str, torch.Tensor],
        size: tuple[int, int],
        targets: list[SliceTarget],
        regions: list[torch.Tensor],
        of_node: list[torch.Tensor],
        labels: list[torch.Tensor],
    ) -> torch.Tensor:
        """Mean Dice loss and cross-entropy of the boxes that hold a node."""
        boxes = [region[label > 0] for region, label in zip(regions, labels, strict=True)]
        if not sum(map(len, boxes)):
            return features["map"].sum() * 0
        pooled = self.mask_pool(features, boxes, [size] * len(boxes))
        logits = self.mask_head(pooled).flatten(1)
        truth = torch.cat(
            [
                box_masks(target.masks[chosen[label > 0]], box)
                for target, box, chosen, label in zip(targets, boxes, of_node, labels, strict=True)
                if len(box)
            ]
        ).flatten(1)
        return dice_loss(torch.sigmoid(logits), truth) + F.binary_cross_entropy_with_logits(logits, truth)

    def detections(self, maps: torch.Tensor, size: tuple[int, int]) -> list[SliceDetections]:
        """What is found in slices; the module must be in evaluation mode. Arguments as in `losses`."""
        images, features = _as_torchvision(maps, size)
        proposals, _ = self.proposals(images, features)
        pooled = self.boxes.box_roi_pool(features, proposals, images.image_sizes)
        classes, moves = self.boxes.box_predictor(self.boxes.box_head(pooled))
        decoded = self.boxes.box_coder.decode(moves, proposals).view(-1, CLASSES, 4)[:, 1]
        counts = [len(proposal) for proposal in proposals]
        kept = [
            _kept(boxes, logits, size)
            for boxes, logits in zip(decoded.split(counts), classes.split(counts), strict=True)
        ]
        boxes = [box for box, _ in kept]
        again = self.boxes.box_roi_pool(features, boxes, images.image_sizes)
        refined, _ = self.refinement(torch.cat([logits for _, logits in kept]), self.tag_head(again))
        masks = torch.sigmoid(self.mask_head(self.mask_pool(features, boxes, images.image_sizes)))
        sizes = [len(box) for box in boxes]
        scores = refined.softmax(1)[:, 1]
        return [
            SliceDetections(*parts)
            for parts in zip(boxes, scores.split(sizes), masks.split(sizes), strict=True)
        ]


def _kept(
    boxes: torch.Tensor, logits: torch.Tensor, size: tuple[int, int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Boxes of a slice, clipped, above the least score and without overlap, and their class logits."""
    boxes = clip_boxes_to_image(boxes, size)
    scores = logits.softmax(1)[:, 1]
    long_enough = ((boxes[:, 2:] - boxes[:, :2]) >= 1).all(1)
    chosen = torch.nonzero((scores > LEAST_SCORE) & long_enough).flatten()
    chosen = chosen[nms(boxes[chosen], scores[chosen], DETECTION_NMS)[:MOST_DETECTIONS]]
    return boxes[chosen], logits[chosen]


def _as_torchvision(maps: torch.Tensor, size: tuple[int, int]) -> tuple[ImageList, dict[str, torch.Tensor]]:
    """The maps as torchvision's parts take them; of the images they read nothing but the size."""
    images = maps.new_empty((1, 1, 1, 1)).expand(len(maps), 1, *size)
    return ImageList(images, [size] * len(maps)), {"map": maps}


def build_mulan(detector: Detector, recipe: DetectorRecipe) -> Mulan:
    """The network of a row with random first weights."""
    return Mulan(SLICES * len(detector.inputs), recipe)
