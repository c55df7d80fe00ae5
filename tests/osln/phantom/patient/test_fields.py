"""Spline fields: one field, the same values on any grid and at scattered points."""

import numpy as np

from osln.phantom.patient.fields import SplineField, basis, random_field


def test_the_four_splines_sum_to_one_and_have_the_known_weights_at_a_knot() -> None:
    first, weights = basis(np.array([2.0, 2.5]), origin_mm=0.0, step_mm=1.0, count=8)
    assert first.tolist() == [1, 1]
    assert np.allclose(weights[0], [1 / 6, 4 / 6, 1 / 6, 0.0])
    assert np.allclose(weights[1], [1 / 48, 23 / 48, 23 / 48, 1 / 48])


def test_a_field_on_a_grid_equals_the_field_at_its_points() -> None:
    field = random_field(np.random.default_rng(1), (0, 0, 0), (50, 40, 30), 9.0, sd=(1.0, 2.0))
    axes = [np.linspace(1, 49, 7), np.linspace(2, 37, 5), np.linspace(0, 30, 4)]
    grid = field.on_axes(axes)
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    assert grid.shape == (2, 7, 5, 4)
    assert np.allclose(grid.reshape(2, -1).T, field.at(points), atol=1e-5)


def test_a_finer_grid_holds_the_same_field() -> None:
    field = random_field(np.random.default_rng(2), (0, 0, 0), (60, 60, 60), 10.0)
    coarse = field.on_axes([np.arange(0, 60, 4.0)] * 3)
    fine = field.on_axes([np.arange(0, 60, 2.0)] * 3)
    assert np.array_equal(fine[:, ::2, ::2, ::2], coarse)


def test_the_values_have_the_asked_spread() -> None:
    field = random_field(np.random.default_rng(3), (0, 0, 0), (400, 400, 400), 10.0, sd=3.0)
    values = field.on_axes([np.arange(0, 400, 7.0)] * 3)
    assert abs(values.mean()) < 0.2 and abs(values.std() - 3.0) < 0.15


def test_a_field_survives_its_json() -> None:
    field = random_field(np.random.default_rng(4), (0, 0, 0), (50, 50, 50), 25.0, sd=(1.0, 1.0, 1.0))
    again = SplineField.from_json(field.to_json())
    points = np.random.default_rng(5).uniform(0, 50, (20, 3))
    assert np.allclose(field.at(points), again.at(points), atol=1e-3)
