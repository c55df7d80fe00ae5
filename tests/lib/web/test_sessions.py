"""Sessions stay inside the store, and their ids are never paths."""

import json

import pytest
from fastapi import HTTPException

from lib.web.sessions import OslnSessions
from small.store import ct, write


@pytest.fixture
def sessions(tmp_path):
    return OslnSessions(tmp_path / "store")


def test_an_image_is_kept_inside_the_store_under_a_plain_name(sessions, tmp_path):
    identity, info = sessions.add_session(str(write(tmp_path / "up" / "my ct.nii.gz", ct())))
    folder = tmp_path / "store" / ".cache" / "sessions" / identity
    assert info.image == str(folder / "image.nii.gz")
    assert sessions.get_session(identity).image == info.image


@pytest.mark.parametrize("identity", ["..", "../..", "", ".", "/etc", "x", "A" * 36])
def test_ids_that_are_no_session_ids_find_and_remove_nothing(sessions, tmp_path, identity):
    (tmp_path / "store" / ".cache" / "sessions").mkdir(parents=True)
    (tmp_path / "store" / ".cache" / "meta.info").write_text(json.dumps({"image": "/etc/passwd"}))
    assert sessions.get_session(identity) is None
    sessions.remove_session(identity)
    assert (tmp_path / "store" / ".cache" / "meta.info").exists()


@pytest.mark.parametrize("name", ["meta.info", "image.txt", "archive.zip"])
def test_files_that_are_no_images_are_refused(sessions, tmp_path, name):
    (tmp_path / name).write_bytes(b"text")
    with pytest.raises(HTTPException) as caught:
        sessions.add_session(str(tmp_path / name))
    assert caught.value.status_code == 422


def test_archives_and_folders_are_refused(sessions, tmp_path):
    path = write(tmp_path / "up" / "a.nii.gz", ct())
    with pytest.raises(HTTPException, match="archives are not unpacked"):
        sessions.add_session(str(path), uncompress=True)
    with pytest.raises(HTTPException, match="a session holds one image"):
        sessions.add_session(str(path.parent))


def test_unused_and_incomplete_sessions_end(sessions, tmp_path):
    kept, _ = sessions.add_session(str(write(tmp_path / "up" / "a.nii.gz", ct())))
    old, info = sessions.add_session(str(write(tmp_path / "up" / "b.nii.gz", ct())))
    info.last_access_ts -= 10**6
    sessions._write_meta_info(old, info)
    (tmp_path / "store" / ".cache" / "sessions" / "00000000-0000-0000-0000-000000000000").mkdir()
    assert sessions.remove_expired() == 2
    assert sessions.get_session(old) is None
    assert sessions.get_session(kept) is not None
