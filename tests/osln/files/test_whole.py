"""Files come whole, and never in the place of what is no file."""

import os

import pytest

from osln.files.whole import write_atomically


def test_a_file_does_not_come_in_the_place_of_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(ValueError, match="is no file that could be written anew: name another one"):
            write_atomically(path, b"new")
    assert (tmp_path / "pipe").is_fifo() and [one.name for one in tmp_path.iterdir()] == ["pipe"]


def test_what_a_link_leads_to_stays(tmp_path):
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_atomically(tmp_path / "link", b"new")
    assert (tmp_path / "real").read_bytes() == b"old" and (tmp_path / "link").read_bytes() == b"new"
