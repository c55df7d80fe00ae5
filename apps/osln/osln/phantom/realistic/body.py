"""The built-in anatomy with a patient's own tissue values and with what it lacks of organs and mimics."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from osln.phantom.body import anatomy, organs, vessels
from osln.phantom.body.anatomy import BONE_SUV, FAT_HU, MUSCLE_HU, MUSCLE_SUV
from osln.phantom.body.background import ShapeBackground
from osln.phantom.body.shapes import Shape, capsule, ellipsoid, stack, tube
from osln.phantom.realistic.look import Look
from osln.phantom.realistic.parameters import RealisticParameters
from osln.phantom.realistic.ranges import ADDED, STOOL_HU, Box

_CARTILAGE_HU = 90.0
_HEART_HU = (41.0, organs.HEART_MUSCLE_HU)
_METAL_HU = 2600.0


@dataclass(frozen=True)
class RealisticBackground(ShapeBackground):
    """The anatomy of a realistic phantom; `small` is painted on images only, so that nodes lie among it.

    Attributes:
        small: vessels too small to keep nodes out, painted before mimics, tumor and nodes.
    """

    name: str = "realistic"
    small: tuple[Shape, ...] = ()


def realistic_anatomy(
    rng: np.random.Generator, more: np.random.Generator, ranges: RealisticParameters, look: Look
) -> RealisticBackground:
    """The anatomy of one patient.

    Args:
        rng: the built-in anatomy's stream, which gives the same body as without a look.
        more: stream of what is added.
        ranges: how much may be added.
        look: tissue values.
    """
    around = _table_and_arms(look)
    frame = anatomy.torso(rng) + anatomy.muscles(rng) + _shoulder_muscles(more, ranges)
    ribs = _calcified(anatomy.rib_cage(), more.uniform(*ranges.cartilage_hu))
    lungs = _of(anatomy.lungs(rng), "blood")
    abdomen = organs.abdomen(rng)
    spine = anatomy.spine()
    crura = _of(
        anatomy.deep_muscles(more.uniform(*ranges.crus_thickness), more.uniform(*ADDED.crus_rough_mm)),
        "muscle",
    )
    heart = organs.heart(rng)
    neck = organs.neck(rng)
    great = _of(vessels.great_vessels(rng), "blood")
    tubes = _of(organs.esophagus(rng), "gut") + organs.airways(rng)
    shapes = around + _of(frame, "muscle") + ribs + lungs + _thymus(more, ranges) + _of(abdomen, "gut")
    shapes += _liver_vessels(more, ranges) + _bowel(more, ranges) + spine + crura
    shapes += [s.of("heart") if s.hu in _HEART_HU else s for s in heart] + neck + great
    shapes += _plaques(more, ranges) + tubes + _lines(more, ranges, look)
    fat = [s.of("fat") if s.hu == FAT_HU else s for s in shapes]
    small = [look.colored(s) for s in _small_vessels(more, ranges)]
    return RealisticBackground(
        [look.colored(s) for s in fat], organs.hot_organs(heart + abdomen), small=tuple(small)
    )


def _of(shapes: Iterable[Shape], tissue: str) -> list[Shape]:
    """Soft shapes made of a tissue, unless they are of another already; fat, bone and air stay."""
    return [s.of(tissue) if not s.tissue and 25.0 < s.hu < 70.0 else s for s in shapes]


def _within(rng: np.random.Generator, box: Box) -> np.ndarray:
    """A point drawn evenly from a box, or three lengths from their ranges."""
    return np.array([rng.uniform(*side) for side in box])


def _table_and_arms(look: Look) -> list[Shape]:
    """What lies around the body; painted first, so that the body goes before."""
    shapes: list[Shape] = []
    if look.table:
        for depth, hu in ((9.0, -60.0), (7.0, -930.0)):
            shapes.append(
                stack([(-60, 0, -122, 190, depth), (399, 0, -122, 190, depth)], hu, 0.05, squareness=1.0)
            )
    if look.arms_down:
        for side in (1, -1):
            course = [(side * 168, -14, 262), (side * 178, -22, 120), (side * 180, -12, -20)]
            shapes += tube(course, [34, 30, 26], FAT_HU, 0.45)
            shapes += [
                s.of("muscle") for s in tube(course, [28, 24, 20], MUSCLE_HU, MUSCLE_SUV, rough_mm=1.5)
            ]
            shapes += tube(course, [10, 9, 9], 400, BONE_SUV) + tube(course, [5, 5, 5], 60, BONE_SUV)
    return shapes


def _shoulder_muscles(rng: np.random.Generator, ranges: RealisticParameters) -> list[Shape]:
    """Subscapular, serratus and small pectoral muscles, which fill much of the axillae."""
    shapes = []
    for side in (1, -1):
        for center, radii in (
            ((95, -44, 236), (26, 14, 36)), ((110, -2, 205), (9, 44, 52)), ((76, 50, 240), (22, 7, 28)),
            ((88, -20, 262), (24, 10, 12)),
        ):  # fmt: skip
            size = rng.uniform(*ranges.shoulder_muscles)
            at = np.multiply(center, (side, 1, 1)) + rng.normal(0, ADDED.shoulder_shift_mm, 3)
            shapes.append(ellipsoid(at, size * np.array(radii), MUSCLE_HU, MUSCLE_SUV, rough_mm=1.5))
    return shapes


def _calcified(ribs: list[Shape], hu: float) -> list[Shape]:
    """The rib cage with costal cartilage of this density."""
    return [s.valued(hu, s.suv) if s.hu == _CARTILAGE_HU else s for s in ribs]


def _thymus(rng: np.random.Generator, ranges: RealisticParameters) -> list[Shape]:
    """Two lobes before the great vessels, between fat and soft tissue."""
    if rng.random() >= ranges.thymus_share:
        return []
    hu, suv = rng.uniform(*ADDED.thymus_hu), rng.uniform(*ADDED.thymus_suv)
    shapes = []
    for side in (1, -1):
        center = _within(rng, ADDED.thymus_mm) * (side, 1, 1)
        tilt = side * rng.uniform(*ADDED.thymus_tilt)
        axes = np.array([[np.cos(tilt), np.sin(tilt), 0], [-np.sin(tilt), np.cos(tilt), 0], [0, 0, 1.0]])
        radii = _within(rng, ADDED.thymus_radii_mm)
        shapes.append(ellipsoid(center, radii, hu, suv, axes=axes, rough_mm=1.2))
    return shapes


def _liver_vessels(rng: np.random.Generator, ranges: RealisticParameters) -> list[Shape]:
    """Branches from the porta and from the vena cava into the liver."""
    shapes: list[Shape] = []
    for _ in range(int(rng.uniform(*ranges.liver_vessels))):
        place = np.array([(34, 10, 56), (26, -4, 96)][int(rng.integers(2))])
        root = place + rng.normal(0, ADDED.liver_root_mm, 3)
        tip = _within(rng, ADDED.liver_tip_mm)
        middle = 0.5 * (root + tip) + rng.normal(0, ADDED.liver_bend_mm, 3)
        radius = rng.uniform(*ADDED.liver_vessel_radius_mm)
        shapes += tube([root, middle, tip], [radius, 0.75 * radius, 0.6], 40.0, 1.6)
    return [s.of("blood") for s in shapes]


def _bowel(rng: np.random.Generator, ranges: RealisticParameters) -> list[Shape]:
    """Winding loops: wall, then fluid, stool, contrast medium or gas."""
    shapes: list[Shape] = []
    corners = np.transpose(ADDED.loop_mm)
    for _ in range(int(rng.uniform(*ranges.bowel_loops))):
        at = _within(rng, ADDED.loop_mm)
        way = rng.standard_normal(3) * (1.0, 0.6, 0.5)
        course = [at]
        for _ in range(int(rng.integers(*ADDED.loop_pieces))):
            way = way + 0.8 * rng.standard_normal(3) * (1.0, 0.6, 0.5)
            following = course[-1] + 13.0 * way / np.linalg.norm(way)
            course.append(np.clip(following, *corners))
        radius = rng.uniform(*ADDED.loop_radius_mm)
        widths = radius * rng.uniform(*ADDED.loop_width, len(course))
        suv = rng.uniform(*ADDED.loop_suv)
        shapes += [s.of("gut") for s in tube(course, widths, 36.0, suv, rough_mm=1.2)]
        lumen = ADDED.lumen_hu[int(rng.choice(len(ADDED.lumen_hu), p=ADDED.lumen_share))]
        inside = np.maximum(widths - rng.uniform(*ADDED.loop_wall_mm), 1.5)
        inner = tube(course, inside, lumen, 0.8, rough_mm=1.2)
        shapes += [s.of("stool") for s in inner] if lumen == STOOL_HU else inner
    return shapes


def _plaques(rng: np.random.Generator, ranges: RealisticParameters) -> list[Shape]:
    """Calcium in the wall of the descending aorta and the arch."""
    wall = ((-23, -30, 214, 12.0), (-24, -38, 150, 11.0), (-9, -30, 85, 10.0), (-5, -18, -20, 8.5))
    z = [row[2] for row in wall][::-1]
    shapes = []
    for _ in range(int(rng.uniform(*ranges.plaques))):
        height, turn = rng.uniform(*ADDED.plaque_z_mm), rng.uniform(0, 2 * np.pi)
        x, y, r = (float(np.interp(height, z, [row[i] for row in wall][::-1])) for i in (0, 1, 3))
        center = (x + r * np.cos(turn), y + r * np.sin(turn), height)
        radii = rng.uniform(*ADDED.plaque_radius_mm, 3)
        shapes.append(ellipsoid(center, radii, rng.uniform(*ADDED.plaque_hu), 1.5))
    return shapes


def _lines(rng: np.random.Generator, ranges: RealisticParameters, look: Look) -> list[Shape]:
    """Central venous catheter, feeding tube and the piece of metal."""
    shapes: list[Shape] = []
    if rng.random() < ranges.catheter_share:
        course = [(72, 72, 236), (60, 30, 262), (34, 24, 258), (25, 22, 236), (24, 21, 186)]
        shapes += tube(course, 1.1, rng.uniform(*ADDED.catheter_hu), 1.5)
    if rng.random() < ranges.feeding_tube_share:
        course = list(organs.esophagus_at(np.arange(330.0, 80.0, -12.0)))
        hu = rng.uniform(*ADDED.feeding_tube_hu)
        shapes += tube(course, 2.2, hu, 0.8) + tube(course, 1.2, -600.0, 0.8)
    if look.metal_mm is not None:
        radii = (10.0, 5.0, 10.0) if look.metal_mm[1] > 60 else (1.5, 1.5, 3.0)
        shapes.append(ellipsoid(look.metal_mm, radii, _METAL_HU, 0.5))
    return shapes


def _small_vessels(rng: np.random.Generator, ranges: RealisticParameters) -> list[Shape]:
    """Thin vessels in every course through the middle of the body; branches run on from others' bends."""
    shapes: list[Shape] = []
    bends: list[np.ndarray] = []
    for _ in range(int(rng.uniform(*ranges.small_vessels))):
        if bends and rng.random() < ADDED.branch_share:
            at = bends[int(rng.integers(len(bends)))]
        else:
            at = _within(rng, ADDED.small_vessel_mm)
        way = rng.standard_normal(3)
        radius = rng.uniform(*ADDED.small_vessel_radius_mm)
        for _ in range(int(rng.integers(*ADDED.small_vessel_pieces))):
            way = way / np.linalg.norm(way) + 0.5 * rng.standard_normal(3)
            end = at + 9.0 * way / np.linalg.norm(way)
            shapes.append(replace(capsule(at, end, radius, 0.9 * radius, 40.0, 1.4), tissue="blood"))
            bends.append(end)
            at, radius = end, 0.9 * radius
    return shapes
