"""Batches hold slices with and without nodes, with boxes, masks and tags where the nodes lie."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from osln.imaging.transforms import Scaling
from osln.mulan.sampling import SliceSampler, slice_target
from osln.rows.detectors import DETECTORS
from small.columns import small_column
from small.detectors import tiny_recipe

SIZE = (32, 32)


def sampler(columns, tags=None, *, detector="mulan-ct", seed=0, **changes):
    recipe = tiny_recipe(**({"batch": 4} | changes))
    known = [{}] * len(columns) if tags is None else tags
    return SliceSampler(columns, known, DETECTORS[detector], recipe, Scaling(), SIZE, seed)


def test_a_box_is_tight_around_the_node_with_the_margin_and_stays_in_the_image():
    labels = np.zeros((10, 12))
    labels[2:4, 5:8] = 3
    labels[9, 11] = 7

    target = slice_target(labels, 1.5, {})

    assert target.boxes.tolist() == [[3.5, 0.5, 9.5, 5.5], [9.5, 7.5, 12.0, 10.0]]
    assert target.masks.shape == (2, 10, 12) and target.masks.sum((1, 2)).tolist() == [6, 1]
    assert target.masks[0, 2:4, 5:8].all()


def test_tags_go_to_their_node_and_those_of_others_are_unknown():
    labels = np.array([[1, 1, 0, 2]])
    tags = np.zeros(171, dtype=bool)
    tags[5] = True

    target = slice_target(labels, 0.0, {2: tags})

    assert not target.certain[0].any() and not target.tags[0].any()
    assert target.certain[1].all() and torch.nonzero(target.tags[1]).tolist() == [[5]]


def test_a_slice_without_nodes_has_an_empty_target():
    target = slice_target(np.zeros((4, 4)), 2.0, {})

    assert target.boxes.shape == (0, 4) and target.masks.shape == (0, 4, 4)
    assert target.tags.shape == target.certain.shape == (0, 171)


def test_a_batch_has_its_share_of_slices_without_nodes():
    batch = sampler([small_column(0)], scale=(1.0, 1.0), shift_px=0).batch(0)

    assert [len(target.boxes) > 0 for target in batch.targets] == [True, True, True, False]
    assert batch.images.shape == (12, 3, 32, 32)
    assert batch.triples.tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]


def test_slices_with_nodes_are_drawn_evenly():
    column = replace(small_column(0), nodes=np.zeros((24, 24, 72), np.uint8))
    column.nodes[10:12, 10:12, 30:34] = 1  # four slices
    column.nodes[10:12, 10:12, 50] = 2  # one slice
    column.nodes[4:6, 4:6, 50] = 3
    drawing = sampler([column], empty_share=0.0, scale=(1.0, 1.0), shift_px=0)

    targets = [target for number in range(50) for target in drawing.batch(number).targets]

    # Two nodes in one of five slices: 40 of 200 expected, standard deviation 5.7.
    assert 20 < sum(len(target.boxes) == 2 for target in targets) < 60


def test_images_hold_bright_nodes_inside_their_boxes_however_they_are_moved():
    batch = sampler([small_column(0)], empty_share=0.0).batch(3)

    for key, target in zip(batch.triples[:, 1], batch.targets, strict=True):
        image, mask = batch.images[key, 1], target.masks.amax(0) > 0
        assert image[mask].mean() > image[~mask].mean() + 0.5
        for box, one in zip(target.boxes, target.masks, strict=True):
            rows, columns = torch.nonzero(one).T
            assert box[0] < columns.min() and columns.max() + 1 < box[2] + 1e-6
            assert box[1] < rows.min() and rows.max() + 1 < box[3] + 1e-6


def test_pet_slices_are_further_channels():
    assert sampler([small_column(0)], detector="mulan-ct-pet").batch(0).images.shape[1] == 6


def test_a_batch_depends_on_seed_and_number_alone():
    columns = [small_column(0), small_column(1)]
    first = sampler(columns).batch(5).images

    assert torch.equal(first, sampler(columns).batch(5).images)
    assert not torch.equal(first, sampler(columns).batch(6).images)
    assert not torch.equal(first, sampler(columns, seed=1).batch(5).images)


def test_patients_that_cannot_be_learned_from_are_refused():
    with pytest.raises(ValueError, match="no training patient for mulan-ct"):
        sampler([])
    with pytest.raises(ValueError, match="case0: no PET"):
        sampler([small_column(0, pet=False)], detector="mulan-ct-pet")
    with pytest.raises(ValueError, match="case case0: no approved nodes"):
        sampler([replace(small_column(0), nodes=None)])
    with pytest.raises(ValueError, match="none of 1 training patients has a node"):
        sampler([small_column(0, nodes=0)])
