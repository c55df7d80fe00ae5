"""Revisions of a label: what is kept, in which order it is written, what a failure leaves behind."""

import errno
import gzip
import json
import threading
from datetime import datetime, timezone

import pytest

from osln.store import revisions as revisions_module
from osln.store.layout import label_file
from osln.store.revision import time_of
from osln.store.revisions import ConflictError, DiskFullError, Revisions
from osln.store.settling import settle_interrupted
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
)


@pytest.fixture
def kept(tmp_path):
    return Revisions(tmp_path / ".osln" / "case", tmp_path / "labels" / "final" / "case.nii.gz")


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


def test_removing_the_final_file_keeps_the_revisions(kept):
    submit(kept, ONE)
    with kept.lock():
        kept.remove_final()
    assert not kept.final.exists()
    assert kept.path(1).read_bytes() == ONE
    submit(kept, TWO)
    assert [r.revision for r in kept.history()] == [2, 1]


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
