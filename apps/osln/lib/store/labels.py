"""Taking in a label: read, check, split into nodes and tumor, store as revisions, tell what changed.

Everything that can be refused is refused before anything is written. What a label must be is in
`osln.imaging.labelmaps` (geometry, values) and `lib.store.segments` (names).
"""

import logging
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lib.errors import NotReadyError
from lib.store.segments import NAMES, split_segments
from lib.who import who
from osln.files.images import twins
from osln.imaging.grid import Volume, mask_box, write_volume
from osln.imaging.labelmaps import packed_labels, read_label_file
from osln.imaging.node_changes import NodeChanges, compare_nodes
from osln.imaging.single_nodes import nodes_of, single_nodes, told_apart
from osln.store.layout import node_map
from osln.store.revisions import DiskFullError, Revision

if TYPE_CHECKING:
    from lib.store.datastore import OslnDatastore

logger = logging.getLogger(__name__)

AIR_HU = -500.0
_last = threading.local()


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
    """

    nodes: NodeChanges | None
    revision: int | None
    nodes_revision: int | None
    tumor: str
    message: str
    warnings: list[str] = field(default_factory=list)

    def as_reply(self) -> dict[str, Any]:
        """The part of the HTTP reply that viewers show."""
        nodes = asdict(self.nodes or NodeChanges(0, 0, 0, 0))
        told = {"tumor": self.tumor, "message": self.message}
        numbers = {"revision": self.revision, "nodes_revision": self.nodes_revision}
        warned = {"warnings": self.warnings} if self.warnings else {}
        return {"nodes": nodes, **numbers, **told, **warned}


def report_for(case: str) -> dict[str, Any]:
    """The reply about the label of `case` that this thread has just stored, {} if it stored none."""
    found_case, report = getattr(_last, "report", (None, None))
    _last.report = (None, None)
    return report.as_reply() if report is not None and found_case == case else {}


def accept_submission(
    store: "OslnDatastore", case: str, label_file: str | Path, params: dict[str, Any], *, tag: str = "final"
) -> SubmissionReport:
    """Checks and stores a label that an annotator submits.

    Args:
        store: The store; knows the case.
        case: Id of the case.
        label_file: The upload.
        params: What came beside it: `label_info`, `client_id`, `base_revision` (refused if it is outdated).
        tag: "final" or "gtv".

    Raises:
        ValueError: Wrong grid, values or names; nothing was stored.
        ConflictError: Somebody else was faster; nothing was stored.
        DiskFullError: The sentence says what was stored, if anything.
    """
    ct = store.ct(case)
    label_info = params.get("label_info")
    sent = split_segments(read_label_file(label_file, ct.grid), label_info, tag)
    nodes_kept, tumor_kept = store.revisions(case, "final"), store.revisions(case, "gtv")
    common = {"by": _author(params), "source": "submission", "label_info": label_info or []}
    for kept in (nodes_kept, tumor_kept):
        # A .nii is taken over as a revision; other formats would stay beside ours as twins.
        if others := [path.name for path in twins(kept.final) if path.suffix != ".nii"]:
            raise NotReadyError(
                f"labels/{kept.final.parent.name} holds {others[0]}, which programs would confuse with the "
                "label to be stored; submit it to the server or move it away"
            )
    redrawn = 0
    with nodes_kept.lock(), tumor_kept.lock():
        for kept_tag in ("final", "gtv"):
            store.announce(case, kept_tag)
        nodes_kept.settle()
        tumor_kept.settle()
        if sent.tumor is not None and not sent.named and tag == "final":
            _check_guess(tumor_kept.final, sent.tumor, ct)
        new_tumor = sent.tumor is not None and not _same(tumor_kept.final, sent.tumor, ct)
        tumor = "absent" if sent.tumor is None else "updated" if new_tumor else "unchanged"
        # Slicer sends its empty node segment along when only the tumor was drawn: no approval of "no nodes".
        only_tumor = sent.nodes is None or (new_tumor and not sent.nodes.any())
        changes, revision, tumor_revision = None, None, None
        if not only_tumor:
            former = _approved_nodes(store, case, ct)
            nodes, redrawn = told_apart(sent.nodes, sent.mixed, former)
            changes = compare_nodes(_predicted_nodes(store, case, ct) if former is None else former, nodes)
            revision = nodes_kept.submit(
                packed_labels(nodes > 0, ct.grid, ct.file_grid),
                node_map=packed_labels(nodes, ct.grid, ct.file_grid),
                expected=_base_revision(params),
                counts={"nodes": int(nodes.max()), "voxels": int(np.count_nonzero(nodes))},
                **common,
            )
            store.register_label(case, "final", _notes(params, revision))
        if new_tumor:
            try:
                counts = {"voxels": int(sent.tumor.sum())}
                tumor_revision = tumor_kept.submit(
                    packed_labels(sent.tumor, ct.grid, ct.file_grid), counts=counts, **common
                )
            except DiskFullError as error:
                if revision is None:
                    raise
                raise DiskFullError(
                    f"the disk is full: the nodes were stored as revision {revision.revision}, the tumor was "
                    "not; free some space and submit again"
                ) from error
            store.register_label(case, "gtv", _notes(params, tumor_revision))
    warnings = [] if only_tumor else _doubts(sent.nodes > 0, ct) + _kept_apart(redrawn)
    if sent.rejected:
        warnings.append("The rejected candidates were left out: what is not in 'lymph node' is no node.")
    newest = revision or tumor_revision
    report = SubmissionReport(
        nodes=changes,
        revision=newest.revision if newest else None,
        nodes_revision=revision.revision if revision else None,
        tumor=tumor,
        message=" ".join([_sentence(tag, changes, revision, tumor), *warnings]),
        warnings=warnings,
    )
    _last.report = (case, report)
    logger.info("Label of case %s stored: %s", case, report.message)
    return report


def accept_prediction(
    store: "OslnDatastore", case: str, label_file: str | Path, info: dict[str, Any]
) -> None:
    """Checks and stores a prediction (tag "original"); the former one is replaced.

    Raises:
        ValueError: If it is not one label map of whole numbers on the CT's grid.
    """
    ct = store.ct(case)
    layers = read_label_file(label_file, ct.grid).layers
    if len(layers) != 1:
        raise ValueError(f"a prediction is one label map, this file has {len(layers)} layers")
    values = layers[0].astype(np.uint8 if layers[0].max(initial=0) <= 255 else np.uint16)
    target = store.label_path(case, "original")
    target.parent.mkdir(parents=True, exist_ok=True)
    write_volume(target, values, ct.grid, ct.file_grid)
    for twin in twins(target):
        twin.unlink()
    store.register_label(case, "original", info)
    _last.report = (None, None)


def _approved_nodes(store: "OslnDatastore", case: str, ct: Volume) -> np.ndarray | None:
    """Map of the approved nodes; None if there are none or they cannot be read."""
    label = _stored(store, case, "final", store.label_path(case, "final"), ct)
    if label is None:
        return None
    kept = node_map(store.root, case)
    return single_nodes(nodes_of(label, None if kept is None else _stored(store, case, "final", kept, ct)))[0]


def _predicted_nodes(store: "OslnDatastore", case: str, ct: Volume) -> np.ndarray:
    """Mask of the prediction's nodes, empty if there are none."""
    label = _stored(store, case, "original", store.label_path(case, "original"), ct)
    if label is None:
        return np.zeros(ct.grid.shape, dtype=bool, order="F")
    others = _other_values(store.get_label_info(case, "original"))
    return (label != 0) & ~np.isin(label, others) if others else label != 0


def _stored(store: "OslnDatastore", case: str, tag: str, path: Path, ct: Volume) -> np.ndarray | None:
    if not path.is_file():
        return None
    try:
        return read_label_file(path, ct.grid).layers[0]
    except ValueError as error:
        logger.warning("The former %s label of case %s cannot be compared: %s", tag, case, error)
        return None


def _other_values(info: dict[str, Any]) -> list[int]:
    """Values of a prediction that mean no node: the tumor, rejected candidates."""
    names = (info.get("params") or {}).get("label_names") or {}
    if not isinstance(names, dict):
        return []
    return [value for name, value in names.items() if not NAMES["node"].fullmatch(name)]


def _check_guess(stored: Path, tumor: np.ndarray, ct: Volume) -> None:
    """Refuses a value that would be taken for the tumor although it lies elsewhere than the stored one.

    In a prediction the same value means rejected candidates, and without names nothing else tells them apart.
    """
    former = _stored_mask(stored, ct)
    if former is None:
        return
    if 2 * np.count_nonzero(former & tumor) < max(np.count_nonzero(former), np.count_nonzero(tumor)):
        raise ValueError(
            "without label_info the value 2 means tumor, and it shares less than half of its voxels with the "
            "stored tumor: send label_info with the names, such as 'lymph node' and 'rejected candidate' or "
            "'tumor'"
        )


def _same(path: Path, mask: np.ndarray, ct: Volume) -> bool:
    former = _stored_mask(path, ct)
    return former is not None and np.array_equal(former, mask)


def _stored_mask(path: Path, ct: Volume) -> np.ndarray | None:
    if not path.is_file():
        return None
    try:
        return read_label_file(path, ct.grid).layers[0] != 0
    except ValueError:
        return None


def _author(params: dict[str, Any]) -> str:
    """The account; without accounts what the client says."""
    if account := who():
        return account.name
    return str(params.get("client_id") or params.get("user") or "unknown")[:128]


def _base_revision(params: dict[str, Any]) -> int | None:
    base = params.get("base_revision")
    if base is not None and (not isinstance(base, int) or base < 0):
        raise ValueError(f"base_revision must be the number of the revision that was edited, got {base!r}")
    return base


def _notes(params: dict[str, Any], revision: Revision) -> dict[str, Any]:
    return {**params, "revision": revision.revision, "by": revision.by, "sha256": revision.sha256}


def _doubts(nodes: np.ndarray, ct: Volume) -> list[str]:
    if not nodes.any():
        return []
    start, stop = mask_box(nodes)
    box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    if np.mean(ct.array[box][nodes[box]] < AIR_HU) > 0.5:
        return ["Most of the nodes lie in air or lung: is the label mirrored, or of another patient?"]
    return []


def _kept_apart(redrawn: int) -> list[str]:
    if not redrawn:
        return []
    return [
        f"{redrawn} nodes that touch were redrawn and stay apart, each new voxel with the nearest one: to "
        "make one node of several, give it a segment of its own ('lymph node 1', the others in 'lymph node')."
    ]


def _sentence(tag: str, changes: NodeChanges | None, revision: Revision | None, tumor: str) -> str:
    if changes is None or revision is None:
        told = {"updated": "The tumor was stored", "unchanged": "The tumor was stored already"}[tumor]
        if tag == "gtv":
            return f"{told}."
        return (
            f"{told}; no node was drawn, so the approved nodes are as before. If the patient has no nodes, "
            "submit again with an empty segment 'lymph node'."
        )
    parts = [(changes.added, "added"), (changes.removed, "removed"), (changes.changed, "changed")]
    parts.append((changes.unchanged, "unchanged"))
    counted = ", ".join(f"{number} {what}" for number, what in parts)
    end = {"updated": " The tumor was updated.", "unchanged": "", "absent": ""}[tumor]
    return f"Stored as revision {revision.revision}. Nodes: {counted}.{end}"
