"""Maximum-intensity projections of the PET (`lib/ohif/projections.js`), run by Node.js."""

import json

import numpy as np
import pytest

from small.ohif_scripts import run

FILES = "geometry projections"
TURNS = 24


def grid(size, spacing=(4.0, 4.0, 4.0), origin=(0.0, 0.0, 0.0), turned=(1, 1, 1)):
    axes = np.diag(np.multiply(spacing, turned)).tolist()
    return {"size": list(size), "origin": list(origin), "axes": axes}


def volume(pet, on):
    values = pet.ravel(order="F").tolist()
    return f"const volume = {{ grid: {json.dumps(on)}, values: Float32Array.from({values}) }};"


def seen(pet, on, turn):
    """(row, column) picture of a volume from a side."""
    made = run(
        FILES,
        volume(pet, on)
        + f"const {{ view, values }} = projection(volume, {turn});"
        + "return { rows: view.rows, columns: view.columns, values: [...values] }",
    )
    return np.reshape(made["values"], (made["rows"], made["columns"]))


def hot(size, at, value=7.0):
    pet = np.zeros(size, np.float32)
    pet[at] = value
    return pet


@pytest.mark.parametrize(
    ("turn", "column"),
    # Wide enough for all sides: 9 columns for 5 voxels. A voxel at the patient's left (+x), in front (-y), is
    # right in a picture from the front, left of its middle from the patient's left, and so on around.
    [(0, 4 + 2), (6, 4 - 1), (12, 4 - 2), (18, 4 + 1)],
)
def test_turns_about_the_patient(turn, column):
    picture = seen(hot((5, 5, 3), (4, 1, 2)), grid((5, 5, 3)), turn)

    assert picture.shape == (3, 9)
    # The highest slice (towards the head) is the first row.
    assert np.argwhere(picture == 7).tolist() == [[0, column]]


def test_slices_that_run_downwards_are_seen_upright():
    downwards = grid((5, 5, 3), origin=(0, 0, 8), turned=(1, 1, -1))

    picture = seen(hot((5, 5, 3), (2, 2, 2)), downwards, 0)

    assert np.argwhere(picture == 7).tolist() == [[2, 4]]


@pytest.mark.slow
def test_every_side_shows_the_hottest_of_what_is_behind():
    pet = np.random.default_rng(3).random((6, 5, 4)).astype(np.float32)

    picture = seen(pet, grid(pet.shape), 0)

    np.testing.assert_allclose(picture[:, 2:8].T, pet.max(axis=1)[:, ::-1])
    for turn in range(TURNS):
        assert seen(pet, grid(pet.shape), turn).max() == pet.max()


@pytest.mark.parametrize("turn", [0, 1, 5, 9, 17])
def test_click_on_the_hot_spot_leads_to_it_and_node_is_drawn_there(turn):
    at = (12, 4, 6)
    on = grid((16, 14, 10), spacing=(4.0, 4.0, 5.0), origin=(-30.0, -20.0, 100.0))
    point = [-30 + 4 * 12, -20 + 4 * 4, 100 + 5 * 6]

    far = "{ id: 'far', point: [0, 0, 0] }"

    found = run(
        FILES,
        volume(hot((16, 14, 10), at), on)
        + f"const seen = projection(volume, {turn});"
        + f"const pixel = pixelAt(volume, seen.view, {point});"
        + "return { pixel, point: pointSeenAt(volume, seen, [pixel[0] + 0.7, pixel[1] - 0.6]),"
        + "  beside: pointSeenAt(volume, seen, [-50, 2]),"
        + f"  node: nodeSeenAt(volume, seen.view, [{far}, {{ id: 'a', point: {point} }}], pixel, 3)?.id,"
        + f"  none: nodeSeenAt(volume, seen.view, [{far}], pixel, 3) }}",
    )

    np.testing.assert_allclose(found["point"], point)
    assert found["beside"] is None
    assert found["node"] == "a" and found["none"] is None


def test_fine_pet_keeps_its_highest_values_on_larger_voxels():
    pet = np.random.default_rng(8).random((7, 4, 3)).astype(np.float32)
    slices = [pet[:, :, k].ravel(order="F").tolist() for k in range(3)]
    fine = grid((7, 4, 3), spacing=(1.5, 1.0, 3.0), origin=(10.0, 20.0, 30.0))

    made = run(
        FILES,
        f"const {{ grid, values }} = reducedPet(k => {json.dumps(slices)}[k], {json.dumps(fine)}, 3);"
        "return { grid, values: [...values] }",
    )

    # Two columns and three rows become one voxel; its center lies between theirs.
    assert made["grid"]["size"] == [4, 2, 3]
    assert made["grid"]["origin"] == [10.75, 21.0, 30.0]
    assert made["grid"]["axes"] == [[3, 0, 0], [0, 3, 0], [0, 0, 3]]
    values = np.reshape(made["values"], (4, 2, 3), order="F")
    expected = [[pet[i : i + 2, j : j + 3].max(axis=(0, 1)) for j in (0, 3)] for i in (0, 2, 4, 6)]
    np.testing.assert_allclose(values, expected)


def test_room_is_for_what_is_warm():
    pet = np.zeros((21, 21, 4), np.float32)
    pet[10, 10, 0] = 10
    pet[13, 14, 2] = 1
    pet[20, 20, 1] = 0.01

    radius = run(FILES, volume(pet, grid(pet.shape)) + "return radiusMm(volume)")

    assert radius == pytest.approx(np.hypot(12, 16) + 4)


@pytest.mark.parametrize(
    ("direction", "letter"), [([1, 0, 0], "L"), ([-1, 0.2, 0], "R"), ([0.1, 1, 0], "P"), ([0, -1, 0], "A")]
)
def test_sides_are_named(direction, letter):
    assert run(FILES, f"return sideLetter({direction})") == letter
