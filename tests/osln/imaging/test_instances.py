import numpy as np
import pytest

from osln.imaging.instances import instances, radius_mm


def test_the_radius_is_that_of_the_sphere_of_the_same_volume():
    assert radius_mm(4 / 3 * np.pi * 5**3) == pytest.approx(5)
    assert radius_mm(0.0) == 0


def test_objects_have_their_labels_sizes_and_voxels():
    labels = np.zeros((4, 3, 2), dtype=np.int16)
    labels[0, 0, 0] = labels[3, 2, 1] = 7
    labels[1, 1, 1] = 2
    found = instances(labels)
    assert found.labels.tolist() == [2, 7] and found.sizes.tolist() == [1, 2]
    places = {(*place, owner) for *place, owner in np.vstack([found.index, found.owner]).T.tolist()}
    assert places == {(1, 1, 1, 0), (0, 0, 0, 1), (3, 2, 1, 1)}


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32", ">i2", "bool"])
@pytest.mark.parametrize("shape", [(5, 6, 7), (40, 30, 20), (1, 1, 3)])
def test_every_voxel_is_found_in_any_memory_order(dtype, shape):
    rng = np.random.default_rng(1)
    plain = ((rng.random(shape) < 0.02) * rng.integers(1, 100, shape)).astype(dtype)
    plain[-1, -1, -1] = 1
    views = (plain, np.asfortranarray(plain), plain[::-1, :, ::-1].copy()[::-1, :, ::-1], plain.T.copy().T)
    wanted = {tuple(place) for place in np.argwhere(plain).tolist()}
    for view in (*views, np.repeat(plain, 2, axis=1)[:, ::2]):
        found = instances(view)
        assert {tuple(place) for place in found.index.T.tolist()} == wanted
        assert (found.labels[found.owner] == view[tuple(found.index)]).all()


def test_three_radii_of_a_plate_by_hand():
    # 4 x 2 voxels of 1 x 2 x 3 mm in one slice, 4 mm times 4 mm times 3 mm.
    labels = np.zeros((6, 6, 2), dtype=int)
    labels[1:5, 1:3, 0] = 3
    found, spacing = instances(labels), np.array([1.0, 2.0, 3.0])
    assert found.radius_mm("sphere", spacing) == pytest.approx(radius_mm(48.0))
    assert found.radius_mm("box", spacing) == pytest.approx((4 + 4 + 3) / 3 / 2)
    # Middles of edges: from (-.5, 0) to (3.5, 1) voxels is 4 x 2 mm; from (0, -.5) to (3, 1.5) 3 x 4 mm.
    assert found.radius_mm("axial", spacing) == pytest.approx(5 / 2)


def test_the_axial_diameter_of_single_voxels_and_rows_is_their_length():
    labels = np.zeros((9, 3, 3), dtype=int)
    labels[0, 0, 0] = 1
    labels[2:9, 1, 1] = 2
    assert 2 * instances(labels).radius_mm("axial", np.array([1.5, 1.0, 1.0])) == pytest.approx([1.5, 10.5])


def test_the_widest_slice_counts_for_the_axial_diameter():
    labels = np.zeros((9, 2, 4), dtype=int)
    labels[0, 0, :] = 1
    labels[0:5, 0, 2] = 1
    assert instances(labels).radius_mm("axial", np.ones(3)) == pytest.approx([2.5])


def test_centers_and_means():
    labels = np.zeros((5, 5, 1), dtype=int)
    labels[0:3, 1, 0] = 1
    labels[4, 4, 0] = 2
    found = instances(labels)
    assert found.centers().tolist() == [[1, 1, 0], [4, 4, 0]]
    image = np.arange(25.0).reshape(5, 5, 1)
    assert found.means(image).tolist() == [6.0, 24.0]


def test_an_empty_map_has_no_objects_under_any_radius():
    found = instances(np.zeros((3, 3, 3), dtype=int))
    for definition in ("sphere", "axial", "box"):
        assert found.radius_mm(definition, np.ones(3)).shape == (0,)
    assert found.centers().shape == (0, 3) and found.means(np.ones((3, 3, 3))).shape == (0,)


def test_radii_that_need_the_voxel_size_say_so():
    found = instances(np.ones((1, 1, 1), dtype=int))
    assert found.radius_mm("sphere", None) == pytest.approx(radius_mm(1.0))
    with pytest.raises(ValueError, match="needs the voxel size"):
        found.radius_mm("axial", None)
