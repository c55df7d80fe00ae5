"""Which folders of two computers count as the same."""

import gzip
import hashlib
import os

import numpy as np
import pytest

from osln.jobs import shared
from osln.jobs.shared import END_BYTES, SAME, content, marked, seen
from osln.store.final_copy import FinalCopy


def test_a_folder_is_known_by_a_mark_that_goes_afterwards(tmp_path):
    file, folder = tmp_path / "tagger", tmp_path / "folder"
    folder.mkdir()
    file.write_bytes(b"abc")
    with marked([tmp_path, folder, file, tmp_path]) as marks:
        assert seen(marks) == {tmp_path: SAME, folder: SAME, file: hashlib.sha256(b"abc").hexdigest()}
        # Another computer has a folder of its own under that name.
        marks[folder].unlink()
        assert seen(marks)[folder] == content(folder)
    assert {one.name for one in tmp_path.iterdir()} == {"tagger", "folder"} and not list(folder.iterdir())


def test_a_folder_that_cannot_be_written_is_known_by_its_content_unless_it_is_the_first(tmp_path):
    none = tmp_path / "none"
    with marked([tmp_path, none]) as marks:
        assert marks[none] is None and seen(marks)[none] is None
    with pytest.raises(FileNotFoundError), marked([none]):
        pass


MAP, REVIEW = "labels/final/ct.nii", ".osln/review.json"


def a_store(folder):
    """Weights, an image, a packed label map, and what lies in a hidden folder."""
    (folder / ".osln").mkdir(parents=True)
    (folder / "published.json").write_text('{"ct": "a"}')
    (folder / "ct.nii").write_bytes(bytes(100))
    (folder / "label.nii.gz").write_bytes(gzip.compress(np.arange(9).tobytes(), mtime=0))
    (folder / ".osln" / "splits.json").write_text("{}")
    (folder / "labels" / "final").mkdir(parents=True)
    (folder / MAP).write_bytes(b"1" + bytes(2 * END_BYTES))
    (folder / REVIEW).write_text('["accepted"]' + " " * END_BYTES)
    return folder


@pytest.mark.parametrize(
    ("change", "seen_as_another"),
    [
        (lambda folder: (folder / "published.json").write_text('{"ct": "b"}'), True),
        (lambda folder: (folder / ".osln" / "splits.json").write_text("[]"), True),
        (lambda folder: (folder / "ct.nii").rename(folder / "pet.nii"), True),
        (lambda folder: (folder / "ct.nii").unlink(), True),
        (lambda folder: (folder / "pet.nii").touch(), True),
        # Another node far from the end of a map that is not packed, and the decision about it.
        (
            lambda folder: (folder / MAP).write_bytes(b"2" + bytes(2 * END_BYTES)),
            True,
        ),
        (
            lambda folder: (folder / REVIEW).write_text('["rejected"]' + " " * END_BYTES),
            True,
        ),
        (lambda folder: FinalCopy(folder / "labels/final/one.nii.gz").place_before(2).touch(), True),
        (lambda folder: (folder / "labels" / "final" / ".one.nii.gz.0a1b").touch(), False),
        (lambda folder: (folder / ".training.lock").touch(), False),
        (lambda folder: os.utime(folder / "ct.nii", (0, 0)), False),
        (lambda folder: os.mkfifo(folder / ".pipe"), False),
        (lambda folder: os.mkfifo(folder / "pipe"), True),
    ],
)
def test_two_folders_of_equal_content_count_as_one_and_others_do_not(tmp_path, change, seen_as_another):
    one, other = (a_store(tmp_path / name) for name in ("one", "other"))
    assert content(one) == content(other)
    change(other)
    assert (content(one) != content(other)) == seen_as_another


def test_of_a_large_file_its_size_and_its_end_are_looked_at(tmp_path, monkeypatch):
    """The end of a packed file holds the checksum of all of it."""
    monkeypatch.setattr(shared, "END_BYTES", 8)
    found = {}
    for name, voxels in {"one": b"abcdefgh", "two": b"abcdefgh", "three": b"Xbcdefgh"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "label.nii.gz").write_bytes(gzip.compress(voxels, mtime=0))
        found[name] = content(tmp_path / name)
    assert found["one"] == found["two"] != found["three"]
