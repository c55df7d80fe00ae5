"""Planting a tumor, nodes, mimics and a PET into a real CT that is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import ndimage

from osln.imaging.grid import Grid, mask_box
from osln.imaging.resampling import resample
from osln.phantom.body.icrp import LUNG_BOX_MM
from osln.phantom.findings.nodes import ROOM_MM, Station
from osln.phantom.findings.space import fat_of
from osln.phantom.parameters import PhantomParameters
from osln.phantom.patient.fields import random_field
from osln.phantom.patient.plan import PatientSpace, grid_axes, populate, seed_streams
from osln.phantom.patient.scan import Phantom, axes_affine, image_patient
from osln.phantom.planted.background import RealBackground
from osln.phantom.planted.real_ct import PLAN_SPACING_MM, RealCt

_STATIONS = 60
_FEWEST_PLACES = 50
# Real CTs have few places for nodes, so those near the tumor are not thinned out as in the cohorts.
PLANTING = PhantomParameters(acceptance_near=0.6)
_MARGIN_MM = 12.0
_AIR_HU = -400.0
"""Below it lies no bowel, no fat and no vocal cord."""


def plant(
    real: RealCt,
    seed: int,
    *,
    parameters: PhantomParameters = PLANTING,
    misregistered: bool = True,
    every_node: bool = False,
) -> Phantom:
    """Plant nodes, mimics, a PET and, where none is given, a tumor into a real CT.

    Args:
        real: what `survey` found out about the CT, which serves any number of seeds.
        seed: of everything planted.
        parameters: numbers, sizes and uptake.
        misregistered: False aligns the PET exactly with the CT.
        every_node: True labels the nodes that do not count, too.

    Returns:
        The phantom on the CT's own grid; coordinates of the findings in RAS.

    Raises:
        ValueError: if there is hardly any fat between the lungs.
    """
    rng = np.random.default_rng(seed_streams(seed)["warp"])
    space = _local_space(rng, real)
    background = RealBackground(real, rng.uniform(*parameters.tumor_suv))
    box = _box_around(real.between_lungs, real)
    plan_axes = grid_axes(box, PLAN_SPACING_MM)
    plan_grid = Grid(tuple(len(a) for a in plan_axes), axes_affine(plan_axes))
    allowed = resample(real.between_lungs.astype(np.uint8), real.coarse.grid, plan_grid, nearest=True) > 0

    def find_fat(image: np.ndarray) -> np.ndarray:
        return fat_of(ndimage.gaussian_filter(image, 0.6)) & allowed

    places = roomy(find_fat(real.hu_on(plan_axes)), PLAN_SPACING_MM, background.fat_share)
    stations = _stations(rng, places, plan_axes, space)
    patient = populate(
        seed, parameters, background, space, plan_axes,
        boundary_mm=real.boundary_mm, stations=stations, find_fat=find_fat,
    )  # fmt: skip
    axes = real.axes_mm
    crop = tuple(slice(*np.searchsorted(axis, ends).tolist()) for axis, ends in zip(axes, box, strict=True))
    steps = real.local.spacing_mm
    whole = [(-0.5 * s, (n - 0.5) * s) for n, s in zip(real.local.shape, steps, strict=True)]
    part_axes = [axis[part] for axis, part in zip(axes, crop, strict=True)]
    part = image_patient(
        patient, part_axes, misregistered=misregistered, pet_box_mm=whole, every_node=every_node
    )
    return _pasted(part, real, crop)


def _box_around(mask: np.ndarray, real: RealCt) -> list[tuple[float, float]]:
    """Ends along each axis in mm of a coarse mask and the margin around it, within the image."""
    first, end = mask_box(mask)
    low, high = (real.coarse.grid.index_to_mm(index) for index in (first, end - 1))
    last = (np.array(real.local.shape) - 1) * real.local.spacing_mm
    ends = np.maximum(low - _MARGIN_MM, 0.0), np.minimum(high + _MARGIN_MM, last)
    return [(float(a), float(b)) for a, b in zip(*ends, strict=True)]


def _local_space(rng: np.random.Generator, real: RealCt) -> PatientSpace:
    """Local to anatomical millimeters by the lungs' bounding box; no warp."""
    low, high = real.lung_box_mm
    scale = (high - low) / (LUNG_BOX_MM[:, 1] - LUNG_BOX_MM[:, 0])
    offset = low - LUNG_BOX_MM[:, 0] * scale
    end = [float(v) for v in (np.array(real.local.shape) - 1) * real.local.spacing_mm + 24.0]
    start = (-24.0, -24.0, -24.0)
    still = random_field(rng, start, end, 100.0, sd=(0.0, 0.0, 0.0))
    bumps = random_field(rng, start, end, 10.0)
    return PatientSpace(scale, offset, still, bumps, start, (end[0], end[1], end[2]))


def roomy(fat: np.ndarray, spacing_mm: Sequence[float], share: float) -> np.ndarray:
    """Fat voxels around which a node's first sphere has room: at least that share of it is fat.

    Args:
        fat: bool (X, Y, Z).
        spacing_mm: of its voxels.
        share: as `FatSpace.fat_share`.
    """
    half = [int(ROOM_MM // step) for step in spacing_mm]
    offsets = np.meshgrid(
        *(step * np.arange(-n, n + 1) for n, step in zip(half, spacing_mm, strict=True)), indexing="ij"
    )
    ball = (np.square(np.stack(offsets)).sum(axis=0) <= ROOM_MM**2).astype(np.float32)
    around = ndimage.convolve(fat.astype(np.float32), ball / ball.sum(), mode="constant")
    return fat & (around >= share - 1e-6)


def _stations(
    rng: np.random.Generator, places: np.ndarray, axes_mm: Sequence[np.ndarray], space: PatientSpace
) -> list[Station]:
    """Stations spread over the places for nodes that this patient has."""
    index = np.argwhere(places)
    if len(index) < _FEWEST_PLACES:
        raise ValueError(
            f"hardly any fat between the lungs: {len(index)} places of {np.prod(PLAN_SPACING_MM):g} mm3 have "
            f"room for a node of {2 * ROOM_MM:g} mm, expected at least {_FEWEST_PLACES}; take another CT"
        )
    stations = []
    for row in index[rng.integers(0, len(index), _STATIONS)]:
        point = np.array([axis[i] for axis, i in zip(axes_mm, row, strict=True)])
        x, y, z = space.to_anatomical(point)
        stations.append(Station("mediastinal fat", (x, y, z), (5.0, 5.0, 5.0), 1.0, ("mediastinum",)))
    return stations


def _pasted(part: Phantom, real: RealCt, crop: tuple[slice, ...]) -> Phantom:
    """The imaged part put back into the whole CT, coordinates turned into RAS."""
    to_ras = real.ct.grid.affine @ np.linalg.inv(real.local.affine)
    whole = real.ct.array if real.ct.array.dtype.kind in "iu" else np.rint(real.ct.array)
    ct_hu = np.clip(whole, -1024, 3071).astype(np.int16, copy=False)
    ct_hu[crop] = part.ct_hu
    nodes = np.zeros(ct_hu.shape, np.uint16)
    nodes[crop] = part.nodes
    mask = np.zeros(ct_hu.shape, bool) if real.tumor is None else real.tumor.copy()
    mask[crop] = part.tumor if real.tumor is None else mask[crop] & (part.nodes == 0)
    # The last ones, and the only ones that are not put into the fat of this CT.
    spots = len(part.findings) - len(part.patient.spots)
    findings = []
    for number, finding in enumerate(part.findings):
        local = np.array(finding.center_mm)
        if number >= spots and not _in_tissue(local, ct_hu, real.local):
            continue
        x, y, z = to_ras[:3, :3] @ local + to_ras[:3, 3]
        findings.append(replace(finding, center_mm=(float(x), float(y), float(z))))
    return replace(
        part, ct_hu=ct_hu, nodes=nodes, tumor=mask, findings=findings, affine=real.ct.grid.affine,
        pet_affine=to_ras @ part.pet_affine, motion_to_ras=to_ras,
    )  # fmt: skip


def _in_tissue(point_mm: np.ndarray, ct_hu: np.ndarray, grid: Grid) -> bool:
    """Whether a point lies in the CT and not in air or lung."""
    index = np.rint(grid.mm_to_index(point_mm)).astype(int)
    if (index < 0).any() or (index >= ct_hu.shape).any():
        return False
    return bool(ct_hu[tuple(index)] > _AIR_HU)
