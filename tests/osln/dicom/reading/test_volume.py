"""A DICOM series becomes the volume it was made of, whatever order, direction and compression it has."""

import io

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from PIL import Image
from pydicom.uid import RLELossless

from osln.dicom.reading.files import slices_of
from osln.dicom.reading.volume import read_ct, read_pet
from osln.imaging.grid import Grid, canonical, in_file_order
from small.dicom import AXIAL, FLIPPED, OBLIQUE, SHAPE, body, ct_slices, pet_slices, uid, write_dicom


def ct_of(folder, slices):
    return read_ct(slices_of(write_dicom(folder, slices)))


def shown(volume):
    """Slices along z that hold the bright corner."""
    return np.flatnonzero((volume.array > 500).any(axis=(0, 1))).tolist()


@pytest.mark.parametrize("affine", [AXIAL, FLIPPED, OBLIQUE], ids=["axial", "flipped", "oblique"])
def test_every_voxel_lies_where_it_was_scanned(tmp_path, affine):
    read = ct_of(tmp_path, ct_slices(affine=affine)).volume

    expected = canonical(body(), Grid(SHAPE, affine))
    assert read.grid.matches(expected.grid)
    np.testing.assert_array_equal(read.array, expected.array)
    assert read.array.dtype == np.int16


def test_instance_numbers_and_slice_locations_say_nothing(tmp_path):
    slices = ct_slices()
    for k, ds in enumerate(slices):
        ds.InstanceNumber, ds.SliceLocation = (7 * k) % 12, -k

    read = ct_of(tmp_path, slices).volume

    np.testing.assert_array_equal(read.array, canonical(body(), Grid(SHAPE, AXIAL)).array)


def test_pet_has_a_rescale_slope_per_slice_and_suv_by_body_weight(tmp_path):
    bqml = np.zeros(SHAPE)
    bqml[5, 6, 2], bqml[9, 3, 7] = 1500, 30000
    slopes = [0.25 + 0.25 * k for k in range(SHAPE[2])]
    slices = pet_slices(bqml, AXIAL, slopes=slopes)

    read = read_pet(slices_of(write_dicom(tmp_path, slices)))

    factor = 70000 / (370e6 * 2 ** (-3600 / 6586.2))
    expected = canonical(bqml * factor, Grid(SHAPE, AXIAL)).array
    np.testing.assert_allclose(read.volume.array, expected, rtol=1e-6)
    assert read.volume.array.dtype == np.float32


def test_a_pet_of_which_slices_at_one_end_are_missing_is_told(tmp_path):
    slices = pet_slices(np.full(SHAPE, 5000.0), AXIAL, NumberOfSlices=12)[:8]

    read = read_pet(slices_of(write_dicom(tmp_path, slices)))

    assert read.volume.array.shape[2] == 8
    [said] = read.warnings
    assert "the PET has 8 slices where NumberOfSlices says 12" in said


@pytest.mark.parametrize("said", [12, 0, 4, None])
def test_a_pet_with_as_many_slices_as_it_says_or_more_is_whole(tmp_path, said):
    slices = pet_slices(np.full(SHAPE, 5000.0), AXIAL, NumberOfSlices=said)

    assert read_pet(slices_of(write_dicom(tmp_path, slices))).warnings == ()


def padded_pet(padding, **tags):
    """A PET of 5000 Bq/ml whose first four columns are padding, and one voxel within that looks like it."""
    slices = pet_slices(np.full(SHAPE, 5000.0), AXIAL, slopes=[0.2] * SHAPE[2], PixelPaddingValue=0, **tags)
    for ds in slices:
        stored = np.frombuffer(ds.PixelData, "<i2").reshape(ds.Rows, ds.Columns).copy()
        stored[:, :4] = stored[8, 10] = padding
        ds.PixelData = stored.tobytes()
        del ds.PixelPaddingValue
        ds.add_new("PixelPaddingValue", "SS", padding)
        ds.add_new("PixelPaddingRangeLimit", "SS", None)
    return slices


@pytest.mark.parametrize(("padding", "within"), [(-32768, 0), (32767, 32767 * 0.2 / 5000)])
def test_padding_of_a_pet_is_no_activity_and_its_hottest_voxel_stays(tmp_path, padding, within):
    read = read_pet(slices_of(write_dicom(tmp_path, padded_pet(padding)))).volume

    suv = in_file_order(read.array, read.grid, read.file_grid) / (
        5000 * 70000 / (370e6 * 2 ** (-3600 / 6586.2))
    )
    assert suv[:, 0, 3].tolist() == pytest.approx([0] * 4 + [1] * 16, abs=1e-6)
    assert suv[10, 8, 3] == pytest.approx(within, abs=1e-6)


def test_padding_of_a_pet_is_not_interpolated(tmp_path):
    slices = padded_pet(-32768)
    del slices[6]

    read = read_pet(slices_of(write_dicom(tmp_path, slices)))

    assert "interpolated" in read.warnings[0]
    assert read.volume.array.min() == 0


def test_copies_and_localizers_are_left_out_and_told(tmp_path):
    slices = ct_slices()
    localizer = ct_slices(name="scout")[0]
    localizer.SeriesInstanceUID, localizer.ImageType = (
        slices[0].SeriesInstanceUID,
        ["ORIGINAL", "PRIMARY", "LOCALIZER"],
    )
    localizer.Rows, localizer.Columns = 8, 40
    paths = write_dicom(tmp_path, [*slices, localizer])
    (tmp_path / "again.dcm").write_bytes(paths[3].read_bytes())

    read = read_ct(slices_of([*paths, tmp_path / "again.dcm"]))

    np.testing.assert_array_equal(read.volume.array, canonical(body(), Grid(SHAPE, AXIAL)).array)
    assert "1 localizer" in read.warnings[0] and "1 images" in read.warnings[1]


def test_a_projection_in_a_series_is_left_out_and_told(tmp_path):
    slices = ct_slices()
    projection = ct_slices(name="mip", ImageType=["DERIVED", "SECONDARY", "MIP"])[0]
    projection.ImagePositionPatient = [0, 0, 500]

    read = ct_of(tmp_path, [projection, *slices])

    assert read.volume.array.shape == SHAPE
    assert read.warnings == ("1 localizers or projections in the CT series were left out",)


def test_directions_that_differ_by_rounding_alone_are_one(tmp_path):
    slices = ct_slices()
    for k, ds in enumerate(slices):
        ds.ImageOrientationPatient = [1, 0, 0, 0, 1, ("0.0005000001", "0.0004999999")[k % 2]]

    assert ct_of(tmp_path, slices).volume.array.shape == SHAPE


def test_one_missing_slice_is_interpolated_and_told(tmp_path):
    slices = ct_slices()
    del slices[6]

    read = ct_of(tmp_path, slices)

    # The values rise by 1 HU per slice: interpolation between both neighbors gives the lost slice itself.
    np.testing.assert_array_equal(read.volume.array, canonical(body(), Grid(SHAPE, AXIAL)).array)
    assert "3.00 to 6.00 mm apart: interpolated to 3.00 mm" in read.warnings[0]


def test_a_thinner_part_keeps_all_its_slices(tmp_path):
    slices = ct_slices(np.pad(body((20, 16, 7)), 0))
    for ds, z in zip(slices, [0, 3, 6, 12, 18, 24, 30], strict=True):
        ds.ImagePositionPatient = [0, 0, z]

    read = ct_of(tmp_path, slices)

    assert read.volume.grid.spacing_mm[2] == pytest.approx(3) and read.volume.array.shape[2] == 11
    # Values are 40 + slice: the slices at 0, 3 and 6 mm stand as they are.
    assert read.volume.array[10, 8].tolist() == [40, 41, 42, 42, 43, 44, 44, 44, 45, 46, 46]
    assert [len(places) for places in read.images[:2]] == [20, 16]
    assert read.images[2].tolist() == pytest.approx([0, 1, 2, 4, 6, 8, 10])
    assert "3.00 to 6.00 mm apart: interpolated to 3.00 mm" in read.warnings[0]


def test_irregular_spacing_is_interpolated_to_the_usual_one(tmp_path):
    slices = ct_slices(body((20, 16, 5)))
    for ds, z in zip(slices, [0, 2, 4, 6, 10.5], strict=True):
        ds.ImagePositionPatient = [0, 0, z]

    read = ct_of(tmp_path, slices).volume

    assert read.grid.spacing_mm[2] == pytest.approx(2) and read.array.shape[2] == 6
    # Values are 40 + slice; at 8 mm, 2/4.5 of the way from slice 3 to slice 4: 43.44 HU; at 10 mm 43.89 HU.
    assert read.array[10, 8].tolist() == [40, 41, 42, 43, 43, 44]


def test_gantry_tilt_is_straightened(tmp_path):
    affine = AXIAL.copy()
    hu = np.full((20, 16, 6), -1000, np.int16)
    hu[6:10, 6:10] = 100
    slices = ct_slices(hu, affine)
    for k, ds in enumerate(slices):
        x, y, z = ds.ImagePositionPatient
        ds.ImagePositionPatient = [x, float(y) + 2.5 * k, z]

    read = ct_of(tmp_path, slices)

    # Each slice is shifted by one row (2.5 mm) to the back: the square moves by a voxel per slice.
    assert "gantry tilt, 39.8 degrees" in read.warnings[0]
    assert read.volume.array.shape == (20, 21, 6)
    rows = [np.flatnonzero((read.volume.array[:, :, k] == 100).any(axis=0)) for k in range(6)]
    places = [read.volume.grid.index_to_mm([0, r.mean(), k])[1] for k, r in enumerate(rows)]
    assert places == pytest.approx([30 - 2.5 * (7.5 + k) for k in range(6)])
    assert all(len(r) == 4 for r in rows)


def test_padding_outside_the_field_becomes_air(tmp_path):
    hu = body()
    stored = hu.astype(np.int32)
    stored[0, :, :] = -2000
    slices = ct_slices(hu, PixelRepresentation=1, PixelPaddingValue=63536, RescaleIntercept=-1024)
    for k, ds in enumerate(slices):
        values = stored[:, :, k].T + 1024
        values[:, 0] = -2000
        ds.PixelData = values.astype("<i2").tobytes()
        ds["PixelPaddingValue"].VR = "US"

    read = ct_of(tmp_path, slices).volume.array

    expected = body()
    expected[0] = -1024
    np.testing.assert_array_equal(read, canonical(expected, Grid(SHAPE, AXIAL)).array)


def test_a_range_of_padding_becomes_air(tmp_path):
    values = np.full((6, 5, 3), 40, np.int16)
    values[0], values[1], values[2] = -700, -650, -500
    slices = ct_slices(values, PixelPaddingValue=324, PixelPaddingRangeLimit=424)

    # Stored 324 to 424 is -700 to -600 HU and reaches the border: the first two columns, not the third.
    assert read_ct_row(tmp_path, slices) == [-1024, -1024, -500, 40, 40, 40]


def read_ct_row(folder, slices):
    """HU along the columns of the file, whose first lie on the patient's right."""
    volume = ct_of(folder, slices).volume
    return in_file_order(volume.array, volume.grid, volume.file_grid)[:, 2, 1].tolist()


def test_padding_that_looks_like_tissue_is_air_only_where_it_reaches_the_border(tmp_path):
    hu = np.full(SHAPE, 100, np.int16)
    hu[:2], hu[10, 8] = 0, 0
    read = ct_of(tmp_path, ct_slices(hu, PixelPaddingValue=1024)).volume.array

    expected = hu.copy()
    expected[:2] = -1024
    np.testing.assert_array_equal(read, canonical(expected, Grid(SHAPE, AXIAL)).array)


def test_values_under_air_are_air_and_fractions_become_floats(tmp_path):
    hu = body()
    slices = ct_slices(hu, RescaleIntercept=-3024)
    low = ct_of(tmp_path / "low", slices).volume.array
    assert low.min() == -1024

    halves = ct_of(tmp_path / "halves", ct_slices(hu, RescaleSlope=0.5, RescaleIntercept=-512)).volume.array
    np.testing.assert_allclose(halves, canonical(hu / 2, Grid(SHAPE, AXIAL)).array)
    assert halves.dtype == np.float32


def test_unused_high_bits_are_ignored(tmp_path):
    slices = ct_slices(BitsStored=12, HighBit=11)
    for ds in slices:
        values = np.frombuffer(ds.PixelData, "<u2") | np.uint16(0x8000)
        ds.PixelData = values.tobytes()

    np.testing.assert_array_equal(
        ct_of(tmp_path, slices).volume.array, canonical(body(), Grid(SHAPE, AXIAL)).array
    )


def test_run_length_encoding_is_read(tmp_path):
    slices = ct_slices()
    for ds in slices:
        ds.compress(RLELossless)

    np.testing.assert_array_equal(
        ct_of(tmp_path, slices).volume.array, canonical(body(), Grid(SHAPE, AXIAL)).array
    )


@pytest.mark.parametrize(
    ("compressor", "syntax"), [("JPEG", "1.2.840.10008.1.2.4.70"), ("JPEG2000", "1.2.840.10008.1.2.4.90")]
)
def test_lossless_jpeg_is_read(tmp_path, compressor, syntax):
    paths = write_dicom(tmp_path, ct_slices())
    for path in paths:
        reader = sitk.ImageFileReader()
        reader.SetFileName(str(path))
        reader.LoadPrivateTagsOn()
        image = reader.Execute()
        writer = sitk.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        writer.UseCompressionOn()
        writer.SetCompressor(compressor)
        writer.SetFileName(str(path))
        writer.Execute(sitk.Cast(image, sitk.sitkInt16))
        assert pydicom.dcmread(path).file_meta.TransferSyntaxUID == syntax

    np.testing.assert_array_equal(
        read_ct(slices_of(paths)).volume.array, canonical(body(), Grid(SHAPE, AXIAL)).array
    )


def test_lossless_jpeg_ls_is_read(tmp_path):
    pytest.importorskip("pillow_jpls")
    slices = ct_slices()
    for ds in slices:
        file = io.BytesIO()
        Image.fromarray(np.frombuffer(ds.PixelData, "<u2").reshape(ds.Rows, ds.Columns)).save(file, "JPEG-LS")
        ds.PixelData = pydicom.encaps.encapsulate([file.getvalue()])
        ds["PixelData"].VR = "OB"
        ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.80"

    np.testing.assert_array_equal(
        ct_of(tmp_path, slices).volume.array, canonical(body(), Grid(SHAPE, AXIAL)).array
    )


@pytest.mark.parametrize("syntax", [b"1.2.840.10008.1.2.4.90", b"1.2.840.10008.1.2.4.99"])
def test_pixels_that_cannot_be_decompressed_name_what_to_install(tmp_path, syntax):
    slices = ct_slices()
    for ds in slices:
        ds.PixelData = pydicom.encaps.encapsulate([b"no such picture!"])
        ds["PixelData"].VR = "OB"
        ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.90"
    paths = write_dicom(tmp_path, slices)
    for path in paths:
        path.write_bytes(path.read_bytes().replace(b"1.2.840.10008.1.2.4.90", syntax))

    with pytest.raises(ValueError, match="cannot be decoded here"):
        read_ct(slices_of(paths))


def test_truncated_image_is_named(tmp_path):
    paths = write_dicom(tmp_path, ct_slices())
    paths[4].write_bytes(paths[4].read_bytes()[:-200])

    with pytest.raises(ValueError, match=r"image 5 of the CT .*copy"):
        read_ct(slices_of(paths))


def alternating(**tags):
    """Every other slice is of a second scan."""
    slices = ct_slices(**{keyword: values[0] for keyword, values in tags.items()})
    for ds in slices[1::2]:
        for keyword, values in tags.items():
            setattr(ds, keyword, values[1])
    return slices


def test_scans_in_blocks_are_one_volume(tmp_path):
    slices = ct_slices(AcquisitionNumber=1)
    for ds in slices[6:]:
        ds.AcquisitionNumber = 2

    assert ct_of(tmp_path, slices).volume.array.shape == SHAPE


def changed(k, **tags):
    slices = ct_slices()
    for keyword, value in tags.items():
        setattr(slices[k], keyword, value)
    return slices


@pytest.mark.parametrize(
    ("slices", "words"),
    [
        (ct_slices()[:1], "has 1 slices"),
        (
            [ds for k, ds in enumerate(ct_slices()) if k not in (5, 6)],
            "after slice 5 of 10 there is a gap of 9.00 mm",
        ),
        (ct_slices() + ct_slices(name="again", AcquisitionNumber=2), "12 slices .* 2 acquisitions"),
        (alternating(AcquisitionNumber=(1, 2)), "2 acquisitions whose slices alternate"),
        (alternating(AcquisitionTime=("101500", "101900")), "AcquisitionTime 101500 with 6 slices"),
        (changed(3, ImageOrientationPatient=[0, 1, 0, 0, 0, 1]), "mixes different images"),
        (changed(3, PixelSpacing=[1, 1]), "mixes different images"),
        (changed(3, FrameOfReferenceUID=uid("other")), "frames of reference differ"),
        (changed(3, PatientID="somebody else"), "2 patients"),
        (changed(3, SOPInstanceUID=uid("ct-4")), "one SOPInstanceUID and lie 3.00 mm apart"),
        (changed(3, ImagePositionPatient=None), "lacks ImagePositionPatient"),
        (changed(3, ImageOrientationPatient=[1, 0, 0]), "lacks ImageOrientationPatient"),
        (ct_slices(RescaleIntercept=None), "lacks RescaleIntercept"),
        (changed(3, NumberOfFrames=2), "several frames"),
        (changed(3, PhotometricInterpretation="MONOCHROME1"), "MONOCHROME1"),
        (changed(3, RescaleSlope=0), "RescaleSlope"),
        (changed(3, RescaleType="MGML"), "MGML instead of HU"),
        (ct_slices(ImageOrientationPatient=[1, 0, 0, 0.5, 1, 0]), "perpendicular unit vectors"),
    ],
)
def test_what_is_no_volume_is_refused_in_words(tmp_path, slices, words):
    with pytest.raises(ValueError, match=words):
        ct_of(tmp_path, slices)


def test_the_corner_of_the_phantom_shows_that_z_is_not_mirrored(tmp_path):
    assert shown(ct_of(tmp_path / "up", ct_slices()).volume) == [1, 2]
    assert shown(ct_of(tmp_path / "down", ct_slices(affine=FLIPPED)).volume) == [9, 10]
