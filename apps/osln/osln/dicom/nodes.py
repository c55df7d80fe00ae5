"""What is exported: single lymph nodes with numbers, colors and words, and who or what made them."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from scipy import ndimage
from scipy.spatial import cKDTree

from osln.dicom.colors import node_color
from osln.imaging.grid import Grid
from osln.imaging.single_nodes import single_nodes

APPROVED, PREDICTED, TUMOR = "OSLN_APPROVED", "OSLN_PREDICTED", "OSLN_TUMOR"
"""Content labels, by which objects of ours are told apart: nodes, predicted nodes, the primary tumor."""
IN_PART = "OSLN_IN_PART"
"""Content label of nodes of a case that was reviewed in part: others may be there."""
OWN_KINDS = (APPROVED, IN_PART, PREDICTED, TUMOR)
ANATOMICAL_STRUCTURE = Code("123037004", "SCT", "Anatomical Structure")
LYMPH_NODE = Code("59441001", "SCT", "Lymph node")
ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")

MANUFACTURER = "OSLN Label"

NAME = "lymph node"


@dataclass(frozen=True)
class Node:
    """One lymph node.

    Attributes:
        number: Its value in `NodeSet.labels`, from 1; stays with the node.
        score: Of stage two (GLNet) or of stage one; None if no network found it.
        scored_by: "GLNet", "stage one" or "".
        zone: "proximal" or "distal" to the primary tumor; None if that is not known.
        suv_max: Highest SUVbw; None without a PET.
    """

    number: int
    score: float | None = None
    scored_by: str = ""
    zone: str | None = None
    suv_max: float | None = None

    @property
    def name(self) -> str:
        return NAME if self is NOTHING else f"{NAME} {self.number}"

    @property
    def description(self) -> str:
        """Score, zone and SUV in words, as a viewer shows them; "" if nothing is known."""
        if self is NOTHING:
            return "this patient has no lymph nodes to mark"
        parts = [f"{self.scored_by} score {self.score:.2f}"] if self.score is not None else []
        parts += [f"{self.zone} to the primary tumor"] if self.zone else []
        parts += [f"SUVmax {self.suv_max:.1f}"] if self.suv_max is not None else []
        return ", ".join(parts)

    @property
    def color(self) -> tuple[int, int, int]:
        """Red, green and blue from 0 to 255, the same for a number everywhere."""
        return node_color(self.number)


NOTHING = Node(1)
"""Stands in the files, which cannot be without any content, for a patient without nodes."""


@dataclass(frozen=True)
class Author:
    """Who or what made the nodes.

    Attributes:
        approved: A person's label, or a prediction that nobody has looked at.
        at: When, with its zone, without which readers elsewhere would take it for a time of their own.
        algorithm: Name of the network or row that found them; "" for a label drawn by hand.
        version: Of the algorithm.
        person: Name of the annotator; "" for a prediction.
        revision: Number of the approved revision.
        note: What a reader has to know, for instance that the weights were trained on phantoms.
        undecided: Candidates left undecided in a case that was reviewed in part; None for a complete one.
    """

    approved: bool
    at: datetime
    algorithm: str = ""
    version: str = ""
    person: str = ""
    revision: int | None = None
    note: str = ""
    undecided: int | None = None

    def __post_init__(self) -> None:
        if self.at.utcoffset() is None:
            raise ValueError(f"expected a time with its zone, got {self.at.isoformat()}: use astimezone()")


@dataclass(frozen=True)
class NodeSet:
    """Nodes of one patient on the grid of the CT.

    Attributes:
        labels: (x, y, z) uint16, 0 = background, else the number of a node.
        grid: Of the CT, in closest-RAS order.
        nodes: By rising number; empty for a patient without nodes.
        author: Who made them.
    """

    labels: np.ndarray
    grid: Grid
    nodes: tuple[Node, ...]
    author: Author

    def __post_init__(self) -> None:
        values, numbers = values_of(self.labels), {node.number for node in self.nodes}
        if values != numbers:
            raise ValueError(
                f"the label map holds the values {sorted(values)}, the list of nodes the numbers "
                f"{sorted(numbers)}; they must be the same"
            )


def values_of(labels: np.ndarray) -> set[int]:
    """The values of a label map other than 0, without sorting a whole CT as `np.unique` does."""
    return {value for value, box in enumerate(ndimage.find_objects(labels), start=1) if box is not None}


def stable_numbers(history: Iterable[np.ndarray], numbered_already: Collection[int] = ()) -> np.ndarray:
    """Numbers the nodes of the last label map so that a node keeps its number from revision to revision.

    The nodes of the first map are numbered from head to feet. A node of a later map takes the number of the
    former node that it shares the most voxels with; others get numbers that no node has had.

    Args:
        history: Label maps (x, y, z) of one grid, oldest first, at least one; see `single_nodes`.
        numbered_already: Positions in the history of maps whose values are the numbers.

    Returns:
        (x, y, z) uint16.
    """
    numbered, highest = None, 0
    for position, labels in enumerate(history):
        if position in numbered_already:
            numbered = labels.astype(np.uint16)
            highest = max(highest, int(numbered.max()))
            continue
        parts, count = single_nodes(labels)
        by_part = np.zeros(count + 1, dtype=np.uint16)
        if numbered is not None:
            both = (parts > 0) & (numbered > 0)
            pairs, shared = np.unique(np.stack([parts[both], numbered[both]]), axis=1, return_counts=True)
            for i in np.lexsort((*pairs[::-1], -shared)):
                part, number = pairs[:, i]
                if by_part[part] == 0 and number not in by_part:
                    by_part[part] = number
        boxes = ndimage.find_objects(parts)
        without = sorted(np.flatnonzero(by_part[1:] == 0), key=lambda part: (-boxes[part][2].stop, part))
        by_part[1 + np.array(without, dtype=int)] = highest + 1 + np.arange(len(without))
        highest += len(without)
        numbered = by_part[parts]
    if numbered is None:
        raise ValueError("there is no label to number; approve one first")
    return numbered


def described(candidate: Mapping[str, Any]) -> Node:
    """The node of one candidate of a result (an entry of `candidates` in an inference's JSON).

    Raises:
        ValueError: If the entry has no id, center, radius or score.
    """
    try:
        glnet = candidate.get("stage_two_score")
        suv = candidate.get("suv_max")
        return Node(
            number=int(candidate["id"]),
            score=float(candidate["score"] if glnet is None else glnet),
            scored_by="stage one" if glnet is None else "GLNet",
            zone=candidate.get("zone"),
            suv_max=None if suv is None else float(suv),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            "a candidate of the result lacks its id, score, center_mm or radius_mm; give the JSON that the "
            f"server's inference returned ({type(error).__name__}: {error})"
        ) from error


def match_candidates(mask: np.ndarray, grid: Grid, candidates: list[Mapping[str, Any]]) -> np.ndarray:
    """Gives each connected part of a mask the id of its candidate.

    A stored prediction is a mask of 0 and 1, and two candidates that lie side by side can touch on the
    CT's coarser grid: such a part is divided between them, each voxel to the nearer surface (distance to
    the center less the radius).

    Args:
        mask: (x, y, z), nonzero inside nodes.
        grid: Of the mask.
        candidates: Entries of a result with `id`, `center_mm` (RAS) and `radius_mm`.

    Returns:
        (x, y, z) uint16.

    Raises:
        ValueError: If a candidate has no voxels in the mask, or a part of the mask no candidate.
    """
    numbers = [described(candidate).number for candidate in candidates]
    if len(set(numbers)) != len(numbers) or min(numbers, default=1) < 1 or max(numbers, default=1) > 65535:
        raise ValueError(f"candidates need different ids from 1 to 65535, got {sorted(numbers)}")
    labels = np.zeros(mask.shape, dtype=np.uint16, order="F" if mask.flags.f_contiguous else "C")
    voxels = np.argwhere(mask != 0)
    if not len(voxels):
        if numbers:
            raise ValueError(
                f"the result has {len(numbers)} candidates, but the label map is empty; give the label map "
                "of the same inference"
            )
        return labels
    places = grid.index_to_mm(voxels)
    try:
        centers = np.array([c["center_mm"] for c in candidates], dtype=np.float64).reshape(-1, 3)
        radii = np.array([c["radius_mm"] for c in candidates], dtype=np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"a candidate of the result lacks its center_mm or radius_mm ({error})") from error
    part_of = single_nodes(mask != 0)[0][tuple(voxels.T)]
    reach = 3 * radii + float(np.linalg.norm(grid.spacing_mm))
    away, nearest = cKDTree(places).query(centers) if len(centers) else (np.zeros(0), np.zeros(0, int))
    if (away > reach).any():
        lost = [number for number, far in zip(numbers, away > reach, strict=True) if far]
        raise ValueError(
            f"the candidates {lost} have no voxels in the label map; give the label map of the same inference"
        )
    owner = part_of[nearest]
    for part in np.unique(part_of):
        its = np.flatnonzero(part_of == part)
        own = np.flatnonzero(owner == part)
        if not len(own):
            own = _of_fragment(places[its].mean(axis=0), centers, radii, reach)
        distance = np.linalg.norm(places[its, None] - centers[None, own], axis=2) - radii[own]
        labels[tuple(voxels[its].T)] = np.array(numbers)[own[distance.argmin(axis=1)]]
    covered = values_of(labels)
    if lost := [number for number in numbers if number not in covered]:
        raise ValueError(f"the candidates {lost} have no voxels of their own in the label map")
    return labels


def _of_fragment(place: np.ndarray, centers: np.ndarray, radii: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """(1,) index of the nearest candidate: on a coarse grid a thin bridge of one can fall between voxels."""
    gap = np.linalg.norm(centers - place, axis=1)
    near = np.flatnonzero(gap <= reach)
    if not len(near):
        raise ValueError(
            f"no candidate describes the node at {np.round(place, 1).tolist()} mm; "
            "give the JSON and the label map of the same inference"
        )
    nearest: np.ndarray = near[[np.argmin(gap[near] - radii[near])]]
    return nearest


def title(author: Author) -> str:
    """What the series is called, at most 64 characters."""
    if not author.approved:
        return "OSLN Label: predicted lymph nodes, not reviewed"
    revision = "" if author.revision is None else f", revision {author.revision}"
    if author.undecided is not None:
        return f"OSLN Label: IN PART, not for planning{revision}"
    return f"OSLN Label: approved lymph nodes{revision}"


def content_label(author: Author) -> str:
    """By what the object is told apart from others of ours."""
    if not author.approved:
        return PREDICTED
    return APPROVED if author.undecided is None else IN_PART


def own_kind(dataset: Dataset) -> str:
    """Which of our objects a SEG or RTSTRUCT is, of `OWN_KINDS`; "" if another program wrote it.

    A structure set has the content label as its own label, with blanks.
    """
    if str(dataset.get("Manufacturer") or "").strip() != MANUFACTURER:
        return ""
    labels = (dataset.get("ContentLabel"), dataset.get("StructureSetLabel"))
    kinds = (str(label or "").strip().replace(" ", "_") for label in labels)
    return next((kind for kind in kinds if kind in OWN_KINDS), "")
