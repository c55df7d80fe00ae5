"""One patient before imaging: warp, anatomy, tumor, nodes and mimics, the same for every grid."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from osln.phantom.body.background import Anatomy, Background, built_in_anatomy
from osln.phantom.body.painting import Canvas, Warp
from osln.phantom.body.shapes import Shape
from osln.phantom.findings.findings import Deposit
from osln.phantom.findings.mimics import anatomical_mimics, hot_organs, hot_spots
from osln.phantom.findings.nodes import STATIONS, Station, place_nodes
from osln.phantom.findings.space import FatSpace, fat_of, inner_boundary_mm
from osln.phantom.findings.tumor import primary_tumor
from osln.phantom.parameters import PhantomParameters
from osln.phantom.patient.fields import SplineField, random_field
from osln.phantom.patient.pet import misregistration
from osln.phantom.realistic.body import realistic_anatomy
from osln.phantom.realistic.look import Look, draw
from osln.phantom.realistic.parameters import RealisticParameters

# World box that holds every field of view with a margin; lattices cover it whatever is imaged.
WORLD_LOW_MM = (-196.0, -142.0, -16.0)
WORLD_HIGH_MM = (196.0, 142.0, 328.0)
# Patients are planned on this grid, so that a seed is the same patient on every other one.
COLUMN_BOX_MM = ((-110.0, 110.0), (-95.0, 65.0), (0.0, 312.0))
COLUMN_SPACING_MM = (2.5, 2.5, 3.0)
_STREAMS = (
    "warp", "anatomy", "tumor", "mimics", "nodes", "spots", "texture", "motion", "ct noise", "pet noise",
    "pet ct", "examinations", "look", "details",
)  # fmt: skip


@dataclass(frozen=True)
class PatientSpace:
    """The patient's coordinates: world to anatomical millimeters.

    Attributes:
        scale, offset_mm: per axis.
        displacement: smooth anatomical displacement at world points.
        bumps: unit-variance field that roughens surfaces.
        low_mm, high_mm: world box that lattices of noise and motion cover.
    """

    scale: np.ndarray
    offset_mm: np.ndarray
    displacement: SplineField
    bumps: SplineField
    low_mm: tuple[float, float, float] = WORLD_LOW_MM
    high_mm: tuple[float, float, float] = WORLD_HIGH_MM

    @property
    def warp(self) -> Warp:
        """The warp, for painting."""
        return Warp(
            self.scale, self.offset_mm, self.displacement.on_axes, lambda axes: self.bumps.on_axes(axes)[0]
        )

    def to_anatomical(self, point_mm: np.ndarray) -> np.ndarray:
        """World point (3,) to anatomical point."""
        return (point_mm - self.offset_mm) / self.scale + self.displacement.at(point_mm)[0]

    def to_world(self, point_mm: np.ndarray) -> np.ndarray:
        """Anatomical point (3,) to world point, by fixed-point iteration."""
        world = point_mm * self.scale + self.offset_mm
        for _ in range(6):
            world = (point_mm - self.displacement.at(world)[0]) * self.scale + self.offset_mm
        return world


@dataclass(frozen=True)
class PlannedPatient:
    """Everything of one patient that does not depend on the images' grids.

    Attributes:
        seed, parameters: what made it.
        space: its coordinates.
        background: the anatomy.
        tumor: shapes of the primary tumor.
        mimics: CT mimics, painted before the tumor and the nodes.
        nodes: lymph nodes.
        spots: PET-only mimics.
        motion: misregistration between CT and PET.
        given_boundary_mm: boundary points of a tumor that was given with the CT; None when it was drawn.
        refused: how many drawn nodes each reason kept out.
        look: what was drawn for a patient of `RealisticParameters`, else None.
    """

    seed: int
    parameters: PhantomParameters
    space: PatientSpace
    background: Background
    tumor: list[Shape]
    mimics: list[Deposit]
    nodes: list[Deposit]
    spots: list[Deposit]
    motion: SplineField
    given_boundary_mm: np.ndarray | None = None
    refused: Mapping[str, int] = field(default_factory=dict)
    look: Look | None = None

    @cached_property
    def streams(self) -> dict[str, np.random.SeedSequence]:
        """Seeds of the imaging streams."""
        return seed_streams(self.seed)

    @property
    def foreground(self) -> list[Shape]:
        """Mimics, tumor, nodes and hot spots in painting order."""
        before = [shape for deposit in self.mimics for shape in deposit.shapes]
        after = [shape for deposit in (*self.spots, *self.nodes) for shape in deposit.shapes]
        return before + self.tumor + after


def seed_streams(seed: int) -> dict[str, np.random.SeedSequence]:
    """Independent seeds for every part, so that a change in one part leaves the others as they were."""
    if seed < 0:
        raise ValueError(f"a phantom's seed must be 0 or more, got {seed}: pass a non-negative integer")
    return dict(zip(_STREAMS, np.random.SeedSequence(seed).spawn(len(_STREAMS)), strict=True))


def grid_axes(box_mm: Sequence[tuple[float, float]], spacing_mm: Sequence[float]) -> list[np.ndarray]:
    """Voxel centers per axis of a grid centered in a box.

    Raises:
        ValueError: A spacing is not positive, or so large that the box has fewer than two voxels of it.
    """
    axes = []
    for (low, high), step in zip(box_mm, spacing_mm, strict=True):
        if not step > 0:
            raise ValueError(f"voxel spacing must be positive millimeters, got {tuple(spacing_mm)}")
        count = round((high - low) / step)
        if count < 2:
            raise ValueError(
                f"voxels of {tuple(spacing_mm)} mm are too large: {high - low:g} mm of the field take "
                f"{count} of {step:g} mm, and at least 2 are needed; give smaller ones"
            )
        axes.append(0.5 * (low + high) + step * (np.arange(count) - 0.5 * (count - 1)))
    return axes


def plan_patient(
    seed: int, parameters: PhantomParameters, anatomy: Anatomy = built_in_anatomy
) -> PlannedPatient:
    """Draw a synthetic patient.

    Args:
        seed: 0 or more; the same seed is the same patient.
        parameters: the cohort's parameters; `RealisticParameters` have an anatomy and a look of their own.
        anatomy: makes the background from the anatomy's random stream.

    Returns:
        The patient, ready to be imaged on any grid.

    Raises:
        ValueError: for realistic parameters with another anatomy than the built-in one.
    """
    streams = seed_streams(seed)
    space = _patient_space(np.random.default_rng(streams["warp"]), parameters)
    axes = grid_axes(COLUMN_BOX_MM, COLUMN_SPACING_MM)
    stream = np.random.default_rng(streams["anatomy"])
    if not isinstance(parameters, RealisticParameters):
        return populate(seed, parameters, anatomy(stream), space, axes)
    if anatomy is not built_in_anatomy:
        raise ValueError("realistic phantoms have the built-in anatomy: leave out `anatomy` or the realism")
    look, own = draw(np.random.default_rng(streams["look"]), parameters)
    background = realistic_anatomy(stream, np.random.default_rng(streams["details"]), parameters, look)
    patient = populate(seed, own, background, space, axes)
    return replace(
        patient,
        look=look,
        tumor=look.colored_tumor(patient.tumor),
        mimics=[look.colored_deposit(deposit) for deposit in patient.mimics],
        nodes=[look.colored_deposit(deposit) for deposit in patient.nodes],
    )


def populate(
    seed: int,
    parameters: PhantomParameters,
    background: Background,
    space: PatientSpace,
    axes_mm: Sequence[np.ndarray],
    *,
    boundary_mm: np.ndarray | None = None,
    stations: Sequence[Station] = STATIONS,
    find_fat: Callable[[np.ndarray], np.ndarray] = fat_of,
) -> PlannedPatient:
    """Put a tumor, then mimics into the fat, then nodes into the fat that is left.

    Args:
        seed: of all random streams.
        parameters: the cohort's parameters.
        background: the anatomy.
        space: its coordinates.
        axes_mm: voxel centers of the grid to plan on.
        boundary_mm: boundary points of a tumor that the background already holds; None draws one.
        stations: where nodes may sit.
        find_fat: the fat of a CT (X, Y, Z) on that grid.

    Returns:
        The patient.
    """
    streams = {name: np.random.default_rng(s) for name, s in seed_streams(seed).items()}
    canvas = Canvas(axes_mm, space.warp, parameters.partial_volume_mm, quick=True)
    ct_hu = np.full(canvas.shape, -1000.0, np.float32)
    background.paint_ct(ct_hu, canvas)
    tumor: list[Shape] = []
    boundary = boundary_mm
    if boundary is None:
        tumor = primary_tumor(streams["tumor"], parameters, background.center_line)
        mask = np.zeros(canvas.shape, np.float32)
        canvas.paint(mask, tumor, [1.0] * len(tumor), hard=True)
        boundary = inner_boundary_mm(mask > 0, axes_mm)
        canvas.paint(ct_hu, tumor, [s.hu for s in tumor])
    fat = FatSpace(axes_mm, find_fat(ct_hu), boundary, background.fat_share)
    mimics = anatomical_mimics(streams["mimics"], parameters, fat, space.to_anatomical)
    shapes = [shape for deposit in mimics for shape in deposit.shapes]
    canvas.paint(ct_hu, shapes, [s.hu for s in shapes])
    fat = FatSpace(axes_mm, find_fat(ct_hu), boundary, background.fat_share)
    nodes = place_nodes(streams["nodes"], parameters, fat, space.to_world, space.to_anatomical, stations)
    spots = hot_spots(streams["spots"], parameters, fat, space.to_world)
    spots += hot_organs(background.hot, space.to_world)
    motion = misregistration(streams["motion"], parameters, space.low_mm, space.high_mm)
    return PlannedPatient(
        seed, parameters, space, background, tumor, mimics, nodes, spots, motion, boundary_mm,
        dict(fat.refused),
    )  # fmt: skip


def _patient_space(rng: np.random.Generator, parameters: PhantomParameters) -> PatientSpace:
    """A patient's size, position and smooth shape change."""
    scale = np.array([*rng.uniform(*parameters.scale_range, 2), rng.uniform(0.96, 1.04)])
    offset = rng.normal(0, 1, 3) * (3.0, 3.0, 6.0)
    sd = (parameters.warp_sd_mm,) * 3
    displacement = random_field(rng, WORLD_LOW_MM, WORLD_HIGH_MM, parameters.warp_step_mm, sd=sd)
    bumps = random_field(rng, WORLD_LOW_MM, WORLD_HIGH_MM, 10.0)
    return PatientSpace(scale, offset, displacement, bumps)
