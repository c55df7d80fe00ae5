from dataclasses import replace

import numpy as np
import pytest

from osln.metrics.criteria import CRITERIA
from osln.metrics.marks import NO_MARKS, Marks, match_marks


def along(*marks: tuple[float, float], scores: list[float] | None = None) -> Marks:
    """Marks on the x axis, from (position, radius) in mm."""
    center = [(x, 0.0, 0.0) for x, _ in marks]
    return Marks(
        np.array(center), np.array([r for _, r in marks]), None if scores is None else np.array(scores)
    )


def under(name: str, predictions: Marks, nodes: Marks, ignored: Marks = NO_MARKS):
    return match_marks(predictions, nodes, CRITERIA[name], ignored)


def test_spheres_that_meet_and_fit_are_a_hit_and_spheres_that_touch_are_none():
    node = along((0, 5))
    assert under("paper", along((8.9, 4), scores=[0.5]), node).found_by.tolist() == [0]
    assert under("paper", along((9, 4), scores=[0.5]), node).found_by.tolist() == [-1]
    small = under("paper", along((1, 2.4), scores=[0.5]), node)
    assert small.false_positive.tolist() == [True] and small.radius_only.tolist() == [True]


def test_luna16_asks_for_a_center_nearer_than_the_radius():
    centers = Marks(np.array([[4.9, 0, 0], [5, 0, 0]]), None, np.array([0.4, 0.9]))
    matching = under("luna16", centers, along((0, 5)))
    assert matching.found_by.tolist() == [0] and matching.false_positive.tolist() == [False, True]


def test_the_best_of_several_centers_counts_and_the_others_are_ignored():
    centers = Marks(np.array([[0, 0, 0], [1, 0, 0], [40, 0, 0]]), None, np.array([0.4, 0.9, 0.2]))
    scored = under("luna16", centers, along((0, 5))).scored()
    assert scored.scores.tolist() == [0.9, 0.2] and scored.hits.tolist() == [True, False]


def test_iou_of_spheres_by_hand():
    def iou(distance, one, other):
        criterion = replace(CRITERIA["picai"], least_iou=1.0)
        low, high = 0.0, 1.0
        for _ in range(40):
            middle = (low + high) / 2
            asked = replace(criterion, least_iou=max(middle, 1e-12))
            hit = match_marks(along((distance, one), scores=[1]), along((0, other)), asked).found_by[0] == 0
            low, high = (middle, high) if hit else (low, middle)
        return low

    assert iou(0, 2, 2) == pytest.approx(1, abs=1e-6)
    assert iou(0.5, 1, 2) == pytest.approx(1 / 8, abs=1e-6)
    # Equal spheres at a distance of the radius: the lens is 5/16 of a sphere, 5/16 of 27/16.
    assert iou(3, 3, 3) == pytest.approx(5 / 27, abs=1e-6)


def test_all_radius_definitions_are_the_spheres():
    for name in ("paper", "radius-axial", "radius-box"):
        assert under(name, along((1, 2.5), scores=[1]), along((0, 5))).found_by.tolist() == [0]
        assert under(name, along((1, 7.6), scores=[1]), along((0, 5))).found_by.tolist() == [-1]


def test_a_mark_in_an_ignored_finding_is_neither_unless_it_hits_a_node():
    predictions = along((0, 5), (30, 5), (60, 5), scores=[0.3, 0.6, 0.9])
    matching = under("paper", predictions, along((0, 5)), ignored=along((1, 5), (33, 90)))
    scored = matching.scored()
    # The first hits the node, the second lies in an ignored finding of any size, so does the third.
    assert scored.scores.tolist() == [0.3] and scored.hits.tolist() == [True]
    assert matching.extra.tolist() == [False, True, True]


def test_criteria_that_need_a_radius_say_so_where_there_is_none():
    centers = Marks(np.zeros((1, 3)), None, np.array([0.5]))
    for name in ("paper", "iou-0.1", "overlap"):
        with pytest.raises(ValueError, match="radius_mm or diameter_mm"):
            under(name, centers, along((0, 5)))
    with pytest.raises(ValueError, match="nodes have no radius"):
        under("luna16", centers, Marks(np.zeros((1, 3))))


@pytest.mark.parametrize("name", CRITERIA)
def test_no_marks_on_either_side_are_empty_not_errors(name):
    assert under(name, NO_MARKS, along((0, 5))).scored().n_nodes == 1
    assert under(name, along((0, 5), scores=[1]), NO_MARKS).false_positive.tolist() == [True]
    assert under(name, NO_MARKS, NO_MARKS).scored().n_nodes == 0


def luna16_by_hand(candidates, nodes, ignored):
    """The evaluation of LUNA16 in its own order: a node takes all candidates near it, the best counts."""
    left, found = dict(enumerate(candidates)), []
    for center, radius in nodes:
        near = [i for i, (place, _) in enumerate(candidates) if np.sum((place - center) ** 2) < radius**2]
        if near:
            found.append(max(candidates[i][1] for i in near))
        for i in near:
            left.pop(i, None)
    for center, radius in ignored:
        for i, (place, _) in enumerate(candidates):
            if np.sum((place - center) ** 2) < radius**2:
                left.pop(i, None)
    return sorted(found), sorted(score for _, score in left.values())


@pytest.mark.parametrize("seed", range(6))
def test_random_marks_score_as_in_luna16(seed):
    rng = np.random.default_rng(seed)
    candidates = [(rng.uniform(0, 20, 3), float(score)) for score in rng.random(40)]
    nodes, ignored = ([(rng.uniform(0, 20, 3), float(rng.uniform(2, 7))) for _ in range(4)] for _ in range(2))
    scored = under(
        "luna16",
        Marks(
            np.array([place for place, _ in candidates]), None, np.array([score for _, score in candidates])
        ),
        Marks(np.array([place for place, _ in nodes]), np.array([radius for _, radius in nodes])),
        Marks(np.array([place for place, _ in ignored]), np.array([radius for _, radius in ignored])),
    ).scored()
    found, false = luna16_by_hand(candidates, nodes, ignored)
    assert sorted(scored.scores[scored.hits]) == found and sorted(scored.scores[~scored.hits]) == false
    assert found and false


def test_marks_are_compared_by_blocks_with_the_same_result(monkeypatch):
    rng = np.random.default_rng(3)
    sides = [Marks(rng.uniform(0, 60, (40, 3)), rng.uniform(2, 8, 40), rng.random(40)) for _ in range(2)]
    for name in ("default", "one-node"):
        criterion = next(iter(CRITERIA.values())) if name == "default" else CRITERIA[name]
        monkeypatch.setattr("osln.metrics.marks.AT_ONCE", 10**6)
        whole = match_marks(*sides, criterion).scored()
        monkeypatch.setattr("osln.metrics.marks.AT_ONCE", 100)
        parts = match_marks(*sides, criterion).scored()
        assert whole.hits.any() and not whole.hits.all()
        np.testing.assert_array_equal(whole.scores, parts.scores)
        np.testing.assert_array_equal(whole.hits, parts.hits)
