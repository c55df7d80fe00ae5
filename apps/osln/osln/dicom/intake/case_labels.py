"""From regions of a structure set or segments of a SEG to labels: one tumor mask, and nodes as instances."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from scipy import ndimage

from osln.dicom.intake.roi_names import Meaning, RoiRules
from osln.dicom.reading.contour_fill import FilledRegion
from osln.dicom.reading.rtstruct import Region, StructureSet, region_voxels
from osln.dicom.reading.segmentation import SegFile
from osln.imaging.grid import Grid
from osln.imaging.instances import CONNECTIVITY


class AmbiguousNamesError(ValueError):
    """Names that could mean the tumor, a node or neither; somebody has to decide.

    Attributes:
        names: The regions' names.
    """

    def __init__(self, meanings: Mapping[str, Meaning]) -> None:
        self.names = tuple(meanings)
        told = "; ".join(f"{name!r}: {meaning.reason}" for name, meaning in meanings.items())
        first = self.names[0]
        super().__init__(
            f'{len(self.names)} names of regions are ambiguous ({told}); decide with --roi "{first}=tumor", '
            f'"{first}=node" or "{first}=ignore", or with a rules file'
        )


@dataclass(frozen=True)
class CaseLabels:
    """Labels on the CT's grid, closest-RAS order.

    Attributes:
        tumor: bool; None if no region is the primary tumor.
        nodes: uint16 instances 1, 2, ... in the order of the regions; None if no region is a node.
        instances: Region, size and center of each node, as JSON values.
        regions: What every region or segment was taken for and why, as JSON values.
        warnings: What a person should look at.
    """

    tumor: np.ndarray | None
    nodes: np.ndarray | None
    instances: list[dict[str, Any]] = field(default_factory=list)
    regions: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all was drawn, whatever the names mean."""
        return not any(region.get("contours") or region.get("voxels") for region in self.regions)


def check_names(structures: StructureSet, rules: RoiRules) -> dict[str, Meaning]:
    """What the contoured regions mean, by name.

    Raises:
        AmbiguousNamesError: If the rules cannot tell what one of them is.
    """
    meanings = rules.meanings(region.name for region in structures.regions if region.contours)
    refuse_ambiguous(meanings)
    return meanings


def refuse_ambiguous(meanings: Mapping[str, Meaning]) -> None:
    """Raises AmbiguousNamesError if the rules cannot tell what one of the names is."""
    if unclear := {name: meaning for name, meaning in meanings.items() if meaning.kind == "ambiguous"}:
        raise AmbiguousNamesError(unclear)


@dataclass(frozen=True)
class Drawn:
    """Something with a name that a person or a program drew.

    Attributes:
        what: "region" or "segment".
        name: As written.
        told: Numbers about it, as JSON values.
        lacking: Why it has nothing inside; "" if it has.
        voxels: Gives its voxels.
    """

    what: str
    name: str
    told: Mapping[str, int]
    lacking: str
    voxels: Callable[[], FilledRegion]


def case_labels(
    structures: StructureSet,
    rules: RoiRules,
    grid: Grid,
    frame: str,
    images: Sequence[np.ndarray] | None = None,
) -> CaseLabels:
    """Tumor and nodes of a structure set.

    Each part of a node region that is connected by faces, edges or corners is a node of its own; so are
    touching parts of different regions.

    Args:
        structures: Drawn on the CT.
        rules: What the names mean.
        grid: Of the CT.
        frame: Frame of reference UID of the CT.
        images: Where the CT's images lie along each axis of the grid; on every slice if not given.

    Raises:
        AmbiguousNamesError: From `check_names`.
        ValueError: If the tumor's regions have no voxel in the CT, or from `region_voxels`.
    """
    regions = [
        Drawn(
            "region",
            region.name,
            {"contours": len(region.contours)},
            "" if region.contours else _lacking(region),
            partial(region_voxels, region, grid, frame, images),
        )
        for region in structures.regions
    ]
    return labels_of(regions, rules, grid)


def segment_labels(seg: SegFile, rules: RoiRules) -> CaseLabels:
    """Tumor and nodes of a DICOM Segmentation; as `case_labels`, each segment in the place of a region."""
    segments = []
    for segment in seg.segments:
        placed = segment.placed
        start = np.array([side.start or 0 for side in placed.box])
        filled = partial(FilledRegion, start, placed.voxels, ())
        lacking = "" if placed.voxels.any() else "it has no voxel; draw it again if it is needed"
        told = {"segment": segment.number, "voxels": int(placed.voxels.sum())}
        segments.append(Drawn("segment", segment.name, told, lacking, filled))
    return labels_of(segments, rules, seg.grid)


def labels_of(regions: Sequence[Drawn], rules: RoiRules, grid: Grid) -> CaseLabels:
    """Tumor and nodes by the names of what was drawn; errors as in `case_labels`."""
    meanings = rules.meanings(region.name for region in regions if not region.lacking)
    refuse_ambiguous(meanings)
    named = rules.meanings(region.name for region in regions)
    labels = CaseLabels(None, None)
    tumor, nodes = None, None
    drawn: list[tuple[Drawn, FilledRegion]] = []
    for region in regions:
        nothing = Meaning("other", "it has nothing inside")
        meaning = nothing if region.lacking else meanings[region.name]
        labels.regions.append(
            {"name": region.name, "kind": meaning.kind, "reason": meaning.reason, **region.told}
        )
        if region.lacking:
            if named[region.name].kind != "other":
                labels.warnings.append(f"{region.what} {region.name!r} was left out: {region.lacking}")
            continue
        if meaning.kind == "other":
            continue
        if meaning.assumed:
            labels.warnings.append(
                f"{region.what} {region.name!r} was taken for the {meaning.kind}: {meaning.reason}"
            )
        filled = region.voxels()
        labels.warnings.extend(filled.notes)
        if not filled.mask.any():
            if meaning.kind == "tumor":
                raise ValueError(
                    f"{region.what} {region.name!r} holds no voxel of the CT; contour it again or ignore it"
                )
            labels.warnings.append(
                f"{region.what} {region.name!r} was left out: it holds no voxel of the CT; contour it "
                "again if it is a node"
            )
            continue
        if meaning.kind == "tumor":
            tumor = np.zeros(grid.shape, bool, order="F") if tumor is None else tumor
            filled.paste(tumor, True)
        else:
            drawn.append((region, filled))
    for region, filled in drawn:
        nodes = np.zeros(grid.shape, np.uint16, order="F") if nodes is None else nodes
        others = [other for _, other in drawn if other is not filled]
        _add_instances(nodes, _drawn_first(filled, others, region, labels), region, grid, labels)
    tumors = [region["name"] for region in labels.regions if region["kind"] == "tumor"]
    if len(tumors) > 1:
        labels.warnings.append(
            f"the primary tumor is the union of {len(tumors)} regions: {', '.join(tumors)}"
        )
    labels.warnings.extend(_shared(tumor, nodes))
    return CaseLabels(tumor, nodes, labels.instances, labels.regions, labels.warnings)


def combined(found: Sequence[tuple[str, CaseLabels]]) -> CaseLabels:
    """Tumor and nodes of several objects on one CT.

    Args:
        found: What an object holds alone ("tumor" or "nodes"; "" for both), and its labels. Of one that holds
            both, the other objects replace what they hold.
    """
    labels = CaseLabels(None, None)
    taken = {part for part, _ in found} - {""}
    for part, own in found:
        if not part and taken:
            own = _without(own, taken)
        labels = CaseLabels(
            own.tumor if labels.tumor is None else labels.tumor,
            own.nodes if labels.nodes is None else labels.nodes,
            [*labels.instances, *own.instances],
            [*labels.regions, *own.regions],
            [*labels.warnings, *own.warnings],
        )
    if len(found) > 1:
        labels.warnings.extend(_shared(labels.tumor, labels.nodes))
    return labels


def _without(labels: CaseLabels, parts: set[str]) -> CaseLabels:
    """The same labels without the tumor or the nodes, which come from somewhere else."""
    kinds = {"tumor" if part == "tumor" else "node": part for part in parts}
    regions = [
        {
            **region,
            "kind": "other",
            "reason": f"the {kinds[region['kind']]} approved with this program are newer",
        }
        if region["kind"] in kinds
        else region
        for region in labels.regions
    ]
    tumor = None if "tumor" in parts else labels.tumor
    nodes, instances = (None, []) if "nodes" in parts else (labels.nodes, labels.instances)
    warnings = [warning for warning in labels.warnings if warning not in _shared(labels.tumor, labels.nodes)]
    return CaseLabels(tumor, nodes, instances, regions, warnings)


def _shared(tumor: np.ndarray | None, nodes: np.ndarray | None) -> list[str]:
    if tumor is None or nodes is None or not (shared := int((tumor & (nodes > 0)).sum())):
        return []
    return [f"{shared} voxels lie in the tumor and in a node"]


def _lacking(region: Region) -> str:
    what = f"its {region.others} contours are points or open lines" if region.others else "it has no contour"
    return f"{what}; contour it again if it is needed"


def _drawn_first(
    filled: FilledRegion, others: Sequence[FilledRegion], region: Drawn, labels: CaseLabels
) -> FilledRegion:
    """Without what is interpolated of the region and drawn in another one: a small node can lie in a gap."""
    if filled.drawn is None or (filled.drawn == filled.mask).all():
        return filled
    taken = np.zeros_like(filled.mask)
    for other in others:
        low = np.maximum(filled.start, other.start)
        high = np.minimum(filled.start + filled.mask.shape, other.start + other.mask.shape)
        if (low < high).all():
            here, there = (
                tuple(slice(a, b) for a, b in zip(low - one.start, high - one.start, strict=True))
                for one in (filled, other)
            )
            taken[here] |= (other.mask if other.drawn is None else other.drawn)[there]
    taken &= filled.mask & ~filled.drawn
    if taken.any():
        labels.warnings.append(
            f"{taken.sum()} interpolated voxels of {region.what} {region.name!r} are drawn in another node, "
            "and count there only"
        )
    return replace(filled, mask=filled.mask & ~taken)


def _add_instances(
    nodes: np.ndarray, filled: FilledRegion, region: Drawn, grid: Grid, labels: CaseLabels
) -> None:
    box = tuple(slice(a, a + n) for a, n in zip(filled.start, filled.mask.shape, strict=True))
    target = nodes[box]
    parts, count = ndimage.label(filled.mask, CONNECTIVITY)
    sizes = np.bincount(parts.ravel())
    for part in range(1, count + 1):
        own = (parts == part) & (target == 0)
        if not own.any():
            labels.warnings.append(
                f"a part of {region.what} {region.name!r} lies wholly inside nodes contoured before"
            )
            continue
        if (lost := int(sizes[part] - own.sum())) > 0:
            labels.warnings.append(
                f"{lost} of {sizes[part]} voxels of {region.what} {region.name!r} lie inside nodes contoured "
                "before, and count there only"
            )
        value = len(labels.instances) + 1
        target[own] = value
        center = grid.index_to_mm(np.argwhere(own).mean(axis=0) + filled.start)
        labels.instances.append(
            {
                "label": value,
                "region": region.name,
                "voxels": int(own.sum()),
                "volume_mm3": round(float(own.sum() * grid.voxel_mm3), 1),
                "center_mm": [round(float(v), 2) for v in center],
            }
        )
        if sizes[part] <= 2 and count > 1:
            labels.warnings.append(f"{region.what} {region.name!r} has a part of {sizes[part]} voxels only")
