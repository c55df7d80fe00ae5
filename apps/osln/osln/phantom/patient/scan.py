"""Images, masks and sidecar findings of a planned patient on a grid: `make_phantom`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from osln.phantom.body.background import Anatomy, built_in_anatomy
from osln.phantom.body.painting import Canvas
from osln.phantom.body.shapes import ANATOMICAL, Shape
from osln.phantom.findings.findings import Finding
from osln.phantom.findings.space import inner_boundary_mm
from osln.phantom.parameters import PhantomParameters
from osln.phantom.patient.fields import SplineField, random_field
from osln.phantom.patient.measuring import measure_findings
from osln.phantom.patient.pet import blurred, moved, noisy, pet_axes
from osln.phantom.patient.plan import (
    COLUMN_BOX_MM,
    COLUMN_SPACING_MM,
    PlannedPatient,
    grid_axes,
    plan_patient,
)
from osln.phantom.realistic.body import RealisticBackground
from osln.phantom.realistic.look import Look
from osln.phantom.realistic.parameters import RealisticParameters
from osln.phantom.realistic.scanner import Scanner

FIELDS = {"column": COLUMN_BOX_MM, "body": ((-180.0, 180.0), (-125.0, 125.0), (0.0, 312.0))}
# Below it lies the air around the patient, which stays free of noise so that files stay small.
_ROOM_AIR_HU = -995.0
_TEXTURE_STEP_MM = 10.0


@dataclass(frozen=True)
class Phantom:
    """One imaged phantom; arrays are (x, y, z) in RAS.

    Attributes:
        patient: who was imaged; its millimeters become RAS by `motion_to_ras`.
        ct_hu: int16 on `affine`.
        pet_suv: float32 on `pet_affine`, its own coarser grid.
        tumor: bool on `affine`.
        nodes: uint16 on `affine`, OSLNs only, numbered from 1.
        findings: every node and mimic.
        motion: the field u with PET(p) showing CT(p + u(p)); None when misregistration is off.
        anatomy: what lies behind the nodes, e.g. "parametric".
        motion_to_ras: 4x4 from the millimeters of `motion` to RAS; identity unless a CT was given.
    """

    patient: PlannedPatient
    ct_hu: np.ndarray
    pet_suv: np.ndarray
    tumor: np.ndarray
    nodes: np.ndarray
    affine: np.ndarray
    pet_affine: np.ndarray
    findings: list[Finding]
    motion: SplineField | None
    anatomy: str = "parametric"
    motion_to_ras: np.ndarray = field(default_factory=lambda: np.eye(4))

    @property
    def seed(self) -> int:
        """Seed of the patient."""
        return self.patient.seed

    @property
    def parameters(self) -> PhantomParameters:
        """Parameters of the patient."""
        return self.patient.parameters


def make_phantom(
    seed: int,
    *,
    spacing_mm: Sequence[float] = COLUMN_SPACING_MM,
    field: str = "column",
    parameters: PhantomParameters | None = None,
    misregistered: bool = True,
    anatomy: Anatomy = built_in_anatomy,
) -> Phantom:
    """Make one phantom patient.

    Args:
        seed: 0 or more; the same seed is the same patient in every field and on every grid.
        spacing_mm: voxel size of the CT.
        field: "column" (220 x 160 x 312 mm around the mediastinum, for training) or "body"
            (360 x 250 x 312 mm with skin and air, for viewers).
        parameters: default `PhantomParameters()`.
        misregistered: False aligns the PET exactly with the CT.
        anatomy: what makes the background, e.g. `icrp.OrganVolumes`; default the built-in anatomy.

    Returns:
        The images, masks and findings.

    Raises:
        ValueError: for an unknown field or a spacing that is not positive.
    """
    if field not in FIELDS:
        raise ValueError(f"field must be one of {sorted(FIELDS)}, got {field!r}")
    patient = plan_patient(seed, parameters or PhantomParameters(), anatomy)
    return image_patient(patient, grid_axes(FIELDS[field], spacing_mm), misregistered=misregistered)


def image_patient(
    patient: PlannedPatient,
    axes_mm: Sequence[np.ndarray],
    *,
    misregistered: bool = True,
    pet_box_mm: Sequence[tuple[float, float]] | None = None,
    every_node: bool = False,
) -> Phantom:
    """Image a planned patient.

    Args:
        patient: the patient.
        axes_mm: voxel centers of the CT's grid, per axis.
        misregistered: False aligns the PET exactly with the CT.
        pet_box_mm: world box the PET covers; default the CT's field.
        every_node: True labels the nodes that do not count, too; the images are the same.

    Returns:
        The phantom; a tumor that was given with the CT is not in its mask.
    """
    motion = patient.motion if misregistered else None
    canvas = Canvas(axes_mm, patient.space.warp, patient.parameters.partial_volume_mm)
    tumor_image = np.zeros(canvas.shape, np.float32)
    canvas.paint(tumor_image, patient.tumor, [1.0] * len(patient.tumor), hard=True)
    nodes, counts, labels = _node_labels(patient, canvas, every_node)
    tumor = (tumor_image > 0) & (nodes == 0)
    pet_suv, pet_grid = _pet(patient, pet_box_mm or _field_of(axes_mm), motion)
    boundary = patient.given_boundary_mm
    if boundary is None:
        boundary = inner_boundary_mm(tumor, axes_mm)
    affine = axes_affine(axes_mm)
    voxel_mm3 = float(abs(np.linalg.det(affine[:3, :3])))
    findings = measure_findings(patient, boundary, voxel_mm3, counts, labels, pet_suv, pet_grid, motion)
    return Phantom(
        patient, _ct(patient, canvas), pet_suv, tumor, nodes,
        affine, axes_affine(pet_grid), findings, motion, patient.background.name,
    )  # fmt: skip


def _field_of(axes_mm: Sequence[np.ndarray]) -> list[tuple[float, float]]:
    """Outer faces of a grid along each axis."""
    halves = [0.5 * float(axis[1] - axis[0]) for axis in axes_mm]
    return [(float(a[0]) - h, float(a[-1]) + h) for a, h in zip(axes_mm, halves, strict=True)]


def axes_affine(axes_mm: Sequence[np.ndarray]) -> np.ndarray:
    """Voxel index to RAS mm."""
    matrix = np.eye(4)
    for d, axis in enumerate(axes_mm):
        matrix[d, d] = axis[1] - axis[0] if len(axis) > 1 else 1.0
        matrix[d, 3] = axis[0]
    return matrix


def image_ct(patient: PlannedPatient, axes_mm: Sequence[np.ndarray]) -> np.ndarray:
    """The CT alone, int16 HU, on the grid of the given voxel centers."""
    return _ct(patient, Canvas(axes_mm, patient.space.warp, patient.parameters.partial_volume_mm))


def _ct(patient: PlannedPatient, canvas: Canvas) -> np.ndarray:
    """The CT with texture and noise, int16 HU."""
    if patient.look is not None:
        return _realistic_ct(patient, patient.look, canvas)
    parameters = patient.parameters
    image = np.full(canvas.shape, -1000.0, np.float32)
    patient.background.paint_ct(image, canvas)
    canvas.paint(image, patient.foreground, [s.hu for s in patient.foreground])
    rng = np.random.default_rng(patient.streams["ct noise"])
    own_noise = patient.background.own_noise_hu
    level = rng.uniform(0.8, 1.25)
    sd = parameters.ct_noise_hu * level if own_noise is None else own_noise
    lattice = _noise_lattice(rng, patient, parameters.ct_noise_step_mm, sd)
    if own_noise is not None:
        _add_where_painted(image, lattice, patient.foreground, canvas)
        return np.clip(np.rint(image), -1024, 3071).astype(np.int16)
    noise = lattice.on_axes(canvas.axes_mm)[0]
    texture_rng = np.random.default_rng(patient.streams["texture"])
    texture = _noise_lattice(texture_rng, patient, _TEXTURE_STEP_MM, 1.0).on_axes(canvas.axes_mm)[0]
    fatty = np.clip((-20.0 - image) / 60.0, 0.0, 1.0) * (image > -200)
    extra = parameters.fat_texture_hu - parameters.tissue_texture_hu
    texture *= parameters.tissue_texture_hu + extra * fatty
    room = image < _ROOM_AIR_HU
    image += np.where(room, 0.0, texture)
    image += np.where(room, 0.0, noise)
    return np.clip(np.rint(image), -1024, 3071).astype(np.int16)


def _realistic_ct(patient: PlannedPatient, look: Look, canvas: Canvas) -> np.ndarray:
    """The CT of a patient with a look, int16 HU."""
    assert isinstance(patient.background, RealisticBackground)
    assert isinstance(patient.parameters, RealisticParameters)
    scanner = Scanner(look, patient.parameters, patient.space.low_mm, patient.space.high_mm)
    texture, noise = (np.random.default_rng(patient.streams[name]) for name in ("texture", "ct noise"))
    clean = scanner.clean(patient.background, patient.foreground, canvas, texture)
    return scanner.scanned(clean, canvas, patient.background.body_level(list(canvas.anatomical_mm)), noise)


def _noise_lattice(
    rng: np.random.Generator, patient: PlannedPatient, step_mm: float, sd: float
) -> SplineField:
    """A random field over the patient's box, the same in every field of view."""
    return random_field(rng, patient.space.low_mm, patient.space.high_mm, step_mm, sd=sd)


def _add_where_painted(
    image: np.ndarray, noise: SplineField, shapes: Sequence[Shape], canvas: Canvas
) -> None:
    """Add a field to an image where shapes were painted, by their share of each voxel.

    A shape that follows the warp reaches anywhere, one in true millimeters only its own box.
    """
    shown = [shape for shape in shapes if not np.isnan(shape.hu)]
    painted = np.zeros(canvas.shape, np.float32)
    canvas.paint(painted, shown, [1.0] * len(shown))
    everywhere = (slice(None),) * 3
    warped = any(shape.space == ANATOMICAL for shape in shown)
    for box in [everywhere] if warped else [canvas.box(shape) for shape in shown]:
        share = painted[box]
        if share.any():
            axes = [axis[part] for axis, part in zip(canvas.axes_mm, box, strict=True)]
            image[box] += share * noise.on_axes(axes)[0]
            share[:] = 0.0  # Boxes overlap.


def _node_labels(
    patient: PlannedPatient, canvas: Canvas, every_node: bool
) -> tuple[np.ndarray, list[int], list[int]]:
    """Label map of the OSLNs or of every node, voxel count of every node and its label (0: none)."""
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
        labels.append(following if (deposit.osln or every_node) and count else 0)
        following += labels[-1] > 0
    return np.array([0, *labels], np.uint16)[index], counts, labels


def _pet(
    patient: PlannedPatient, box_mm: Sequence[tuple[float, float]], motion: SplineField | None
) -> tuple[np.ndarray, list[np.ndarray]]:
    """The PET image over a world box and its voxel-center axes."""
    parameters = patient.parameters
    axes = pet_axes([low for low, _ in box_mm], [high for _, high in box_mm], parameters.pet_spacing_mm)
    canvas = Canvas(axes, patient.space.warp, max(parameters.pet_spacing_mm))
    image = np.zeros(canvas.shape, np.float32)
    patient.background.paint_pet(image, canvas)
    canvas.paint(image, patient.foreground, [s.suv for s in patient.foreground])
    image = moved(blurred(image, parameters), axes, motion)
    x, y, z = (
        (a - o) / s for a, o, s in zip(axes, patient.space.offset_mm, patient.space.scale, strict=True)
    )
    level = patient.background.body_level([x[:, None, None], y[None, :, None], z[None, None, :]])
    rng = np.random.default_rng(patient.streams["pet noise"])
    return noisy(rng, image, axes, level, parameters, patient.space.low_mm, patient.space.high_mm), axes
