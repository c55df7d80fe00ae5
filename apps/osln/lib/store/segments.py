"""What each value of a submitted label map means: lymph node, primary tumor, neither, or a refusal.

3D Slicer numbers the values of a label map by the order of the segments in its scene and not by the
model's labels, and sends the names beside it (`label_info`). So the names decide, and values only where
there are none.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from osln.imaging.labelmaps import LabelFile
from osln.imaging.single_nodes import single_nodes
from osln.store.reviews import MOST_CANDIDATES

MOST_NODES = MOST_CANDIDATES
"""Single nodes of a label: a patient has some dozens, and each costs time whenever labels are compared."""
NUMBERED = r"(?:[ _#-]*\d+)?"
NAMES = {
    "node": re.compile(rf"(?:lymph[ _-]?nodes?|osln|ln|nodes?){NUMBERED}", re.IGNORECASE),
    "tumor": re.compile(rf"(?:(?:primary[ _-]?)?tumou?r|gtv(?:[ _-]?[pt])?){NUMBERED}", re.IGNORECASE),
    "rejected": re.compile(rf"rejected[ _-]?(?:candidates?|nodes?){NUMBERED}", re.IGNORECASE),
    "background": re.compile(r"background", re.IGNORECASE),
}
KNOWN_NAMES = "'lymph node' (or 'lymph node 1', 'lymph node 2', ...) and 'tumor' (or 'gtv')"
VALUES = {1: "node", 2: "tumor"}


@dataclass(frozen=True)
class Segments:
    """What a label file says.

    Attributes:
        nodes: (x, y, z) uint16 on the CT's grid, a value for each segment of nodes; None if the file says
            nothing about nodes. All 0 means that there are no nodes.
        tumor: Mask; None if the file holds no tumor.
        named: Whether names say which is which, of the file or sent beside it; otherwise values do.
        rejected: Whether the file also holds candidates that stage two rejected, which are no nodes and
            are left out.
        mixed: Values of `nodes` that say nothing about single nodes: the only one, and segments without a
            number ("lymph node"), which hold any number of them.
        sources: Of a file of one layer, the value in the file of each value of `nodes`, that of 1 first.
        shared: Voxels that several segments of nodes hold; each is in `nodes` with the first of them.
    """

    nodes: np.ndarray | None
    tumor: np.ndarray | None
    named: bool = True
    rejected: bool = False
    mixed: frozenset[int] = frozenset()
    sources: tuple[int, ...] = ()
    shared: int = 0


def split_segments(file: LabelFile, label_info: Any, tag: str) -> Segments:
    """Finds nodes and tumor in a label file.

    Args:
        file: The label on the CT's grid.
        label_info: `[{"name": str, "idx": int}, ...]` as Slicer sends it, or None.
        tag: "final" (nodes, perhaps with the tumor) or "gtv" (the tumor only).

    Raises:
        ValueError: A value without a known name, which says the known names and values, segments that say
            nothing about nodes or tumor, a segment of nodes that lies in others as a whole, or more than
            `MOST_NODES` values or single nodes.
    """
    values = [(i, int(v)) for i, layer in enumerate(file.layers) for v in np.unique(layer[layer != 0])]
    _check_number(len(values), "values")
    sent = _sent_names(label_info)
    names: dict[tuple[int, int], str | None] = {}
    if file.names:
        names = {key: file.names.get(key) for key in values}
        kinds = {key: _kind(name, key[1]) for key, name in names.items()}
        mentioned = set(file.names.values())
    elif len(file.layers) > 1:
        raise ValueError(
            "the label has several layers but names no segments; save it from 3D Slicer as .seg.nrrd, or "
            "send one label map"
        )
    elif sent:
        names = {(0, v): name for v, name in _names_of([v for _, v in values], sent).items()}
        kinds = {key: _kind(name, key[1]) for key, name in names.items()}
        mentioned = {name for name, _ in sent}
    else:
        kinds, mentioned = _kinds_without_names(values, tag), set()
    named = bool(file.names or sent)
    rejected = "rejected" in kinds.values()
    tumor = _mask(file, [key for key, kind in kinds.items() if kind == "tumor"])
    segments = [key for key, kind in kinds.items() if kind == "node"]
    nodes, shared = _values(file, segments)
    if nodes is not None:
        _check_number(single_nodes(nodes)[1], "nodes (parts that do not touch)")
    if tag == "gtv":
        if nodes is not None:
            raise ValueError("the tag 'gtv' holds the tumor only, this label has nodes; use the tag 'final'")
        if tumor is None:
            raise ValueError("the tumor label is empty; contour the primary tumor and submit it again")
        return Segments(None, tumor, named, rejected)
    says_nodes = _mentions("node", mentioned)
    if mentioned and nodes is None and tumor is None and not says_nodes:
        holds = "rejected candidates only, which are no nodes" if rejected else "no node and no tumor"
        raise ValueError(
            f"the label holds {holds}: put the nodes into a segment 'lymph node', or submit an empty segment "
            "'lymph node' if the patient has none"
        )
    if nodes is None and (says_nodes or tumor is None):
        nodes = np.zeros_like(file.layers[0], dtype=np.uint16)
    mixed = frozenset(
        value
        for value, key in enumerate(segments, start=1)
        if len(segments) == 1 or not re.search(r"\d\s*$", names.get(key) or "")
    )
    sources = tuple(value for _, value in segments) if len(file.layers) == 1 else ()
    return Segments(nodes, tumor, named, rejected, mixed, sources, shared)


def _check_number(number: int, what: str) -> None:
    if number > MOST_NODES:
        raise ValueError(
            f"the label has {number} {what}, at most {MOST_NODES} are taken: remove the specks (in 3D "
            "Slicer: Segment Editor, Islands, remove small islands) and submit it again"
        )


def _mentions(kind: str, names: Collection[str]) -> bool:
    return any(NAMES[kind].fullmatch(name.strip()) for name in names)


def _values(file: LabelFile, keys: list[tuple[int, int]]) -> tuple[np.ndarray | None, int]:
    """1 for the first of the segments, 2 for the second, ...; and how many voxels several of them hold.

    Raises:
        ValueError: If nothing would be left of a segment.
    """
    if not keys:
        return None, 0
    labels = np.zeros_like(file.layers[0], dtype=np.uint16)
    shared = np.zeros_like(labels, dtype=bool) if len(file.layers) > 1 else None
    for position, (layer, value) in enumerate(keys, start=1):
        inside = file.layers[layer] == value
        # Within a layer nothing overlaps.
        if shared is not None:
            shared |= inside & (labels != 0)
            inside &= labels == 0
            if not inside.any():
                raise ValueError(_nothing_left(file.names.get((layer, value), str(value))))
        labels[inside] = position
    return labels, 0 if shared is None else int(np.count_nonzero(shared))


def _nothing_left(name: str) -> str:
    return (
        f"all of the segment {name!r} lies in other segments of nodes, a voxel belongs to one node: remove "
        "it, or erase it from the others (in 3D Slicer: Segment Editor, Masking, allow no overlap)"
    )


def _mask(file: LabelFile, keys: list[tuple[int, int]]) -> np.ndarray | None:
    if not keys:
        return None
    # In the memory order of the layers: mixing orders costs seconds on a whole CT.
    mask = np.zeros_like(file.layers[0], dtype=bool)
    for layer, value in keys:
        mask |= file.layers[layer] == value
    return mask


def _kind(name: str | None, value: int) -> str:
    if name is None:
        raise ValueError(
            f"the label holds the value {value}, but no segment has that number; name the segments "
            f"{KNOWN_NAMES}"
        )
    for kind, pattern in NAMES.items():
        if pattern.fullmatch(name.strip()):
            return kind
    raise ValueError(f"the segment {name!r} is not known here; name the segments {KNOWN_NAMES}, or remove it")


def _sent_names(label_info: Any) -> list[tuple[str, int]]:
    if label_info is None:
        return []
    if label_info == []:
        # Slicer then exports whatever it still has, so that the values mean nothing.
        raise ValueError(
            "no segment was sent: submit a segment 'lymph node', an empty one if the patient has no nodes"
        )
    usable = isinstance(label_info, list) and all(isinstance(entry, dict) for entry in label_info)
    if not usable or not all(isinstance(entry.get("idx", 0), int) for entry in label_info):
        raise ValueError('label_info must be a list such as [{"name": "lymph node", "idx": 1}]')
    names = [(str(entry.get("name") or ""), entry.get("idx", i)) for i, entry in enumerate(label_info, 1)]
    # Names that are missing altogether say nothing; a single missing one is an unknown segment.
    return names if any(name for name, _ in names) else []


def _names_of(values: list[int], sent: list[tuple[str, int]]) -> dict[int, str | None]:
    """Name of each value.

    Slicer's values are positions in the list; its `idx` also counts segments that it did not export. Other
    clients mean `idx`. Where the two differ and both fit the values, they must lead to the same result.
    """
    by_idx = {idx: name for name, idx in sent}
    by_position = {position: name for position, (name, _) in enumerate(sent, 1)}
    fitting = [names for names in (by_idx, by_position) if set(values) <= set(names)]
    if not fitting:
        return {value: by_idx.get(value) for value in values}
    readings = [{value: names[value] for value in values} for names in fitting]
    kinds = [{value: _kind(name, value) for value, name in reading.items()} for reading in readings]
    if any(kind != kinds[0] for kind in kinds):
        raise ValueError(
            "label_info is ambiguous: its idx are not 1, 2, 3, ... in order, and the values fit two "
            "readings; number the segments in order"
        )
    return readings[0]


def _kinds_without_names(values: list[tuple[int, int]], tag: str) -> dict[tuple[int, int], str]:
    found = sorted(value for _, value in values)
    if tag == "gtv":
        if len(found) > 1:
            raise ValueError(f"a tumor mask without names has one value, got {found}; send label_info")
        return {key: "tumor" for key in values}
    if unknown := [value for value in found if value not in VALUES]:
        raise ValueError(
            f"without label_info the value 1 means lymph node and 2 means tumor; the label also holds "
            f"{unknown}. Send label_info with the names, for single nodes 'lymph node 1', 'lymph node 2', ..."
        )
    return {key: VALUES[key[1]] for key in values}
