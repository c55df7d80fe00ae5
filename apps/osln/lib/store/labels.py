"""Taking in a label: read, check, split into nodes and tumor, store as revisions, tell what changed.

Everything that can be refused is refused before anything is written. What a label must be is in
`osln.imaging.labelmaps` (geometry, values) and `lib.store.segments` (names).
"""

import logging
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lib.errors import NotReadyError
from lib.store.copied_labels import stamp
from lib.store.former import approved_nodes, tumor_mask
from lib.store.predicted import predicted_nodes
from lib.store.reports import Stored, SubmissionReport, remember, told
from lib.store.segments import Segments, split_segments
from lib.store.shelf import Shelf
from lib.store.shown_labels import settle, tumor_mark
from lib.store.submitted import base_revision, notes, sent_review, tumor_base_mark, tumor_base_revision
from lib.store.work import tidy_after
from lib.who import author
from osln.dicom.intake.store_case import noted_images
from osln.files.images import twins
from osln.imaging.grid import Volume
from osln.imaging.labelmaps import packed_labels, read_label_file
from osln.imaging.node_changes import NodeChanges, compare_values, crumbs
from osln.imaging.single_nodes import single_nodes, told_apart
from osln.imaging.study import are_the_tumor, check_not_the_tumor
from osln.store.layout import one_file
from osln.store.reviews import same_decisions
from osln.store.revisions import AFTER_NODES, OF_ANNOTATORS, ConflictError, DiskFullError, Revision, Revisions
from osln.store.splits import split_of

logger = logging.getLogger(__name__)


def accept_submission(
    store: Shelf, case: str, label_file: str | Path, params: dict[str, Any], *, tag: str = "final"
) -> SubmissionReport:
    """Checks and stores a label that an annotator submits.

    Args:
        store: The store; knows the case.
        case: Id of the case.
        label_file: The upload.
        params: What came beside it: `label_info`, `client_id`, `base_revision` (refused if it is outdated),
            `tumor_base_revision` (the same of the tumor; with the tag "gtv" `base_revision` is it),
            `tumor_base_mark` (which tumor was shown, as `lib.store.shown_labels.tumor_mark` tells it),
            `review` (what was decided about each candidate, see `osln.store.reviews`).
        tag: "final" or "gtv".

    Raises:
        ValueError: Wrong grid, values or names; nothing was stored.
        ConflictError: Somebody else was faster, with a label or other images; nothing was stored.
        DiskFullError: The sentence says what was stored, if anything.
    """
    ct, lay_there = _ct_to_draw_on(store, case)
    sent = split_segments(read_label_file(label_file, ct.grid), params.get("label_info"), tag)
    base, review = base_revision(params), sent_review(params, sent, tag)
    _refuse_twins(store, case)
    images = noted_images(store.root, case)
    over = (tumor_base_revision(params, tag), tumor_base_mark(params))
    submission = _Submission(case, tag, ct, sent, params, base, *over, review, images, lay_there)
    report = told(tag, sent, ct, _lock_and_store(store, submission))
    remember(case, report)
    logger.info("Label of case %s stored: %s", case, report.message)
    if report.nodes_revision is not None:
        _decide_split(store, case)
    return report


def _ct_to_draw_on(store: Shelf, case: str) -> tuple[Volume, str]:
    """The CT, and `_lie_there` as it was read."""
    while True:
        # A PACS fetches with the first reading what is not here, or not any more what it was.
        before, ct = _lie_there(store, case), store.ct(case)
        if _lie_there(store, case) == before:
            return ct, before
        store.check_served(case)


def _lie_there(store: Shelf, case: str) -> str:
    """Tells which images a case has: those that are noted or, without a note, the state of the CT's file."""
    ct = one_file(store.root, case)
    return noted_images(store.root, case) or (ct and stamp(ct)) or ""


def _decide_split(store: Shelf, case: str) -> None:
    """Gives a case its split when its first label is approved, so that cases are taken in that order."""
    try:
        split_of(store.root, case)
    except (OSError, ValueError):
        logger.exception("The label of case %s is stored; its split is decided by the next training", case)


@dataclass(frozen=True)
class _Submission:
    """A label that was read, what came beside it and what it lies on; the review has `sent.nodes`' values."""

    case: str
    tag: str
    ct: Volume
    sent: Segments
    params: dict[str, Any]
    base: int | None
    tumor_base: int | None
    tumor_mark: str | None
    review: dict[str, Any] | None
    images: str
    lay_there: str

    @property
    def says_tumor(self) -> bool:
        """Whether it says over which tumor it was drawn."""
        return self.tumor_base is not None or self.tumor_mark is not None

    def keep(self, kept: Revisions, mask: np.ndarray, counts: dict[str, int], **more: Any) -> Revision:
        """Stores a mask as the next revision, whose lock is held."""
        return kept.submit(
            packed_labels(mask, self.ct.grid, self.ct.file_grid),
            counts=counts,
            by=author(self.params),
            source="submission",
            label_info=self.params.get("label_info") or [],
            images=self.images,
            **more,
        )


def _refuse_twins(store: Shelf, case: str) -> None:
    for tag in ("final", "gtv"):
        # A .nii is taken over as a revision; other formats would stay beside ours as twins.
        if others := [path.name for path in twins(store.label_path(case, tag)) if path.suffix != ".nii"]:
            raise NotReadyError(
                f"labels/{tag} holds {others[0]}, which programs would confuse with the label to be stored; "
                "submit it to the server or move it away"
            )


def _lock_and_store(store: Shelf, submission: _Submission) -> Stored:
    case, sent = submission.case, submission.sent
    nodes_kept, tumor_kept = store.revisions(case, "final"), store.revisions(case, "gtv")
    with nodes_kept.lock(), tumor_kept.lock():
        for tag, kept in (("final", nodes_kept), ("gtv", tumor_kept)):
            store.announce(case, tag)
            settle(store, kept, case, tag)
        _check_same_images(store, submission)
        knows_tumor = _knows_tumor(store, submission, tumor_kept.head())
        new_tumor = sent.tumor is not None and _is_new_tumor(store, submission, sent.tumor)
        stored = Stored(None, None, None)
        # Slicer sends its empty node segment along when only the tumor was drawn: no approval of "no nodes".
        with_nodes = sent.nodes is not None and (
            not new_tumor or sent.nodes.any() or submission.review is not None
        )
        _check_apart(store, submission, nodes_kept, with_nodes=with_nodes, new_tumor=new_tumor)
        if new_tumor:
            _check_tumor_base(submission, tumor_kept.head(), known=knows_tumor)
            if not with_nodes and not submission.says_tumor:
                nodes_kept.check_base(submission.base)
        if with_nodes:
            stored = _store_nodes(store, submission, nodes_kept, if_same=new_tumor)
        if new_tumor:
            head = None if with_nodes else nodes_kept.head()
            after = {} if with_nodes else {AFTER_NODES: head.revision if head else 0}
            tumor = _store_tumor(store, submission, tumor_kept, stored.nodes, after)
            stored = replace(stored, tumor=tumor)
        # A viewer goes on from what it is told: nothing is told of a tumor that it has not shown.
        if (sent.tumor is not None or knows_tumor) and (head := tumor_kept.head()) is not None:
            told_mark = tumor_mark(store, case)
            stored = replace(stored, tumor_revision=head.revision, tumor_mark=told_mark)
        if stored.nodes or stored.former:
            # Where nothing was stored, a draft of the head holds what was not sent; one of an older revision
            # is that of a submission whose answer was lost.
            held = stored.former is not None and submission.base == stored.former.revision
            tidy_after(store.root, case, author(submission.params), None if held else submission.base)
    return replace(stored, remarks=(*nodes_kept.remarks, *tumor_kept.remarks))


def _check_same_images(store: Shelf, submission: _Submission) -> None:
    """Refuses a label whose images were exchanged since it was read, which a case without labels allows."""
    if _lie_there(store, submission.case) != submission.lay_there:
        raise ConflictError(
            f"case {submission.case} got other images while its label was sent; nothing was stored: load the "
            "case again and repeat the changes on them"
        )


def _check_apart(
    store: Shelf, submission: _Submission, kept: Revisions, *, with_nodes: bool, new_tumor: bool
) -> None:
    """Refuses nodes that are the tumor, whichever of the two is stored already."""
    case, ct, sent = submission.case, submission.ct, submission.sent
    if with_nodes and sent.nodes is not None:
        tumor = tumor_mask(store, case, ct) if sent.tumor is None else sent.tumor
        check_not_the_tumor(case, sent.nodes, tumor)
    elif new_tumor and sent.tumor is not None:
        nodes, head = approved_nodes(store, case, ct), kept.head()
        if nodes is not None and are_the_tumor(nodes, sent.tumor):
            stored = f"revision {head.revision}" if head else "the stored label"
            raise ValueError(
                f"case {case}: the tumor that was sent is what {stored} has as lymph nodes: expected the "
                "contour of the primary tumor; if that is what it is, submit the nodes without it first"
            )


def _knows_tumor(store: Shelf, submission: _Submission, head: Revision | None) -> bool:
    """Whether the stored tumor, which is settled, is the one that the submission says was shown.

    A contour that was copied into the folder is revision 0 to those who look, as none is, and may become a
    revision while they draw: it is known by its mark, or by being the first revision where no mark was sent.
    """
    base, mark = submission.tumor_base, submission.tumor_mark
    if head is None:
        return submission.says_tumor and not base
    if base == head.revision:
        return True
    if mark is not None:
        return mark == tumor_mark(store, submission.case)
    return base == 0 and head.source == "external" and head.base is None


def _check_tumor_base(submission: _Submission, head: Revision | None, *, known: bool) -> None:
    """Looks whether the tumor was drawn by somebody who knows the one that it takes the place of.

    Args:
        submission: With another tumor than the stored one.
        head: Of the tumor, settled.
        known: As `_knows_tumor` says.

    Raises:
        ConflictError: If it was not, or if that cannot be told of a tumor that somebody else stored by itself
            after the nodes that were edited.
    """
    there = (
        f"revision {head.revision} of it was stored by {head.by} at {head.at}" if head else "none is stored"
    )
    if submission.says_tumor:
        if not known:
            base = submission.tumor_base
            over = "another one" if base is None else f"revision {base} of it"
            raise ConflictError(
                f"the tumor was drawn over {over}, but {there}; nothing was stored: load the case again and "
                "repeat the changes"
            )
        return
    alone = submission.base is not None and head is not None and head.by != author(submission.params)
    if alone and head.counts.get(AFTER_NODES, -1) >= submission.base:  # type: ignore[operator,union-attr]
        raise ConflictError(
            f"a tumor was sent with base_revision alone, which is of the nodes, and {there}; nothing was "
            "stored: load the case again, and send the tumor's own revision as tumor_base_revision"
        )


def _store_nodes(store: Shelf, submission: _Submission, kept: Revisions, *, if_same: bool) -> Stored:
    """Stores the nodes, each with a value of its own, as the next revision.

    With `if_same` also the same nodes, unless the head is what this very submission has stored before.
    """
    case, ct, sent = submission.case, submission.ct, submission.sent
    former, redrawn = approved_nodes(store, case, ct), 0
    if submission.review is None:
        former = None if former is None else single_nodes(former)[0]
        nodes, redrawn = told_apart(sent.nodes, sent.mixed, former)
    else:
        # Each segment is a node that was decided about, whatever parts it lies in.
        nodes = sent.nodes
    head = kept.head()
    before, against = _compared_with(store, submission, former, head)
    changes = compare_values(before, nodes)
    # What others have put there is not yet the label of an annotator, who now says that it holds.
    own = head is not None and head.source.startswith(OF_ANNOTATORS)
    if head and own and former is not None and changes.nothing:
        if submission.review is None or same_decisions(submission.review, _review_of(kept, head)):
            if not if_same:
                return Stored(changes, None, None, former=head)
            if _repeats(submission, head):
                return _stored_before(head, changes)
    review = submission.review
    if review is None and head and former is not None and changes.nothing:
        # The same nodes, sent along with a tumor: what was decided about them holds, also what was not.
        review = _review_of(kept, head)
    counts = {"nodes": len(np.unique(nodes[nodes > 0])), "voxels": int(np.count_nonzero(nodes))}
    if left := crumbs(before, nodes):
        counts["crumbs"] = left
    revision = submission.keep(
        kept,
        nodes > 0,
        counts,
        expected=submission.base,
        node_map=packed_labels(nodes, ct.grid, ct.file_grid),
        review=review,
        changes=asdict(changes),
    )
    store.register_label(case, "final", notes(submission.params, revision))
    completed = head if head is not None and review is None else None
    return Stored(changes, revision, None, redrawn, against=against, completed=completed)


def _repeats(submission: _Submission, head: Revision) -> bool:
    """Whether the head is what this author has stored on this base, before something failed or got lost."""
    return submission.base == (head.base or 0) and head.by == author(submission.params)


def _stored_before(head: Revision, nothing: NodeChanges) -> Stored:
    """The head as what was stored now, with what it has changed where that is known."""
    if head.changes is None:
        return Stored(nothing, head, None, against=f"revision {head.revision}")
    against = None if head.base is None else f"revision {head.base}"
    return Stored(NodeChanges(**head.changes), head, None, against=against)


def _compared_with(
    store: Shelf, submission: _Submission, former: np.ndarray | None, head: Revision | None
) -> tuple[np.ndarray, str | None]:
    """The nodes that changes are counted against, and what they are called; empty and None without any."""
    if former is not None:
        return former, f"revision {head.revision}" if head else "the label before"
    if (predicted := predicted_nodes(store, submission.case, submission.ct)) is not None:
        return predicted, "the prediction"
    return np.zeros(submission.ct.grid.shape, dtype=np.uint8, order="F"), None


def _review_of(kept: Revisions, head: Revision) -> dict[str, Any] | None:
    try:
        return kept.review(head.revision)
    except ValueError as error:
        logger.warning("The former decisions cannot be compared: %s", error)
        return None


def _store_tumor(
    store: Shelf, submission: _Submission, kept: Revisions, nodes: Revision | None, after: dict[str, int]
) -> Revision:
    tumor = submission.sent.tumor
    try:
        revision = submission.keep(kept, tumor, {"voxels": int(tumor.sum())} | after)
    except DiskFullError as error:
        if nodes is None:
            raise
        raise DiskFullError(
            f"the disk is full: the nodes were stored as revision {nodes.revision}, the tumor was not; free "
            "some space and submit again"
        ) from error
    store.register_label(submission.case, "gtv", notes(submission.params, revision))
    return revision


def _is_new_tumor(store: Shelf, submission: _Submission, tumor: np.ndarray) -> bool:
    """Whether the tumor of the label is another one than the stored one.

    Raises:
        ValueError: If a value would be taken for the tumor by its number alone although it lies elsewhere
            than the stored one. In a prediction the same value means rejected candidates.
    """
    former = tumor_mask(store, submission.case, submission.ct)
    if former is None:
        return True
    shared = np.count_nonzero(former & tumor)
    larger = max(np.count_nonzero(former), np.count_nonzero(tumor))
    if not submission.sent.named and submission.tag == "final" and 2 * shared < larger:
        raise ValueError(
            "without label_info the value 2 means tumor, and it shares less than half of its voxels with the "
            "stored tumor: send label_info with the names, such as 'lymph node' and 'rejected candidate' or "
            "'tumor'"
        )
    return not np.array_equal(former, tumor)
