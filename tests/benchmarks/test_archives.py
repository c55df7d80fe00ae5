"""Archives are unpacked by every Python that is supported."""

import tarfile

import pytest

from benchmarks.archives import unpack


@pytest.mark.parametrize("old", [False, True])
def test_an_archive_is_unpacked_with_and_without_the_filter_of_newer_python(tmp_path, monkeypatch, old):
    (tmp_path / "one.txt").write_text("1")
    with tarfile.open(tmp_path / "packed.tar.xz", "w:xz") as packed:
        packed.add(tmp_path / "one.txt", "folder/one.txt")
    extractall = tarfile.TarFile.extractall
    if old:
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
        monkeypatch.setattr(tarfile.TarFile, "extractall", lambda packed, folder: extractall(packed, folder))
    unpack(tmp_path / "packed.tar.xz", tmp_path / "out")
    assert (tmp_path / "out" / "folder" / "one.txt").read_text() == "1"
