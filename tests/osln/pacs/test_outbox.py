"""The outbox: what waits follows from the revisions, and nothing is lost by a crash in between."""

import shutil

import pytest
from isal import igzip

from osln.pacs.outbox import PAUSES_S, Outbox
from osln.store.revisions import label_revisions
from small.parts import submit_in_part


@pytest.fixture
def outbox(tmp_path):
    return Outbox(tmp_path)


def submit(outbox, source="submission", content=b"label"):
    kept = label_revisions(outbox.root, "p1", "final")
    with kept.lock():
        outbox.announce("p1", "final")
        return kept.submit(igzip.compress(content), by="anna", source=source)


def entry(outbox):
    (found,) = outbox.entries()
    return found


def test_submitted_revisions_wait_in_order_until_they_are_delivered(outbox):
    first, second = submit(outbox), submit(outbox)
    assert outbox.waiting(entry(outbox)) == [first, second]

    outbox.delivered(entry(outbox), first)
    assert outbox.waiting(entry(outbox)) == [second]
    outbox.close(entry(outbox))
    assert outbox.waiting(entry(outbox)) == [second], "an entry with something to send stays open"
    outbox.delivered(entry(outbox), second)
    outbox.close(entry(outbox))
    assert outbox.entries() == []


def test_labels_that_came_from_elsewhere_are_not_sent(outbox):
    submit(outbox, "external")
    submit(outbox, "pacs")
    submitted, restored = submit(outbox), submit(outbox, "restored")

    assert outbox.waiting(entry(outbox)) == [submitted, restored]


def test_what_was_reviewed_in_part_stays_here_until_it_is_complete(outbox):
    submit(outbox)
    submit_in_part(outbox.root, "p1")
    assert [one.revision for one in outbox.waiting(entry(outbox))] == [1]
    (path,) = (outbox.root / ".osln" / "p1").glob("*.review.json")
    path.write_text("{")
    assert [one.revision for one in outbox.waiting(entry(outbox))] == [1]
    submit_in_part(outbox.root, "p1", complete=True)
    assert [one.revision for one in outbox.waiting(entry(outbox))] == [1, 3]


def test_announcement_without_a_revision_is_closed(outbox):
    outbox.announce("p1", "final")
    outbox.close(entry(outbox))

    assert outbox.entries() == []


def test_pauses_grow_and_a_success_forgets_them(outbox, monkeypatch):
    monkeypatch.setattr("time.time", lambda: 1000.0)
    revision = submit(outbox)
    for pause in (*PAUSES_S, PAUSES_S[-1]):
        outbox.failed(entry(outbox), "the PACS is away")
        assert entry(outbox).next_try == 1000.0 + pause
    assert entry(outbox).error == "the PACS is away"
    outbox.hurry()
    assert entry(outbox).next_try == 0.0 and entry(outbox).tries == len(PAUSES_S) + 1
    outbox.delivered(entry(outbox), revision)
    assert (entry(outbox).tries, entry(outbox).error) == (0, "")


def test_next_program_knows_what_waits(outbox):
    revision = submit(outbox)

    again = Outbox(outbox.root)
    assert again.waiting(entry(again)) == [revision]


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"case": "p1"}',
        '{"case": "p2", "tag": "final"}',
        '{"case": "p1", "tag": "final", "next_try": "now"}',
        '{"case": "p1", "tag": "final", "given_up": 1}',
        '{"case": "p1", "tag": "final", "given_up": ["1"]}',
    ],
)
def test_damaged_entry_is_told_by_its_file_and_holds_up_no_other_one(outbox, content):
    submit(outbox)
    outbox.announce("p3", "final")
    (outbox.root / ".osln" / "outbox" / "p1.final.json").write_text(content)

    assert [one.case for one in outbox.entries()] == ["p3"]
    (told,) = outbox.damaged()
    assert "p1.final.json is no entry of the outbox" in told and "submit the label once more" in told


def test_submission_mends_a_damaged_entry_and_all_its_revisions_wait_again(outbox):
    first = submit(outbox)
    outbox.delivered(entry(outbox), first)
    (outbox.root / ".osln" / "outbox" / "p1.final.json").write_text("{")
    second = submit(outbox)

    assert outbox.waiting(entry(outbox)) == [first, second] and outbox.damaged() == []
    assert (outbox.root / ".osln" / "outbox" / "p1.final.damaged").read_text() == "{"


def test_revision_that_was_given_up_does_not_come_back_with_the_next_one(outbox):
    submit(outbox)
    path = outbox.root / ".osln" / "outbox" / "p1.final.json"
    path.write_text(path.read_text().replace('"given_up": []', '"given_up": [1]'))
    assert outbox.waiting(entry(outbox)) == []
    second = submit(outbox)

    assert outbox.waiting(entry(outbox)) == [second]


def test_number_that_is_used_again_after_a_restore_says_nothing_of_the_new_revision(outbox, tmp_path):
    for content in (b"one", b"two", b"three"):
        revision = submit(outbox, content=content)
        outbox.delivered(entry(outbox), revision)
        if content == b"one":
            shutil.copytree(tmp_path / ".osln" / "p1", tmp_path / "backup")
    outbox.close(entry(outbox))
    shutil.rmtree(tmp_path / ".osln" / "p1")
    shutil.copytree(tmp_path / "backup", tmp_path / ".osln" / "p1")
    again = submit(outbox, content=b"new")

    assert again.revision == 2 and outbox.waiting(entry(outbox)) == [again]
    assert not entry(outbox).has_sent(again)
    outbox.delivered(entry(outbox), again)
    assert outbox.waiting(entry(outbox)) == [] and entry(outbox).has_sent(again)


def test_number_that_was_given_up_is_sent_if_it_is_used_again(outbox, tmp_path):
    submit(outbox)
    path = tmp_path / ".osln" / "outbox" / "p1.final.json"
    path.write_text(path.read_text().replace('"given_up": []', '"given_up": [1, 2]'))
    again = submit(outbox, content=b"new")
    assert outbox.waiting(entry(outbox)) == [again] and entry(outbox).given_up == [1]

    shutil.rmtree(tmp_path / ".osln" / "p1")
    again = submit(outbox)
    assert again.revision == 1 and outbox.waiting(entry(outbox)) == [again]


def test_entry_of_a_former_version_is_read(outbox):
    revision = submit(outbox)
    path = outbox.root / ".osln" / "outbox" / "p1.final.json"
    path.write_text(path.read_text().replace(',\n "given_up": []', ""))

    assert "given_up" not in path.read_text() and outbox.waiting(entry(outbox)) == [revision]
