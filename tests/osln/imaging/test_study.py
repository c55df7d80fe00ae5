"""A patient is read whole, and whatever cannot be right is refused with the case, the file and a remedy."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from osln.imaging.grid import Grid, canonical
from osln.imaging.study import build_study
from osln.store.layout import check_case, companions, load_study

SHAPE = (12, 10, 8)
AFFINE = np.array([[-2.0, 0, 0, 30.0], [0, -3.0, 0, 20.0], [0, 0, 4.0, -10.0], [0, 0, 0, 1.0]])


def ct() -> np.ndarray:
    return (np.arange(np.prod(SHAPE)).reshape(SHAPE) % 200 - 100).astype(np.int16)


def mask(value=1, dtype=np.uint8) -> np.ndarray:
    array = np.zeros(SHAPE, dtype=dtype)
    array[2:5, 6:8, 1:4] = value
    return array


def write(path: Path, array, affine=AFFINE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


@pytest.fixture
def store(tmp_path) -> Path:
    """A store with one whole case, p1."""
    write(tmp_path / "p1.nii.gz", ct())
    write(
        tmp_path / "pet" / "p1.nii.gz", np.linspace(0, 9, 60).reshape(3, 4, 5), AFFINE @ np.diag([4, 3, 2, 1])
    )
    write(tmp_path / "labels" / "gtv" / "p1.nii.gz", mask(255))
    write(tmp_path / "labels" / "final" / "p1.nii.gz", mask(2, np.uint16))
    write(tmp_path / "truth" / "p1.nii.gz", mask(7))
    (tmp_path / "truth" / "p1.json").write_text("{}")
    return tmp_path


def load(store: Path):
    return load_study(companions(store, "p1"))


def test_a_whole_case_is_read_in_canonical_order(store):
    study = load(store)

    assert study.case == "p1"
    np.testing.assert_array_equal(study.ct.array, ct()[::-1, ::-1])
    np.testing.assert_array_equal(study.tumor.array, mask()[::-1, ::-1] == 1)
    np.testing.assert_array_equal(study.nodes.array, mask(2)[::-1, ::-1])
    assert study.tumor.array.dtype == bool
    assert study.pet.array.shape == (3, 4, 5)
    np.testing.assert_allclose(study.pet.grid.spacing_mm, (8, 9, 8))
    assert study.nodes.grid.matches(study.ct.grid)


def test_the_true_nodes_are_read_on_request_only(store):
    assert load_study(companions(store, "p1"), use_truth=True).nodes.array.max() == 7
    assert load(store).nodes.array.max() == 2


def test_a_case_of_a_ct_alone_has_nothing_else(tmp_path):
    write(tmp_path / "p1.nii", ct())

    study = load(tmp_path)

    assert study.pet is None and study.tumor is None and study.nodes is None


def test_companions_are_found_by_rule(store):
    paths = companions(store, "p1")

    assert paths.ct == store / "p1.nii.gz"
    assert paths.pet == store / "pet" / "p1.nii.gz"
    assert paths.tumor == store / "labels" / "gtv" / "p1.nii.gz"
    assert paths.nodes == store / "labels" / "final" / "p1.nii.gz"
    assert paths.truth == store / "truth" / "p1.nii.gz"


@pytest.mark.parametrize("case", ["p1", "A", "7", "a.b-c_d", "x" * 128])
def test_good_ids_are_taken_as_they_are(case):
    assert check_case(case) == case


@pytest.mark.parametrize(
    "case",
    [
        "",
        "../x",
        "..",
        "a..b",
        "/etc/passwd",
        "a/b",
        "a\\b",
        ".hidden",
        "-x",
        "_x",
        "a b",
        "a\n",
        "ä",
        "x" * 129,
    ],
)
def test_bad_ids_are_refused_before_any_path_is_made(tmp_path, case):
    with pytest.raises(ValueError, match="is not a case id: expected up to 128 letters"):
        companions(tmp_path, case)


def test_unknown_cases_are_refused_with_the_name_that_was_expected(tmp_path):
    with pytest.raises(ValueError, match=r"no case 'p9' in .*: expected a CT named p9\.nii\.gz there"):
        companions(tmp_path, "p9")


@pytest.mark.parametrize("folder", ["", "pet", "labels/gtv", "labels/final"])
def test_twin_names_are_refused_wherever_they_lie(store, folder):
    write(store / folder / "p1.nii", ct())

    with pytest.raises(ValueError, match=r"p1\.nii\.gz and p1\.nii lie side by side in .*remove or rename"):
        companions(store, "p1")


@pytest.mark.parametrize(("folder", "what"), [("", "CT"), ("pet", "PET")])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_refused(store, folder, what, bad):
    array = ct().astype(np.float32)
    array[11, 9, 7] = bad
    write(store / folder / "p1.nii.gz", array)

    with pytest.raises(ValueError, match=f"case p1: the {what} holds NaN or infinite values"):
        load(store)


@pytest.mark.parametrize(("folder", "what"), [("", "CT"), ("pet", "PET")])
@pytest.mark.parametrize("value", [0, -1024])
def test_images_of_one_value_are_refused(store, folder, what, value):
    write(store / folder / "p1.nii.gz", np.full(SHAPE, value, np.int16))

    with pytest.raises(ValueError, match=f"case p1: every voxel of the {what} is {value}"):
        load(store)


def test_an_image_that_differs_in_one_voxel_is_an_image(store):
    array = np.full(SHAPE, -5, np.int16)
    array[1, 1, 1] = 5
    write(store / "p1.nii.gz", array)

    assert load(store).ct.array.max() == 5


def test_a_pet_elsewhere_is_refused(store):
    away = AFFINE.copy()
    away[0, 3] += 500
    write(store / "pet" / "p1.nii.gz", np.linspace(0, 9, ct().size, dtype=np.float32).reshape(SHAPE), away)

    with pytest.raises(ValueError, match="case p1: PET and CT do not overlap in patient space; register"):
        load(store)


def test_an_empty_tumor_is_refused(store):
    write(store / "labels" / "gtv" / "p1.nii.gz", mask(0))

    with pytest.raises(ValueError, match="case p1: the tumor mask is empty; contour the primary tumor"):
        load(store)


@pytest.mark.parametrize(("tag", "what"), [("gtv", "tumor mask"), ("final", "node label")])
@pytest.mark.parametrize("value", [0.5, np.nan])
def test_labels_of_fractions_are_refused(store, tag, what, value):
    write(store / "labels" / tag / "p1.nii.gz", mask(value, np.float32))

    with pytest.raises(ValueError, match=f"case p1: the {what} must hold whole numbers"):
        load(store)


def test_labels_of_whole_numbers_in_float_files_are_integers(store):
    write(store / "labels" / "final" / "p1.nii.gz", mask(3.0, np.float64))

    nodes = load(store).nodes.array

    assert nodes.dtype == np.int32 and set(np.unique(nodes)) == {0, 3}


@pytest.mark.parametrize(
    ("tag", "told"),
    [("gtv", "the tumor mask and the CT do not overlap"), ("final", "the label lies on another grid than")],
)
def test_labels_elsewhere_are_refused(store, tag, told):
    away = AFFINE.copy()
    away[2, 3] += 500
    write(store / "labels" / tag / "p1.nii.gz", mask(), away)

    with pytest.raises(ValueError, match=f"case p1.*: {told}"):
        load(store)


def test_a_label_whose_voxels_all_lie_beyond_the_ct_is_refused(store):
    label = np.zeros((30, 10, 8), np.uint8)
    label[25:28, 2:5, 2:5] = 1
    write(store / "labels" / "gtv" / "p1.nii.gz", label)

    with pytest.raises(ValueError, match="case p1: the tumor mask lies outside the CT's field"):
        load(store)


def test_a_label_on_another_grid_is_brought_to_the_cts(store):
    # Half the voxel size, stored from left to right: the same box of 6 x 6 x 12 mm in the patient.
    fine = np.repeat(np.repeat(np.repeat(mask(2), 2, 0), 2, 1), 2, 2)[::-1]
    affine = np.diag([1.0, -1.5, 2.0, 1.0])
    affine[:3, 3] = (30 - 23 * 1.0 + 0.5, 20 + 0.75, -10 - 1.0)
    write(store / "labels" / "gtv" / "p1.nii.gz", fine, affine)

    study = load(store)

    np.testing.assert_array_equal(study.tumor.array, mask(2)[::-1, ::-1] > 0)
    assert study.tumor.grid is study.ct.grid


def test_a_contour_most_of_which_lies_beyond_the_ct_is_refused(store):
    longer = np.zeros((20, *SHAPE[1:]), np.uint8)
    longer[10:15, 2:5, 2:5] = 1
    label = store / "labels" / "gtv" / "p1.nii.gz"
    write(label, longer)
    with pytest.raises(
        ValueError, match="tumor mask lies on another grid than the CT, and 60% of it outside"
    ):
        load(store)
    longer[8:15, 2:5, 2:5] = 1
    write(label, longer)
    assert load(store).tumor.array.sum() == 4 * 3 * 3


def test_an_empty_contour_on_another_grid_is_an_empty_one(store):
    write(store / "labels" / "gtv" / "p1.nii.gz", np.zeros((20, *SHAPE[1:]), np.uint8))
    with pytest.raises(ValueError, match="the tumor mask is empty"):
        load(store)


def test_empty_segments_of_slicer_are_a_patient_without_nodes(store):
    write(store / "labels" / "final" / "p1.nii.gz", np.zeros((1, 1, 1), np.uint8), np.eye(4))
    nodes = load(store).nodes
    assert nodes.array.shape == SHAPE and not nodes.array.any()


def test_nodes_on_other_voxels_are_refused_and_on_a_part_of_the_ct_are_not(store):
    label = store / "labels" / "final" / "p1.nii.gz"
    moved = AFFINE.copy()
    moved[:3, 3] += (0.7, 0, 0)
    write(label, mask(2), moved)
    with pytest.raises(
        ValueError,
        match=r"p1, node label: .* another grid .* up to 0\.7 mm",
    ):
        load(store)
    rounded = AFFINE.copy()
    rounded[0, 0] *= 1.001
    write(label, mask(2), rounded)
    np.testing.assert_array_equal(load(store).nodes.array, mask(2)[::-1, ::-1])
    part = AFFINE.copy()
    part[:3, 3] = (AFFINE @ [1, 2, 1, 1])[:3]
    write(label, mask(2)[1:, 2:, 1:], part)
    np.testing.assert_array_equal(load(store).nodes.array, mask(2)[::-1, ::-1])


def test_a_label_stored_in_another_order_of_axes_lies_at_the_same_place(store):
    turned = np.transpose(mask(4), (2, 0, 1))
    write(store / "labels" / "final" / "p1.nii.gz", turned, AFFINE[:, [2, 0, 1, 3]])

    np.testing.assert_array_equal(load(store).nodes.array, mask(4)[::-1, ::-1])


@pytest.mark.parametrize(
    ("path", "what"),
    [("p1", "CT"), ("pet/p1", "PET"), ("labels/gtv/p1", "tumor mask"), ("labels/final/p1", "node label")],
)
def test_a_damaged_file_is_named_by_case_and_kind(store, path, what):
    file = store / f"{path}.nii.gz"
    file.write_bytes(file.read_bytes()[:60])

    with pytest.raises(ValueError, match=rf"case p1, {what}: p1\.nii\.gz cannot be read as an image"):
        load(store)


def test_images_in_memory_are_checked_like_files():
    grid = Grid(SHAPE, AFFINE)

    study = build_study("p1", canonical(ct(), grid), tumor=canonical(mask() != 0, grid))

    assert study.tumor.array.sum() == 3 * 2 * 3
    with pytest.raises(ValueError, match="the tumor mask is empty"):
        build_study("p1", canonical(ct(), grid), tumor=canonical(np.zeros(SHAPE, bool), grid))


@pytest.mark.parametrize("offset", [0, 1024])
def test_a_ct_without_negative_values_is_refused(store, offset):
    write(store / "p1.nii.gz", (ct().astype(np.int32) - ct().min() + offset).astype(np.int16))

    with pytest.raises(ValueError, match=rf"lowest value of the CT is {offset}, a CT in HU has air at -1000"):
        load(store)


def test_a_pet_in_becquerel_is_refused_and_one_with_a_hot_bladder_is_not(store):
    suv = np.full(SHAPE, 0.8, np.float32)
    suv[:2, :2, :2] = 150
    write(store / "pet" / "p1.nii.gz", suv)
    assert load(store).pet.array.max() == 150

    # In units of 37 SUV, as a dose in mCi gives them, with the noise of the air around.
    write(store / "pet" / "p1.nii.gz", np.where(ct() > -300, 37 * suv, 1))
    with pytest.raises(ValueError, match=r"half of the body lies above 29.6 in the PET"):
        load(store)

    write(store / "pet" / "p1.nii.gz", 4000 * suv)
    with pytest.raises(ValueError, match=r"half of the PET lies above 3.2e\+03.*is it in Bq/ml or counts"):
        load(store)


@pytest.mark.parametrize(
    ("sides", "told"),
    [
        ((2.0, 3.0, 400.0), "24 x 30 x 3200 mm"),
        ((2.0, 3.0, 30.0), "24 x 30 x 240 mm"),
        ((0.01, 3.0, 4.0), "0.12 x 30 x 32 mm"),
        ((25.0, 25.0, 25.0), None),
    ],
)
def test_a_ct_that_no_patient_fills_is_refused_with_its_size(sides, told):
    image = canonical(ct(), Grid(SHAPE, np.diag([*sides, 1.0])))
    if told is None:
        assert build_study("p1", image).ct is image
        return
    with pytest.raises(ValueError, match=f"by its header the CT is {told} large"):
        build_study("p1", image)


def test_a_ct_may_be_two_and_a_half_meters_long_and_no_more():
    def of_slices(count):
        voxels = np.resize(ct(), (2, 2, count))
        return canonical(voxels, Grid(voxels.shape, np.diag([1.0, 1.0, 2.5, 1.0])))

    build_study("p1", of_slices(1000))
    with pytest.raises(ValueError, match="2502 mm"):
        build_study("p1", of_slices(1001))
