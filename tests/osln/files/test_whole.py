"""Files come whole, and never in the place of what is no file."""

import os

import pytest

from osln.files.whole import MEANWHILE, name_before, put_aside, write_atomically


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


def test_what_was_put_aside_stays_and_tells_its_former_name(tmp_path):
    named = []
    for content in (b"one", b"two"):
        (tmp_path / "p1.nii").write_bytes(content)
        named.append(put_aside(tmp_path / "p1.nii"))
    assert [path.name for path in named] == ["p1.nii.unreadable", "p1.nii.unreadable-2"]
    assert [path.read_bytes() for path in named] == [b"one", b"two"]
    assert {name_before(path.name) for path in named} == {"p1.nii"}
    (tmp_path / "p1.nii").write_bytes(b"three")
    came = put_aside(tmp_path / "p1.nii", MEANWHILE)
    assert (came.name, name_before(came.name)) == ("p1.nii.meanwhile", "p1.nii")
    assert name_before("p1.unreadable.nii") == "p1.unreadable.nii"
