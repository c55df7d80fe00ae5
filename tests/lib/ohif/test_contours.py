"""Distance from the tumor and its contour (`lib/ohif/contours.js`), run by Node.js."""

import json

import numpy as np
import pytest

from osln.imaging.distance import tumor_distance_mm
from small.ohif_scripts import run

FILES = "geometry contours"


def grid(size, spacing, origin=(0.0, 0.0, 0.0)):
    return {"size": list(size), "origin": list(origin), "axes": np.diag(spacing).astype(float).tolist()}


def label_map(mask, spacing):
    """A mask of value 1 as the first arguments of distanceField."""
    values = mask.astype(np.uint8).ravel(order="F").tolist()
    return f"Uint8Array.from({values}), {json.dumps(grid(mask.shape, spacing))}, 1"


def field(mask, spacing, reach, step=4):
    """(grid of the samples, (x, y, z) distances) of a mask, or None."""
    made = run(
        FILES,
        f"const made = distanceField({label_map(mask, spacing)}, {reach}, {step});"
        "return made && { grid: made.grid, values: [...made.values] }",
    )
    return made and (made["grid"], np.reshape(made["values"], made["grid"]["size"], order="F"))


def test_distance_from_one_voxel_is_exact_at_the_samples():
    mask = np.zeros((11, 9, 7), bool)
    mask[5, 4, 3] = True

    coarse, distance = field(mask, (1.0, 2.0, 3.0), reach=100, step=4)

    # Steps of 4, 2 and 1 voxels, the last beyond the edge so that all of the image is covered.
    assert coarse["size"] == [4, 5, 7]
    assert coarse["axes"] == [[4, 0, 0], [0, 4, 0], [0, 0, 3]]
    x, y, z = np.meshgrid(4 * np.arange(4), 4 * np.arange(5), 3 * np.arange(7), indexing="ij")
    np.testing.assert_allclose(distance, np.sqrt((x - 5) ** 2 + (y - 8) ** 2 + (z - 9) ** 2), rtol=1e-6)


def test_distance_is_the_models():
    rng = np.random.default_rng(5)
    mask = np.zeros((16, 14, 10), bool)
    mask[5:9, 6:9, 3:6] = rng.random((4, 3, 3)) < 0.6
    spacing = (1.5, 2.0, 3.0)

    coarse, distance = field(mask, spacing, reach=90, step=1)

    assert coarse["size"] == list(mask.shape)
    outside = ~mask
    np.testing.assert_allclose(
        distance[outside], tumor_distance_mm(mask, np.array(spacing))[outside], rtol=1e-5
    )


def test_only_the_surroundings_are_measured():
    mask = np.zeros((60, 50, 40), bool)
    mask[30, 25, 20] = True

    coarse, _ = field(mask, (1.0, 1.0, 1.0), reach=8, step=2)

    assert coarse["origin"] == [20, 15, 10]
    assert coarse["size"] == [11, 11, 11]


def test_no_tumor_has_no_distance():
    assert field(np.zeros((3, 3, 3), bool), (1.0, 1.0, 1.0), reach=5) is None


def border(size, spacing, at, level, plane):
    """Lines of one distance from one voxel in a plane: list of (n, 3) points."""
    mask = np.zeros(size, bool)
    mask[at] = True
    lines = run(
        FILES,
        f"const field = distanceField({label_map(mask, spacing)}, {level});"
        f"return isolines(field, {level}, {json.dumps(plane)})",
    )
    return [np.array(line) for line in lines]


def test_border_of_a_point_is_one_closed_circle():
    plane = {"point": [30, 30, 30], "right": [1, 0, 0], "up": [0, 1, 0]}

    (line,) = border((61, 61, 21), (1.0, 1.0, 3.0), (30, 30, 10), 20, plane)

    np.testing.assert_allclose(line[0], line[-1], atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(line - [30, 30, 30], axis=1), 20, atol=0.15)
    np.testing.assert_allclose(line[:, 2], 30)
    angles = np.unwrap(np.arctan2(line[:, 1] - 30, line[:, 0] - 30))
    assert abs(angles[-1] - angles[0]) == pytest.approx(2 * np.pi), "once around, without a gap"


def test_border_is_cut_smaller_by_a_plane_beside_the_tumor_and_ends_with_the_image():
    beside = {"point": [30, 18, 30], "right": [1, 0, 0], "up": [0, 0, 1]}
    (line,) = border((61, 61, 21), (1.0, 1.0, 3.0), (30, 30, 10), 20, beside)
    np.testing.assert_allclose(np.hypot(line[:, 0] - 30, line[:, 2] - 30), 16, atol=0.3)

    # The tumor lies at the upper edge: half of the circle is outside of the image.
    plane = {"point": [30, 30, 60], "right": [1, 0, 0], "up": [0, 0, 1]}
    (line,) = border((61, 61, 21), (1.0, 1.0, 3.0), (30, 30, 20), 20, plane)
    assert line[:, 2].max() <= 60
    assert abs(line[0, 0] - line[-1, 0]) == pytest.approx(40, abs=1)


def test_plane_that_is_too_far_has_no_border():
    far = {"point": [30, 5, 30], "right": [1, 0, 0], "up": [0, 0, 1]}

    assert border((61, 61, 21), (1.0, 1.0, 3.0), (30, 30, 10), 20, far) == []
