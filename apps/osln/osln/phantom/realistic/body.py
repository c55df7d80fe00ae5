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

_CARTILAGE_HU = 90.0
_HEART_HU = (41.0, organs.HEART_MUSCLE_HU)
_METAL_HU = 2600.0
_STOOL_HU = -60.0
# Corners of the box before the great vessels that holds the middle of every loop of bowel.
_BOWEL_MM = np.array([[-98.0, 22.0, -18.0], [72.0, 64.0, 36.0]])


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
    crura = _of(anatomy.deep_muscles(more.uniform(*ranges.crus_thickness), more.uniform(0.6, 2.0)), "muscle")
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
            at = np.multiply(center, (side, 1, 1)) + rng.normal(0, 4, 3)
            shapes.append(ellipsoid(at, size * np.array(radii), MUSCLE_HU, MUSCLE_SUV, rough_mm=1.5))
    return shapes


def _calcified(ribs: list[Shape], hu: float) -> list[Shape]:
    """The rib cage with costal cartilage of this density."""
    return [s.valued(hu, s.suv) if s.hu == _CARTILAGE_HU else s for s in ribs]


def _thymus(rng: np.random.Generator, ranges: RealisticParameters) -> list[Shape]:
    """Two lobes before the great vessels, between fat and soft tissue."""
    if rng.random() >= ranges.thymus_share:
        return []
    hu, suv = rng.uniform(-70, 30), rng.uniform(0.8, 1.8)
    shapes = []
    for side in (1, -1):
        center = np.array([side * rng.uniform(6, 12), rng.uniform(44, 52), rng.uniform(195, 215)])
        tilt = side * rng.uniform(0.1, 0.5)
        axes = np.array([[np.cos(tilt), np.sin(tilt), 0], [-np.sin(tilt), np.cos(tilt), 0], [0, 0, 1.0]])
        radii = (rng.uniform(5, 11), rng.uniform(3, 6), rng.uniform(14, 26))
        shapes.append(ellipsoid(center, radii, hu, suv, axes=axes, rough_mm=1.2))
    return shapes


def _liver_vessels(rng: np.random.Generator, ranges: RealisticParameters) -> list[Shape]:
    """Branches from the porta and from the vena cava into the liver."""
    shapes: list[Shape] = []
    for _ in range(int(rng.uniform(*ranges.liver_vessels))):
        root = np.array([(34, 10, 56), (26, -4, 96)][int(rng.integers(2))]) + rng.normal(0, 4, 3)
        tip = np.array([rng.uniform(45, 105), rng.uniform(-45, 50), rng.uniform(15, 105)])
        middle = 0.5 * (root + tip) + rng.normal(0, 8, 3)
        radius = rng.uniform(1.6, 4.0)
        shapes += tube([root, middle, tip], [radius, 0.75 * radius, 0.6], 40.0, 1.6)
    return [s.of("blood") for s in shapes]


def _bowel(rng: np.random.Generator, ranges: RealisticParameters) -> list[Shape]:
    """Winding loops: wall, then fluid, stool, contrast medium or gas."""
    shapes: list[Shape] = []
    for _ in range(int(rng.uniform(*ranges.bowel_loops))):
        at = rng.uniform(*_BOWEL_MM)
        way = rng.standard_normal(3) * (1.0, 0.6, 0.5)
        course = [at]
        for _ in range(int(rng.integers(2, 6))):
            way = way + 0.8 * rng.standard_normal(3) * (1.0, 0.6, 0.5)
            following = course[-1] + 13.0 * way / np.linalg.norm(way)
            course.append(np.clip(following, *_BOWEL_MM))
        radius = rng.uniform(7.0, 17.0)
        widths = radius * rng.uniform(0.8, 1.15, len(course))
        suv = rng.uniform(0.9, 2.6)
        shapes += [s.of("gut") for s in tube(course, widths, 36.0, suv, rough_mm=1.2)]
        lumen = (14.0, 5.0, _STOOL_HU, 220.0, -880.0)[int(rng.choice(5, p=(0.3, 0.2, 0.15, 0.05, 0.3)))]
        inner = tube(course, np.maximum(widths - rng.uniform(2.0, 5.0), 1.5), lumen, 0.8, rough_mm=1.2)
        shapes += [s.of("stool") for s in inner] if lumen == _STOOL_HU else inner
    return shapes


def _plaques(rng: np.random.Generator, ranges: RealisticParameters) -> list[Shape]:
    """Calcium in the wall of the descending aorta and the arch."""
    wall = ((-23, -30, 214, 12.0), (-24, -38, 150, 11.0), (-9, -30, 85, 10.0), (-5, -18, -20, 8.5))
    z = [row[2] for row in wall][::-1]
    shapes = []
    for _ in range(int(rng.uniform(*ranges.plaques))):
        height, turn = rng.uniform(-10, 214), rng.uniform(0, 2 * np.pi)
        x, y, r = (float(np.interp(height, z, [row[i] for row in wall][::-1])) for i in (0, 1, 3))
        center = (x + r * np.cos(turn), y + r * np.sin(turn), height)
        shapes.append(ellipsoid(center, rng.uniform(0.8, 2.6, 3), rng.uniform(250, 800), 1.5))
    return shapes


def _lines(rng: np.random.Generator, ranges: RealisticParameters, look: Look) -> list[Shape]:
    """Central venous catheter, feeding tube and the piece of metal."""
    shapes: list[Shape] = []
    if rng.random() < ranges.catheter_share:
        course = [(72, 72, 236), (60, 30, 262), (34, 24, 258), (25, 22, 236), (24, 21, 186)]
        shapes += tube(course, 1.1, rng.uniform(250, 700), 1.5)
    if rng.random() < ranges.feeding_tube_share:
        course = list(organs.esophagus_at(np.arange(330.0, 80.0, -12.0)))
        hu = rng.uniform(120, 500)
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
        if bends and rng.random() < 0.5:
            at = bends[int(rng.integers(len(bends)))]
        else:
            at = np.array([rng.uniform(-100, 100), rng.uniform(-70, 75), rng.uniform(0, 312)])
        way = rng.standard_normal(3)
        radius = rng.uniform(0.6, 1.8)
        for _ in range(int(rng.integers(2, 7))):
            way = way / np.linalg.norm(way) + 0.5 * rng.standard_normal(3)
            end = at + 9.0 * way / np.linalg.norm(way)
            shapes.append(replace(capsule(at, end, radius, 0.9 * radius, 40.0, 1.4), tissue="blood"))
            bends.append(end)
            at, radius = end, 0.9 * radius
    return shapes
