"""Series that are made when they are asked for, and given up for others."""

import threading

import pytest

from osln.dicom.served import catalog
from osln.dicom.served.catalog import FolderImages, GoneError
from osln.imaging.grid import Volume
from small.store import make_case


@pytest.fixture
def images(tmp_path):
    for case in ("one", "two", "three"):
        make_case(tmp_path, case)
    return FolderImages(tmp_path)


def counted(monkeypatch):
    """Counts the files that are read."""
    read, real = [], catalog.read_image

    def reading(case: str, what: str, path) -> Volume:
        read.append((case, what))
        return real(case, what, path)

    monkeypatch.setattr(catalog, "read_image", reading)
    return read


def test_a_series_is_read_once_and_again_when_it_was_given_up(images, monkeypatch):
    read = counted(monkeypatch)
    for case in ("one", "one", "two", "three", "two"):
        files, _ = images.shown(case)
        assert len(files) == 2
    assert sorted(read) == sorted((case, what) for case in ("one", "two", "three") for what in ("CT", "PET"))

    images.shown("one")

    assert read.count(("one", "CT")) == 2 and len(images.cache) == catalog.KEPT_SERIES


def test_memory_is_bounded_but_what_is_asked_for_is_kept(images, monkeypatch):
    monkeypatch.setattr(catalog, "KEPT_BYTES", 1)
    read = counted(monkeypatch)

    first = images.cache.get(images.files("one")[0])
    assert images.cache.get(images.files("one")[0]) is first
    images.cache.get(images.files("two")[0])

    assert len(images.cache) == 1 and read == [("one", "CT"), ("two", "CT")]


def test_many_requests_at_once_read_the_file_once(images, monkeypatch):
    read = counted(monkeypatch)
    file = images.files("one")[0]
    threads = [threading.Thread(target=images.cache.get, args=(file,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert read == [("one", "CT")]


def test_a_file_that_changes_while_it_is_read_is_not_shown_as_the_former_one(images, tmp_path):
    file = images.files("one")[0]
    make_case(tmp_path, "one", faint=True)

    with pytest.raises(GoneError, match="the CT of case one has changed since it was opened"):
        images.cache.get(file)


def test_a_file_that_vanishes_is_told(images, tmp_path):
    file = images.files("one")[1]
    file.path.unlink()

    with pytest.raises(GoneError, match="the PET of case one is not there any more"):
        images.cache.get(file)
    assert [one.modality for one in images.shown("one")[0]] == ["CT"]


def test_a_failure_is_not_kept(images, tmp_path):
    file = images.files("one")[0]
    whole = file.path.read_bytes()
    file.path.write_bytes(b"")
    with pytest.raises((GoneError, ValueError)):
        images.cache.get(file)
    file.path.write_bytes(whole)

    assert len(images.cache.get(images.files("one")[0])) == 24


def test_images_are_counted_without_reading_them(images, monkeypatch):
    read = counted(monkeypatch)

    assert [images.count(file) for file in images.files("one")] == [24, 18]
    assert read == []
