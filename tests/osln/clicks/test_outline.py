import numpy as np
import pytest

from osln.clicks.classical import Marching
from osln.clicks.clicks import checked_clicks
from osln.clicks.outline import outline
from osln.imaging.grid import Grid, Volume
from small.clicks import CENTER, RADIUS_MM, SPACING_MM, Bright, ball, beside, clicks, ct, in_canonical_order


def on_ct(found) -> np.ndarray:
    mask = np.zeros(ct().grid.shape, bool)
    mask[tuple(slice(a, a + n) for a, n in zip(found.start, found.node.shape, strict=True))] = found.node
    return mask


def dice(found, truth: np.ndarray) -> float:
    mask, truth = on_ct(found), in_canonical_order(truth)
    return 2 * (mask & truth).sum() / (mask.sum() + truth.sum())


def test_the_answer_is_the_ball_on_the_voxels_of_the_ct():
    found = outline(ct(), None, clicks([CENTER]), Bright())
    assert dice(found, ball()) > 0.9
    assert found.grid.shape == found.node.shape and found.node.any(axis=(1, 2)).all()
    np.testing.assert_allclose(found.grid.affine, ct().grid.crop(found.start, found.node.shape).affine)
    volume = found.node.sum() * np.prod(SPACING_MM)
    assert found.radius_mm == pytest.approx((3 * volume / 4 / np.pi) ** (1 / 3))


def test_a_click_beside_the_node_still_gives_its_own_voxel_alone():
    at = beside(9, 0, 0)
    found = outline(ct(), None, clicks([at]), Bright())
    mask = on_ct(found)
    assert in_canonical_order(ball(at, 1.0))[mask].all() and mask.sum() == 1


def test_what_does_not_hang_together_with_the_click_is_left_out():
    two = ball() | ball(beside(10, 0, 0), 4.0)
    image = Volume(in_canonical_order(np.where(two, 40, -100)).astype(np.int16), ct().grid, ct().file_grid)
    found = outline(image, None, clicks([CENTER]), Bright())
    assert not (on_ct(found) & in_canonical_order(ball(beside(10, 0, 0), 3.0))).any()


def test_a_click_outside_takes_its_place_away():
    at = beside(3, 0, 0)
    found = outline(ct(), None, clicks([CENTER], [at]), Bright())
    assert not on_ct(found)[in_canonical_order(ball(at, 0.5))].any()
    assert on_ct(found)[in_canonical_order(ball(CENTER, 0.5))].all()


def test_beside_a_click_outside_nothing_but_the_click_inside_is_answered():
    # Voxels so small that several lie within 1.5 mm of both clicks; fat, where the method says nothing.
    grid = Grid((40, 40, 30), np.diag([0.7, 0.7, 1.0, 1.0]))
    fat = Volume(np.full(grid.shape, -100, np.int16), grid, grid)
    inside, outside = (grid.index_to_mm(np.array([index])) for index in ([20, 20, 15], [21, 20, 15]))
    found = outline(fat, None, checked_clicks(inside, outside, fat), Bright())
    places = found.grid.index_to_mm(np.argwhere(found.node))
    near = places[np.linalg.norm(places - outside, axis=1) <= 1.5]
    np.testing.assert_allclose(near, inside)
    assert len(places) > 1


@pytest.mark.parametrize("radius_mm", [4.0, 6.0, 11.0, 16.0])
def test_the_answer_grows_and_shrinks_to_a_radius(radius_mm):
    found = outline(ct(), None, clicks([CENTER]), Bright(), radius_mm)
    assert found.radius_mm == pytest.approx(radius_mm, rel=0.06)
    assert dice(found, ball(CENTER, radius_mm)) > 0.75


def test_a_larger_radius_holds_the_smaller_one():
    small, large = (on_ct(outline(ct(), None, clicks([CENTER]), Bright(), r)) for r in (5.0, 9.0))
    assert not (small & ~large).any() and large.sum() > small.sum()


def test_it_does_not_grow_over_a_click_outside():
    at = beside(6, 0, 0)
    found = outline(ct(), None, clicks([CENTER], [at]), Bright(), 13.0)
    assert not on_ct(found)[in_canonical_order(ball(at, 0.5))].any()


def test_a_radius_out_of_range_is_refused():
    with pytest.raises(ValueError, match="radius_mm is from 1 to 45, not 60"):
        outline(ct(), None, clicks([CENTER]), Bright(), 60.0)


def test_a_node_larger_than_the_first_box_is_seen_in_a_coarser_one():
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    index = np.indices((50, 50, 50)).reshape(3, -1).T
    big = (np.linalg.norm((index - 25) * 3.0, axis=1) <= 36.0).reshape(50, 50, 50)
    grid = Grid(big.shape, affine)
    image = Volume(np.where(big, 40, -100).astype(np.int16), grid, grid)
    found = outline(image, None, clicks_at(grid, [25, 25, 25]), Bright())
    assert found.radius_mm == pytest.approx(36.0, rel=0.05)


def clicks_at(grid: Grid, index: list[int]):
    from osln.clicks.clicks import Clicks

    return Clicks(grid.index_to_mm(np.array([index])), np.zeros((0, 3)))


@pytest.mark.parametrize("at", [CENTER, beside(2, 1, 0)])
def test_the_classical_way_finds_a_clear_node(at):
    assert dice(outline(ct(), None, clicks([at]), Marching()), ball()) > 0.7


def test_the_classical_way_takes_uptake_where_the_ct_shows_nothing():
    flat = Volume(np.full(ct().grid.shape, 20, np.int16), ct().grid, ct().file_grid)
    hot = np.where(in_canonical_order(ball()), 6.0, 1.0).astype(np.float32)
    pet = Volume(hot, ct().grid, ct().file_grid)
    with_pet = outline(flat, pet, clicks([CENTER]), Marching())
    without = outline(flat, None, clicks([CENTER]), Marching())
    assert dice(with_pet, ball()) > 0.8 > dice(without, ball())


def test_the_radius_scale_is_of_the_ball():
    assert RADIUS_MM == pytest.approx(outline(ct(), None, clicks([CENTER]), Bright()).radius_mm, rel=0.06)
