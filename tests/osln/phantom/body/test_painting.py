"""Shapes are painted where they are, with the volume they have."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from osln.phantom.body.painting import Canvas, Warp
from osln.phantom.body.shapes import ANATOMICAL, WORLD, Shape, capsule, cross_section, ellipsoid, stack


def warp_by(shift_mm: float = 0.0) -> Warp:
    def shape(axes: Sequence[np.ndarray]) -> tuple[int, ...]:
        return tuple(len(axis) for axis in axes)

    return Warp(
        np.ones(3),
        np.zeros(3),
        lambda axes: np.full((3, *shape(axes)), shift_mm, np.float32),
        lambda axes: np.zeros(shape(axes), np.float32),
    )


def canvas(count: int = 40, step: float = 1.0, shift_mm: float = 0.0) -> Canvas:
    axes = [step * (np.arange(count) - 0.5 * (count - 1))] * 3
    return Canvas(axes, warp_by(shift_mm), 1.0)


def painted(shape: Shape, on: Canvas, hard: bool = False) -> np.ndarray:
    image = np.zeros(on.shape, np.float32)
    on.paint(image, [shape], [1.0], hard=hard)
    return image


def test_a_sphere_has_its_volume() -> None:
    image = painted(ellipsoid((0, 0, 0), (8, 8, 8), 1.0, 1.0), canvas())
    assert image.sum() == pytest.approx(4 / 3 * np.pi * 8**3, rel=0.01)


def test_an_ellipsoid_has_its_volume_and_its_axes() -> None:
    image = painted(ellipsoid((0, 0, 0), (4, 6, 12), 1.0, 1.0), canvas(), hard=True)
    assert image.sum() == pytest.approx(4 / 3 * np.pi * 4 * 6 * 12, rel=0.05)
    extent = [np.ptp(np.flatnonzero(image.any(axis=axes))) + 1 for axes in ((1, 2), (0, 2), (0, 1))]
    assert extent == [8, 12, 24]


def test_a_capsule_is_a_cylinder_with_two_half_balls() -> None:
    image = painted(capsule((0, 0, -8), (0, 0, 8), 5, 5, 1.0, 1.0), canvas())
    assert image.sum() == pytest.approx(np.pi * 25 * 16 + 4 / 3 * np.pi * 125, rel=0.01)


def test_a_stack_follows_its_cross_sections() -> None:
    shape = stack([(-10, 0, 0, 6, 4), (10, 0, 0, 12, 8)], 1.0, 1.0)
    assert np.allclose(cross_section(shape, 0.0), [0, 0, 9, 6])
    image = painted(shape, canvas(), hard=True)
    assert image[:, :, 20].sum() == pytest.approx(np.pi * 9.15 * 6.1, rel=0.05)


def test_a_surface_through_a_voxel_center_fills_half_of_it() -> None:
    axes = [np.arange(-10.0, 11.0)] * 3
    on = Canvas(axes, warp_by(), 1.0)
    assert painted(ellipsoid((0, 0, 0), (6, 6, 6), 1.0, 1.0), on)[16, 10, 10] == pytest.approx(0.5, abs=1e-3)


def test_anatomical_shapes_follow_the_warp_and_world_shapes_do_not() -> None:
    on = canvas(shift_mm=3.0)
    moved = painted(ellipsoid((0, 0, 0), (5, 5, 5), 1.0, 1.0), on)
    fixed = painted(ellipsoid((0, 0, 0), (5, 5, 5), 1.0, 1.0, space=WORLD), on)
    middle = (np.indices(on.shape) - 19.5).reshape(3, -1)
    assert np.allclose((middle * moved.ravel()).sum(1) / moved.sum(), -3.0, atol=0.01)
    assert np.allclose((middle * fixed.ravel()).sum(1) / fixed.sum(), 0.0, atol=0.01)


def test_a_value_of_nan_leaves_the_image_alone() -> None:
    on = canvas()
    image = np.zeros(on.shape, np.float32)
    on.paint(image, [ellipsoid((0, 0, 0), (5, 5, 5), 1.0, 1.0)], [float("nan")])
    assert not image.any()


def test_a_capsule_has_no_cross_section() -> None:
    with pytest.raises(ValueError, match="made by stack"):
        cross_section(capsule((0, 0, 0), (0, 0, 1), 1, 1, 0.0, 0.0), 0.0)


def test_a_shape_in_true_millimeters_is_painted_in_its_own_box_as_on_the_whole_grid() -> None:
    on = canvas()
    shape = capsule((-9.3, 4, -11), (13.1, -6, 2), 2.6, 4.4, 1.0, 1.0, space=WORLD)
    in_its_box = painted(shape, on)
    box = on.box(shape)
    assert np.array_equal(in_its_box, painted(replace(shape, space=ANATOMICAL), on))
    assert np.count_nonzero(in_its_box) == np.count_nonzero(in_its_box[box]) > 0
    assert in_its_box[box].size < 0.5 * in_its_box.size


def test_a_shape_outside_the_grid_paints_nothing() -> None:
    far = ellipsoid((90, 0, 0), (5, 5, 5), 1.0, 1.0, space=WORLD)
    assert np.zeros((40, 40, 40))[canvas().box(far)].size < 40**3 and not painted(far, canvas()).any()
