"""An RTSTRUCT's regions land on the voxels that they were drawn around."""

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings

from osln.dicom.reading.rtstruct import read_structures, region_mask, region_voxels, structures_of
from osln.dicom.writing.export import encoded
from osln.imaging.grid import Grid, canonical
from small.dicom import (
    AXIAL,
    FLIPPED,
    OBLIQUE,
    SHAPE,
    box_contours,
    ct_slices,
    structure_set,
    uid,
    write_dicom,
)
from small.mutations import CHANGES, changed, refusal_or

BOX = ((4, 8), (5, 8), range(1, 4))


def voxels(region, affine, frame=""):
    grid = canonical(np.zeros(SHAPE), Grid(SHAPE, affine)).grid
    mask = np.zeros(grid.shape, bool)
    filled = region_voxels(region, grid, frame)
    filled.paste(mask, True)
    return mask, filled.notes


@pytest.mark.parametrize("affine", [AXIAL, FLIPPED, OBLIQUE], ids=["axial", "flipped", "oblique"])
def test_region_is_filled_in_patient_coordinates(tmp_path, affine):
    ct = ct_slices(affine=affine)
    [path] = write_dicom(tmp_path, [structure_set(ct, {"GTVp": box_contours(affine, *BOX)})])

    structures = read_structures(path)
    mask, notes = voxels(structures.regions[0], affine, ct[0].FrameOfReferenceUID)

    expected = np.zeros(SHAPE, bool)
    expected[4:8, 5:8, 1:4] = True
    np.testing.assert_array_equal(mask, canonical(expected, Grid(SHAPE, affine)).array)
    assert notes == ()


def test_it_tells_what_it_was_drawn_on_and_when():
    ct = ct_slices()
    structures = structures_of(structure_set(ct, {"GTVp": box_contours(AXIAL, *BOX)}))

    assert structures.series == {ct[0].SeriesInstanceUID} and structures.frames == {uid("frame")}
    assert structures.images == {ds.SOPInstanceUID for ds in ct}
    assert str(structures.drawn) == "2020-01-03 12:00:00"
    assert [(region.number, region.name, len(region.contours)) for region in structures.regions] == [
        (1, "GTVp", 3)
    ]


@pytest.mark.parametrize("tags", [{"ContourGeometricType": "OPEN_PLANAR"}, {"ContourData": [1, 2, 3] * 2}])
def test_points_and_open_contours_have_no_inside(tags):
    ds = structure_set(ct_slices(), {"GTVp": box_contours(AXIAL, *BOX)})
    for keyword, value in tags.items():
        setattr(ds.ROIContourSequence[0].ContourSequence[0], keyword, value)

    mask, notes = voxels(structures_of(ds).regions[0], AXIAL)

    assert mask.sum() == 2 * 12 and "1 points or open contours" in notes[0]


def test_region_without_contours_is_kept_with_none():
    ds = structure_set(ct_slices(), {"GTVp": box_contours(AXIAL, *BOX), "empty": []})
    del ds.ROIContourSequence[1]

    assert [len(region.contours) for region in structures_of(ds).regions] == [3, 0]


def test_another_frame_of_reference_is_refused():
    region = structures_of(structure_set(ct_slices(), {"GTVp": box_contours(AXIAL, *BOX)})).regions[0]

    with pytest.raises(ValueError, match="'GTVp' was drawn in another frame of reference"):
        voxels(region, AXIAL, uid("other"))


@pytest.mark.parametrize(
    ("values", "words"),
    [([1, 2, 3, 4], "4 numbers; expected three for each point"), (["nan"] * 9, "9 numbers")],
)
def test_contour_that_is_no_list_of_points_is_refused(values, words):
    ds = structure_set(ct_slices(), {"GTVp": box_contours(AXIAL, *BOX)})
    ds.ROIContourSequence[0].ContourSequence[0].ContourData = values

    with pytest.raises(ValueError, match=words):
        structures_of(ds)


def test_other_objects_and_damaged_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no RTSTRUCT"):
        structures_of(ct_slices()[0])
    path = tmp_path / "rs.dcm"
    pydicom.dcmwrite(path, structure_set(ct_slices(), {"GTVp": box_contours(AXIAL, *BOX)}))
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(ValueError, match="truncated"):
        read_structures(path)


def test_a_region_is_found_by_its_name_or_the_names_are_told():
    grid = canonical(np.zeros(SHAPE), Grid(SHAPE, AXIAL)).grid
    box = box_contours(AXIAL, *BOX)
    corner = box[0][0]
    contours = {"GTVp": box, "dot": [corner + 0.01 * (box[0] - corner)]}
    structures = structures_of(structure_set(ct_slices(), contours))

    assert region_mask(structures, "GTVp", grid).sum() == 4 * 3 * 3
    with pytest.raises(ValueError, match="no region 'GTVn' in the structure set; it has GTVp, dot"):
        region_mask(structures, "GTVn", grid)
    with pytest.raises(ValueError, match="'dot' has no voxel in this CT"):
        region_mask(structures, "dot", grid)


def two_squares(kind="CLOSED_PLANAR"):
    """Regions GTVn of two overlapping squares of 16 voxels on each of 3 slices, 8 of them in both."""
    ds = structure_set(
        ct_slices(),
        {
            "GTVn": [
                *box_contours(AXIAL, (2, 6), (2, 6), range(1, 4)),
                *box_contours(AXIAL, (4, 8), (2, 6), range(1, 4)),
            ]
        },
    )
    for contour in ds.ROIContourSequence[0].ContourSequence:
        contour.ContourGeometricType = kind
    return structures_of(ds).regions[0]


def test_contours_that_overlap_in_part_are_united_and_told():
    mask, notes = voxels(two_squares(), AXIAL)

    assert mask.sum() == 3 * 24
    assert notes == ("region 'GTVn': on 3 slices contours overlap in part: what any of them encloses counts",)


def test_contours_that_say_so_themselves_are_combined_even_odd():
    mask, notes = voxels(two_squares("CLOSEDPLANAR_XOR"), AXIAL)

    assert mask.sum() == 3 * 16 and notes == ()


def test_interpolated_contours_are_closed_ones():
    mask, _ = voxels(two_squares("INTERPOLATED_PLANAR"), AXIAL)

    assert mask.sum() == 3 * 24


def test_two_regions_of_one_number_are_refused_by_name():
    ds = structure_set(
        ct_slices(), {"GTVp": box_contours(AXIAL, *BOX), "Heart": box_contours(AXIAL, (9, 12), *BOX[1:])}
    )
    ds.StructureSetROISequence[1].ROINumber = ds.StructureSetROISequence[0].ROINumber

    with pytest.raises(ValueError, match=r"regions 'GTVp' and 'Heart' have one number \(1\)"):
        structures_of(ds)


def test_contours_of_no_region_are_refused():
    ds = structure_set(ct_slices(), {"GTVp": box_contours(AXIAL, *BOX)})
    ds.ROIContourSequence[0].ReferencedROINumber = 7

    with pytest.raises(ValueError, match="3 contours belong to a region number 7"):
        structures_of(ds)


def test_contours_of_one_region_in_two_items_are_all_read():
    ds = structure_set(ct_slices(), {"GTVp": box_contours(AXIAL, *BOX)})
    item = ds.ROIContourSequence[0]
    other = pydicom.Dataset()
    other.ReferencedROINumber = item.ReferencedROINumber
    other.ContourSequence = item.ContourSequence[2:]
    item.ContourSequence = item.ContourSequence[:2]
    ds.ROIContourSequence.append(other)

    assert voxels(structures_of(ds).regions[0], AXIAL)[0].sum() == 4 * 3 * 3


DRAWN = encoded(structure_set(ct_slices(), {name: box_contours(AXIAL, *BOX) for name in ("GTVp", "GTVn")}))


@settings(derandomize=True, deadline=None, max_examples=60)
@given(CHANGES)
def test_a_damaged_data_set_gives_points_or_a_refusal(changes):
    read = refusal_or(structures_of, changed(DRAWN, changes))

    if isinstance(read, ValueError):
        assert str(read)
    else:
        for region in read.regions:
            for contour in region.contours:
                assert contour.ndim == 2 and contour.shape[1] == 3 and np.isfinite(contour).all()
