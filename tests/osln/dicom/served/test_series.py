"""A volume as DICOM images: whatever the axes of its file, each voxel keeps its value and place."""

import json

import numpy as np
import pytest
from pydicom import dcmwrite

from osln.dicom.reading.files import slices_of
from osln.dicom.reading.volume import read_ct, read_pet
from osln.dicom.served.catalog import folder_heading
from osln.dicom.served.series import serve_ct, serve_pet
from osln.imaging.grid import Grid, canonical
from small.geometry import OBLIQUE, RAS, affine_of

SHAPE = (5, 6, 7)
LPS = RAS @ np.diag([-1.0, -1.0, 1.0, 1.0])
AIR = affine_of([[0, 0, 1.5], [-2.0, 0, 0], [0, 3.0, 0]], (20.0, 30.0, -40.0))
"""Axes of the file: to the front and back, to the head, to the right: slices of such a file are sagittal."""
AFFINES = {"RAS": RAS, "LPS": LPS, "permuted": AIR, "oblique": OBLIQUE}


def common():
    heading = folder_heading("one")
    heading.SeriesInstanceUID = "2.25.1.1.5"
    return heading


def read_back(series, folder, read):
    """The volume that a reader of DICOM makes of the images."""
    for number in range(1, len(series) + 1):
        dcmwrite(folder / f"{number}.dcm", series.image(number), write_like_original=False)
    return read(slices_of(sorted(folder.glob("*.dcm")))).volume


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
@pytest.mark.parametrize("kind", [np.int16, np.uint16, np.int32, np.float32])
def test_every_voxel_of_a_ct_keeps_its_value_and_place(tmp_path, affine, kind):
    rng = np.random.default_rng(0)
    low = 0 if kind == np.uint16 else -1024
    ct = canonical(rng.integers(low, 3000, SHAPE).astype(kind), Grid(SHAPE, affine))

    back = read_back(serve_ct(ct, common()), tmp_path, read_ct)

    assert back.grid.matches(ct.grid)
    np.testing.assert_array_equal(back.array, ct.array)


def test_fractions_are_rounded_and_what_no_image_holds_is_clipped(tmp_path):
    hu = np.zeros(SHAPE, np.float32)
    hu[0, 0, 0], hu[1, 0, 0], hu[2, 0, 0], hu[3, 0, 0] = -3024, 40.25, 99999, 40.75

    back = read_back(serve_ct(canonical(hu, Grid(SHAPE, RAS)), common()), tmp_path, read_ct)

    assert back.array[:4, 0, 0].tolist() == [-1024, 40, 31743, 41]


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
def test_suv_is_read_back_without_a_dose(tmp_path, affine):
    suv = np.random.default_rng(0).random(SHAPE).astype(np.float32) * 12
    # Nothing in one slice, one hot voxel in another.
    suv[2, 3, 4], suv[0, 0, 0] = 80.0, -0.5
    suv[:, :, 1] = suv[:, 1, :] = suv[1, :, :] = 0.0
    pet = canonical(suv, Grid(SHAPE, affine))
    series = serve_pet(pet, common())

    back = read_back(series, tmp_path, read_pet)

    assert back.grid.matches(pet.grid)
    # Half a step of 15 bits of the hottest voxel.
    np.testing.assert_allclose(back.array, np.maximum(pet.array, 0), atol=80 / 32767 / 2 * 1.001)
    first = series.image(1)
    assert (first.Units, first.SUVType) == ("GML", "BW")
    told = {"PatientWeight", "RadiopharmaceuticalInformationSequence", "SeriesTime", "DecayCorrection"}
    assert not told & set(first.dir()), "what nobody knows is not said"


@pytest.mark.parametrize("serve", [serve_ct, serve_pet])
def test_attributes_and_pixels_are_those_of_the_images(serve):
    array = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    series = serve(canonical(array, Grid(SHAPE, OBLIQUE)), common())

    assert len(series) == SHAPE[2]
    for number in range(1, len(series) + 1):
        image = series.image(number)
        assert series.number(image.SOPInstanceUID) == number
        assert series.frame(number) == image.PixelData
        assert (image.Rows, image.Columns) == (SHAPE[1], SHAPE[0])
        del image.PixelData
        assert json.loads(series.metadata[number - 1]) == json.loads(image.to_json())


@pytest.mark.parametrize(
    "uid", ["2.25.1.1.5.0", "2.25.1.1.5.8", "2.25.1.1.5.01", "2.25.1.1.6.1", "2.25.1.1.5", ""]
)
def test_other_uids_are_no_image_of_a_series(uid):
    series = serve_ct(canonical(np.zeros(SHAPE, np.int16), Grid(SHAPE, RAS)), common())

    assert series.number(uid) is None
