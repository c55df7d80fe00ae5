"""From the regions of a structure set to the labels of a case: one tumor mask, and nodes as instances."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import ndimage

from osln.dicom.intake.roi_names import Meaning, RoiRules
from osln.dicom.reading.contour_fill import FilledRegion
from osln.dicom.reading.rtstruct import Region, StructureSet, region_voxels
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
        regions: What every region was taken for and why, as JSON values.
        warnings: What a person should look at.
    """

    tumor: np.ndarray | None
    nodes: np.ndarray | None
    instances: list[dict[str, Any]] = field(default_factory=list)
    regions: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


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


def case_labels(structures: StructureSet, rules: RoiRules, grid: Grid, frame: str) -> CaseLabels:
    """Tumor and nodes of a structure set.

    Each part of a node region that is connected by faces, edges or corners is a node of its own; so are
    touching parts of different regions.

    Args:
        structures: Drawn on the CT.
        rules: What the names mean.
        grid: Of the CT.
        frame: Frame of reference UID of the CT.

    Raises:
        AmbiguousNamesError: From `check_names`.
        ValueError: If the tumor's regions have no voxel in the CT, or from `region_voxels`.
    """
    meanings = check_names(structures, rules)
    named = rules.meanings(region.name for region in structures.regions)
    labels = CaseLabels(None, None)
    tumor, nodes = None, None
    for region in structures.regions:
        meaning = meanings.get(region.name, Meaning("other", "it has no closed contour"))
        labels.regions.append(
            {
                "name": region.name,
                "kind": meaning.kind,
                "reason": meaning.reason,
                "contours": len(region.contours),
            }
        )
        if not region.contours:
            if named[region.name].kind != "other":
                labels.warnings.append(f"region {region.name!r} was left out: {_lacking(region)}")
            continue
        if meaning.kind == "other":
            continue
        if meaning.assumed:
            labels.warnings.append(
                f"region {region.name!r} was taken for the {meaning.kind}: {meaning.reason}"
            )
        filled = region_voxels(region, grid, frame)
        labels.warnings.extend(filled.notes)
        if not filled.mask.any():
            if meaning.kind == "tumor":
                raise ValueError(
                    f"region {region.name!r} holds no voxel of the CT; contour it again or ignore it"
                )
            labels.warnings.append(
                f"region {region.name!r} was left out: it holds no voxel of the CT; contour it again if it "
                "is a node"
            )
            continue
        if meaning.kind == "tumor":
            tumor = np.zeros(grid.shape, bool, order="F") if tumor is None else tumor
            filled.paste(tumor, True)
        else:
            nodes = np.zeros(grid.shape, np.uint16, order="F") if nodes is None else nodes
            _add_instances(nodes, filled, region.name, grid, labels)
    tumors = [region["name"] for region in labels.regions if region["kind"] == "tumor" and region["contours"]]
    if len(tumors) > 1:
        labels.warnings.append(
            f"the primary tumor is the union of {len(tumors)} regions: {', '.join(tumors)}"
        )
    if nodes is not None and tumor is not None and (shared := int((tumor & (nodes > 0)).sum())):
        labels.warnings.append(f"{shared} voxels lie in the tumor and in a node")
    return CaseLabels(tumor, nodes, labels.instances, labels.regions, labels.warnings)


def _lacking(region: Region) -> str:
    what = f"its {region.others} contours are points or open lines" if region.others else "it has no contour"
    return f"{what}; contour it again if it is needed"


def _add_instances(
    nodes: np.ndarray, filled: FilledRegion, name: str, grid: Grid, labels: CaseLabels
) -> None:
    box = tuple(slice(a, a + n) for a, n in zip(filled.start, filled.mask.shape, strict=True))
    target = nodes[box]
    parts, count = ndimage.label(filled.mask, CONNECTIVITY)
    sizes = np.bincount(parts.ravel())
    for part in range(1, count + 1):
        own = (parts == part) & (target == 0)
        if not own.any():
            labels.warnings.append(f"a part of region {name!r} lies wholly inside nodes contoured before")
            continue
        value = len(labels.instances) + 1
        target[own] = value
        center = grid.index_to_mm(np.argwhere(own).mean(axis=0) + filled.start)
        labels.instances.append(
            {
                "label": value,
                "region": name,
                "voxels": int(own.sum()),
                "volume_mm3": round(float(own.sum() * grid.voxel_mm3), 1),
                "center_mm": [round(float(v), 2) for v in center],
            }
        )
        if sizes[part] <= 2 and count > 1:
            labels.warnings.append(f"region {name!r} has a part of {sizes[part]} voxels only")
