"""Label files brought onto the CT's grid: exactly, or not at all."""

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from osln.imaging.grid import Grid, in_file_order, read_volume
from osln.imaging.labelmaps import map_exactly, packed_labels, read_label_file, read_label_map
from small.segmentation import segmentation
from small.store import write

SHAPE = (9, 7, 5)
RAS = np.array([[1.0, 0, 0, -10], [0, 1.5, 0, 20], [0, 0, 2.5, -30], [0, 0, 0, 1]])


def rotation(degrees_x, degrees_z):
    a, b = np.deg2rad([degrees_x, degrees_z])
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    return about_x @ about_z


def oblique():
    affine = RAS.copy()
    affine[:3, :3] = rotation(12, 20) @ RAS[:3, :3]
    return affine


AFFINES = {
    "RAS": RAS,
    "LPS": np.diag([-1, -1, 1, 1]) @ RAS,
    "flipped z": np.array([[1.0, 0, 0, -10], [0, 1.5, 0, 20], [0, 0, -2.5, 30], [0, 0, 0, 1]]),
    "axes swapped": np.array([[0, 0, 2.5, 5], [1.0, 0, 0, -7], [0, -1.5, 0, 3], [0, 0, 0, 1]]),
    "oblique": oblique(),
}


def asymmetric():
    """A label that no flip or rotation maps onto itself."""
    label = np.zeros(SHAPE, dtype=np.uint16)
    label[0, 0, 0], label[1, 0, 0], label[0, 2, 0], label[0, 0, 3] = 1, 2, 3, 4
    label[5, 4, 1] = 5
    return label


def at_points(array, affine):
    """Value by patient coordinate: what a label means, whatever the order of its voxels."""
    index = np.argwhere(array)
    points = index @ affine[:3, :3].T + affine[:3, 3]
    return {tuple(np.round(p, 3) + 0.0): int(array[tuple(i)]) for p, i in zip(points, index, strict=True)}


@pytest.mark.parametrize("name", AFFINES)
def test_a_label_in_the_files_own_order_returns_voxel_by_voxel(tmp_path, name):
    affine = AFFINES[name]
    ct = read_volume(write(tmp_path / "ct.nii.gz", np.zeros(SHAPE, np.int16), affine))
    layer = read_label_file(write(tmp_path / "label.nii.gz", asymmetric(), affine), ct.grid).layers[0]
    np.testing.assert_array_equal(in_file_order(layer, ct.grid, ct.file_grid), asymmetric())
    assert at_points(layer, ct.grid.affine) == at_points(asymmetric(), affine)


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 0, 2)])
@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, 1), (-1, -1, 1), (1, 1, -1), (-1, -1, -1)])
@pytest.mark.parametrize("name", ["LPS", "oblique"])
def test_any_order_and_direction_of_the_axes_is_mapped_by_the_affine(tmp_path, name, axes, flips):
    affine, label = AFFINES[name], asymmetric()
    turn = np.zeros((4, 4))
    turn[3, 3] = 1
    for new, old in enumerate(axes):
        turn[old, new] = flips[new]
        turn[old, 3] = 0 if flips[new] > 0 else SHAPE[old] - 1
    turned = np.transpose(label, axes)[tuple(slice(None, None, flip) for flip in flips)]
    assert at_points(turned, affine @ turn) == at_points(label, affine)

    ct = read_volume(write(tmp_path / "ct.nii.gz", np.zeros(SHAPE, np.int16), affine))
    layer = read_label_file(write(tmp_path / "label.nii.gz", turned, affine @ turn), ct.grid).layers[0]
    np.testing.assert_array_equal(in_file_order(layer, ct.grid, ct.file_grid), label)


def test_a_label_written_by_itk_as_nrrd_is_the_same_as_the_nifti(tmp_path):
    affine = AFFINES["oblique"]
    ct = read_volume(write(tmp_path / "ct.nii.gz", np.zeros(SHAPE, np.int16), affine))
    write(tmp_path / "label.nii.gz", asymmetric(), affine)
    sitk.WriteImage(sitk.ReadImage(str(tmp_path / "label.nii.gz")), str(tmp_path / "other.nrrd"))
    layer = read_label_file(tmp_path / "other.nrrd", ct.grid).layers[0]
    np.testing.assert_array_equal(in_file_order(layer, ct.grid, ct.file_grid), asymmetric())


def ct_grid():
    return Grid(SHAPE, RAS)


@pytest.mark.parametrize(
    "change",
    [
        np.diag([1.05, 1, 1, 1]),
        np.array([[1, 0, 0, 0.5], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]),
        np.array([[1, 0, 0, 1.0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]),
        np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 40.0], [0, 0, 0, 1.0]]),
    ],
    ids=["spacing", "half a voxel", "one voxel", "far away"],
)
def test_another_grid_is_refused_with_both_grids_in_words(tmp_path, change):
    path = write(tmp_path / "label.nii.gz", asymmetric(), RAS @ change)
    with pytest.raises(ValueError, match=r"another grid than the CT.*spacing.*first voxel.*reference volume"):
        read_label_file(path, ct_grid())


def test_a_rotated_grid_is_refused(tmp_path):
    affine = RAS.copy()
    affine[:3, :3] = rotation(0, 5) @ RAS[:3, :3]
    with pytest.raises(ValueError, match="another grid"):
        read_label_file(write(tmp_path / "label.nii.gz", asymmetric(), affine), ct_grid())


def test_another_shape_is_refused_with_both_shapes(tmp_path):
    path = write(tmp_path / "label.nii.gz", np.zeros((9, 7, 4), np.uint8), RAS)
    with pytest.raises(ValueError, match=r"\(9, 7, 4\), the CT \(9, 7, 5\)"):
        read_label_file(path, ct_grid())


def test_rounding_in_a_header_is_not_another_grid(tmp_path):
    affine = RAS + np.array([[1e-4, 0, 0, 2e-3], [0, 0, 0, 0], [0, 0, 1e-4, 0], [0, 0, 0, 0]])
    layer = read_label_file(write(tmp_path / "label.nii.gz", asymmetric(), affine), ct_grid()).layers[0]
    np.testing.assert_array_equal(layer, asymmetric())


def test_a_single_slice_ct_has_labels_too():
    grid = Grid((4, 3, 1), np.diag([1, 1, 5.0, 1]))
    labels = np.arange(12, dtype=np.uint16).reshape(4, 3, 1)
    np.testing.assert_array_equal(map_exactly(labels, grid, grid), labels)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.nan, "NaN"),
        (np.inf, "NaN or infinite"),
        (0.5, "fractions"),
        (-1, "between 0"),
        (70000, "between 0"),
    ],
)
def test_anything_but_whole_numbers_is_refused(tmp_path, value, words):
    label = np.zeros(SHAPE, dtype=np.float32)
    label[1, 2, 3] = value
    with pytest.raises(ValueError, match=words):
        read_label_file(write(tmp_path / "label.nii.gz", label, RAS), ct_grid())


def test_floating_point_values_that_are_whole_numbers_are_labels(tmp_path):
    layer = read_label_file(write(tmp_path / "l.nii.gz", asymmetric().astype(np.float32), RAS), ct_grid())
    np.testing.assert_array_equal(layer.layers[0], asymmetric())


def test_a_file_that_is_no_image_is_refused(tmp_path):
    for name in ("label.nii.gz", "label.nrrd", "label.txt"):
        (tmp_path / name).write_bytes(b"not an image")
        with pytest.raises(ValueError, match="cannot be read"):
            read_label_file(tmp_path / name, ct_grid())


def test_overlapping_segments_of_a_slicer_segmentation_keep_their_layers_and_names(tmp_path):
    first, second = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    first[1:4, 1:3, 1:3] = 1
    second[2:5, 1:3, 1:3] = 1
    path = segmentation(tmp_path / "s.seg.nrrd", [first, second], RAS, [(0, 1, "node"), (1, 1, "tumor")])
    file = read_label_file(path, ct_grid())
    np.testing.assert_array_equal(file.layers[0], first)
    np.testing.assert_array_equal(file.layers[1], second)
    assert file.names == {(0, 1): "node", (1, 1): "tumor"}


def test_a_slicer_segmentation_cropped_to_its_segments_is_filled_up(tmp_path):
    label = np.zeros(SHAPE, np.uint8)
    label[3, 2, 1] = label[4, 2, 1] = label[3, 4, 1] = label[4, 5, 3] = 1
    box = ct_grid().crop((3, 2, 1), (2, 4, 3))
    path = segmentation(tmp_path / "s.seg.nrrd", [label[3:5, 2:6, 1:4]], box.affine, [(0, 1, "node")])
    np.testing.assert_array_equal(read_label_file(path, ct_grid()).layers[0], label)


def test_a_cropped_segmentation_that_leaves_the_ct_is_refused(tmp_path):
    box = ct_grid().crop((8, 6, 4), (2, 2, 2))
    path = segmentation(tmp_path / "s.seg.nrrd", [np.ones((2, 2, 2))], box.affine, [(0, 1, "node")])
    with pytest.raises(ValueError, match="another grid"):
        read_label_file(path, ct_grid())


@pytest.mark.parametrize(
    ("space", "sign"), [("left-posterior-superior", -1), ("right-anterior-superior", 1)], ids=["LPS", "RAS"]
)
def test_the_space_that_an_nrrd_names_is_minded(tmp_path, space, sign):
    header = (
        f"NRRD0004\ntype: unsigned char\ndimension: 3\nspace: {space}\nsizes: 9 7 5\n"
        f"space directions: ({sign * 1.0},0,0) (0,{sign * 1.5},0) (0,0,2.5)\nkinds: domain domain domain\n"
        f"encoding: raw\nspace origin: ({sign * -10},{sign * 20},-30)\n\n"
    )
    label = asymmetric().astype(np.uint8)
    (tmp_path / "label.nrrd").write_bytes(header.encode() + label.tobytes(order="F"))
    np.testing.assert_array_equal(read_label_file(tmp_path / "label.nrrd", Grid(SHAPE, RAS)).layers[0], label)


def test_slicers_empty_segments_are_one_voxel_anywhere(tmp_path):
    ct = Grid(SHAPE, RAS)
    path = segmentation(tmp_path / "s.seg.nrrd", [np.zeros((1, 1, 1))], np.eye(4), [(0, 1, "lymph node")])
    read = read_label_file(path, ct)
    assert read.layers[0].shape == SHAPE and not read.layers[0].any()
    assert read.names == {(0, 1): "lymph node"}
    path = segmentation(tmp_path / "s.seg.nrrd", [np.ones((1, 1, 1))], np.eye(4), [(0, 1, "lymph node")])
    with pytest.raises(ValueError, match="another grid"):
        read_label_file(path, ct)


def test_a_plain_nrrd_is_not_filled_up(tmp_path):
    box = ct_grid().crop((3, 2, 1), (2, 4, 3))
    path = segmentation(tmp_path / "s.nrrd", [np.ones((2, 4, 3))], box.affine, [])
    with pytest.raises(ValueError, match="another grid"):
        read_label_file(path, ct_grid())


def test_a_small_file_that_unpacks_to_a_large_one_is_refused_by_its_header(tmp_path, monkeypatch):
    path = write(tmp_path / "label.nii.gz", np.zeros((64, 64, 64), np.uint8), RAS)
    monkeypatch.setattr(
        "osln.imaging.labelmaps.read_volume", lambda path: pytest.fail("its voxels were read")
    )
    with pytest.raises(ValueError, match=r"\(64, 64, 64\)"):
        read_label_file(path, ct_grid())


def test_the_nifti_writer_of_this_test_is_what_nibabel_reads(tmp_path):
    path = write(tmp_path / "x.nii.gz", asymmetric(), AFFINES["oblique"])
    np.testing.assert_allclose(nib.load(path).affine, AFFINES["oblique"], atol=1e-5)


def test_segments_of_further_layers_get_values_of_their_own(tmp_path):
    affine, shape = np.diag([2.0, 2.0, 3.0, 1.0]), (6, 5, 4)
    first, second = (np.zeros(shape, np.uint8) for _ in range(2))
    first[0, 0, 0], second[1, 0, 0], second[2, 0, 0] = 200, 100, 56
    path = segmentation(tmp_path / "a.seg.nrrd", [first, second], affine, [(0, 200, "a"), (1, 100, "b")])
    merged = read_label_map(path, Grid(shape, affine))
    # More than a byte holds, and no value twice.
    assert merged[:3, 0, 0].tolist() == [200, 300, 256] and np.count_nonzero(merged) == 3
    second[0, 0, 0] = 1
    segmentation(path, [first, second], affine, [(0, 200, "a"), (1, 100, "b")])
    with pytest.raises(ValueError, match="lie over each other"):
        read_label_map(path, Grid(shape, affine))


def test_values_that_would_come_back_as_others_are_not_packed():
    grid = Grid((2, 1, 1), RAS)
    packed_labels(np.array([0, 65535]).reshape(2, 1, 1), grid, grid)
    with pytest.raises(ValueError, match="values up to 65535, this one up to 65536"):
        packed_labels(np.array([0, 65536]).reshape(2, 1, 1), grid, grid)
