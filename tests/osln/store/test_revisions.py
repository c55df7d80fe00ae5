"""Revisions of a label: what is kept, in which order it is written, what a failure leaves behind."""

import errno
import gzip
import itertools
import json
import os
import shutil
import threading
from datetime import datetime, timezone
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from osln.store import revisions as revisions_module
from osln.store.final_copy import FinalCopy
from osln.store.layout import label_file
from osln.store.revision import time_of
from osln.store.revisions import ConflictError, DiskFullError, Revisions
from osln.store.settling import settle_interrupted


def label(value):
    """The bytes of a small NIfTI file."""
    return nib.Nifti1Image(np.full((2, 2, 2), value, np.uint8), np.eye(4)).to_bytes()


ONE, TWO, THREE = (gzip.compress(label(value), mtime=0) for value in (1, 2, 3))
PLAIN = label(5)
REVIEW = {"complete": False, "undecided": "unknown", "seconds": 7.5, "candidates": []}


@pytest.fixture
def kept(tmp_path):
    return Revisions(tmp_path / ".osln" / "case", tmp_path / "labels" / "final" / "case.nii.gz")


def submit(kept, data, **options):
    with kept.lock():
        kept.settle()
        return kept.submit(data, by=options.pop("by", "anna"), source="submission", **options)


def test_before_the_first_submission_there_is_no_head_and_no_history(kept):
    assert kept.head() is None
    assert kept.history() == []


def test_a_submission_never_erases_the_one_before(kept):
    submit(kept, ONE, by="anna", counts={"nodes": 2})
    second = submit(kept, TWO, by="ben")
    assert [(r.revision, r.by, r.base) for r in kept.history()] == [(2, "ben", 1), (1, "anna", None)]
    assert kept.path(1).read_bytes() == ONE
    assert kept.path(2).read_bytes() == TWO
    assert kept.final.read_bytes() == TWO
    assert kept.head() == second
    assert kept.history()[1].counts == {"nodes": 2}
    assert second.at.endswith("+00:00")


def test_an_outdated_base_revision_is_refused_and_names_who_was_faster(kept):
    submit(kept, ONE)
    submit(kept, TWO, by="ben", expected=1)
    with pytest.raises(ConflictError, match="revision 2 was stored by ben"):
        submit(kept, THREE, expected=1)
    assert kept.final.read_bytes() == TWO
    assert len(kept.history()) == 2


def test_expecting_no_revision_conflicts_with_an_existing_one(kept):
    submit(kept, ONE, expected=0)
    with pytest.raises(ConflictError):
        submit(kept, TWO, expected=0)


@pytest.mark.parametrize("failing_write", [1, 2, 3, 4, 5, 6])
def test_a_full_disk_leaves_head_final_and_folder_as_they_were(kept, monkeypatch, failing_write):
    submit(kept, ONE)
    before = sorted(path.name for path in kept.folder.iterdir())
    real, calls = revisions_module.write_atomically, []

    def write(path, data):
        calls.append(path)
        if len(calls) == failing_write:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, data)

    monkeypatch.setattr(revisions_module, "write_atomically", write)
    with pytest.raises(DiskFullError, match="former label is untouched"):
        submit(kept, TWO, node_map=THREE, review=REVIEW)
    assert len(calls) == failing_write
    monkeypatch.undo()
    assert kept.head().revision == 1
    assert kept.final.read_bytes() == ONE
    assert sorted(path.name for path in kept.folder.iterdir()) == before
    assert [path.name for path in kept.final.parent.iterdir()] == ["case.nii.gz"]


def test_a_crash_after_the_head_was_written_is_finished_by_the_next_visit(kept, monkeypatch):
    submit(kept, ONE)
    monkeypatch.setattr(Revisions, "_publish", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        submit(kept, TWO)
    monkeypatch.undo()
    assert kept.head().revision == 2
    assert kept.final.read_bytes() == ONE
    with kept.lock():
        assert kept.settle() is None
    assert kept.final.read_bytes() == TWO
    assert [r.revision for r in kept.history()] == [2, 1]


def refuse_copies(patch):
    """No copy can be put in place."""
    patch.setattr(FinalCopy, "publish", lambda self: (_ for _ in ()).throw(OSError(5, "I/O error")))


class Killed(BaseException):
    """The process is no more."""


def each_kill(kept, monkeypatch, act):
    """The revisions after `act` was killed at its first operation on files, its second and so on."""
    root = kept.folder.parents[1]
    for last in itertools.count(1):
        copy = shutil.copytree(root, root.with_name(f"{root.name}-{last}"))
        killed, operations = Revisions(copy / ".osln" / "case", copy / "labels/final/case.nii.gz"), []

        def dying(operation, last=last, operations=operations):
            def run(*arguments, **options):
                operations.append(operation)
                if len(operations) >= last:
                    raise Killed
                return operation(*arguments, **options)

            return run

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", dying(lambda _: None))
            for name in ("replace", "rename", "unlink"):
                patch.setattr(Path, name, dying(getattr(Path, name)))
            try:
                with killed.lock():
                    act(killed)
                return
            except Killed:
                pass
        yield killed


def voxels_of(kept):
    """The values of all labels that are kept or lie there, and of the one that others read (None: none)."""
    folder = kept.final.parent
    files = [kept.path(one.revision) for one in kept.history()] + [*folder.glob("[!.]*")]
    contents = [path.read_bytes() for path in files]
    unpacked = [gzip.decompress(one) if one[:2] == b"\x1f\x8b" else one for one in contents]
    shown = gzip.decompress(kept.final.read_bytes())[-1] if kept.final.is_file() else None
    return {one[-1] for one in unpacked}, shown


def refusing_for(monkeypatch, *paths):
    """The paths can be neither replaced nor removed: immutable files, or those that are open elsewhere."""
    real_replace, real_unlink = Path.replace, Path.unlink

    def replace(path, target):
        if {path, Path(target)} & set(paths):
            raise PermissionError(errno.EPERM, "Operation not permitted")
        return real_replace(path, target)

    def unlink(path, missing_ok=False):
        if path in paths and path.exists():
            raise PermissionError(errno.EPERM, "Operation not permitted")
        return real_unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setattr(Path, "unlink", unlink)


@pytest.fixture
def pending(kept, monkeypatch):
    """Revision 2 is stored, and its copy was not put in place."""
    submit(kept, ONE)
    with monkeypatch.context() as patch:
        refuse_copies(patch)
        submit(kept, TWO)
    assert kept.final.read_bytes() == ONE
    return kept


def test_a_copy_that_was_not_put_in_place_is_told_and_is_put_there_at_the_start(pending):
    (told,) = pending.remarks
    assert told.startswith(
        "The newest label is stored, but final/case.nii.gz could not be replaced (I/O error)"
    )
    root = pending.folder.parents[1]
    assert settle_interrupted(root) == [("case", "final", pending.head())]
    assert pending.final.read_bytes() == TWO
    assert settle_interrupted(root) == []


@pytest.fixture
def refusing(monkeypatch):
    """No copy can be put in place."""
    refuse_copies(monkeypatch)


def test_where_no_copy_can_be_put_in_place_labels_are_stored_and_read_all_the_same(pending, refusing):
    submit(pending, THREE)
    with pending.lock():
        assert pending.settle() is None
    assert len(pending.remarks) == 1
    # The label of revision 1, two before the head, is nobody else's.
    assert pending.final.read_bytes() == ONE
    assert [one.revision for one in pending.history()] == [3, 2, 1]
    assert label_file(pending.folder.parents[1], "case", "final") == pending.path(3)


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_submission_that_fails_while_a_copy_waits_leaves_that_copy(pending, monkeypatch, failure):
    real, root = revisions_module.write_atomically, pending.folder.parents[1]

    def write(path, data):
        if path.name == "head.json":
            raise failure
        real(path, data)

    with monkeypatch.context() as patch:
        refuse_copies(patch)
        patch.setattr(revisions_module, "write_atomically", write)
        with pytest.raises((DiskFullError, KeyboardInterrupt)):
            submit(pending, THREE)
    assert label_file(root, "case", "final") == pending.path(2) and pending.lying() == pending.head()
    assert settle_interrupted(root) == [("case", "final", pending.head())]
    assert pending.final.read_bytes() == TWO and pending.head().revision == 2
    assert [path.name for path in pending.final.parent.iterdir()] == ["case.nii.gz"]


def test_a_copy_that_a_former_version_left_waiting_is_put_in_place(pending):
    (waiting,) = pending.final.parent.glob(".*")
    waiting.rename(waiting.with_name(".case.nii.gz.next"))
    root = pending.folder.parents[1]
    assert label_file(root, "case", "final") == pending.path(2)
    assert settle_interrupted(root) == [("case", "final", pending.head())]
    assert pending.final.read_bytes() == TWO


def test_a_label_that_waits_is_taken_away_with_the_one_that_lies_there(pending, refusing):
    with pending.lock():
        pending.settle()
        pending.remove_final()
    assert list(pending.final.parent.iterdir()) == [] and pending.lying() is None


def test_a_refused_removal_of_a_label_that_waits_changes_nothing(pending, monkeypatch):
    refusing_for(monkeypatch, pending.final)
    for _ in range(2):
        with pending.lock(), pytest.raises(PermissionError):
            pending.settle()
            pending.remove_final()
    assert pending.waiting() == pending.path(2) and len(pending.history()) == 2
    monkeypatch.undo()
    with pending.lock():
        assert pending.settle() is None
    assert pending.final.read_bytes() == TWO and pending.head().by == "anna"


def test_a_removal_that_is_killed_leaves_the_newest_label_until_its_last_step(pending, monkeypatch):
    def remove(kept):
        with monkeypatch.context() as patch:
            refuse_copies(patch)
            kept.settle()
        kept.remove_final()

    kills = 0
    for killed in each_kill(pending, monkeypatch, remove):
        kills += 1
        left = Revisions(killed.folder, killed.final)
        with left.lock():
            assert left.settle() is None
        assert left.final.read_bytes() == TWO and len(left.history()) == 2
    assert kills >= 3


def test_a_first_label_that_waits_is_taken_away_by_one_step(kept, monkeypatch):
    with monkeypatch.context() as patch:
        refuse_copies(patch)
        submit(kept, ONE)
        with kept.lock():
            kept.settle()
            kept.remove_final()
    with kept.lock():
        assert kept.settle() is None
    assert kept.lying() is None and list(kept.final.parent.iterdir()) == []


def test_a_twin_that_cannot_be_removed_keeps_the_label_from_being_removed(kept, monkeypatch):
    submit(kept, ONE)
    plain = kept.final.with_name("case.nii")
    plain.write_bytes(PLAIN)
    refusing_for(monkeypatch, plain)
    with kept.lock(), pytest.raises(PermissionError):
        kept.settle()
        kept.remove_final()
    assert kept.final.read_bytes() == ONE


def test_readers_take_the_heads_own_file_while_its_copy_waits(pending):
    root, folder = pending.folder.parents[1], pending.final.parent
    for tag, expected in (("final", pending.path(2)), ("gtv", None)):
        assert label_file(root, "case", tag) == expected
    # What somebody has put there is the label.
    pending.final.write_bytes(THREE)
    assert pending.waiting() is None and label_file(root, "case", "final") == folder / "case.nii.gz"
    pending.final.write_bytes(ONE)
    settle_interrupted(root)
    assert pending.waiting() is None and label_file(root, "case", "final") == folder / "case.nii.gz"


def test_the_first_label_is_read_while_its_copy_waits(kept, refusing):
    first = submit(kept, ONE)
    assert not kept.final.exists()
    assert kept.waiting() == kept.path(1) == label_file(kept.folder.parents[1], "case", "final")
    assert kept.lying() == first


def test_a_start_goes_on_although_one_label_cannot_be_settled(pending):
    (pending.folder / "head.json").write_text("[1, 2]")
    assert settle_interrupted(pending.folder.parents[1]) == []


@pytest.mark.parametrize("name", ["case.nii.gz", "case.nii"])
def test_a_label_copied_meanwhile_is_kept_beside_the_one_that_waits(pending, name):
    plain = name.endswith(".nii")
    pending.final.with_name(name).write_bytes(PLAIN if plain else THREE)
    with pending.lock():
        pending.settle()
    # Of twins the compressed one stays the head.
    sources = (
        ["external", "external", "submission", "submission"] if plain else ["external"] + 2 * ["submission"]
    )
    assert [one.source for one in pending.history()] == sources
    assert pending.final.read_bytes() == (TWO if plain else THREE)
    assert gzip.decompress(pending.path(3).read_bytes()) == (PLAIN if plain else label(3))
    assert [path.name for path in pending.final.parent.iterdir()] == ["case.nii.gz"]


@pytest.mark.parametrize("name", ["case.nii.gz", "case.nii"])
def test_half_a_file_becomes_no_revision_and_is_kept_aside_when_a_label_comes(kept, name):
    submit(kept, ONE)
    half = ONE[: len(ONE) // 2] if name.endswith(".gz") else PLAIN[:-3]
    kept.final.with_name(name).write_bytes(half)
    with kept.lock():
        assert kept.settle() is None
    assert kept.final.with_name(name).read_bytes() == half
    submit(kept, TWO)
    assert [one.source for one in kept.history()] == ["submission", "submission"]
    assert kept.final.read_bytes() == TWO
    assert kept.final.with_name(f"{name}.unreadable").read_bytes() == half
    assert f"{name} lay there and is no label; it is kept as {name}.unreadable" in kept.remarks[0]


def test_what_is_no_label_is_kept_aside_however_often_it_comes(kept):
    submit(kept, ONE)
    for half in (b"half", b"other", b"third"):
        kept.final.write_bytes(half)
        submit(kept, TWO)
    there = {path.name: path.read_bytes() for path in kept.final.parent.glob("*.unreadable*")}
    assert there == {
        "case.nii.gz.unreadable": b"half",
        "case.nii.gz.unreadable-2": b"other",
        "case.nii.gz.unreadable-3": b"third",
    }


@pytest.mark.parametrize("content", ["[1, 2]", "{}", '{"candidates": 1}', "{"])
def test_a_damaged_review_is_an_error_that_names_its_file(kept, content):
    submit(kept, ONE, review=REVIEW)
    (kept.folder / "0001.review.json").write_text(content)
    with pytest.raises(ValueError, match=r"0001\.review\.json is not a review .*restore it from a backup"):
        kept.review(1)


def test_a_review_is_written_before_the_head_and_belongs_to_its_revision_alone(kept, monkeypatch):
    real, names = revisions_module.write_atomically, []

    def write(path, data):
        names.append(path.name)
        real(path, data)

    monkeypatch.setattr(revisions_module, "write_atomically", write)
    first = submit(kept, ONE, node_map=THREE, review=REVIEW)
    assert names == [
        "0001.nodes.nii.gz",
        "0001.review.json",
        "0001.nii.gz",
        "0001.json",
        ".case.nii.gz.0001.next",
        "head.json",
    ]
    second = submit(kept, TWO)
    assert kept.review(1) == REVIEW and kept.review(2) is None
    assert (first.complete, first.seconds, second.complete, second.seconds) == (False, 7.5, None, None)


def test_a_review_of_an_interrupted_write_is_not_that_of_the_next_revision(kept, monkeypatch):
    real = revisions_module.write_atomically

    def write(path, data):
        if path.name == "head.json":
            raise KeyboardInterrupt
        real(path, data)

    monkeypatch.setattr(revisions_module, "write_atomically", write)
    with pytest.raises(KeyboardInterrupt):
        submit(kept, ONE, review=REVIEW)
    monkeypatch.undo()
    head = submit(kept, ONE)
    assert (head.revision, kept.review(head.revision)) == (2, None)


def test_revisions_of_former_versions_are_read_without_what_they_did_not_say(kept):
    submit(kept, ONE)
    forget(kept, 1, "changes", "complete", "seconds", "restored_from", "unpacked_sha256")
    head = kept.head()
    assert (head.changes, head.complete, head.seconds, head.restored_from) == (None, None, None, None)


def test_a_crash_before_the_head_was_written_leaves_the_former_head(kept, monkeypatch):
    submit(kept, ONE)
    real = revisions_module.write_atomically

    def write(path, data):
        if path.name == "head.json":
            raise KeyboardInterrupt
        real(path, data)

    monkeypatch.setattr(revisions_module, "write_atomically", write)
    with pytest.raises(KeyboardInterrupt):
        submit(kept, TWO)
    monkeypatch.undo()
    submit(kept, THREE)
    assert kept.final.read_bytes() == THREE
    assert [(r.revision, r.base) for r in kept.history()] == [(3, 1), (1, None)]


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


def forget(kept, number, *keys):
    """Takes keys out of what is told of a revision, as former versions told it."""
    for name in (f"{number:04d}.json", "head.json"):
        told = json.loads((kept.folder / name).read_text())
        if told["revision"] == number:
            left = {key: value for key, value in told.items() if key not in keys}
            (kept.folder / name).write_text(json.dumps(left))


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


def test_removing_the_final_file_keeps_the_revisions(kept):
    submit(kept, ONE)
    with kept.lock():
        kept.remove_final()
    assert not kept.final.exists()
    assert kept.path(1).read_bytes() == ONE
    submit(kept, TWO)
    assert [r.revision for r in kept.history()] == [2, 1]


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


def test_an_unknown_revision_is_an_error_that_lists_the_known_ones(kept):
    submit(kept, ONE)
    with pytest.raises(LookupError, match=r"no revision 7 in case; there are \[1\]"):
        kept.path(7)


def test_of_eight_submissions_on_one_revision_exactly_one_wins(kept):
    submit(kept, ONE)
    gate, outcomes = threading.Barrier(8), []

    def race():
        gate.wait()
        try:
            submit(kept, TWO, expected=1)
            outcomes.append("stored")
        except ConflictError:
            outcomes.append("conflict")

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["conflict"] * 7 + ["stored"]
    assert kept.head().revision == 2


def test_stored_files_are_as_readable_as_any_other(kept, tmp_path):
    plain = tmp_path / "plain"
    plain.write_bytes(b"")
    submit(kept, ONE)
    files = [kept.final, kept.path(1), kept.folder / "head.json"]
    assert {path.stat().st_mode & 0o777 for path in files} == {plain.stat().st_mode & 0o777}


def test_a_damaged_head_is_an_error_and_not_an_empty_history(kept):
    submit(kept, ONE)
    (kept.folder / "head.json").write_text("{")
    with pytest.raises(ValueError, match="restore it from a backup"):
        kept.head()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("at", "2026-11-30 19:50 h"),
        ("at", None),
        ("revision", "1"),
        ("revision", True),
        ("base", 0.5),
        ("by", ["anna"]),
        ("counts", None),
        ("seconds", "9"),
        ("complete", 0),
    ],
)
def test_a_description_with_a_value_of_another_kind_is_an_error_that_says_which(kept, key, value):
    submit(kept, ONE)
    head = kept.folder / "head.json"
    head.write_text(json.dumps(json.loads(head.read_text()) | {key: value}))
    with pytest.raises(ValueError, match=rf"description of a revision \({key} .*restore it from a backup"):
        kept.head()


@pytest.mark.parametrize(
    "at",
    ["2026-11-30T19:50:00+00:00", "2026-11-30T19:50:00Z", "2026-11-30T20:50:00+01:00", "2026-11-30 19:50"],
)
def test_a_time_is_read_by_every_python_and_is_utc_without_a_zone(kept, at):
    submit(kept, ONE)
    head = kept.folder / "head.json"
    head.write_text(json.dumps(json.loads(head.read_text()) | {"at": at}))
    assert time_of(kept.head().at) == datetime(2026, 11, 30, 19, 50, tzinfo=timezone.utc)
