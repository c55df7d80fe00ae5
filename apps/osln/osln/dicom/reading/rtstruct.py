"""Reading of RTSTRUCT: which image it was drawn on, its regions, and their voxels on a CT's grid."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from osln.dicom.nodes import own_kind
from osln.dicom.reading.contour_fill import FilledRegion, fill_region
from osln.dicom.reading.files import DAMAGED, text
from osln.dicom.reading.referenced import named_series
from osln.dicom.reading.times import at, parse_date, parse_time, zone_of
from osln.imaging.grid import Grid

LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])
EVEN_ODD = ("CLOSEDPLANAR_XOR", "CLOSED_PLANAR_XOR")
CLOSED = ("CLOSED_PLANAR", "INTERPOLATED_PLANAR", *EVEN_ODD)
"""Types of contours that have an inside; those between drawn slices are planar and closed as well."""
FEWEST_POINTS = 3
"""Of a contour that has an inside."""
DAMAGED_WORDS = "the RTSTRUCT is truncated or damaged; copy it again"


@dataclass(frozen=True)
class Region:
    """One region of interest.

    Attributes:
        number: ROINumber.
        name: ROIName, as written.
        frame: Frame of reference UID; "" if not given.
        contours: Closed planar contours, (N, 3) RAS mm each.
        others: Number of points, open contours and those of less than three points, which have no inside.
        even_odd: Whether the contours say themselves that they combine even-odd where they cross.
        complete: Whether what lacks a contour is not of the region: this program leaves no slice out.
    """

    number: int
    name: str
    frame: str
    contours: tuple[np.ndarray, ...]
    others: int
    even_odd: bool = False
    complete: bool = False


@dataclass(frozen=True)
class StructureSet:
    """One RTSTRUCT.

    Attributes:
        uid: SOP instance UID.
        series: UIDs of the image series that it was drawn on.
        images: SOP instance UIDs of the images that it names.
        frames: Frame of reference UIDs that it names.
        drawn: When, as `drawn`.
        regions: In the order of the file.
    """

    uid: str
    series: frozenset[str]
    images: frozenset[str]
    frames: frozenset[str]
    drawn: datetime | None
    regions: tuple[Region, ...]


def read_structures(path: str | Path) -> StructureSet:
    """Reads an RTSTRUCT file.

    Raises:
        ValueError: If it is damaged, no RTSTRUCT, or a contour is not made of points.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return structures_of(pydicom.dcmread(path))
    except ValueError:
        raise
    except Exception as error:
        # Damaged files make the reader raise nearly anything.
        raise ValueError(DAMAGED_WORDS) from error


def structures_of(ds: Dataset) -> StructureSet:
    """The structure set of a data set; same errors as `read_structures`."""
    try:
        return _structures(ds)
    except DAMAGED as error:
        raise ValueError(DAMAGED_WORDS) from error


def _structures(ds: Dataset) -> StructureSet:
    if text(ds, "Modality") != "RTSTRUCT" or "StructureSetROISequence" not in ds:
        raise ValueError("it is no RTSTRUCT, or it is truncated: it has no StructureSetROISequence")
    series, frames = named_series(ds)
    images = set().union(*series.values()) - {""}
    drawings, ours = _drawings(ds), bool(own_kind(ds))
    regions = []
    for roi in ds.StructureSetROISequence:
        number, name = int(roi.ROINumber), text(roi, "ROIName")
        contours, kinds = [], []
        for contour in drawings.get(number, ()):
            images |= {
                text(item, "ReferencedSOPInstanceUID") for item in contour.get("ContourImageSequence") or []
            }
            kinds.append(text(contour, "ContourGeometricType").upper())
            if kinds[-1] in CLOSED and len(points := _points(contour, name)) >= FEWEST_POINTS:
                contours.append(points)
        frame, others = text(roi, "ReferencedFrameOfReferenceUID"), len(kinds) - len(contours)
        even_odd = any(kind in EVEN_ODD for kind in kinds)
        regions.append(Region(number, name, frame, tuple(contours), others, even_odd, ours))
    return StructureSet(
        text(ds, "SOPInstanceUID"),
        frozenset(series),
        frozenset(images),
        frozenset(frames),
        drawn(ds),
        tuple(regions),
    )


def _drawings(ds: Dataset) -> dict[int, list[Dataset]]:
    """Contours by the number of their region, which belongs to one region alone (PS3.3 C.8.8.5, C.8.8.6).

    Raises:
        ValueError: If two regions have one number, or contours belong to no region: whose they are cannot
            be known.
    """
    names: dict[int, str] = {}
    for roi in ds.StructureSetROISequence:
        number, name = int(roi.ROINumber), text(roi, "ROIName")
        if number in names:
            raise ValueError(
                f"the regions {names[number]!r} and {name!r} have one number ({number}), so that their "
                "contours cannot be told apart; export the structure set again"
            )
        names[number] = name
    found: dict[int, list[Dataset]] = {}
    for item in ds.get("ROIContourSequence") or []:
        number, contours = int(item.ReferencedROINumber), list(item.get("ContourSequence") or [])
        if number not in names and contours:
            raise ValueError(
                f"{len(contours)} contours belong to a region number {number}, which the structure set does "
                "not have; export it again"
            )
        found.setdefault(number, []).extend(contours)
    return found


def names_of(ds: Dataset) -> list[str]:
    """Names of the regions of an RTSTRUCT or the segments of a SEG, as written, from its head."""
    regions = [text(roi, "ROIName") for roi in ds.get("StructureSetROISequence") or []]
    return regions + [text(segment, "SegmentLabel") for segment in ds.get("SegmentSequence") or []]


def drawn(ds: Dataset) -> datetime | None:
    """When a structure set was made, with its zone if it has one; None if it does not say."""
    for prefix in ("StructureSet", "Series"):
        day = parse_date(ds.get(f"{prefix}Date"))
        if day is not None:
            made = at(day, parse_time(ds.get(f"{prefix}Time")) or timedelta(0))
            return made.replace(tzinfo=zone_of(ds))
    return None


def region_voxels(
    region: Region, grid: Grid, frame: str, images: Sequence[np.ndarray] | None = None
) -> FilledRegion:
    """Voxels of a region on a CT's grid.

    Args:
        region: With contours in patient coordinates.
        grid: Of the CT, in closest-RAS order; may be oblique.
        frame: Frame of reference UID of the CT; "" if it has none.
        images: Where the CT's images lie along each axis of the grid; on every slice if not given.

    Raises:
        ValueError: If region and CT have different frames of reference, or from `fill_region`.
    """
    if region.frame and frame and region.frame != frame:
        raise ValueError(
            f"region {region.name!r} was drawn in another frame of reference than that of the CT; export it "
            "on the planning CT"
        )
    contours = [grid.mm_to_index(points) for points in region.contours]
    try:
        filled = fill_region(
            contours, grid.shape, grid.spacing_mm,
            even_odd=region.even_odd, complete=region.complete, images=images,
        )  # fmt: skip
    except ValueError as error:
        raise ValueError(f"region {region.name!r}: {error}") from error
    notes = filled.notes
    if region.others:
        notes = (*notes, f"{region.others} points or open contours have no inside and were left out")
    return replace(filled, notes=tuple(f"region {region.name!r}: {note}" for note in notes))


def region_mask(structures: StructureSet, name: str, grid: Grid, frame: str = "") -> np.ndarray:
    """The voxels of one region by its name, bool on the CT's grid.

    Args:
        structures: Holds the region.
        name: As written there.
        grid: Of the CT, in closest-RAS order.
        frame: Frame of reference UID of the CT; "" if it is not known.

    Raises:
        ValueError: If there is no such region, it has no voxel in the CT, or from `region_voxels`.
    """
    named = [region for region in structures.regions if region.name == name]
    if not named:
        there = ", ".join(sorted({region.name for region in structures.regions}))
        raise ValueError(f"there is no region {name!r} in the structure set; it has {there}")
    mask = np.zeros(grid.shape, bool)
    for region in named:
        region_voxels(region, grid, frame).paste(mask, True)
    if not mask.any():
        raise ValueError(f"region {name!r} has no voxel in this CT; give the CT that it was drawn on")
    return mask


def _points(contour: Dataset, name: str) -> np.ndarray:
    try:
        values = np.array([float(v) for v in contour.get("ContourData") or []])
    except (TypeError, ValueError) as error:
        raise ValueError(f"region {name!r} has a contour that is not made of numbers") from error
    if len(values) % 3 or not np.isfinite(values).all():
        raise ValueError(
            f"region {name!r} has a contour of {len(values)} numbers; expected three for each point"
        )
    return values.reshape(-1, 3) * LPS_TO_RAS
