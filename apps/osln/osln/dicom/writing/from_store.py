"""Nodes of a store's predictions and approved labels, with what is known about each of them."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from osln import __version__
from osln.dicom.nodes import (
    NAME,
    Author,
    Node,
    NodeSet,
    described,
    match_candidates,
    stable_numbers,
    values_of,
)
from osln.imaging.distance import tumor_distance_mm
from osln.imaging.grid import Grid
from osln.imaging.labelmaps import read_label_map
from osln.imaging.single_nodes import nodes_of
from osln.rows.experiments import PROXIMAL_MM
from osln.store.approved import steadily
from osln.store.layout import label_file, label_marks, node_map
from osln.store.parts import partial_review
from osln.store.predictions import read_prediction
from osln.store.reviews import undecided_count
from osln.store.revision import time_of
from osln.store.revisions import NUMBERS, label_revisions

PHANTOM_NOTE = "Research, not for clinical use; weights trained on phantoms"
NOTE = "Research, not for clinical use"


def predicted_nodes(labels: np.ndarray, grid: Grid, result: Mapping[str, Any], at: datetime) -> NodeSet:
    """The candidates of a prediction, without those that stage two rejected.

    Args:
        labels: (x, y, z) on the CT's grid: candidate ids (`Detections.labels_on_ct`) or a mask of 0 and 1.
        grid: The CT's, closest-RAS order.
        result: JSON of the inference: `candidates`, `model`, `models`, `label_names`.
        at: When it was made.

    Raises:
        ValueError: If candidates and label map do not belong together.
    """
    candidates = result.get("candidates")
    if not isinstance(candidates, list):
        raise ValueError("the result has no list of candidates; give the JSON that an inference returned")
    kept = [one for one in candidates if not isinstance(one, dict) or one.get("kept", True)]
    nodes = sorted((described(candidate) for candidate in kept), key=lambda node: node.number)
    numbers, known = {node.number for node in nodes}, {described(one).number for one in candidates}
    labels = _without_other_segments(labels, result.get("label_names"))
    if numbers <= values_of(labels) <= known:
        labels = np.where(np.isin(labels, list(numbers)), labels, 0)
    else:
        labels = match_candidates(labels, grid, kept)
    return NodeSet(labels.astype(np.uint16), grid, tuple(nodes), _algorithm(result, at))


def predicted(grid: Grid, label_map: str | Path, result: Mapping[str, Any]) -> NodeSet:
    """The candidates of a stored label map; see `predicted_nodes`.

    Raises:
        ValueError: If the label map is missing, or does not belong to the CT or the result.
    """
    path = Path(label_map)
    if not path.is_file():
        raise ValueError(f"there is no label map {path}; store a prediction first, or say where it lies")
    at = _written(path)
    return predicted_nodes(read_label_map(path, grid), grid, result, at)


def approved(
    store: Path,
    case: str,
    grid: Grid,
    warnings: list[str],
    revision: int | None = None,
    *,
    also_in_part: bool = False,
) -> NodeSet:
    """The approved nodes, numbered through all revisions, with what the last prediction knows about them.

    Args:
        store: Folder of the cases.
        case: Id of the case.
        grid: Of its CT.
        warnings: Takes what could not be used.
        revision: Number of an older revision; the label that lies in the store if None.
        also_in_part: Take the nodes of a case that was reviewed in part too, whose author says so.

    Raises:
        ValueError: If no label is approved, it does not lie on the CT, or the case was reviewed in part.
        LookupError: If there is no such revision.
    """

    def read(_: object) -> NodeSet:
        told.clear()
        return _approved(store, case, grid, told, revision, also_in_part)

    told: list[str] = []
    # Voxels of one revision under the author, or without the "in part", of the next would be believed.
    nodes, _ = steadily(case, lambda: label_marks(store, case), read)
    warnings += told
    return nodes


def _approved(
    store: Path, case: str, grid: Grid, warnings: list[str], revision: int | None, also_in_part: bool
) -> NodeSet:
    revisions = label_revisions(store, case, "final")
    chain = revisions.history()
    path = label_file(store, case, "final") if revision is None else revisions.path(revision)
    if path is None:
        raise ValueError(f"case {case} has no approved nodes yet; submit a label, or export the prediction")
    if revision is not None:
        chain = [one for one in chain if one.revision <= revision]
    if chain and revisions.revision_of(path.read_bytes(), chain) == chain[0]:
        head, former = chain[0], chain[:0:-1]
        author = Author(True, local_time(head.at), person=head.by, revision=head.revision, note=NOTE)
    else:
        author = Author(True, _written(path), note=NOTE)
        former = chain[::-1]
        if chain:
            warnings.append(
                f"{path.name} in labels/final is not revision {chain[0].revision} of {chain[0].by}, the "
                "newest one: something else has written it since, and nobody is named as its author"
            )
    asked = None if revision is None else chain[0]
    if (review := partial_review(store, case, asked)) is not None:
        author = _in_part(case, author, undecided_count(review), also_in_part)
    history = []
    for one in former:
        label = revisions.path(one.revision)
        try:
            history.append(_told_apart(label, node_map(store, case, one.revision), grid))
        except ValueError as error:
            warnings.append(f"revision {one.revision} was not used to number the nodes: {error}")
    history.append(_told_apart(path, node_map(store, case, revision), grid))
    numbered = [position for position, (_, has_numbers) in enumerate(history) if has_numbers]
    labels = stable_numbers((label for label, _ in history), numbered)
    zones = _zones(labels, grid, label_file(store, case, "gtv"))
    found, prediction = _former_prediction(store, case, grid, warnings)
    nodes = []
    for number in sorted(values_of(labels)):
        shared = np.bincount(prediction[labels == number], minlength=1)[1:] if found else np.zeros(0)
        match = found.get(int(shared.argmax()) + 1) if shared.any() else None
        node = replace(match, number=number) if match else Node(number)
        nodes.append(replace(node, zone=zones.get(number, node.zone)))
        if match and not author.algorithm:
            author = replace(author, algorithm="osln", version=__version__)
    return NodeSet(labels, grid, tuple(nodes), author)


def _in_part(case: str, author: Author, undecided: int, taken: bool) -> Author:
    """The author of a case that was reviewed in part; ValueError unless it was asked for."""
    if not taken:
        raise ValueError(
            f"case {case} was reviewed in part, {undecided} candidates are undecided, and a plan must not "
            "take it for complete: complete the review, or ask for the part (--in-part, in_part=true), which "
            "is marked in the file"
        )
    told = f"REVIEWED IN PART, {undecided} candidates undecided: not for planning"
    return replace(author, note=f"{told}. {author.note}", undecided=undecided)


def stored_result(store: Path, case: str) -> dict[str, Any]:
    """JSON that the server noted beside the stored prediction of a case.

    Raises:
        ValueError: If there is none.
    """
    if (found := read_prediction(store, case)) is not None:
        return found
    raise ValueError(
        f"case {case} has no stored prediction with candidates; run an inference with save_label or a "
        "batch, or give the JSON of an inference"
    )


def read_result(path: str | Path) -> dict[str, Any]:
    """JSON of an inference from a file, alone or as `params` of a reply.

    Raises:
        ValueError: If the file is missing or no such JSON.
    """
    try:
        content = json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{path} cannot be read as the JSON of a result ({error}); give final, prediction or such a file"
        ) from error
    if isinstance(content, dict) and isinstance(content.get("params"), dict):
        content = content["params"]
    if not isinstance(content, dict):
        raise ValueError(f"{path} is no JSON object; give the JSON that an inference returned")
    return content


def _without_other_segments(labels: np.ndarray, names: Any) -> np.ndarray:
    """The label map without what its names call otherwise, for instance the tumor or rejected candidates."""
    if not isinstance(names, dict) or not values_of(labels) <= set(names.values()):
        return labels
    # "lymph node", or "lymph node 3" where each candidate has a value of its own.
    others = [value for name, value in names.items() if name.rstrip("0123456789 ") != NAME]
    return np.where(np.isin(labels, others), 0, labels) if others else labels


def _algorithm(result: Mapping[str, Any], at: datetime) -> Author:
    models = result.get("models")
    weights = [entry for entry in (models or {}).values() if isinstance(entry, dict)]
    digest = hashlib.sha256("".join(sorted(str(entry.get("sha256")) for entry in weights)).encode())
    version = f"{__version__}, weights {digest.hexdigest()[:12]}" if weights else __version__
    phantom = any(entry.get("trained_on") == "phantom" for entry in weights)
    name = str(result.get("model") or result.get("experiment") or "osln")
    return Author(False, at, algorithm=name, version=version, note=PHANTOM_NOTE if phantom else NOTE)


def _former_prediction(
    store: Path, case: str, grid: Grid, warnings: list[str]
) -> tuple[dict[int, Node], np.ndarray]:
    path = store / "labels" / "original" / f"{case}.nii.gz"
    if not path.is_file():
        return {}, np.zeros(0, dtype=np.uint16)
    try:
        nodes = predicted(grid, path, stored_result(store, case))
    except ValueError as error:
        warnings.append(f"scores were left out: {error}")
        return {}, np.zeros(0, dtype=np.uint16)
    return {node.number: node for node in nodes.nodes}, nodes.labels


def _zones(labels: np.ndarray, grid: Grid, tumor: Path | None) -> dict[int, str]:
    """Zone of each node by the distance of its center to the tumor (paper, section 3.1)."""
    mask = None if tumor is None else read_label_map(tumor, grid) != 0
    numbers = sorted(values_of(labels))
    if mask is None or not mask.any() or not numbers:
        return {}
    distance = tumor_distance_mm(mask, grid.spacing_mm)
    centers = np.rint(ndimage.center_of_mass(labels > 0, labels, numbers)).astype(int)
    near = distance[tuple(centers.T)] <= PROXIMAL_MM
    return {
        number: "proximal" if is_near else "distal" for number, is_near in zip(numbers, near, strict=True)
    }


def _told_apart(label: Path, kept: Path | None, grid: Grid) -> tuple[np.ndarray, bool]:
    """A stored label with a value for each node, as far as that is known; whether these are its numbers."""
    mask = read_label_map(label, grid)
    nodes = nodes_of(mask, None if kept is None else read_label_map(kept, grid))
    return nodes, nodes is not mask and kept is not None and kept.name.endswith(NUMBERS)


def local_time(at: str) -> datetime:
    """The time of a revision in the local zone, with the offset of that moment."""
    return time_of(at).astimezone()


def _written(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, timezone.utc).astimezone()
