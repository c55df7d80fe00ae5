import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from lib.models.infers import LABELS
from lib.models.label_maps import segment_fields, write_label_map
from osln.imaging.grid import read_volume
from small import store as small_store

OBLIQUE = np.array(
    [[-1.9, 0.4, 0.3, 60.0], [-0.5, -2.4, 0.2, 50.0], [0.3, -0.15, 2.9, -30.0], [0, 0, 0, 1.0]]
)


def perpendicular(affine: np.ndarray) -> np.ndarray:
    """The nearest affine without shear, with the same voxel sizes."""
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    left, _, right = np.linalg.svd(affine[:3, :3] / sizes)
    result = affine.copy()
    result[:3, :3] = left @ right * sizes
    return result


@pytest.mark.parametrize("extension", [".nii.gz", ".nii", ".nrrd", ".seg.nrrd"])
@pytest.mark.parametrize("affine", [small_store.AFFINE_LPS, perpendicular(OBLIQUE)], ids=["LPS", "oblique"])
def test_a_label_map_has_the_voxel_order_and_the_place_of_the_ct_file(tmp_path, extension, affine):
    ct = small_store.write(tmp_path / "p.nii.gz", small_store.ct(), affine)
    volume = read_volume(ct)
    path = write_label_map(volume.array > 100, volume.grid, volume.file_grid, LABELS, extension=extension)
    try:
        written, original = sitk.ReadImage(str(path)), sitk.ReadImage(str(ct))
        voxels = sitk.GetArrayFromImage(written)
        assert voxels.dtype == np.uint8
        np.testing.assert_array_equal(voxels.T, small_store.ct() > 100)
        for ours, theirs in (
            (written.GetOrigin(), original.GetOrigin()),
            (written.GetSpacing(), original.GetSpacing()),
            (written.GetDirection(), original.GetDirection()),
        ):
            np.testing.assert_allclose(ours, theirs, atol=1e-4)
    finally:
        path.unlink()


def test_the_voxel_type_is_the_one_that_was_asked_for(tmp_path):
    volume = read_volume(small_store.write(tmp_path / "p.nii.gz", small_store.ct()))
    path = write_label_map(volume.array > 100, volume.grid, volume.file_grid, LABELS, dtype="int16")
    try:
        assert nib.load(path).get_data_dtype() == np.int16
    finally:
        path.unlink()


def test_a_client_that_saves_the_file_under_its_name_in_the_temporary_folder_has_a_copy_of_its_own(tmp_path):
    volume = read_volume(small_store.write(tmp_path / "p.nii.gz", small_store.ct()))
    path = write_label_map(volume.array > 100, volume.grid, volume.file_grid, LABELS)
    try:
        assert path.parent != Path(tempfile.gettempdir()) and path.parent.name.startswith("osln-results-")
    finally:
        path.unlink()


def test_nothing_is_left_behind_when_writing_fails(tmp_path, monkeypatch):
    monkeypatch.setattr("lib.models.label_maps._folder", lambda: str(tmp_path))
    volume = read_volume(small_store.write(tmp_path / "in" / "p.nii.gz", small_store.ct()))
    with pytest.raises(ValueError, match="is not the file's grid"):
        write_label_map(volume.array > 100, volume.grid, volume.file_grid.crop((0, 0, 0), (4, 4, 4)), LABELS)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_seg_nrrd_says_the_segments_itself():
    fields = segment_fields({"lymph node": 1, "rejected candidate": 2}, (40, 36, 24))
    assert (fields["Segment0_Name"], fields["Segment0_LabelValue"]) == ("lymph node", "1")
    assert (fields["Segment1_Name"], fields["Segment1_LabelValue"]) == ("rejected candidate", "2")
    assert fields["Segment1_Extent"] == "0 39 0 35 0 23"
    assert fields["Segment0_Color"] == "0.266667 0.674510 0.392157"
