"""The clinical rule: near the tumor a node counts though small and cold, far away only enlarged or avid."""

from dataclasses import replace

import numpy as np
import pytest

from osln.phantom.findings.nodes import NO_ROOM, chance_of_osln, counts_as_osln, place_nodes
from osln.phantom.findings.space import FatSpace, fat_of
from osln.phantom.findings.tags import NODE_TAGS, node_tags, region_tag
from osln.phantom.parameters import PhantomParameters

P = PhantomParameters()


@pytest.mark.parametrize(
    ("distance_mm", "short_mm", "avid", "counts"),
    [
        (10.0, 6.0, False, True),
        (10.0, 6.0, True, True),
        (150.0, 6.0, False, False),
        (150.0, 9.9, False, False),
        (150.0, 10.0, False, True),
        (150.0, 6.0, True, True),
    ],
)
def test_the_rule_without_its_noise(distance_mm: float, short_mm: float, avid: bool, counts: bool) -> None:
    assert counts_as_osln(P, distance_mm, short_mm, avid, zone_draw=0.5, draw=0.5) is counts


def test_the_border_is_soft() -> None:
    near = [counts_as_osln(P, 76.0, 6.0, False, zone_draw=u, draw=0.5) for u in np.linspace(0, 1, 101)]
    assert 0.25 < np.mean(near) < 0.40


def test_label_noise_is_small() -> None:
    far = [counts_as_osln(P, 200.0, 6.0, False, zone_draw=0.5, draw=u) for u in np.linspace(0, 1, 1001)]
    assert np.mean(far) == pytest.approx(P.distal_noise, abs=0.002)


@pytest.mark.parametrize("distance_mm", [10.0, 70.0, 76.0, 150.0])
@pytest.mark.parametrize(("short_mm", "avid"), [(6.0, False), (6.0, True), (12.0, False)])
def test_the_chance_is_how_often_the_rule_says_yes(distance_mm: float, short_mm: float, avid: bool) -> None:
    draws = (np.arange(200) + 0.5) / 200
    said = [counts_as_osln(P, distance_mm, short_mm, avid, zone, draw) for zone in draws for draw in draws]
    assert chance_of_osln(P, distance_mm, short_mm, avid) == pytest.approx(np.mean(said), abs=0.005)


def test_what_is_too_small_to_be_seen_never_counts() -> None:
    assert chance_of_osln(P, 0.0, 5.0, True) == 0.0


def fat_cube() -> FatSpace:
    axes = [np.arange(0.0, 120.0, 2.0)] * 3
    return FatSpace(axes, np.ones((60, 60, 60), bool), np.zeros((0, 3)), 0.85)


def test_nodes_keep_their_gap() -> None:
    space = fat_cube()
    place_nodes(
        np.random.default_rng(1),
        P,
        space,
        lambda p: np.random.default_rng(len(space.taken)).uniform(0, 120, 3),
        lambda p: p,
    )
    centers = [c for c, _ in space.taken]
    reaches = [r for _, r in space.taken]
    assert len(centers) > 3
    for i in range(len(centers)):
        for j in range(i):
            assert np.linalg.norm(centers[i] - centers[j]) >= 0.5 * (reaches[i] + reaches[j]) + P.node_gap_mm


def test_what_is_not_placed_has_a_reason() -> None:
    rng = np.random.default_rng(0)
    space = fat_cube()
    # All of them want one place.
    nodes = place_nodes(rng, P, space, lambda p: np.full(3, 60.0), lambda p: p)
    drawn = int(np.random.default_rng(0).poisson(P.node_mean))
    assert len(nodes) == 1 and space.refused[NO_ROOM] >= drawn - 1


@pytest.mark.parametrize(("up_mm", "regions"), [(0.0, {"abdomen", "chest"}), (220.0, {"chest", "neck"})])
def test_a_node_beside_the_tumor_lies_in_the_region_of_its_own_place(up_mm, regions) -> None:
    space = FatSpace(
        [np.arange(0.0, 120.0, 2.0)] * 3,
        np.ones((60, 60, 60), bool),
        np.array([[60.0, y, z] for y in (30.0, 60.0, 90.0) for z in (40.0, 100.0)]),
        0.85,
    )
    only_near = replace(P, node_mean=0.0, near_tumor_mean=40.0)
    rng = np.random.default_rng(2)
    nodes = place_nodes(rng, only_near, space, lambda p: p, lambda p: p + np.array([0.0, 0.0, up_mm]))

    assert {node.station for node in nodes} == {"beside the tumor"}
    told = [{*node.tags} & {"abdomen", "chest", "neck"} for node in nodes]
    assert told == [{region_tag(float(node.center_mm[2]) + up_mm)} for node in nodes]
    assert set.union(*told) == regions


def test_nothing_fits_outside_the_fat() -> None:
    space = fat_cube()
    assert space.fits(np.array([60.0, 60.0, 60.0]), 5.0, 5.0)
    assert not space.fits(np.array([1.0, 60.0, 60.0]), 5.0, 5.0)
    space.free[:] = False
    assert not space.fits(np.array([60.0, 60.0, 60.0]), 5.0, 5.0)


def test_without_a_tumor_everything_is_infinitely_far() -> None:
    assert np.isinf(fat_cube().distance_mm(np.array([1.0, 2.0, 3.0]))).all()


def test_a_space_without_fat_says_so() -> None:
    axes = [np.arange(0.0, 8.0, 2.0)] * 3
    space = FatSpace(axes, np.zeros((4, 4, 4), bool), np.zeros((0, 3)), 0.85)
    with pytest.raises(ValueError, match="no fat voxel"):
        space.random_point(np.random.default_rng(0))


def test_fat_is_between_its_limits() -> None:
    assert fat_of(np.array([-160.0, -100.0, -60.0, 0.0])).tolist() == [False, True, True, False]


@pytest.mark.parametrize(
    ("short_mm", "long_mm", "there", "absent"),
    [
        (4.0, 4.5, {"tiny", "subcentimeter"}, {"enlargement", "oval", "large"}),
        (11.0, 12.0, {"enlargement", "lymphadenopathy"}, {"subcentimeter", "oval", "large"}),
        (21.0, 30.0, {"large", "oval", "enlargement"}, {"tiny"}),
    ],
)
def test_size_tags(short_mm: float, long_mm: float, there: set[str], absent: set[str]) -> None:
    tags = set(node_tags(("mediastinum",), 200.0, short_mm, long_mm, fatty_hilum=False))
    assert there <= tags and not absent & tags
    assert tags <= NODE_TAGS and {"lymph node", "chest", "mediastinum"} <= tags


def test_regions_follow_the_height() -> None:
    assert "abdomen" in node_tags((), 50.0, 6.0, 6.0, fatty_hilum=False)
    assert "neck" in node_tags((), 290.0, 6.0, 6.0, fatty_hilum=True)
