"""Room for the images of a mirror: who gives way, and who does not."""

import os
import time

import pytest
from filelock import FileLock

from osln.pacs.room import Room


@pytest.fixture
def room(tmp_path):
    """Three cases of 1000 bytes CT and 500 bytes PET, of which 2000 are allowed; "a" was used first."""
    for age, case in ((3000, "a"), (2000, "b"), (1000, "c")):
        for folder, size in (("", 1000), ("pet", 500), ("labels/final", 100)):
            path = tmp_path / folder / f"{case}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x" * size)
        os.utime(tmp_path / f"{case}.nii.gz", (time.time() - age,) * 2)
    return Room(tmp_path, 2e-6)


def left(room):
    return sorted(path.name[0] for path in room.root.glob("*.nii.gz"))


def test_least_recently_used_images_give_way_until_the_rest_fits(room):
    assert room.size() == 4500
    assert room.make() == ["a", "b"]

    assert left(room) == ["c"] and room.size() == 1500
    assert len(list((room.root / "labels" / "final").iterdir())) == 3, "labels stay"
    assert room.make() == []


def test_case_that_is_used_now_or_was_a_moment_ago_stays(room):
    with room.using("a"):
        pass
    with FileLock(room.root / ".osln" / "pacs" / "locks" / "b.lock"):
        assert room.make() == ["c"]
    assert left(room) == ["a", "b"]


def test_held_cases_stay_until_their_holder_ends(room):
    with room.holding(["a", "c"]):
        assert room.make() == ["b"]
    assert room.make() == ["a"]


def test_what_a_killed_process_held_is_free(room):
    held = room.root / ".osln" / "pacs" / "held"
    held.mkdir(parents=True)
    (held / "1-dead.json").write_text('["a", "b", "c"]')

    assert room.make() == ["a", "b"] and not list(held.glob("*.json"))
