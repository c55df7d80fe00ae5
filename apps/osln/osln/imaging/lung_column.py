"""The lung-centered column on the working grid: everything that the networks see of a patient."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from osln.imaging.distance import tumor_distance_mm, zone_mask
from osln.imaging.grid import Grid, mask_box
from osln.imaging.lungs import find_lung_center
from osln.imaging.resampling import resample
from osln.imaging.reviewed_part import known_voxels
from osln.imaging.study import Study
from osln.rows.detectors import Detector
from osln.rows.experiments import Preset, Segmenter

TISSUE_HU = -500.0
MOST_VOXELS = 2 * 10**8
"""On the working grid, where a voxel takes up to 50 bytes; four columns of the paper's of 2.5 m."""


@dataclass(frozen=True)
class LungColumn:
    """One patient on one working grid.

    Attributes:
        case: Id of the case.
        grid: Working grid of the column.
        ct_hu: (x, y, z) float32.
        pet_suv: (x, y, z) float32, or None.
        distance_mm: (x, y, z) float32 signed distance to the tumor, clipped to +-100 mm, or None.
        tumor: (x, y, z) bool, or None.
        nodes: (x, y, z) integer labels, or None.
        body: (x, y, z) bool, tissue above -500 HU: lung and outside air hold no node.
        warnings: Sentences for the user.
        outside_mm: Nodes with no voxel inside the column, each with its least distance to the tumor in mm,
            NaN without a tumor. No network sees them; in every figure they are missed.
        known: (x, y, z) uint8 of a patient who was reviewed in part, see `reviewed_part.known_voxels`; None
            where all is known.
        prefiltered: Its images were blurred before a change to larger voxels (`Preset.prefilter`).
    """

    case: str
    grid: Grid
    ct_hu: np.ndarray
    pet_suv: np.ndarray | None
    distance_mm: np.ndarray | None
    tumor: np.ndarray | None
    nodes: np.ndarray | None
    body: np.ndarray
    warnings: tuple[str, ...] = field(default=())
    outside_mm: tuple[float, ...] = field(default=())
    known: np.ndarray | None = None
    prefiltered: bool = False

    @property
    def images(self) -> Mapping[str, np.ndarray | None]:
        """Input images by the names of `osln.rows.experiments`."""
        return {"ct": self.ct_hu, "pet": self.pet_suv, "distance": self.distance_mm}

    @property
    def partial(self) -> bool:
        """Whether the patient was reviewed in part: nothing is judged on him."""
        return self.known is not None

    @property
    def learned_from(self) -> tuple[np.ndarray | None, ...]:
        """All that a training on this patient depends on: images, nodes, and where these are known."""
        return (*self.images.values(), self.nodes, self.known)

    def nodes_outside(self, zone: str = "all") -> int:
        """How many nodes of a zone lie outside the column; one without a tumor to measure from is in each."""
        distances = np.asarray(self.outside_mm)
        return int((zone_mask(distances, zone) | np.isnan(distances)).sum())


def prepare(study: Study, preset: Preset) -> LungColumn:
    """Crops a study to the lung-centered column and resamples it to the working grid.

    The column is as wide as the preset's window (224 x 224 mm in the paper, section 4.2), centered on
    the lungs in x-y, and as long as the CT. It is cropped before anything is resampled. The distance
    is measured on the tumor's own box, also where that reaches beyond the column.

    Args:
        study: A checked study.
        preset: Gives spacing and window, and whether larger voxels are preceded by a low-pass filter.

    Raises:
        ValueError: If the PET covers nothing of the column, or the column takes more than `MOST_VOXELS`.
    """
    warnings: list[str] = []
    working = study.ct.grid.resampled(preset.spacing_mm)
    center = find_lung_center(study.ct)
    shape = np.asarray(working.shape)
    size = np.minimum(shape, [*preset.window[:2], shape[2]])
    middle = np.round(working.mm_to_index(center.center_mm) - (size - 1) / 2).astype(int)
    start = np.clip(middle, 0, shape - size)
    start[2] = 0
    if not center.from_lungs and (size[:2] < shape[:2]).any():
        warnings.append("no lung was found: the searched column is centered on the body")
    _check_room(study.case, "the searched column", size)
    grid = working.crop(start, size)

    # In the order in which the networks read them, so that each network's input is a plain copy.
    ct_hu = np.ascontiguousarray(
        resample(study.ct.array, study.ct.grid, grid, fill=-1000.0, prefilter=preset.prefilter)
    )
    pet_suv = None
    if study.pet is not None:
        covered_low, covered_high = grid.box_of(study.pet.grid)
        if (covered_high - covered_low < 2).any():
            raise ValueError(
                f"case {study.case}: the PET covers nothing of the searched column; check its position"
            )
        if (covered_high - covered_low < size - 1).any():
            warnings.append("the PET does not cover the whole column: outside it counts as SUV 0")
        pet_suv = np.ascontiguousarray(
            resample(study.pet.array, study.pet.grid, grid, prefilter=preset.prefilter)
        )
        np.maximum(pet_suv, 0.0, out=pet_suv)
    tumor, distance_mm = _tumor_and_distance(study, working, start, size)
    nodes, outside_mm = _nodes_and_outside(study, grid)
    known = None if study.part is None or nodes is None else known_voxels(study.part, nodes, grid)
    body = ct_hu > TISSUE_HU
    return LungColumn(
        study.case, grid, ct_hu, pet_suv, distance_mm, tumor, nodes, body, tuple(warnings), outside_mm, known,
        prefiltered=preset.prefilter,
    )  # fmt: skip


def _nodes_and_outside(study: Study, grid: Grid) -> tuple[np.ndarray | None, tuple[float, ...]]:
    """The nodes in the column, none lost for being small, and the distances of those that lie outside."""
    if study.nodes is None:
        return None, ()
    source = study.nodes.grid
    nodes = resample(study.nodes.array, source, grid, nearest=True)
    kept = set(np.unique(nodes).tolist())
    outside = []
    for label, box in enumerate(
        ndimage.find_objects(study.nodes.array.astype(np.int32, copy=False)), start=1
    ):
        if box is None or label in kept:
            continue
        places = np.argwhere(study.nodes.array[box] == label) + [side.start for side in box]
        index = np.round(grid.mm_to_index(source.index_to_mm(places))).astype(int)
        within = index[((index >= 0) & (index < grid.shape)).all(axis=1)]
        # A node thinner than the working grid keeps the voxel at its middle.
        free = within[nodes[tuple(within.T)] == 0] if len(within) else within
        if len(free):
            nodes[tuple(free[len(free) // 2])] = label
        else:
            outside.append(_tumor_to(source.index_to_mm(places), study))
    return nodes, tuple(outside)


def _tumor_to(points_mm: np.ndarray, study: Study) -> float:
    """Least distance of the tumor's voxels to one of the (n, 3) points, in mm; NaN without a tumor."""
    if study.tumor is None:
        return float("nan")
    tumor = study.tumor.grid.index_to_mm(np.argwhere(study.tumor.array))
    return float(cKDTree(tumor).query(points_mm)[0].min())


def _check_room(case: str, what: str, size: np.ndarray) -> None:
    voxels = int(np.prod(size, dtype=object))
    if voxels > MOST_VOXELS:
        raise ValueError(
            f"case {case}: {what} has {voxels:.2e} voxels, at most {MOST_VOXELS:.0e} fit into memory: "
            "crop the CT, or correct a mask whose voxels lie far apart"
        )


def _tumor_and_distance(
    study: Study, working: Grid, start: np.ndarray, size: np.ndarray
) -> tuple[np.ndarray | None, np.ndarray | None]:
    if study.tumor is None:
        return None, None
    first, past = mask_box(study.tumor.array)
    box_low, box_high = working.box_of(study.tumor.grid.crop(first, past - first), margin=1)
    low, high = np.minimum(start, box_low), np.maximum(start + size, box_high)
    _check_room(study.case, "the searched column with the whole tumor mask", high - low)
    around = working.crop(low, high - low)
    mask = resample(study.tumor.array, study.tumor.grid, around, nearest=True).astype(bool)
    if not mask.any():
        # A tumor thinner than the working grid keeps the voxel at its center.
        middle = around.mm_to_index(study.tumor.grid.index_to_mm((first + past - 1) / 2))
        mask[tuple(np.clip(np.round(middle).astype(int), 0, np.asarray(mask.shape) - 1))] = True
    distance = tumor_distance_mm(mask, around.spacing_mm)
    part = tuple(slice(a, a + n) for a, n in zip(start - low, size, strict=True))
    return np.ascontiguousarray(mask[part]), np.ascontiguousarray(distance[part])


def compact(column: LungColumn) -> LungColumn:
    """The column in 8 bytes a voxel instead of 21, so that a cohort fits in memory.

    CT becomes int16, PET and distance float16, labels uint8 where they fit; the tumor mask is left out.

    Raises:
        ValueError: The column has no node labels (an empty label map is fine: it says there are none).
    """
    if column.nodes is None:
        raise ValueError(f"case {column.case} has no approved nodes: review and submit it before training")
    few = column.nodes.max(initial=0) < 256
    return replace(
        column,
        ct_hu=np.round(np.clip(column.ct_hu, -32768, 32767)).astype(np.int16, order="C"),
        pet_suv=None if column.pet_suv is None else column.pet_suv.astype(np.float16, order="C"),
        distance_mm=None if column.distance_mm is None else column.distance_mm.astype(np.float16, order="C"),
        nodes=column.nodes.astype(np.uint8 if few else np.uint16, order="C"),
        body=np.ascontiguousarray(column.body, dtype=bool),
        tumor=None,
    )


def reason_not_usable(column: LungColumn, network: Segmenter | Detector) -> str | None:
    """What a patient lacks to teach or to judge a network, or None if nothing."""
    return "no approved nodes" if column.nodes is None else image_lacking(column, network)


def image_lacking(column: LungColumn, network: Segmenter | Detector) -> str | None:
    """What a patient lacks for a network to look at it, or None if nothing."""
    if network.needs_pet and column.pet_suv is None:
        return "no PET"
    if network.needs_tumor and column.distance_mm is None:
        return "no tumor contour"
    return None


def zone_of(column: LungColumn, zone: str) -> np.ndarray:
    """(X, Y, Z) bool, the voxels of a zone; all of them without asking for a tumor if the zone is "all"."""
    if zone == "all" or column.distance_mm is None:
        if zone != "all":
            raise ValueError(
                f"case {column.case} has no tumor contour, which the {zone} zone needs: draw it first"
            )
        return np.ones(column.ct_hu.shape, dtype=bool)
    return zone_mask(column.distance_mm, zone)
