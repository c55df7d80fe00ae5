"""Labels that somebody has put into the store past the server, and revisions that come from a backup."""

import errno
import gzip
import shutil

import pytest

from osln.store import revisions as revisions_module
from osln.store.final_copy import FinalCopy
from osln.store.revisions import DiskFullError, Revisions
from small.revisions import (
    ONE,
    PLAIN,
    REVIEW,
    THREE,
    TWO,
    each_kill,
    forget,
    label,
    refuse_copies,
    refusing_for,
    submit,
    voxels_of,
)


@pytest.fixture
def kept(tmp_path):
    return Revisions(tmp_path / ".osln" / "case", tmp_path / "labels" / "final" / "case.nii.gz")


def test_a_label_copied_over_the_final_file_becomes_a_revision_of_its_own(kept):
    submit(kept, ONE)
    kept.final.write_bytes(TWO)
    submit(kept, THREE)
    assert [(r.revision, r.source) for r in kept.history()] == [
        (3, "submission"),
        (2, "external"),
        (1, "submission"),
    ]
    assert kept.path(2).read_bytes() == TWO


def test_a_label_that_was_there_before_any_revision_is_adopted(kept):
    kept.final.parent.mkdir(parents=True)
    kept.final.write_bytes(ONE)
    with kept.lock():
        adopted = kept.settle()
        assert kept.settle() is None
    assert (adopted.revision, adopted.source) == (1, "external")


def test_an_uncompressed_label_is_adopted_compressed_and_leaves_no_twin(kept):
    plain = kept.final.with_name("case.nii")
    plain.parent.mkdir(parents=True)
    plain.write_bytes(PLAIN)
    with kept.lock():
        kept.settle()
    assert gzip.decompress(kept.path(1).read_bytes()) == PLAIN
    assert gzip.decompress(kept.final.read_bytes()) == PLAIN
    assert not plain.exists()


def test_of_twin_files_both_are_kept_and_the_compressed_one_stays_final(kept):
    submit(kept, ONE)
    kept.final.with_name("case.nii").write_bytes(PLAIN)
    with kept.lock():
        kept.settle()
    assert [r.source for r in kept.history()] == ["external", "external", "submission"]
    assert gzip.decompress(kept.path(2).read_bytes()) == PLAIN
    assert kept.final.read_bytes() == ONE


@pytest.mark.parametrize("failing_write", range(1, 8))
def test_a_full_disk_while_twins_are_taken_up_leaves_all_as_it_was(kept, monkeypatch, failing_write):
    before = submit(kept, ONE, review=REVIEW)
    kept.final.with_name("case.nii").write_bytes(PLAIN)
    there = sorted(kept.folder.parents[1].rglob("*"))
    real, calls = revisions_module.write_atomically, []

    def write(path, data):
        calls.append(path)
        if len(calls) == failing_write:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, data)

    with monkeypatch.context() as patch, kept.lock():
        patch.setattr(revisions_module, "write_atomically", write)
        with pytest.raises(DiskFullError):
            kept.settle()
    assert len(calls) == failing_write
    assert kept.history() == [before] and sorted(kept.folder.parents[1].rglob("*")) == there
    assert kept.final.read_bytes() == ONE
    with kept.lock():
        head = kept.settle()
    assert (head.restored_from, head.complete, kept.review(head.revision)) == (1, False, REVIEW)
    assert kept.final.read_bytes() == ONE


FOUND = {
    "two before any revision": (0, False, {"case.nii.gz": THREE, "case.nii": PLAIN}, 3),
    "two beside a head": (1, False, {"case.nii.gz": THREE, "case.nii": PLAIN}, 3),
    "a twin of the head": (1, False, {"case.nii": PLAIN}, 1),
    "a twin of a first label that waits": (1, True, {"case.nii": PLAIN}, 1),
    "a twin of one that waits": (2, True, {"case.nii": PLAIN}, 2),
    "two while one waits": (2, True, {"case.nii.gz": THREE, "case.nii": PLAIN}, 3),
    "a twin of one from a backup": (2, False, {"case.nii.gz": ONE, "case.nii": PLAIN}, 1),
}
"""Revisions there are, whether the newest waits, what somebody has put there, and what is the label then."""


@pytest.mark.parametrize("found", FOUND)
def test_a_kill_while_found_labels_are_taken_up_loses_none_and_shows_the_same_one(kept, monkeypatch, found):
    revisions, waits, files, shown = FOUND[found]
    kept.final.parent.mkdir(parents=True)
    for number in range(1, revisions + 1):
        with monkeypatch.context() as patch:
            if waits and number == revisions:
                refuse_copies(patch)
            submit(kept, (ONE, TWO)[number - 1])
    for name, content in files.items():
        kept.final.with_name(name).write_bytes(content)
    labels, _ = voxels_of(kept)
    kills = 0
    for killed in each_kill(kept, monkeypatch, Revisions.settle):
        kills += 1
        left = Revisions(killed.folder, killed.final)
        with left.lock():
            left.settle()
            assert left.settle() is None
        assert voxels_of(left) == (labels, shown)
        assert [path.name for path in left.final.parent.glob("[!.]*")] == ["case.nii.gz"]
    assert kills >= 12


def test_a_twin_that_cannot_be_removed_is_taken_up_once_and_hinders_no_submission(kept, monkeypatch):
    submit(kept, ONE)
    plain = kept.final.with_name("case.nii")
    plain.write_bytes(PLAIN)
    refusing_for(monkeypatch, plain)
    for _ in range(3):
        with kept.lock():
            kept.settle()
        assert [one.revision for one in kept.history()] == [3, 2, 1]
    assert kept.remarks == [
        "final/case.nii could not be removed (Operation not permitted): it is kept as a revision, and "
        "programs confuse it with case.nii.gz; take it away."
    ]
    assert submit(kept, TWO).revision == 4 and plain.read_bytes() == PLAIN
    with kept.lock():
        assert kept.settle() is None
    assert kept.final.read_bytes() == TWO


def test_a_left_over_copy_that_cannot_be_removed_hinders_no_submission(kept, monkeypatch):
    left_over = kept.final.with_name(".case.nii.gz.0001.next")
    left_over.parent.mkdir(parents=True)
    left_over.write_bytes(b"x")
    refusing_for(monkeypatch, left_over)
    # Its number is taken: the copy of a revision 1 would have this name.
    assert submit(kept, ONE).revision == 2
    assert kept.final.read_bytes() == ONE and left_over.read_bytes() == b"x"
    assert kept.remarks == [
        "final/.case.nii.gz.0001.next could not be removed (Operation not permitted): it is left over and of "
        "no use; take it away."
    ]


@pytest.fixture
def rewound(kept, tmp_path):
    """A backup of `.osln` was unpacked over revision 2 of Ben's, in part, and 3 of Anna's: the head is 1."""
    submit(kept, ONE)
    shutil.copytree(tmp_path / ".osln", tmp_path / "backup")
    submit(kept, TWO, by="ben", node_map=THREE, review=REVIEW)
    submit(kept, BACKUPS["the file"][1], by="anna", node_map=TWO, review=REVIEW | {"seconds": 9.0})
    shutil.copytree(tmp_path / "backup", tmp_path / ".osln", dirs_exist_ok=True)
    assert kept.head().revision == 1
    return kept


@pytest.mark.parametrize("head", ["an older one", "none"])
@pytest.mark.parametrize("form", ["the file", "packed again", "uncompressed"])
def test_where_the_head_came_from_a_backup_the_label_that_lies_there_is_the_head_again(rewound, form, head):
    name, data = BACKUPS[form]
    rewound.final.unlink()
    rewound.final.with_name(name).write_bytes(data)
    if head == "none":
        (rewound.folder / "head.json").unlink()
    assert rewound.lying().revision == 3
    with rewound.lock():
        assert rewound.settle().revision == 3
        assert rewound.settle() is None
    assert [(one.revision, one.by, one.complete) for one in rewound.history()] == [
        (3, "anna", False),
        (2, "ben", False),
        (1, "anna", None),
    ]
    assert rewound.review(3)["seconds"] == 9.0 and rewound.node_map(3).read_bytes() == TWO
    assert [path.name for path in rewound.final.parent.iterdir()] == ["case.nii.gz"]


def test_of_revisions_with_the_same_label_a_head_from_a_backup_goes_forward_to_the_newest(kept, tmp_path):
    submit(kept, ONE)
    shutil.copytree(tmp_path / ".osln", tmp_path / "backup")
    submit(kept, ONE, by="ben", node_map=THREE, review=REVIEW)
    shutil.copytree(tmp_path / "backup", tmp_path / ".osln", dirs_exist_ok=True)
    assert kept.head().revision == 1 and kept.lying().by == "ben"
    with kept.lock():
        assert kept.settle().revision == 2
        assert kept.settle() is None
    assert kept.head().by == "ben" and kept.node_map(2).read_bytes() == THREE


def test_a_label_that_history_has_lost_comes_back_with_all_that_belongs_to_it_and_its_author(rewound):
    rewound.final.unlink()
    assert submit(rewound, THREE).base == 1
    rewound.final.write_bytes(TWO)
    assert rewound.lying().by == "ben"
    with rewound.lock():
        rewound.settle()
    head = rewound.head()
    assert (head.revision, head.base, head.by, head.source, head.complete) == (5, 4, "ben", "external", False)
    assert (head.restored_from, rewound.review(5)) == (2, REVIEW)
    assert rewound.node_map(5).read_bytes() == THREE and rewound.lying() == head


def test_a_lost_revision_whose_file_or_description_is_damaged_is_not_made_the_head(rewound):
    rewound.path(1).with_name("0003.nii.gz").write_bytes(b"half")
    with rewound.lock():
        head = rewound.settle()
    assert (head.revision, head.base, head.by, head.complete) == (4, 1, "anna", False)
    assert rewound.path(4).read_bytes() == rewound.final.read_bytes()
    for name in ("0002.json", "0003.json"):
        (rewound.folder / name).write_text("{")
    rewound.final.write_bytes(TWO)
    with rewound.lock():
        assert rewound.settle().by == "unknown"


@pytest.mark.parametrize("numbered", [False, True])
def test_a_twin_takes_nothing_from_the_head_that_stays(kept, numbered):
    sent = {"label_info": [{"name": "node", "idx": 1}], "counts": {"nodes": 2}, "images": "of the CT"}
    before = submit(kept, ONE, node_map=THREE, numbered=numbered, review=REVIEW, **sent)
    kept.final.with_name("case.nii").write_bytes(PLAIN)
    with kept.lock():
        kept.settle()
    head = kept.head()
    assert (head.revision, head.base, head.restored_from, head.by, head.source) == (
        3,
        2,
        1,
        "unknown",
        "external",
    )
    assert (head.complete, head.seconds, head.counts) == (False, 7.5, {"nodes": 2, "undecided": 0})
    assert (head.label_info, head.images, head.sha256) == (sent["label_info"], "of the CT", before.sha256)
    assert kept.review(3) == REVIEW
    assert kept.node_map(3).read_bytes() == THREE
    assert kept.node_map(3).name.split(".", 1)[1] == kept.node_map(1).name.split(".", 1)[1]
    assert (kept.review(2), kept.node_map(2), kept.history()[1].complete) == (None, None, None)


BACKUPS = {
    "the file": ("case.nii.gz", gzip.compress(PLAIN, mtime=1)),
    "packed again": ("case.nii.gz", gzip.compress(PLAIN, mtime=2)),
    "uncompressed": ("case.nii", PLAIN),
}
"""What a revision of the bytes `BACKUPS["the file"][1]` may come back as."""


@pytest.mark.parametrize("former", [False, True])
@pytest.mark.parametrize("backup", BACKUPS)
def test_a_label_from_a_backup_comes_back_with_all_that_belongs_to_it(kept, backup, former):
    name, data = BACKUPS[backup]
    submit(kept, BACKUPS["the file"][1], node_map=THREE, review=REVIEW, counts={"nodes": 2})
    if former:
        forget(kept, 1, "unpacked_sha256")
    submit(kept, TWO, node_map=ONE, review=REVIEW | {"complete": True, "undecided": "rejected"})
    kept.final.unlink()
    kept.final.with_name(name).write_bytes(data)
    assert kept.lying().revision == 1
    with kept.lock():
        assert kept.settle() == kept.head()
    head = kept.head()
    assert (head.revision, head.base, head.restored_from, head.source, head.by) == (
        3,
        2,
        1,
        "external",
        "unknown",
    )
    assert (head.complete, head.counts, kept.lying()) == (False, {"nodes": 2, "undecided": 0}, head)
    assert (kept.review(3), kept.node_map(3).read_bytes()) == (REVIEW, THREE)
    assert gzip.decompress(kept.final.read_bytes()) == PLAIN
    assert [path.name for path in kept.final.parent.iterdir()] == ["case.nii.gz"]


@pytest.mark.parametrize("backup", BACKUPS)
def test_the_newest_label_from_a_backup_is_the_newest_label_and_no_new_revision(kept, backup):
    name, data = BACKUPS[backup]
    submit(kept, ONE)
    head = submit(kept, BACKUPS["the file"][1])
    kept.final.unlink()
    kept.final.with_name(name).write_bytes(data)
    assert kept.lying() == head
    with kept.lock():
        assert kept.settle() is None
    assert kept.head() == kept.lying() == head
    assert gzip.decompress(kept.final.read_bytes()) == PLAIN
    assert [path.name for path in kept.final.parent.iterdir()] == ["case.nii.gz"]


def test_of_revisions_with_the_same_voxels_the_one_of_the_same_file_comes_back_else_the_newest(kept):
    packed = [gzip.compress(PLAIN, mtime=mtime) for mtime in (1, 2, 3)]
    for data in (*packed[:2], ONE):
        submit(kept, data)
    assert [kept.revision_of(data).revision for data in (*packed, PLAIN)] == [1, 2, 2, 2]
    assert kept.revision_of(TWO) is None and kept.revision_of(packed[0][:-9]) is None


def test_the_newest_label_uncompressed_beside_its_compressed_copy_is_taken_away(kept):
    head = submit(kept, BACKUPS["the file"][1])
    kept.final.with_name("case.nii").write_bytes(PLAIN)
    with kept.lock():
        assert kept.settle() is None
    assert kept.history() == [head]
    assert [path.name for path in kept.final.parent.iterdir()] == ["case.nii.gz"]


def test_a_label_from_a_backup_is_what_it_is_although_its_revision_was_damaged(kept):
    submit(kept, ONE)
    submit(kept, TWO)
    kept.path(1).write_bytes(b"damaged")
    kept.final.write_bytes(ONE)
    with kept.lock():
        kept.settle()
    assert kept.final.read_bytes() == kept.path(3).read_bytes() == ONE


def meanwhile(name):
    return (
        f"Somebody put {name} there meanwhile; it is kept as {name}.meanwhile: look at it, and rename it to "
        f"{name} if it is to be the newest label."
    )


@pytest.mark.parametrize("first", [False, True])
def test_a_label_that_is_copied_in_while_one_is_stored_is_kept_under_another_name(kept, first):
    if not first:
        submit(kept, ONE)
    with kept.lock():
        kept.settle()
        kept.final.parent.mkdir(parents=True, exist_ok=True)
        kept.final.write_bytes(THREE)
        kept.submit(TWO, by="anna", source="submission")
    assert kept.final.read_bytes() == TWO and kept.remarks == [meanwhile("case.nii.gz")]
    aside = kept.final.with_name("case.nii.gz.meanwhile")
    assert aside.read_bytes() == THREE
    aside.rename(kept.final)
    with kept.lock():
        assert kept.settle().source == "external"


def test_what_is_known_to_lie_there_is_not_kept_aside(kept):
    with kept.lock():
        kept.settle()
        for data in (ONE, TWO, THREE):
            kept.submit(data, by="anna", source="submission")
    assert kept.remarks == [] and [path.name for path in kept.final.parent.iterdir()] == ["case.nii.gz"]


@pytest.mark.parametrize("name", ["case.nii.gz", "case.nii"])
def test_a_label_that_is_copied_in_while_one_is_removed_is_kept_under_another_name(kept, name):
    submit(kept, ONE)
    with kept.lock():
        kept.settle()
        kept.final.with_name(name).write_bytes(b"of somebody")
        kept.remove_final()
    assert [path.name for path in kept.final.parent.iterdir()] == [f"{name}.meanwhile"]
    assert kept.remarks == [meanwhile(name)]


def test_a_twin_that_is_written_anew_while_it_is_taken_up_stays(kept, monkeypatch):
    plain, real = kept.final.with_name("case.nii"), FinalCopy.remove_plain
    plain.parent.mkdir(parents=True)
    plain.write_bytes(PLAIN)

    def remove_plain(copy):
        plain.write_bytes(label(6))
        return real(copy)

    with monkeypatch.context() as patch, kept.lock():
        patch.setattr(FinalCopy, "remove_plain", remove_plain)
        kept.settle()
    assert plain.read_bytes() == label(6)
    with kept.lock():
        kept.settle()
    assert voxels_of(kept) == ({5, 6}, 5) and not plain.exists()
