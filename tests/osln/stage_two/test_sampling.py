"""Training batches of stage two: boxes move with their patches, and every candidate has its turn."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from osln.imaging.transforms import Scaling
from osln.imaging.turns import Turn
from osln.rows.experiments import CLASSIFIERS
from osln.stage_two.candidate_sets import LEFT_OUT
from osln.stage_two.sampling import CandidateSampler
from small.candidates import PATCH, small_set, small_tags, tiny_preset

GLNET = CLASSIFIERS["glnet"]
STILL = tiny_preset(jitter=0).stage_two


def sampler(sets, tags=None, name="local-ct-pet", stage_two=STILL, scaling=None, seed=0):
    return CandidateSampler(sets, tags, CLASSIFIERS[name], stage_two, scaling or Scaling(), seed)


@pytest.mark.parametrize(
    ("quarters", "flips"), product(range(4), [(), (0,), (1,), (0, 1)]), ids=lambda part: str(part)
)
def test_a_turned_box_holds_the_voxels_of_the_turned_candidate(quarters, flips):
    shape = (10, 7, 5)
    box = np.float32([[1, 4], [2, 3], [0, 4]])
    mask = np.zeros((1, *shape), dtype=bool)
    mask[0, 1:4, 2:3, 0:4] = True
    turn = Turn(quarters, flips)

    turned, moved = turn.of_patch(mask), turn.of_box(box, shape).astype(int)

    inside = np.zeros_like(turned)
    inside[(0, *(slice(a, b) for a, b in moved))] = True
    assert (turned == inside).all()


def test_in_every_batch_the_box_lies_where_the_bright_voxels_are():
    numbers = range(12)
    given = sampler([small_set(0, false=3)], seed=4)
    # A lopsided box, so that any turn shows.
    given.boxes[:] = [[1, 4], [4, 6], [2, 4]]
    given.images["ct"][:] = -100
    given.images["ct"][:, 1:4, 4:6, 2:4] = 60
    seen = set()
    for number in numbers:
        patches, boxes, _, _ = given.batch(number)
        for patch, box in zip(patches, boxes, strict=True):
            bright = np.argwhere(patch[0] > patch[0].min() + 1)
            assert bright.min(axis=0).tolist() == box[:, 0].tolist()
            assert (bright.max(axis=0) + 1).tolist() == box[:, 1].tolist()
            seen.add(tuple(box.ravel()))
    assert len(seen) == 8


def test_a_batch_is_scaled_as_at_inference_and_holds_what_is_true():
    scaling = Scaling(pet_mean=1.0, pet_sd=2.0)
    given = sampler([small_set(1, nodes=2, false=2)], scaling=scaling)
    patches, boxes, tags, truth = given.batch(0)
    assert patches.shape == (4, 2, *PATCH) and boxes.shape == (4, 3, 2) and tags is None
    assert sorted(truth.tolist()) == [0, 0, 1, 1]
    inside = patches[truth == 1][:, 0].max()
    # 60 HU in the window -200..300 is .52; less .3, times 5.
    assert inside == pytest.approx(1.1, abs=1e-4)


def test_an_epoch_has_every_candidate_once_in_an_order_of_its_own():
    given = sampler([small_set(0, nodes=5, false=7)], [small_tags(small_set(0, nodes=5, false=7))], "tag")
    given.known[:, 5] = np.arange(12)
    assert given.epoch_steps == 3
    epochs = [
        np.concatenate([given.batch(3 * epoch + step)[2][:, 5] for step in range(3)]).tolist()
        for epoch in range(2)
    ]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(12)) and epochs[0] != epochs[1]


def test_few_candidates_are_one_batch():
    given = sampler([small_set(0, nodes=1, false=2)])
    assert given.epoch_steps == 1 and len(given.batch(0)[3]) == 3


def test_a_batch_depends_on_seed_and_number_alone():
    sets = [small_set(0), small_set(1)]
    jittered = tiny_preset().stage_two
    first, again, other = (sampler(sets, stage_two=jittered, seed=seed) for seed in (3, 3, 4))
    for a, b in zip(first.batch(5), (again.batch(2), again.batch(5))[1], strict=True):
        assert (a is None and b is None) or np.array_equal(a, b)
    assert not np.array_equal(first.batch(5)[0], other.batch(5)[0])


def test_nodes_and_false_candidates_weigh_alike():
    assert sampler([small_set(0, nodes=2, false=6), small_set(1, nodes=1, false=6)]).positive_weight == 4.0
    assert sampler([small_set(0, nodes=2, false=6, added=4)]).positive_weight == 1.0


def test_candidates_that_overlap_a_node_without_hitting_it_are_left_out():
    one = small_set(0, nodes=3, false=5)
    truth = one.truth.copy()
    truth[[0, 7]] = LEFT_OUT
    tags = small_tags(one)
    tags[:, 1] = np.arange(8)
    given = sampler([replace(one, truth=truth)], [tags], "glnet")
    assert len(given.truth) == 6 and given.truth.sum() == 2
    assert given.known[:, 1].tolist() == [1, 2, 3, 4, 5, 6] and len(given.boxes) == 6


def test_a_set_without_candidates_adds_nothing():
    given = sampler([small_set(0, nodes=0, false=0), small_set(1)])
    assert len(given.truth) == 8


def test_only_what_the_row_sees_is_in_a_batch():
    sets = [small_set(0)]
    patches, boxes, tags, _ = sampler(sets, [small_tags(sets[0])], "tag").batch(0)
    assert patches is None and boxes is None and tags.shape == (4, 171)
    patches, _, tags, _ = sampler(sets, None, "local-ct").batch(0)
    assert patches.shape == (4, 1, *PATCH) and tags is None


def test_a_batch_of_a_network_that_judges_together_is_a_patient_as_at_inference():
    first, second = small_set(0, nodes=2, false=3, added=2), small_set(1, nodes=1, false=6, added=1)
    truth = first.truth.copy()
    truth[1] = LEFT_OUT
    given = sampler([replace(first, truth=truth), small_set(2, nodes=0, false=0), second], None, "set-glnet")

    assert given.epoch_steps == 2 and given.positive_weight == 9 / 2
    batches = sorted((given.batch(number) for number in range(2)), key=lambda batch: len(batch[3]))
    assert batches[0][3].tolist() == [1, LEFT_OUT, 0, 0, 0]
    assert batches[1][3].tolist() == [1, 0, 0, 0, 0, 0, 0]
    assert [batch[2].shape for batch in batches] == [(5, 7), (7, 7)]


def test_a_network_that_reads_stage_ones_score_learns_without_the_added_nodes():
    one = small_set(0, nodes=3, false=5, added=4)

    assert len(sampler([one], None, "local-context").truth) == 8
    assert len(sampler([one], None, "local-ct-pet").truth) == 12


def test_the_overlap_stands_beside_the_truth_where_it_is_asked_for():
    one = small_set(0, nodes=3, false=2, added=2)
    given = sampler([replace(one, iou=np.float32([0.2, np.nan, 0.9, 0, 0, 1, 1]))], None, "local-context")
    assert given.batch(0)[3].shape == (4,)
    truth = one.truth.copy()
    truth[1] = LEFT_OUT
    one = replace(one, truth=truth, iou=np.float32([0.2, np.nan, 0.9, 0, 0, 1, 1]))

    target = sampler([one], None, "local-quality").batch(0)[3]

    # Without the added nodes, as any network that reads stage one's score, and without what is left out.
    assert target.dtype == np.float32
    assert sorted(target.tolist()) == [[0, 0], [0, 0], [1, np.float32(0.2)], [1, np.float32(0.9)]]
    with pytest.raises(
        ValueError, match="local-quality cannot learn from case case0: no overlaps with nodes"
    ):
        sampler([replace(one, iou=None)], None, "local-quality")


def test_what_cannot_be_learned_from_is_refused_in_words():
    with pytest.raises(ValueError, match="local-ct-pet cannot learn from case case2: no PET"):
        sampler([small_set(1), small_set(2, pet=False)])
    with pytest.raises(ValueError, match="2 training patients have 0 nodes and 10 false candidates"):
        sampler([small_set(1, nodes=0), small_set(2, nodes=0)])
    with pytest.raises(ValueError, match="1 training patients have 3 nodes and 0 false candidates: approve"):
        sampler([small_set(1, false=0)])
    with pytest.raises(ValueError, match="needs nodes and false candidates to learn from; 0 training"):
        sampler([])
    with pytest.raises(ValueError, match="glnet reads tags: give 171 probabilities for each candidate"):
        sampler([small_set(1)], None, "glnet")
    sampler([small_set(2, pet=False)], None, "local-ct")
