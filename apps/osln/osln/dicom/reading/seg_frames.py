"""Frames of a DICOM Segmentation against the CT: are they where they say, and which voxels are they.

Other programs' objects are not believed before. OHIF's own export, for instance, writes every frame at the
mirrored slice, with references that agree with the wrong place.
"""

from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset

from osln.dicom.reading.slices import LPS_TO_RAS
from osln.dicom.reading.source import CtSeries
from osln.imaging.grid import Grid
from osln.imaging.labelmaps import GRID_TOLERANCE, map_exactly

SEG_CLASS = "1.2.840.10008.5.1.4.1.1.66.4"


@dataclass(frozen=True)
class Placed:
    """Voxels of a segment.

    Attributes:
        box: Slices along x, y, z of the CT's grid.
        voxels: (x, y, z) bool in that box; without elements if the segment is empty.
    """

    box: tuple[slice, slice, slice]
    voxels: np.ndarray


EMPTY = Placed((slice(0), slice(0), slice(0)), np.zeros((0, 0, 0), dtype=bool))


def check_frames(dataset: Dataset, ct: CtSeries, *, ours: bool) -> None:
    """Whether the object belongs to the CT and each frame lies where the CT image lies that it names.

    Raises:
        ValueError: If not; says what differs.
    """
    if dataset.get("SOPClassUID") != SEG_CLASS:
        raise ValueError(
            f"the object is no DICOM Segmentation (its modality: {dataset.get('Modality')}); give a SEG"
        )
    if dataset.get("SegmentationType") != "BINARY":
        raise ValueError(
            f"the segmentation is of type {dataset.get('SegmentationType')}; export it as BINARY, one mask "
            "per segment"
        )
    if dataset.get("FrameOfReferenceUID") != ct.frame_of_reference_uid:
        raise ValueError(
            "the segmentation has another frame of reference than the CT; it was drawn on another image"
        )
    patient, its = dataset.get("PatientID"), ct.headers[0].get("PatientID")
    if patient and its and patient != its:
        raise ValueError("the segmentation is of another patient than the CT (PatientID differs)")
    if not ours and _written_by_ohif(dataset):
        raise ValueError(
            "the segmentation was exported by OHIF, whose export is mirrored along z; submit the "
            "segments through this application's mode instead"
        )
    frames = _frames(dataset)
    if not len(dataset.get("SegmentSequence", [])) or len(frames) != int(dataset.get("NumberOfFrames", 0)):
        raise ValueError("the segmentation is incomplete: segments or descriptions of frames are missing")
    for number, frame in enumerate(frames, start=1):
        named = _referenced(frame)
        if not named:
            raise ValueError(
                f"frame {number} of the segmentation does not name the CT image that it was drawn on; export "
                "it with references to its source images"
            )
        # Index (column, row, slice) of the middle of the frame.
        middle = (int(dataset.Columns) - 1) / 2, (int(dataset.Rows) - 1) / 2, 0
        where = ct.file_grid.mm_to_index(_plane(dataset, frame, ct).index_to_mm(np.array(middle)))[2]
        for uid in named:
            if uid not in ct.slice_of:
                raise ValueError(
                    f"frame {number} of the segmentation refers to an image that is not in the CT series; it "
                    "was drawn on another series"
                )
            if abs(ct.slice_of[uid] - where) > GRID_TOLERANCE:
                raise ValueError(
                    f"frame {number} of the segmentation lies at slice {where + 1:.1f} of the CT but refers "
                    f"to slice {ct.slice_of[uid] + 1}: it is mirrored or shifted, and not taken"
                )


def place_segments(dataset: Dataset, ct: CtSeries) -> dict[int, Placed]:
    """Voxels of every segment on the CT's grid, by the segment's number.

    Raises:
        ValueError: If the pixels cannot be read or do not lie on the CT's voxels.
    """
    try:
        pixels = np.atleast_3d(dataset.pixel_array)
    except Exception as error:
        # Each decoder has its own exceptions.
        raise ValueError(f"the pixels of the segmentation cannot be read: {error}") from error
    pixels = pixels.reshape(int(dataset.NumberOfFrames), int(dataset.Rows), int(dataset.Columns)) != 0
    frames = _frames(dataset)
    of_segment = [
        int(_group(dataset, frame, "SegmentIdentificationSequence").ReferencedSegmentNumber)
        for frame in frames
    ]
    placed = {int(item.SegmentNumber): EMPTY for item in dataset.SegmentSequence}
    for number in placed:
        own = [i for i, segment in enumerate(of_segment) if segment == number and pixels[i].any()]
        if own:
            planes = [_plane(dataset, frames[i], ct) for i in own]
            placed[number] = _place(pixels[own], planes, ct)
    if strange := set(of_segment) - set(placed):
        raise ValueError(
            f"frames of the segmentation belong to segments that it does not describe: {strange}"
        )
    return placed


def _place(frames: np.ndarray, planes: list[Grid], ct: CtSeries) -> Placed:
    """Stacks the frames (frame, row, column) of a segment and finds the CT's voxels that they are."""
    rows, columns = (np.flatnonzero(frames.any(axis=axes)) for axes in ((0, 2), (0, 1)))
    low = np.array([columns[0], rows[0], 0])
    first = planes[0]
    index = np.array([first.mm_to_index(plane.affine[:3, 3]) for plane in planes])
    step = np.rint(index[:, 2]).astype(int)
    turned = max(np.abs(plane.affine[:3, :3] - first.affine[:3, :3]).max() for plane in planes)
    drift = max(np.abs(index[:, :2]).max(), np.abs(index[:, 2] - step).max())
    if turned > 1e-3 or drift > GRID_TOLERANCE:
        raise ValueError(
            "the frames of a segment do not lie on the CT's slices; export it on the CT's own grid"
        )
    step -= (bottom := step.min())
    stack = np.zeros((columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0], step.max() + 1), dtype=np.uint8)
    for k, frame in zip(step, frames, strict=True):
        stack[:, :, k] |= frame[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].T
    low[2] = bottom
    grid = first.crop(low, stack.shape)
    ends = ct.grid.mm_to_index(grid.index_to_mm(np.array([[0, 0, 0], np.array(stack.shape) - 1])))
    start = np.rint(ends.min(axis=0)).astype(int)
    stop = np.rint(ends.max(axis=0)).astype(int) + 1
    if (start < 0).any() or (stop > np.array(ct.grid.shape)).any():
        raise ValueError("the segmentation reaches beyond the CT; it was drawn on another image")
    voxels = map_exactly(stack, grid, ct.grid.crop(start, stop - start)) != 0
    x, y, z = (slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))
    return Placed((x, y, z), voxels)


def _plane(dataset: Dataset, frame: Dataset, ct: CtSeries) -> Grid:
    """Grid of one frame, indexed (column, row, 0), as thick as the CT's step along its normal."""
    try:
        orientation = np.array(
            _group(dataset, frame, "PlaneOrientationSequence").ImageOrientationPatient, dtype=np.float64
        )
        measures = _group(dataset, frame, "PixelMeasuresSequence")
        between_rows, between_columns = (float(value) for value in measures.PixelSpacing)
        position = np.array(
            _group(dataset, frame, "PlanePositionSequence").ImagePositionPatient, dtype=np.float64
        )
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"a frame of the segmentation does not say where it lies ({error})") from error
    axes = LPS_TO_RAS[:, None] * np.column_stack(
        [orientation[:3], orientation[3:], np.cross(orientation[:3], orientation[3:])]
    )
    across = int(np.abs(ct.grid.direction.T @ axes[:, 2]).argmax())
    affine = np.eye(4)
    affine[:3, :3] = axes * [between_columns, between_rows, ct.grid.spacing_mm[across]]
    affine[:3, 3] = LPS_TO_RAS * position
    return Grid((int(dataset.Columns), int(dataset.Rows), 1), affine)


def _frames(dataset: Dataset) -> list[Dataset]:
    return list(dataset.get("PerFrameFunctionalGroupsSequence", []))


def _group(dataset: Dataset, frame: Dataset, name: str) -> Dataset:
    """A functional group of a frame, or the one that all frames share."""
    for holder in (frame, *dataset.get("SharedFunctionalGroupsSequence", [])):
        if found := holder.get(name):
            return found[0]
    raise AttributeError(f"no {name}")


def _referenced(frame: Dataset) -> list[str]:
    return [
        str(image.ReferencedSOPInstanceUID)
        for derivation in frame.get("DerivationImageSequence", [])
        for image in derivation.get("SourceImageSequence", [])
    ]


def _written_by_ohif(dataset: Dataset) -> bool:
    # A PACS may replace the file's meta information, so what dcmjs writes into the data set counts too.
    meta = getattr(dataset, "file_meta", Dataset())
    if str(meta.get("ImplementationVersionName", "")).lower().startswith(("dcmjs", "ohif")):
        return True
    marks = [
        str(dataset.get(name, "")) for name in ("ContentLabel", "SoftwareVersions", "DeviceSerialNumber")
    ]
    return marks == ["SEGMENTATION", "0", "1"]
