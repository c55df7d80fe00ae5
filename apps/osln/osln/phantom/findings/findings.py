"""What the sidecar says about each lymph node and each mimic."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from osln.phantom.body.shapes import Shape


@dataclass(frozen=True)
class Finding:
    """One node or mimic of a phantom.

    Attributes:
        kind: "node", "vessel", "vessel stub", "cyst", "muscle bundle", "hot spot", "bowel", "brown fat",
            "vocal cord" or "heart".
        zone: "proximal" (center within 70 mm of the tumor) or "distal".
        distance_mm: from its center to the tumor.
        center_mm: in RAS.
        volume_mm3: nodes: of the voxels it covers; mimics: of the painted shape.
        radius_mm: of the sphere with that volume.
        short_axis_mm, long_axis_mm: as painted.
        suv_max: largest SUV of the PET over it, where the PET shows it.
        avid, osln: PET-avid; counts by the clinical rule.
        tags: LesaNet tags that hold for it.
        label: its value in the node label map, 0 when it is not there.
        station: lymph node station, "" for mimics.
    """

    kind: str
    zone: str
    distance_mm: float
    center_mm: tuple[float, float, float]
    volume_mm3: float
    radius_mm: float
    short_axis_mm: float
    long_axis_mm: float
    suv_max: float
    avid: bool
    osln: bool
    tags: tuple[str, ...]
    label: int
    station: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values for the sidecar, lengths to 0.01 mm."""
        values = asdict(self)
        for name, value in values.items():
            if isinstance(value, float):
                values[name] = round(value, 2)
        values["center_mm"] = [round(v, 2) for v in self.center_mm]
        values["tags"] = list(self.tags)
        return values


@dataclass(frozen=True)
class Deposit:
    """A node or mimic before it is painted: its shapes and what is known of it on any grid.

    Attributes:
        outline: the shape(s) whose union is the thing itself.
        extra: shapes painted after it (a fatty hilum).
        avid, osln: its state; mimics are never `osln`.
    """

    kind: str
    center_mm: np.ndarray
    short_axis_mm: float
    long_axis_mm: float
    volume_mm3: float
    outline: tuple[Shape, ...]
    extra: tuple[Shape, ...] = ()
    avid: bool = False
    osln: bool = False
    tags: tuple[str, ...] = ()
    station: str = ""

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """All shapes in painting order."""
        return self.outline + self.extra


def zone_of(distance_mm: float, border_mm: float = 70.0) -> str:
    """Zone of a point by its distance to the tumor ("proximal" up to and including the border)."""
    return "proximal" if distance_mm <= border_mm else "distal"
