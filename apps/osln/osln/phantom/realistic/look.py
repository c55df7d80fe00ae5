"""What one patient's images look like: numbers drawn from the ranges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from osln.phantom.body.anatomy import FAT_HU, MUSCLE_HU
from osln.phantom.body.shapes import Shape
from osln.phantom.findings.findings import Deposit
from osln.phantom.realistic.parameters import ARTERIAL, ENHANCEMENT_HU, NATIVE, VENOUS, RealisticParameters

# Values that the built-in anatomy paints, from which a patient's own differ.
_PAINTED_HU = {"fat": FAT_HU, "muscle": MUSCLE_HU, "blood": 40.0, "liver": 52.0}
_MIMIC_TISSUE = {"vessel": "blood", "vessel stub": "blood", "muscle bundle": "muscle"}
_DRAWN = (
    "slice_mm", "shoulder_noise_hu", "metal_streak_hu", "field_radius_mm", "septum_hu", "septum_step_mm",
    "strand_hu", "strand_width", "muscle_fat_hu", "stool_hu", "lung_texture_hu",
)  # fmt: skip
"""Attributes of a look that are drawn evenly from the range of the same name."""
# Where metal lies: a port under either clavicle, clips beside the esophagus, a spinal implant.
_METAL_MM = ((72, 72, 236), (-72, 72, 236), (-14, -4, 92), (8, -40, 200), (0, -84, 40))


@dataclass(frozen=True)
class Look:
    """Drawn for one patient; the meaning of the numbers is told at the ranges of the same names.

    Attributes:
        phase: contrast phase.
        shift_hu: added to what the built-in anatomy paints, by tissue.
        arms_down, table: whether they are there.
        metal_mm: anatomical place of a piece of metal, or None.
    """

    phase: str
    shift_hu: dict[str, float]
    arms_down: bool
    table: bool
    metal_mm: tuple[float, float, float] | None
    slice_mm: float
    shoulder_noise_hu: float
    metal_streak_hu: float
    field_radius_mm: float
    septum_hu: float
    septum_step_mm: float
    strand_hu: float
    strand_width: float
    muscle_fat_hu: float
    stool_hu: float
    lung_texture_hu: float

    def colored(self, shape: Shape, tissue: str = "") -> Shape:
        """The shape with its tissue's value in this patient; its own tissue goes before the given one."""
        kind = shape.tissue or tissue
        return replace(shape, tissue=kind, hu=shape.hu + self.shift_hu.get(kind, 0.0))

    def colored_tumor(self, shapes: Sequence[Shape]) -> list[Shape]:
        """The tumor's shapes with what contrast adds."""
        return [self.colored(shape, "tumor") for shape in shapes]

    def colored_deposit(self, deposit: Deposit) -> Deposit:
        """A node or mimic with what contrast adds; a node's fatty hilum and cysts stay as they are."""
        tissue = "node" if deposit.kind == "node" else _MIMIC_TISSUE.get(deposit.kind, "")
        return replace(deposit, outline=tuple(self.colored(shape, tissue) for shape in deposit.outline))


def draw(rng: np.random.Generator, ranges: RealisticParameters) -> tuple[Look, RealisticParameters]:
    """Draw a patient's look, and the parameters with what is theirs of image formation.

    Args:
        rng: the look's stream.
        ranges: what may be drawn.

    Returns:
        The look, and parameters whose partial volume, noise, texture and PET values are this patient's.
    """
    phase = (NATIVE, VENOUS, ARTERIAL)[int(rng.choice(3, p=ranges.phase_share))]
    native = {name: getattr(ranges, f"{name}_hu") for name in _PAINTED_HU}
    shift = {name: float(rng.uniform(*native[name])) - _PAINTED_HU[name] for name in native}
    shift["gut"] = float(rng.uniform(*ranges.gut_hu))
    for tissue, span in ENHANCEMENT_HU[phase].items():
        shift[tissue] = shift.get(tissue, 0.0) + float(rng.uniform(*span))
    arms_down = bool(rng.random() < ranges.arms_down_share)
    table = bool(rng.random() < ranges.table_share)
    site = _METAL_MM[int(rng.integers(len(_METAL_MM)))] if rng.random() < ranges.metal_share else None
    drawn = {name: float(rng.uniform(*getattr(ranges, name))) for name in _DRAWN}
    look = Look(phase, shift, arms_down, table, site, **drawn)
    plane, along = (float(rng.uniform(*ranges.pet_voxel_mm)) for _ in range(2))
    own = replace(
        ranges,
        partial_volume_mm=float(rng.uniform(*ranges.in_plane_mm)),
        ct_noise_hu=float(rng.uniform(*ranges.noise_hu)),
        ct_noise_step_mm=float(rng.uniform(*ranges.noise_width_mm)),
        fat_texture_hu=float(rng.uniform(*ranges.fat_texture_range_hu)),
        tissue_texture_hu=float(rng.uniform(*ranges.tissue_texture_range_hu)),
        pet_spacing_mm=(plane, plane, along),
        pet_blur_fwhm_mm=float(rng.uniform(*ranges.pet_fwhm_mm)),
        pet_noise_fraction=float(rng.uniform(*ranges.pet_noise_range)),
        misregistration_p95_mm=ranges.moved_mm,
    )
    return look, own
