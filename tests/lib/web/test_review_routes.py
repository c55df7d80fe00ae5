"""Decisions, history, drafts, leases and skipped cases, asked for by HTTP."""

import base64
import errno
import gzip
import json
from datetime import datetime, timedelta, timezone
from urllib.parse import unquote

import numpy as np
import pytest

from lib.store.datastore import OslnDatastore
from lib.store.quality import reviewed_cases
from lib.web import ohif_routes, review_routes
from lib.who import asking
from osln.accounts.users import Account
from osln.imaging.grid import read_volume
from osln.imaging.labelmaps import map_exactly, read_label_file
from osln.store import drafts, leases, skips
from small.parts import submit_in_part
from small.reviews import candidate, review, send, touching
from small.routes import client_of_routes
from small.store import NODE, ct, make_case, write
from small.submissions import nodes

DRAFT = {
    "base_revision": 0,
    "saved_at": "2026-01-31T12:00:00.000Z",
    "state": {"facts": {"candidates": [{"id": "c1", "tags": [["mediastinum", 0.8]]}]}, "threshold": 0.5},
    "labels": base64.b64encode(b"\x00\x01 runs").decode(),
}


@pytest.fixture
def store(tmp_path):
    make_case(tmp_path / "studies", "one", gtv=False)
    return OslnDatastore(tmp_path / "studies")


@pytest.fixture
def client(monkeypatch, store):
    return client_of_routes(monkeypatch, [ohif_routes, review_routes], store)


@pytest.fixture
def logged_in(monkeypatch):
    """Makes the requests those of an account."""

    def log_in(name):
        monkeypatch.setattr("lib.store.work.who", lambda: Account(name, "annotator", ""))
        monkeypatch.setattr("lib.who.who", lambda: Account(name, "annotator", ""))

    assert asking.get() is None
    return log_in


def only_first(store, tmp_path, **params):
    """Submits the first of the two nodes."""
    label, names = nodes(NODE, value=3), [{"name": "lymph node 1", "idx": 3}]
    return send(store, tmp_path, label, names, review=review(candidate("c1", "accepted", 3)), **params)


def test_the_label_has_a_value_for_each_node_and_headers_that_say_whose_it_is(client, store, tmp_path):
    send(store, tmp_path, client_id="Änna")
    only_first(store, tmp_path, client_id="ben")
    for number, by, wanted in (
        (1, "Änna", (touching() == 3) + 2 * (touching() == 9)),
        (2, "ben", touching() == 3),
    ):
        reply = client.get(f"/osln/label?image=one&instances=true&revision={number}")
        (tmp_path / "label.nrrd").write_bytes(reply.content)
        grid = read_volume(tmp_path / "studies" / "one.nii.gz")
        (values,) = read_label_file(tmp_path / "label.nrrd", grid.grid).layers
        np.testing.assert_array_equal(map_exactly(values, grid.grid, grid.file_grid), wanted)
        told = reply.headers
        assert (told["osln-case"], told["osln-revision"], told["osln-tumor-value"]) == (
            "one",
            str(number),
            "255",
        )
        assert unquote(told["osln-by"]) == by and told["osln-series"] == store.ct_series("one")


@pytest.mark.parametrize("path", ["label?image=one", "review?image=one", "history/compare?image=one&a=7"])
def test_a_revision_that_there_is_not_is_told_with_those_there_are(client, store, tmp_path, path):
    send(store, tmp_path)
    reply = client.get(f"/osln/{path}&{'b=1' if 'compare' in path else 'revision=7'}")
    assert reply.status_code == 404 and "there are [1]" in reply.json()["detail"]


def test_the_review_of_the_newest_or_of_an_older_revision(client, store, tmp_path):
    assert client.get("/osln/review?image=one").json() == {
        "case": "one",
        "revision": 0,
        "by": "",
        "at": None,
        "label_sha256": None,
        "review": None,
    }
    send(store, tmp_path)
    only_first(store, tmp_path)
    newest, older = (client.get(f"/osln/review?image=one{more}").json() for more in ("", "&revision=1"))
    assert [len(one["review"]["candidates"]) for one in (newest, older)] == [1, 3]
    assert (newest["revision"], older["revision"]) == (2, 1)


def test_the_history_says_who_when_and_what_changed(client, store, tmp_path):
    assert client.get("/osln/history?image=one").json() == {"case": "one", "tag": "final", "revisions": []}
    send(store, tmp_path)
    only_first(store, tmp_path, client_id="ben")
    ben, anna = client.get("/osln/history?image=one").json()["revisions"]
    assert ben == {
        "revision": 2,
        "by": "ben",
        "at": ben["at"],
        "base": 1,
        "source": "submission",
        "nodes": 1,
        "changes": {"added": 0, "removed": 1, "changed": 0, "unchanged": 1},
        "complete": True,
        "undecided": None,
        "seconds": 84.2,
        "restored_from": None,
    }
    assert (anna["by"], anna["base"], anna["nodes"]) == ("anna", None, 2)
    assert datetime.fromisoformat(ben["at"]) >= datetime.fromisoformat(anna["at"])


def test_two_revisions_are_compared_node_by_node(client, store, tmp_path):
    send(store, tmp_path)
    grown = nodes(np.s_[9:14, 20:23, 8:10], value=3)
    names = [{"name": "lymph node 1", "idx": 3}]
    send(store, tmp_path, grown, names, review=review(candidate("c1", "edited", 3)))
    same, gone = client.get("/osln/history/compare?image=one&a=1&b=2").json()["nodes"]
    assert (same["in_a"], same["in_b"], gone["in_a"], gone["in_b"]) == (1, 1, 2, None)
    # 24 and 30 voxels of 18.75 mm3 that share 24.
    assert (same["mm3_a"], same["mm3_b"]) == (450.0, 562.5)
    assert same["dice"] == pytest.approx(48 / 54, abs=1e-4)
    assert (gone["mm3_a"], gone["mm3_b"], gone["dice"]) == (225.0, None, 0.0)
    # Voxels 14.5, 21, 8.5 of the file, whose x and y run against RAS.
    assert gone["center_mm"] == [23.75, -2.5, -4.5]


def test_an_older_revision_is_restored_as_a_new_one_with_its_nodes_and_decisions(client, store, tmp_path):
    send(store, tmp_path)
    only_first(store, tmp_path)
    body = {"revision": 1, "base_revision": 2, "annotator": "rea"}
    reply = client.post("/osln/history/restore?image=one", json=body)
    assert reply.status_code == 200
    told = reply.json()
    assert (told["revision"], told["nodes_revision"], told["label"]) == (3, 3, "one")
    assert told["nodes"] == {"added": 1, "removed": 0, "changed": 0, "unchanged": 1}
    assert told["message"] == (
        "Revision 1 is restored. Stored as revision 3. 2 nodes; compared with revision 2: 1 new, 0 left out, "
        "0 changed, 1 unchanged."
    )
    newest = client.get("/osln/history?image=one").json()["revisions"][0]
    assert (newest["by"], newest["source"], newest["restored_from"], newest["base"]) == (
        "rea",
        "restored",
        1,
        2,
    )
    kept = store.revisions("one", "final")
    assert kept.path(3).read_bytes() == kept.path(1).read_bytes() == kept.final.read_bytes()
    assert kept.node_map(3).read_bytes() == kept.node_map(1).read_bytes()
    assert kept.review(3) == kept.review(1)
    assert store.get_label_info("one", "final")["restored_from"] == 1
    (judged,) = [one for one in reviewed_cases(store) if one["case"] == "one"]
    assert judged["by"] == kept.history()[-1].by != newest["by"], "the work is of who decided"


def test_a_restoration_after_somebody_elses_revision_is_a_conflict(client, store, tmp_path):
    send(store, tmp_path)
    only_first(store, tmp_path)
    reply = client.post("/osln/history/restore?image=one", json={"revision": 1, "base_revision": 1})
    assert reply.status_code == 409 and "revision 2 was stored by anna" in reply.json()["detail"]
    assert store.revisions("one", "final").head().revision == 2


def test_restoring_the_newest_one_stores_nothing(client, store, tmp_path):
    send(store, tmp_path)
    told = client.post("/osln/history/restore?image=one", json={"revision": 1, "base_revision": 1}).json()
    assert told["unchanged"] is True and told["revision"] == 1


@pytest.mark.parametrize(
    "body",
    [
        {"revision": 9, "base_revision": 1},
        {"revision": 0, "base_revision": 1},
        {"revision": "1", "base_revision": 1},
        {"revision": True, "base_revision": 1},
        {"revision": 1},
        {"revision": 1, "base_revision": 1, "force": True},
        {"revision": 1, "base_revision": 10**30},
        [],
    ],
)
def test_a_restoration_that_makes_no_sense_is_refused(client, store, tmp_path, body):
    send(store, tmp_path)
    reply = client.post("/osln/history/restore?image=one", json=body)
    assert reply.status_code in (404, 422) and reply.json()["detail"]
    assert store.revisions("one", "final").head().revision == 1


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_a_draft_comes_back_as_it_went_and_is_no_label(client, store, packed):
    content = json.dumps(DRAFT).encode()
    body = gzip.compress(content) if packed else content
    reply = client.put("/osln/draft?image=one&annotator=anna", content=body)
    assert (reply.status_code, reply.json()) == (200, {"at": DRAFT["saved_at"]})
    assert client.get("/osln/draft?image=one&annotator=anna").json() == DRAFT
    assert client.get("/osln/draft?image=one&annotator=ben").status_code == 204
    store.refresh()
    assert store.get_labels_by_image_id("one") == {}
    # Kept over a restart of the server.
    again = OslnDatastore(store.root)
    assert drafts.kept_draft(again.root, "one", "anna") == DRAFT
    assert client.delete("/osln/draft?image=one&annotator=anna").status_code == 204
    assert client.get("/osln/draft?image=one&annotator=anna").status_code == 204
    assert client.delete("/osln/draft?image=one&annotator=anna").status_code == 204


def test_the_last_draft_counts_and_those_of_others_stay(client):
    for name, threshold in (("anna", 0.1), ("ben", 0.2), ("anna", 0.3)):
        body = {**DRAFT, "state": {"threshold": threshold}}
        client.put("/osln/draft", params={"image": "one", "annotator": name}, json=body)
    found = [
        client.get("/osln/draft", params={"image": "one", "annotator": name}).json()["state"]
        for name in ("anna", "ben")
    ]
    assert found == [{"threshold": 0.3}, {"threshold": 0.2}]


def test_with_accounts_a_draft_is_the_accounts_whatever_name_is_sent(client, logged_in):
    logged_in("Anna")
    client.put("/osln/draft?image=one&annotator=Ben", json=DRAFT)
    logged_in("Ben")
    for name in ("Ben", "Anna"):
        assert client.get(f"/osln/draft?image=one&annotator={name}").status_code == 204
    assert client.delete("/osln/draft?image=one&annotator=Anna").status_code == 204
    logged_in("Anna")
    assert client.get("/osln/draft?image=one").json() == DRAFT


def test_a_submission_ends_the_draft_that_it_was_made_of_and_no_other(client, store, tmp_path):
    for name, base in (("anna", 0), ("ben", 0)):
        client.put(f"/osln/draft?image=one&annotator={name}", json={**DRAFT, "base_revision": base})
    send(store, tmp_path, base_revision=0)
    assert client.get("/osln/draft?image=one&annotator=anna").status_code == 204
    assert client.get("/osln/draft?image=one&annotator=ben").status_code == 200
    client.put("/osln/draft?image=one&annotator=anna", json={**DRAFT, "base_revision": 1})
    only_first(store, tmp_path)
    assert client.get("/osln/draft?image=one&annotator=anna").status_code == 200
    only_first(store, tmp_path, base_revision=1)
    assert client.get("/osln/draft?image=one&annotator=anna").status_code == 204


@pytest.mark.parametrize(("base", "status"), [(1, 200), (0, 204)], ids=["of the head", "answer was lost"])
def test_a_submission_that_stores_nothing_leaves_the_draft_of_the_newest_revision(
    client, store, tmp_path, base, status
):
    send(store, tmp_path, base_revision=0)
    client.put("/osln/draft?image=one&annotator=anna", json={**DRAFT, "base_revision": base})
    assert send(store, tmp_path, base_revision=base)["unchanged"] is True
    assert client.get("/osln/draft?image=one&annotator=anna").status_code == status


def test_a_submission_that_is_refused_leaves_the_draft(client, store, tmp_path):
    client.put("/osln/draft?image=one&annotator=anna", json=DRAFT)
    with pytest.raises(Exception, match=r"409|422"):
        send(store, tmp_path, base_revision=5)
    assert client.get("/osln/draft?image=one&annotator=anna").json() == DRAFT


def test_a_full_disk_leaves_the_former_draft(client, monkeypatch):
    client.put("/osln/draft?image=one&annotator=anna", json=DRAFT)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(drafts, "write_atomically", full)
    reply = client.put("/osln/draft?image=one&annotator=anna", json={**DRAFT, "labels": None})
    assert reply.status_code == 507 and "the disk is full" in reply.json()["detail"]
    assert client.get("/osln/draft?image=one&annotator=anna").json() == DRAFT


BAD_DRAFTS = {
    "nothing": b"",
    "no JSON": b"{",
    "a list": b"[]",
    "NaN": json.dumps({**DRAFT, "state": {"a": float("nan")}}).encode(),
    "deep": json.dumps(DRAFT).replace('"threshold": 0.5', '"a": ' + "[" * 5000 + "]" * 5000).encode(),
    "half a character": json.dumps({**DRAFT, "state": {"a": "\ud800"}}).encode(),
    "a huge number": json.dumps({**DRAFT, "base_revision": 10**400}).encode(),
    "unknown key": json.dumps({**DRAFT, "extra": 1}).encode(),
    "missing key": json.dumps({"base_revision": 0}).encode(),
    "negative base": json.dumps({**DRAFT, "base_revision": -1}).encode(),
    "true as base": json.dumps({**DRAFT, "base_revision": True}).encode(),
    "no time": json.dumps({**DRAFT, "saved_at": "yesterday"}).encode(),
    "state is text": json.dumps({**DRAFT, "state": "x"}).encode(),
    "huge state": json.dumps({**DRAFT, "state": {"a": "x" * (5 * 2**20)}}).encode(),
    "no base64": json.dumps({**DRAFT, "labels": "not base64!"}).encode(),
    "labels are a number": json.dumps({**DRAFT, "labels": 7}).encode(),
    "not UTF-8": b'{"base_revision": "\xff\xfe"}',
    "half a gzip": gzip.compress(json.dumps(DRAFT).encode())[:-20],
    "noise as gzip": b"\x1f\x8b" + bytes(range(256)),
}


@pytest.mark.parametrize("body", BAD_DRAFTS.values(), ids=BAD_DRAFTS)
def test_a_draft_that_is_none_is_refused_and_the_former_one_stays(client, body):
    client.put("/osln/draft?image=one&annotator=anna", json=DRAFT)
    reply = client.put("/osln/draft?image=one&annotator=anna", content=body)
    assert reply.status_code == 422 and isinstance(reply.json()["detail"], str)
    assert client.get("/osln/draft?image=one&annotator=anna").json() == DRAFT


@pytest.mark.parametrize(
    "make", [lambda: b"x" * (2**24 + 1), lambda: gzip.compress(b" " * 2**28, 1)], ids=["long", "a bomb"]
)
def test_a_draft_that_is_too_long_is_refused_before_it_is_unpacked(client, make):
    reply = client.put("/osln/draft?image=one&annotator=anna", content=make())
    assert reply.status_code == 413 and "at most 16777216" in reply.json()["detail"]


@pytest.mark.parametrize("name", ["", "x" * 129, "a\nb", "\u202eanna", "../../x\x7f"])
def test_a_name_that_is_none_is_refused(client, name):
    for answer in (
        client.put("/osln/draft", params={"image": "one", "annotator": name}, json=DRAFT),
        client.get("/osln/draft", params={"image": "one", "annotator": name}),
        client.post("/osln/lease?image=one", json={"annotator": name}),
        client.post("/osln/skip?image=one", json={"annotator": name, "reason": "blurred"}),
    ):
        assert answer.status_code == 422 and "annotator must be a name" in answer.json()["detail"]


def test_a_name_like_a_path_stays_in_the_folder_of_the_case(client, store):
    client.put("/osln/draft", params={"image": "one", "annotator": "../../../evil"}, json=DRAFT)
    (path,) = store.root.rglob("*.json.gz")
    assert path.parent == store.root / ".osln" / "one" / "drafts"
    assert not list(store.root.parent.glob("evil*"))


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "review", None),
        ("GET", "history", None),
        ("GET", "history/compare", None),
        ("POST", "history/restore", {"revision": 1, "base_revision": 1}),
        ("PUT", "draft", DRAFT),
        ("GET", "draft", None),
        ("DELETE", "draft", None),
        ("POST", "lease", {"annotator": "anna"}),
        ("DELETE", "lease", None),
        ("POST", "skip", {"annotator": "anna", "reason": "blurred"}),
        ("DELETE", "skip", None),
    ],
)
@pytest.mark.parametrize(("image", "status"), [("two", 404), ("../one", 422), ("", 404)])
def test_of_a_case_that_there_is_not_nothing_is_kept(client, store, method, path, body, image, status):
    params = {"image": image, "annotator": "anna", "a": 1, "b": 1}
    reply = client.request(method, f"/osln/{path}", params=params, json=body)
    assert reply.status_code == status and reply.json()["detail"]
    assert not (store.root / ".osln" / "two").exists()


def lease(client, name, **other):
    return client.post("/osln/lease?image=one", json={"annotator": name, **other}).json()


def test_the_second_annotator_is_told_before_the_work_and_may_take_over(client):
    mine = lease(client, "anna")
    assert mine == {"mine": True, "until": mine["until"]}
    left = datetime.fromisoformat(mine["until"]) - datetime.now(timezone.utc)
    assert timedelta(minutes=29) < left <= timedelta(minutes=30)
    told = lease(client, "ben", take=False)
    assert (told["mine"], told["by"], told["until"]) == (False, "anna", mine["until"])
    assert client.get("/osln/leases").json() == {
        "one": {"by": "anna", "since": told["since"], "until": mine["until"]}
    }
    assert lease(client, "ben", take=True)["mine"] is True
    assert lease(client, "anna")["by"] == "ben"


def test_only_who_has_a_lease_gives_it_back(client):
    lease(client, "anna")
    assert client.delete("/osln/lease?image=one&annotator=ben").status_code == 204
    assert "one" in client.get("/osln/leases").json()
    assert client.delete("/osln/lease?image=one&annotator=anna").status_code == 204
    assert client.get("/osln/leases").json() == {}


def test_a_lease_never_keeps_anybody_from_submitting(client, store, tmp_path):
    lease(client, "anna")
    assert send(store, tmp_path, client_id="ben")["revision"] == 1
    assert client.get("/osln/leases").json()["one"]["by"] == "anna"


def test_a_lease_is_kept_over_a_restart_ends_after_half_an_hour_and_is_renewed(store):
    begin = datetime(2026, 1, 31, 12, 0, tzinfo=timezone.utc)

    def after(minutes):
        return begin + timedelta(minutes=minutes)

    leases.take_lease(store.root, "one", "anna", now=begin)
    assert OslnDatastore(store.root).root == store.root
    assert leases.lease_of(store.root, "one", after(29)).by == "anna"
    assert leases.lease_of(store.root, "one", after(30)) is None
    renewed = leases.take_lease(store.root, "one", "anna", now=after(20))
    assert (renewed.since, renewed.until) == (begin.isoformat(), after(50).isoformat())
    assert leases.lease_of(store.root, "one", after(49)).by == "anna"
    assert leases.take_lease(store.root, "one", "ben", now=after(51)).since == after(51).isoformat()
    # The clock was set back by a day: nobody waits for tomorrow.
    assert leases.lease_of(store.root, "one", after(51) - timedelta(days=1)) is None


@pytest.mark.parametrize("work", ["draft", "submission"])
def test_work_renews_the_lease_of_who_works(client, store, tmp_path, work):
    early = datetime.now(timezone.utc) - timedelta(minutes=20)
    held = leases.take_lease(store.root, "one", "anna", now=early)
    if work == "draft":
        client.put("/osln/draft?image=one&annotator=anna", json=DRAFT)
    else:
        send(store, tmp_path)
    now = client.get("/osln/leases").json()["one"]
    assert now["since"] == held.since and now["until"] > held.until


def test_a_damaged_lease_or_reason_is_passed_over(client, store):
    lease(client, "anna")
    for name in ("lease.json", "skipped.json"):
        (store.root / ".osln" / "one" / name).write_text('{"by": 1')
    assert client.get("/osln/leases").json() == {} == store.skipped()
    assert lease(client, "ben")["mine"] is True


def test_a_skipped_case_says_why_until_it_is_taken_up_or_a_label_is_stored(client, store, tmp_path):
    body = {"annotator": "anna", "reason": " motion blur "}
    told = client.post("/osln/skip?image=one", json=body).json()
    assert (told["case"], told["by"], told["reason"]) == ("one", "anna", "motion blur")
    assert OslnDatastore(store.root).skipped()["one"]["reason"] == "motion blur"
    assert client.delete("/osln/skip?image=one").status_code == 204
    assert store.skipped() == {}
    client.post("/osln/skip?image=one", json=body)
    send(store, tmp_path)
    assert store.skipped() == {}


def test_an_approved_case_is_not_skipped_and_one_in_part_is(client, store):
    final = store.label_path("one", "final")
    final.parent.mkdir(parents=True, exist_ok=True)
    final.write_bytes(b"label")
    body = {"annotator": "ben", "reason": "motion blur"}
    reply = client.post("/osln/skip?image=one", json=body)
    assert reply.status_code == 409 and "has an approved label" in reply.json()["detail"]
    assert store.skipped() == {}

    submit_in_part(store.root, "one")
    assert client.post("/osln/skip?image=one", json=body).status_code == 200
    assert client.delete("/osln/skip?image=one").status_code == 204


def test_who_skips_a_case_gives_it_back_and_nobody_elses_lease_ends(client):
    lease(client, "anna")
    client.post("/osln/skip?image=one", json={"annotator": "ben", "reason": "blurred"})
    assert client.get("/osln/leases").json()["one"]["by"] == "anna"
    client.post("/osln/skip?image=one", json={"annotator": "anna", "reason": "blurred"})
    assert client.get("/osln/leases").json() == {}


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501, "a\nb", 7, None])
def test_a_reason_that_is_none_is_refused(client, store, reason):
    reply = client.post("/osln/skip?image=one", json={"annotator": "anna", "reason": reason})
    assert reply.status_code == 422
    assert store.skipped() == {}


def test_a_case_of_the_same_id_that_comes_later_inherits_nothing(client, store, tmp_path):
    client.put("/osln/draft?image=one&annotator=anna", json=DRAFT)
    lease(client, "anna")
    client.post("/osln/skip?image=one", json={"annotator": "anna", "reason": "blurred"})
    send(store, tmp_path, base_revision=None)
    client.put("/osln/draft?image=one&annotator=anna", json=DRAFT)
    skips.skip(store.root, "one", "anna", "blurred")
    lease(client, "anna")
    store.remove_image("one")
    store.add_image("one", str(write(tmp_path / "one.nii.gz", ct(faint=True))), {})
    assert client.get("/osln/draft?image=one&annotator=anna").status_code == 204
    assert client.get("/osln/leases").json() == {} == store.skipped()
    assert client.get("/osln/review?image=one").json()["review"] is None
    assert client.get("/osln/history?image=one").json()["revisions"] == []
    archived = {path.name for path in (store.root / ".osln" / ".removed").rglob("*")}
    assert {"drafts", "lease.json", "skipped.json", "0001.review.json"} <= archived
