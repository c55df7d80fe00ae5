"""What an annotator is told about a label that was stored."""

import threading
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from lib.store.segments import Segments
from osln.imaging.grid import Volume, mask_box
from osln.imaging.node_changes import CRUMB_VOXELS, NodeChanges
from osln.store.revisions import Revision

_last = threading.local()

BELOW_TISSUE_HU = -500.0
"""Between lung and soft tissue."""


@dataclass(frozen=True)
class SubmissionReport:
    """What became of a submitted label.

    Attributes:
        nodes: What changed against the former label (or the prediction); None if nodes were not touched.
        revision: Number of the new revision of the nodes, of the tumor if only that was stored.
        nodes_revision: Number of the new revision of the nodes, None if they were not touched; what the next
            submission of a viewer is based on.
        tumor: "updated", "unchanged" or "absent".
        message: The same in a sentence for the annotator.
        warnings: What the annotator should look at.
        unchanged: Whether everything was stored already, so that nothing was stored.
        tumor_revision: Number of the revision that holds the tumor that was sent or, without one, the one
            that was shown; None if there is none, or if another one is stored.
        tumor_mark: Which tumor that is, as `lib.store.shown_labels.tumor_mark` tells it.
    """

    nodes: NodeChanges | None
    revision: int | None
    nodes_revision: int | None
    tumor: str
    message: str
    warnings: list[str] = field(default_factory=list)
    unchanged: bool = False
    tumor_revision: int | None = None
    tumor_mark: str | None = None

    def as_reply(self) -> dict[str, Any]:
        """The part of the HTTP reply that viewers show."""
        nodes = asdict(self.nodes or NodeChanges(0, 0, 0, 0))
        told = {"tumor": self.tumor, "message": self.message}
        numbers = {
            "revision": self.revision,
            "nodes_revision": self.nodes_revision,
            "tumor_revision": self.tumor_revision,
            "tumor_mark": self.tumor_mark,
        }
        warned = {"warnings": self.warnings} if self.warnings else {}
        unchanged = {"unchanged": True} if self.unchanged else {}
        return {"nodes": nodes, **numbers, **told, **warned, **unchanged}


@dataclass(frozen=True)
class Stored:
    """What was stored of a label.

    Attributes:
        changes: Of the nodes; None if they were not touched.
        nodes: Their new revision, if there is one.
        tumor: New revision of the tumor, if there is one.
        redrawn: Nodes that touch, were redrawn in one segment and stay apart.
        former: The newest revision of the nodes, if it holds all that was sent, so that nothing was stored.
        restored_from: The older revision that was stored again.
        against: What the changes are counted against ("revision 2", "the prediction"); None without any.
        completed: The revision before, if this one says nothing of what that one left undecided.
        remarks: What else a person should know of the writing.
        tumor_revision: Number of the revision that holds the tumor that was sent or, without one, the one
            that was shown; None if there is none, or if another one is stored.
        tumor_mark: Which tumor that is, as `lib.store.shown_labels.tumor_mark` tells it.
    """

    changes: NodeChanges | None
    nodes: Revision | None
    tumor: Revision | None
    redrawn: int = 0
    former: Revision | None = None
    restored_from: int | None = None
    against: str | None = None
    completed: Revision | None = None
    remarks: tuple[str, ...] = ()
    tumor_revision: int | None = None
    tumor_mark: str | None = None


def told(tag: str, sent: Segments, ct: Volume, stored: Stored) -> SubmissionReport:
    """The report of a label that was stored.

    Args:
        tag: "final" or "gtv".
        sent: The label.
        ct: Its CT.
        stored: What was stored of it.
    """
    nodes, tumor = stored.nodes, stored.tumor
    if stored.former is not None:
        return _nothing_new(stored, "absent" if sent.tumor is None else "unchanged")
    state = "absent" if sent.tumor is None else "updated" if tumor else "unchanged"
    warnings = []
    if nodes and sent.nodes is not None:
        warnings = [*_doubts(sent.nodes > 0, ct), *_kept_apart(stored.redrawn), *_crumbs(nodes)]
        warnings += [*_completed(stored.completed), *_shared(sent.shared)]
    if sent.rejected:
        warnings.append("The rejected candidates were left out: what is not in 'lymph node' is no node.")
    warnings += stored.remarks
    newest = nodes or tumor
    return SubmissionReport(
        nodes=stored.changes,
        revision=newest.revision if newest else None,
        nodes_revision=nodes.revision if nodes else None,
        tumor=state,
        message=" ".join([_sentence(tag, stored, state), *warnings]),
        warnings=warnings,
        tumor_revision=stored.tumor_revision,
        tumor_mark=stored.tumor_mark,
    )


def told_restored(stored: Stored) -> SubmissionReport:
    """The report of an older revision that was stored again."""
    nodes = stored.nodes
    if nodes is None:
        return _nothing_new(stored, "absent")
    message = f"Revision {stored.restored_from} is restored. {_sentence('final', stored, 'absent')}"
    return SubmissionReport(
        nodes=stored.changes,
        revision=nodes.revision,
        nodes_revision=nodes.revision,
        tumor="absent",
        message=" ".join([message, *stored.remarks]),
        warnings=list(stored.remarks),
    )


def _nothing_new(stored: Stored, tumor: str) -> SubmissionReport:
    former: Revision = stored.former  # type: ignore[assignment]
    message = " ".join([f"Nothing has changed since revision {former.revision}.", *stored.remarks])
    number, warnings = former.revision, list(stored.remarks)
    return SubmissionReport(
        stored.changes,
        number,
        number,
        tumor,
        message,
        warnings,
        unchanged=True,
        tumor_revision=stored.tumor_revision,
        tumor_mark=stored.tumor_mark,
    )


def _doubts(nodes: np.ndarray, ct: Volume) -> list[str]:
    if not nodes.any():
        return []
    start, stop = mask_box(nodes)
    box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    if np.mean(ct.array[box][nodes[box]] < BELOW_TISSUE_HU) > 0.5:
        return ["Most of the nodes lie in air or lung: is the label mirrored, or of another patient?"]
    return []


def _crumbs(revision: Revision) -> list[str]:
    left = revision.counts.get("crumbs", 0)
    if not left:
        return []
    are = "1 of the nodes is what is" if left == 1 else f"{left} of the nodes are what is"
    return [
        f"{are} left of a larger one, {CRUMB_VOXELS} voxels at most: if an eraser has left that, erase it "
        "too and submit again."
    ]


def _kept_apart(redrawn: int) -> list[str]:
    if not redrawn:
        return []
    return [
        f"{redrawn} nodes that touch were redrawn and stay apart, each new voxel with the nearest one: to "
        "make one node of several, give it a segment of its own ('lymph node 1', the others in 'lymph node')."
    ]


def _shared(voxels: int) -> list[str]:
    if not voxels:
        return []
    lie = "1 voxel lies" if voxels == 1 else f"{voxels} voxels lie"
    return [
        f"{lie} in several segments of nodes, and a voxel belongs to one node: it went to the first of them. "
        "If another one was meant, erase it from the first and submit again."
    ]


def _completed(before: Revision | None) -> list[str]:
    undecided = before.counts.get("undecided") if before is not None else None
    if before is None or undecided is None:
        return []
    return [
        f"The case counts as complete now: revision {before.revision} left {undecided} undecided, "
        "and a label without decisions says that nothing else is a node. If that is not meant, restore that "
        "revision in OHIF (History)."
    ]


def _sentence(tag: str, stored: Stored, tumor: str) -> str:
    changes, revision = stored.changes, stored.nodes
    if changes is None or revision is None:
        told = {"updated": "The tumor was stored", "unchanged": "The tumor was stored already"}[tumor]
        if tag == "gtv":
            return f"{told}."
        return (
            f"{told}; no node was drawn, so the approved nodes are as before. If the patient has no nodes, "
            "submit again with an empty segment 'lymph node'."
        )
    end = {"updated": " The tumor was updated.", "unchanged": "", "absent": ""}[tumor]
    undecided = revision.counts.get("undecided")
    part = (
        ""
        if undecided is None
        else f" in part: {undecided} undecided and all that was not found stay unknown"
    )
    return f"Stored as revision {revision.revision}{part}. {_counted(changes, stored.against)}.{end}"


def _counted(changes: NodeChanges, against: str | None) -> str:
    """How many nodes were stored, and what is different from what they are compared with."""
    number = changes.added + changes.changed + changes.unchanged
    nodes = {0: "No node", 1: "1 node"}.get(number, f"{number} nodes")
    if against is None:
        return nodes
    parts = [(changes.added, "new"), (changes.removed, "left out"), (changes.changed, "changed")]
    parts.append((changes.unchanged, "unchanged"))
    return f"{nodes}; compared with {against}: {', '.join(f'{count} {what}' for count, what in parts)}"


def report_for(case: str) -> dict[str, Any]:
    """The reply about the label of `case` that this thread has just stored, {} if it stored none."""
    found_case, report = getattr(_last, "report", (None, None))
    _last.report = (None, None)
    return report.as_reply() if report is not None and found_case == case else {}


def remember(case: str, report: SubmissionReport | None) -> None:
    """Keeps what `report_for` tells next in this thread."""
    _last.report = (case, report)
