"""What was stored of a case before: who, when, what changed, two revisions beside each other, one again."""

from dataclasses import asdict, replace
from typing import Any

from lib.store.former import approved_nodes, tumor_mask
from lib.store.reports import Stored, SubmissionReport, remember, told_restored
from lib.store.shelf import Shelf
from lib.store.shown_labels import find_revision, settle, settled_head, tumor_head, tumor_mark
from lib.store.submitted import about
from lib.who import author
from osln.imaging.node_changes import compare_values, pair_nodes
from osln.imaging.study import check_not_the_tumor
from osln.store.revisions import Revision, Revisions
from osln.store.stored_nodes import stored_nodes

HEADS = {"final": settled_head, "gtv": tumor_head}
"""Finds the newest revision of a label, by its tag."""


def history(store: Shelf, case: str, tag: str = "final") -> list[dict[str, Any]]:
    """The revisions of a label of a case as JSON values, newest first; [] before the first.

    Args:
        store: Knows the case.
        case: Its id.
        tag: "final" for the nodes, "gtv" for the tumor.

    Raises:
        ValueError: If the tag is none of the two.
    """
    if tag not in HEADS:
        raise ValueError(f"{tag!r} has no revisions; expected 'final' (nodes) or 'gtv' (tumor)")
    HEADS[tag](store, case)
    return [
        {
            "revision": one.revision,
            "by": one.by,
            "at": one.at,
            "base": one.base,
            "source": one.source,
            "nodes": one.counts.get("nodes"),
            "changes": one.changes,
            "complete": one.complete,
            "undecided": one.counts.get("undecided"),
            "seconds": one.seconds,
            "restored_from": one.restored_from,
        }
        for one in store.revisions(case, tag).history()
    ]


def known_tumor(store: Shelf, case: str) -> str:
    """The mark of the tumor as a viewer that opens the case gets it, see `tumor_mark`."""
    # A PACS fetches the contour with the CT.
    store.ct(case)
    return tumor_mark(store, case)


def stored_review(store: Shelf, case: str, revision: int | None = None) -> dict[str, Any]:
    """What was decided about the candidates of a revision, the newest one if it is None.

    Raises:
        LookupError: If there is no such revision.
        ValueError: If the file is damaged.
    """
    found = find_revision(store, case, revision)
    return {
        "case": case,
        "revision": found.revision if found else 0,
        "by": found.by if found else "",
        "at": found.at if found else None,
        "label_sha256": found.sha256 if found else None,
        "review": store.revisions(case, "final").review(found.revision) if found else None,
    }


def compared(store: Shelf, case: str, a: int, b: int) -> list[dict[str, Any]]:
    """The nodes of two revisions, each beside the one that it is most like.

    Raises:
        LookupError: If there is no such revision.
    """
    settled_head(store, case)
    grid = store.ct(case).grid
    one, other = (stored_nodes(store.root, case, grid, revision) for revision in (a, b))
    return [
        {
            "in_a": pair.before,
            "in_b": pair.after,
            "center_mm": [round(float(along), 2) for along in grid.index_to_mm(pair.center)],
            "mm3_a": None if pair.before is None else round(pair.voxels_before * grid.voxel_mm3, 2),
            "mm3_b": None if pair.after is None else round(pair.voxels_after * grid.voxel_mm3, 2),
            "dice": round(pair.dice, 4),
        }
        for pair in pair_nodes(one, other)
    ]


def restore(store: Shelf, case: str, number: int, base: int, annotator: Any = None) -> SubmissionReport:
    """Stores an older revision again, voxels, single nodes and decisions, as a new one.

    Args:
        store: Knows the case.
        case: Its id.
        number: Of the older revision.
        base: Of the newest one, as the annotator knows it.
        annotator: Who asks, where there are no accounts.

    Raises:
        LookupError: If there is no such revision.
        ValueError: Its nodes are the tumor that is stored now; nothing was stored.
        ConflictError: Somebody else has stored a newer one; nothing was stored.
        DiskFullError: Nothing was stored.
    """
    kept = store.revisions(case, "final")
    # A PACS fetches what is not here, and writes it inside the same lock.
    ct = store.ct(case)
    with kept.lock():
        store.announce(case, "final")
        settle(store, kept, case, "final")
        kept.check_base(base)
        older = _revision(kept, number)
        former = approved_nodes(store, case, ct)
        again = stored_nodes(store.root, case, ct.grid, number)
        check_not_the_tumor(case, again, tumor_mask(store, case, ct))
        changes = compare_values(again if former is None else former, again)
        if former is not None and number == base:
            stored = Stored(changes, None, None, former=older)
        else:
            # It goes to the PACS as an object of its own, whatever the older one was read from.
            by, of = author({"client_id": annotator}), asdict(changes)
            new = kept.submit_again(older, by=by, source="restored", reference="", changes=of)
            against = None if former is None else f"revision {base}"
            stored = Stored(changes, new, None, restored_from=number, against=against)
            store.register_label(case, "final", {"label_info": older.label_info} | about(new))
    report = told_restored(replace(stored, remarks=tuple(kept.remarks)))
    remember(case, report)
    return report


def _revision(kept: Revisions, number: int) -> Revision:
    kept.path(number)
    return next(one for one in kept.history() if one.revision == number)
