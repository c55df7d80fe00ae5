"""Volumes written as DICOM images come back voxel by voxel; Bq/ml and geometry are worked out by hand."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from osln.dicom.reading.files import slices_of
from osln.dicom.reading.volume import read_ct, read_pet
from osln.dicom.writing.images import ct_images, pet_images
from osln.imaging.grid import Grid, canonical
from small.dicom import AXIAL, FLIPPED, OBLIQUE, SHAPE, body, uid


def common(**tags) -> Dataset:
    ds = Dataset()
    ds.PatientName, ds.PatientID = "PHANTOM^01", "PHANTOM-01"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = uid("s"), uid("ct"), uid("f")
    ds.StudyDate = ds.SeriesDate = "20240102"
    ds.SeriesTime = "100000"
    for keyword, value in tags.items():
        setattr(ds, keyword, value)
    return ds


def injected(**tags) -> Dataset:
    """70 kg, 370 MBq of F-18 one half-life before the series."""
    isotope = Dataset()
    isotope.RadionuclideTotalDose, isotope.RadionuclideHalfLife = "370000000", "3600"
    isotope.RadiopharmaceuticalStartTime = "090000"
    return common(
        CorrectedImage=["DECY", "ATTN"], SeriesType=["STATIC", "IMAGE"], PatientWeight="70",
        ActualFrameDuration=120000, RadiopharmaceuticalInformationSequence=[isotope], **tags,
    )  # fmt: skip


def written(folder: Path, images) -> list:
    for k, image in enumerate(images):
        pydicom.dcmwrite(folder / f"{k}.dcm", image, write_like_original=False)
    return slices_of(sorted(folder.glob("*.dcm")))


@pytest.mark.parametrize("affine", [AXIAL, FLIPPED, OBLIQUE], ids=["axial", "flipped", "oblique"])
def test_a_ct_comes_back_voxel_by_voxel_at_its_place(tmp_path, affine):
    volume = canonical(body(), Grid(SHAPE, affine))

    read = read_ct(written(tmp_path, ct_images(volume, common(), lambda k: uid(f"ct{k}")))).volume

    np.testing.assert_array_equal(read.array, volume.array)
    assert read.array.dtype == np.int16
    assert read.grid.matches(volume.grid, tolerance_mm=1e-4)


def test_a_ct_is_stored_in_signed_16_bit_with_its_intercept():
    images = ct_images(canonical(body(), Grid(SHAPE, AXIAL)), common(), lambda k: uid(f"ct{k}"))

    assert len(images) == SHAPE[2]
    first, third = images[0], images[2]
    assert (first.PixelRepresentation, first.BitsStored, first.RescaleIntercept) == (1, 16, -1024)
    # The corner of body(): air of -1000 HU, one HU more per slice.
    assert first.pixel_array[0, 0] == 24 and third.pixel_array[0, 0] == 26
    assert (first.Rows, first.Columns) == (SHAPE[1], SHAPE[0])
    # AXIAL: voxel (0, 0, 2) lies at RAS (20, 30, -34) mm; rows run along the second axis, 2.5 mm apart.
    assert [float(v) for v in third.ImagePositionPatient] == [-20, -30, -34]
    assert [float(v) for v in third.ImageOrientationPatient] == [1, 0, 0, 0, 1, 0]
    assert [float(v) for v in third.PixelSpacing] == [2.5, 2]
    assert third.SOPInstanceUID == third.file_meta.MediaStorageSOPInstanceUID == uid("ct2")


def test_suv_becomes_bq_per_ml_of_the_scan_s_start_and_comes_back(tmp_path):
    suv = np.random.default_rng(1).uniform(0, 4, SHAPE).astype(np.float32)
    suv[:, :, 3] = 0
    suv[5, 4, 7] = 20
    volume = canonical(suv, Grid(SHAPE, AXIAL))

    images = pet_images(volume, injected(), lambda k: uid(f"pt{k}"))
    read = read_pet(written(tmp_path, images)).volume

    # After one half-life 185 MBq are left: SUV 20 of 70 kg are 20 x 185e6 / 70000 Bq/ml.
    slope = 20 * 185e6 / 70000 / 32767
    assert float(images[7].RescaleSlope) == pytest.approx(slope, rel=1e-9)
    assert images[7].pixel_array.max() == 32767 and images[3].pixel_array.max() == 0
    assert images[0].Units == "BQML" and images[0].DecayCorrection == "START"
    # Half of the step of the stored integers, which is the slice's maximum / 32767.
    step = volume.array.max(axis=(0, 1)) / 32767
    assert (np.abs(read.array - volume.array).max(axis=(0, 1)) <= 0.5 * step + 1e-6).all()
    assert read.grid.matches(volume.grid, tolerance_mm=1e-4)


def test_times_of_a_frame_are_those_of_its_mean_activity():
    image = pet_images(canonical(body() * 0.0, Grid(SHAPE, AXIAL)), injected(), lambda k: uid(f"pt{k}"))[0]

    # ln 2 x 120 s / 3600 s = 0.023105 half-lives' worth of decay; its mean is 1 / 1.011597 of the start's.
    assert float(image.DecayFactor) == pytest.approx(1.011597, abs=1e-6)
    assert float(image.FrameReferenceTime) == pytest.approx(1000 * 3600 * np.log2(1.011597), rel=1e-4)
    assert (image.ImageIndex, image.NumberOfSlices) == (1, SHAPE[2])


@pytest.mark.parametrize(
    "wrong", [body().astype(np.float32), np.full(SHAPE, -1025, np.int16), np.full(SHAPE, 40000, np.int32)]
)
def test_a_ct_that_16_bit_cannot_hold_is_refused(wrong):
    with pytest.raises(ValueError, match="whole HU between -1024 and 31743"):
        ct_images(canonical(wrong, Grid(SHAPE, AXIAL)), common(), uid)


@pytest.mark.parametrize("value", [-0.1, np.nan])
def test_a_pet_with_impossible_suv_is_refused(value):
    with pytest.raises(ValueError, match="finite SUV of 0 or more"):
        pet_images(canonical(np.full(SHAPE, value), Grid(SHAPE, AXIAL)), injected(), uid)
