"""Planting a tumor, nodes, mimics and a PET into a real CT that is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import ndimage

from osln.imaging.grid import Grid, Volume, resample
from osln.phantom.body.icrp import LUNG_BOX_MM
from osln.phantom.findings.nodes import Station
from osln.phantom.findings.space import fat_of, inner_boundary_mm
from osln.phantom.parameters import PhantomParameters
from osln.phantom.patient.fields import random_field
from osln.phantom.patient.plan import PatientSpace, grid_axes, populate, seed_streams
from osln.phantom.patient.scan import Phantom, axes_affine, image_patient
from osln.phantom.planted.real_ct import RealBackground, body_mask, find_lungs, mediastinum, noise_sd_hu

_PLAN_SPACING_MM = (2.0, 2.0, 3.0)
_STATIONS = 60
# Real CTs have few places for nodes, so those near the tumor are not thinned out as in the cohorts.
PLANTING = PhantomParameters(acceptance_near=0.6)
_MARGIN_MM = 12.0


def plant(
    ct: Volume,
    seed: int,
    *,
    tumor: np.ndarray | None = None,
    parameters: PhantomParameters | None = None,
    misregistered: bool = True,
) -> Phantom:
    """Plant nodes, mimics, a PET and, where none is given, a tumor into a real CT.

    Args:
        ct: CT in HU that shows both lungs.
        seed: of everything planted.
        tumor: bool on the CT's grid; None plants one along the esophagus.
        parameters: default `PLANTING`.
        misregistered: False aligns the PET exactly with the CT.

    Returns:
        The phantom on the CT's own grid; coordinates of the findings in RAS.

    Raises:
        ValueError: if the lungs are not found or the tumor is empty or on another grid.
    """
    parameters = parameters or PLANTING
    hu = np.asarray(ct.array, np.float32)
    if tumor is not None and (tumor.shape != hu.shape or not tumor.any()):
        raise ValueError("the tumor mask must lie on the CT's grid and hold at least one voxel")
    local = Grid(hu.shape, np.diag([*ct.grid.spacing_mm, 1.0]))
    lungs = find_lungs(hu, local)
    rng = np.random.default_rng(seed_streams(seed)["warp"])
    space = _local_space(rng, lungs, local)
    background = RealBackground(
        "real CT", Volume(hu, local, local), body_mask(hu), tumor, rng.uniform(*parameters.tumor_suv),
        noise_sd_hu(hu), space,
    )  # fmt: skip
    axes = [np.arange(n) * s for n, s in zip(hu.shape, local.spacing_mm, strict=True)]
    between = mediastinum(lungs)
    box = _box_around(between, local)
    plan_axes = grid_axes(box, _PLAN_SPACING_MM)
    plan_grid = Grid(tuple(len(a) for a in plan_axes), axes_affine(plan_axes))
    allowed = resample(between.astype(np.uint8), local, plan_grid, nearest=True) > 0

    def find_fat(image: np.ndarray) -> np.ndarray:
        return fat_of(ndimage.gaussian_filter(image, 0.6)) & allowed

    fat = find_fat(resample(hu, local, plan_grid, fill=-1000.0))
    stations = _stations(rng, fat, plan_axes, space)
    patient = populate(
        seed, parameters, background, space, plan_axes,
        boundary_mm=None if tumor is None else inner_boundary_mm(tumor, axes), stations=stations,
        find_fat=find_fat,
    )  # fmt: skip
    crop = tuple(slice(*np.searchsorted(axis, ends).tolist()) for axis, ends in zip(axes, box, strict=True))
    whole = [(-0.5 * s, (n - 0.5) * s) for n, s in zip(hu.shape, local.spacing_mm, strict=True)]
    part_axes = [axis[part] for axis, part in zip(axes, crop, strict=True)]
    part = image_patient(patient, part_axes, misregistered=misregistered, pet_box_mm=whole)
    return _pasted(part, ct, local, crop, tumor)


def _box_around(mask: np.ndarray, local: Grid) -> list[tuple[float, float]]:
    """Ends along each axis in mm of a mask and the margin around it, within the image."""
    index = np.argwhere(mask)
    return [
        (max(index[:, d].min() * s - _MARGIN_MM, 0.0), min(index[:, d].max() * s + _MARGIN_MM, (n - 1) * s))
        for d, (n, s) in enumerate(zip(mask.shape, local.spacing_mm, strict=True))
    ]


def _local_space(rng: np.random.Generator, lungs: np.ndarray, local: Grid) -> PatientSpace:
    """Local to anatomical millimeters by the lungs' bounding box; no warp."""
    index = np.argwhere(lungs)
    low, high = index.min(0) * local.spacing_mm, index.max(0) * local.spacing_mm
    scale = (high - low) / (LUNG_BOX_MM[:, 1] - LUNG_BOX_MM[:, 0])
    offset = low - LUNG_BOX_MM[:, 0] * scale
    end = [float(v) for v in (np.array(local.shape) - 1) * local.spacing_mm + 24.0]
    start = (-24.0, -24.0, -24.0)
    still = random_field(rng, start, end, 100.0, sd=(0.0, 0.0, 0.0))
    bumps = random_field(rng, start, end, 10.0)
    return PatientSpace(scale, offset, still, bumps, start, (end[0], end[1], end[2]))


def _stations(
    rng: np.random.Generator, fat: np.ndarray, axes_mm: Sequence[np.ndarray], space: PatientSpace
) -> list[Station]:
    """Places for nodes spread over the mediastinal fat of this patient."""
    index = np.argwhere(fat)
    if len(index) < 200:
        raise ValueError("hardly any fat between the lungs: this CT offers no place for nodes")
    stations = []
    for row in index[rng.integers(0, len(index), _STATIONS)]:
        point = np.array([axis[i] for axis, i in zip(axes_mm, row, strict=True)])
        x, y, z = space.to_anatomical(point)
        stations.append(Station("mediastinal fat", (x, y, z), (5.0, 5.0, 5.0), 1.0, ("mediastinum",)))
    return stations


def _pasted(
    part: Phantom, ct: Volume, local: Grid, crop: tuple[slice, ...], tumor: np.ndarray | None
) -> Phantom:
    """The imaged part put back into the whole CT, coordinates turned into RAS."""
    to_ras = ct.grid.affine @ np.linalg.inv(local.affine)
    ct_hu = np.clip(np.rint(ct.array), -1024, 3071).astype(np.int16)
    ct_hu[crop] = part.ct_hu
    nodes = np.zeros(ct_hu.shape, np.uint16)
    nodes[crop] = part.nodes
    mask = np.zeros(ct_hu.shape, bool)
    mask[crop] = part.tumor
    if tumor is not None:
        mask = tumor & (nodes == 0)
    findings = []
    for finding in part.findings:
        x, y, z = to_ras[:3, :3] @ np.array(finding.center_mm) + to_ras[:3, 3]
        findings.append(replace(finding, center_mm=(float(x), float(y), float(z))))
    return replace(
        part, ct_hu=ct_hu, nodes=nodes, tumor=mask, findings=findings, affine=ct.grid.affine,
        pet_affine=to_ras @ part.pet_affine, motion_to_ras=to_ras,
    )  # fmt: skip
