"""Images, masks and sidecar findings of a planned patient on a grid: `make_phantom`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from .fields import SplineField, random_field
from .findings import Deposit, Finding, sphere_radius_mm, zone_of
from .painting import Canvas
from .parameters import PhantomParameters
from .patient import (
    COLUMN_BOX_MM,
    COLUMN_SPACING_MM,
    WORLD_HIGH_MM,
    WORLD_LOW_MM,
    Background,
    Patient,
    grid_axes,
    plan_patient,
)
from .pet import blurred, moved, noisy, pet_axes, shown_at
from .space import inner_boundary_mm

FIELDS = {"column": COLUMN_BOX_MM, "body": ((-180.0, 180.0), (-125.0, 125.0), (0.0, 312.0))}
# How far beyond a finding's own surface its uptake is searched, in mm: half a PET voxel's diagonal.
_SEARCH_MM = 3.0
# Below it lies the air around the patient, which stays free of noise so that files stay small.
_ROOM_AIR_HU = -995.0


@dataclass(frozen=True)
class Phantom:
    """One imaged phantom; arrays are (x, y, z) in RAS.

    Attributes:
        seed, parameters: what made it.
        ct_hu: int16 on `affine`.
        pet_suv: float32 on `pet_affine`, its own coarser grid.
        tumor: bool on `affine`.
        nodes: uint16 on `affine`, OSLNs only, numbered from 1.
        findings: every node and mimic.
        motion: the field u with PET(p) showing CT(p + u(p)); None when misregistration is off.
        anatomy: what lies behind the nodes, e.g. "parametric".
    """

    seed: int
    parameters: PhantomParameters
    ct_hu: np.ndarray
    pet_suv: np.ndarray
    tumor: np.ndarray
    nodes: np.ndarray
    affine: np.ndarray
    pet_affine: np.ndarray
    findings: list[Finding]
    motion: SplineField | None
    anatomy: str = "parametric"


def make_phantom(
    seed: int,
    *,
    spacing_mm: Sequence[float] = COLUMN_SPACING_MM,
    field: str = "column",
    parameters: PhantomParameters | None = None,
    misregistered: bool = True,
    background: Background | None = None,
) -> Phantom:
    """Make one phantom patient.

    Args:
        seed: 0 or more; the same seed is the same patient in every field and on every grid.
        spacing_mm: voxel size of the CT.
        field: "column" (220 x 160 x 312 mm around the mediastinum, for training) or "body"
            (360 x 250 x 312 mm with skin and air, for viewers).
        parameters: default `PhantomParameters()`.
        misregistered: False aligns the PET exactly with the CT.
        background: organ volumes instead of the built-in anatomy.

    Returns:
        The images, masks and findings.

    Raises:
        ValueError: for an unknown field or a spacing that is not positive.
    """
    if field not in FIELDS:
        raise ValueError(f"field must be one of {sorted(FIELDS)}, got {field!r}")
    patient = plan_patient(seed, parameters or PhantomParameters(), background)
    return image_patient(patient, grid_axes(FIELDS[field], spacing_mm), misregistered=misregistered)


def image_patient(patient: Patient, axes_mm: Sequence[np.ndarray], *, misregistered: bool = True) -> Phantom:
    """Image a planned patient on the grid of three voxel-center axes."""
    motion = patient.motion if misregistered else None
    canvas = _canvas(patient, axes_mm)
    tumor_image = np.zeros(canvas.shape, np.float32)
    canvas.paint(tumor_image, patient.tumor, [1.0] * len(patient.tumor), hard=True)
    nodes, counts, labels = _node_labels(patient, canvas)
    tumor = (tumor_image > 0) & (nodes == 0)
    pet_suv, pet_grid = _pet(patient, axes_mm, motion)
    boundary = inner_boundary_mm(tumor, axes_mm)
    voxel_mm3 = float(abs(np.linalg.det(_affine(axes_mm)[:3, :3])))
    findings = _findings(patient, boundary, voxel_mm3, counts, labels, pet_suv, pet_grid, motion)
    return Phantom(
        patient.seed, patient.parameters, _ct(patient, canvas), pet_suv, tumor, nodes,
        _affine(axes_mm), _affine(pet_grid), findings, motion, patient.background.name,
    )  # fmt: skip


def _canvas(patient: Patient, axes_mm: Sequence[np.ndarray]) -> Canvas:
    """The canvas of a grid; the one the patient was planned on where it is the same."""
    planned_on, _ = patient.reference
    if all(np.array_equal(a, b) for a, b in zip(axes_mm, planned_on.axes_mm, strict=True)):
        return planned_on
    return Canvas(axes_mm, patient.space.warp(axes_mm), patient.parameters.partial_volume_mm)


def _affine(axes_mm: Sequence[np.ndarray]) -> np.ndarray:
    """Voxel index to RAS mm."""
    matrix = np.eye(4)
    for d, axis in enumerate(axes_mm):
        matrix[d, d] = axis[1] - axis[0] if len(axis) > 1 else 1.0
        matrix[d, 3] = axis[0]
    return matrix


def _ct(patient: Patient, canvas: Canvas) -> np.ndarray:
    """The CT with texture and noise, int16 HU."""
    parameters = patient.parameters
    planned_on, bare_hu = patient.reference
    if canvas is planned_on:
        image = bare_hu.copy()
    else:
        image = np.full(canvas.shape, -1000.0, np.float32)
        patient.background.paint_ct(image, canvas)
    canvas.paint(image, patient.foreground, [s.hu for s in patient.foreground])
    texture_rng = np.random.default_rng(patient.streams["texture"])
    texture = random_field(texture_rng, WORLD_LOW_MM, WORLD_HIGH_MM, 10.0).on_axes(canvas.axes_mm)[0]
    fatty = np.clip((-20.0 - image) / 60.0, 0.0, 1.0) * (image > -200)
    texture *= (
        parameters.tissue_texture_hu + (parameters.fat_texture_hu - parameters.tissue_texture_hu) * fatty
    )
    room = image < _ROOM_AIR_HU
    texture[room] = 0.0
    image += texture
    rng = np.random.default_rng(patient.streams["ct noise"])
    sd = parameters.ct_noise_hu * rng.uniform(0.8, 1.25)
    field = random_field(rng, WORLD_LOW_MM, WORLD_HIGH_MM, parameters.ct_noise_step_mm, sd=sd)
    noise = field.on_axes(canvas.axes_mm)[0]
    noise[room] = 0.0
    image += noise
    return np.clip(np.rint(image), -1024, 3071).astype(np.int16)


def _node_labels(patient: Patient, canvas: Canvas) -> tuple[np.ndarray, list[int], list[int]]:
    """Label map of the OSLNs, voxel count of every node and the label of every node (0: not an OSLN)."""
    nodes = np.zeros(canvas.shape, np.float32)
    canvas.paint(
        nodes,
        [shape for deposit in patient.nodes for shape in deposit.outline],
        [float(i + 1) for i, deposit in enumerate(patient.nodes) for _ in deposit.outline],
        hard=True,
    )
    index = nodes.astype(np.int64)
    counts = np.bincount(index.ravel(), minlength=len(patient.nodes) + 1)[1:].tolist()
    labels, following = [], 1
    for deposit, count in zip(patient.nodes, counts, strict=True):
        labels.append(following if deposit.osln and count else 0)
        following += labels[-1] > 0
    return np.array([0, *labels], np.uint16)[index], counts, labels


def _pet(
    patient: Patient, axes_mm: Sequence[np.ndarray], motion: SplineField | None
) -> tuple[np.ndarray, list[np.ndarray]]:
    """The PET image and its voxel-center axes."""
    parameters = patient.parameters
    step = [axis[1] - axis[0] for axis in axes_mm]
    low = [axis[0] - 0.5 * s for axis, s in zip(axes_mm, step, strict=True)]
    high = [axis[-1] + 0.5 * s for axis, s in zip(axes_mm, step, strict=True)]
    axes = pet_axes(low, high, parameters.pet_spacing_mm)
    canvas = Canvas(axes, patient.space.warp(axes), max(parameters.pet_spacing_mm))
    image = np.zeros(canvas.shape, np.float32)
    patient.background.paint_pet(image, canvas)
    canvas.paint(image, patient.foreground, [s.suv for s in patient.foreground])
    image = moved(blurred(image, parameters), axes, motion)
    x, y, z = (
        (a - o) / s for a, o, s in zip(axes, patient.space.offset_mm, patient.space.scale, strict=True)
    )
    level = patient.background.body_level([x[:, None, None], y[None, :, None], z[None, None, :]])
    rng = np.random.default_rng(patient.streams["pet noise"])
    return noisy(rng, image, axes, level, parameters, WORLD_LOW_MM, WORLD_HIGH_MM), axes


def _findings(
    patient: Patient,
    boundary_mm: np.ndarray,
    voxel_mm3: float,
    counts: list[int],
    labels: list[int],
    pet_suv: np.ndarray,
    pet_grid: Sequence[np.ndarray],
    motion: SplineField | None,
) -> list[Finding]:
    """Sidecar entries of all nodes and mimics, measured on the images."""
    deposits = [*patient.nodes, *patient.mimics, *patient.spots]
    if not deposits:
        return []
    centers = np.array([d.center_mm for d in deposits])
    tree = cKDTree(boundary_mm) if len(boundary_mm) else None
    distances = tree.query(centers)[0] if tree else np.full(len(centers), np.inf)
    found = []
    for i, (deposit, where) in enumerate(zip(deposits, shown_at(centers, motion), strict=True)):
        is_node = i < len(patient.nodes)
        x, y, z = deposit.center_mm
        volume = counts[i] * voxel_mm3 if is_node else float(deposit.volume_mm3)
        found.append(
            Finding(
                kind=deposit.kind,
                zone=zone_of(float(distances[i])),
                distance_mm=float(distances[i]),
                center_mm=(float(x), float(y), float(z)),
                volume_mm3=volume,
                radius_mm=sphere_radius_mm(volume),
                short_axis_mm=float(deposit.short_axis_mm),
                long_axis_mm=float(deposit.long_axis_mm),
                suv_max=_suv_max(deposit, where, pet_suv, pet_grid),
                avid=deposit.avid,
                osln=deposit.osln,
                tags=deposit.tags,
                label=labels[i] if is_node else 0,
                station=deposit.station,
            )
        )
    return found


def _suv_max(
    deposit: Deposit, where_mm: np.ndarray, pet_suv: np.ndarray, pet_grid: Sequence[np.ndarray]
) -> float:
    """Largest SUV within the finding's box around the place where the PET shows it; 0 outside the PET."""
    low = np.min([s.low_mm for s in deposit.outline], axis=0) - deposit.center_mm + where_mm - _SEARCH_MM
    high = np.max([s.high_mm for s in deposit.outline], axis=0) - deposit.center_mm + where_mm + _SEARCH_MM
    box = tuple(
        slice(int(np.searchsorted(axis, a)), int(np.searchsorted(axis, b)))
        for axis, a, b in zip(pet_grid, low, high, strict=True)
    )
    part = pet_suv[box]
    return float(part.max()) if part.size else 0.0
