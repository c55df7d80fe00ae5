"""What the store accepts as id, tag, notes and image."""

import numpy as np
import pytest
import SimpleITK as sitk
from monailabel.interfaces.datastore import DefaultLabelTag

from lib.store.cases import checked_notes, checked_tag, read_ct, reason_against
from small.store import ct, write


@pytest.mark.parametrize("tag", ["final", "original", "gtv"])
def test_the_three_tags_are_accepted(tag):
    assert checked_tag(tag) == tag


def test_monai_labels_own_constants_are_tags():
    assert checked_tag(DefaultLabelTag.FINAL) == "final"


@pytest.mark.parametrize("tag", ["", "Final", "../final", "final/..", "pet", "/tmp"])
def test_any_other_tag_is_refused_with_the_meaning_of_the_three(tag):
    with pytest.raises(ValueError, match=r"'final' \(approved nodes\)"):
        checked_tag(tag)


def test_notes_are_an_object():
    assert checked_notes({"a": 1}) == {"a": 1}
    with pytest.raises(ValueError, match="got list"):
        checked_notes([1])


def test_a_ct_is_read(tmp_path):
    path = write(tmp_path / "one.nii.gz", ct())
    other = tmp_path / "other.nrrd"
    sitk.WriteImage(sitk.ReadImage(str(path)), str(other))
    first, second = read_ct("one", path), read_ct("one", other)
    np.testing.assert_array_equal(first.array, ct()[::-1, ::-1])
    np.testing.assert_array_equal(first.array, second.array)
    assert first.grid.matches(second.grid)


@pytest.mark.parametrize(
    ("voxels", "words"),
    [
        (np.zeros((4, 4, 4), np.int16), "every voxel"),
        (np.full((4, 4, 4), np.nan, np.float32), "NaN"),
        (np.zeros((4, 4, 4, 2), np.int16), "4 dimensions"),
        (np.arange(64, dtype=np.float32).reshape(4, 4, 4), "is it a PET .* load the CT first"),
    ],
    ids=["constant", "NaN", "4-D", "PET"],
)
def test_an_upload_that_is_no_ct_is_refused(tmp_path, voxels, words):
    with pytest.raises(ValueError, match=words):
        read_ct("one", write(tmp_path / "one.nii.gz", voxels))


def test_an_upload_that_is_no_image_is_refused(tmp_path):
    for suffix in (".nii.gz", ".nii", ".nrrd"):
        path = tmp_path / f"one{suffix}"
        path.write_bytes(b"text")
        with pytest.raises(ValueError, match=f"one{suffix} cannot be read as an image"):
            read_ct("one", path)
        path.unlink()


def test_a_huge_upload_is_refused_by_its_header(tmp_path, monkeypatch):
    monkeypatch.setattr("osln.files.images.MAX_VOXELS", 1000)
    with pytest.raises(ValueError, match="crop it"):
        read_ct("one", write(tmp_path / "one.nii.gz", ct()))


def test_files_that_cannot_be_cases_have_a_reason(tmp_path):
    for name in ("good.nii.gz", "twin.nii.gz", "twin.nii", "two words.nii.gz", "a..b.nii.gz"):
        (tmp_path / name).write_bytes(b"")
    assert reason_against(tmp_path / "good.nii.gz") is None
    assert "lies beside twin.nii:" in reason_against(tmp_path / "twin.nii.gz")
    assert "rename it" in reason_against(tmp_path / "two words.nii.gz")
    assert "rename it" in reason_against(tmp_path / "a..b.nii.gz")
    assert "keeps something of its own" in reason_against(tmp_path / "import.nii.gz")


def test_a_link_to_a_file_of_another_format_has_a_reason(tmp_path):
    for name, target in (("one.nii.gz", "ct.nii"), ("two.nii.gz", "blob"), ("three.nii.gz", "ct.nii.gz")):
        (tmp_path / "elsewhere").mkdir(exist_ok=True)
        (tmp_path / "elsewhere" / target).write_bytes(b"")
        (tmp_path / name).symlink_to(tmp_path / "elsewhere" / target)
    assert "one.nii.gz is a link to a .nii file: rename the link" in reason_against(tmp_path / "one.nii.gz")
    assert reason_against(tmp_path / "two.nii.gz") is None
    assert reason_against(tmp_path / "three.nii.gz") is None
