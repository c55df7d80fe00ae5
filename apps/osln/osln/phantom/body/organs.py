"""Heart, airways, esophagus, upper abdominal organs and neck organs, as shapes to paint.

Coordinates as in `anatomy`. CT values are those of a non-contrast scan, so blood, nodes and muscle are
nearly equal; uptake is that of an FDG scan an hour after injection.
"""

from __future__ import annotations

import numpy as np

from osln.phantom.body.anatomy import AIR_HU, AIR_SUV, FAT_HU, FAT_SUV, MUSCLE_HU, MUSCLE_SUV
from osln.phantom.body.shapes import ELLIPSOID, Shape, capsule, ellipsoid, tube

# Uptake from which an organ is listed as a mimic.
HOT_SUV = 2.5
HEART_MUSCLE_HU, KIDNEY_HU = 43.0, 33.0
_HOT_TISSUE = {HEART_MUSCLE_HU: "heart", KIDNEY_HU: "kidney"}

ESOPHAGUS_PATH = (
    (-3.0, -9.0, 335.0), (-5.0, -14.0, 275.0),
    (-4.0, -23.0, 222.0), (-3.0, -24.0, 190.0), (-4.0, -22.0, 160.0),
    (-8.0, -14.0, 125.0), (-16.0, -4.0, 103.0), (-27.0, 2.0, 90.0), (-38.0, 10.0, 80.0),
)  # fmt: skip


def esophagus_at(z_mm: float | np.ndarray) -> np.ndarray:
    """Center line of the esophagus at height z, shape (..., 3)."""
    path = np.array(ESOPHAGUS_PATH[::-1])
    z = np.asarray(z_mm, float)
    return np.stack([np.interp(z, path[:, 2], path[:, 0]), np.interp(z, path[:, 2], path[:, 1]), z], axis=-1)


def abdomen(rng: np.random.Generator) -> list[Shape]:
    """Diaphragm domes, liver, stomach, spleen, kidneys, adrenals, pancreas and bowel."""
    liver_suv = rng.uniform(1.8, 2.6)
    liver_hu = rng.normal(52, 5)
    wall_suv = rng.uniform(1.0, 2.2)
    d = rng.normal(0, 3, (6, 3))
    shapes = [
        ellipsoid((-68, 2, 42), (70, 82, 72), MUSCLE_HU, MUSCLE_SUV, rough_mm=1),
        ellipsoid((-68, 2, 40), (67, 79, 71), FAT_HU, FAT_SUV, rough_mm=1),
        ellipsoid((0, 30, 20), (110, 62, 78), FAT_HU, FAT_SUV),
        ellipsoid(np.array([64, 4, 56]) + d[0], (58, 74, 74), liver_hu, liver_suv, rough_mm=1).of("liver"),
        ellipsoid(np.array([6, 48, 74]) + d[0], (56, 27, 30), liver_hu, liver_suv, rough_mm=2).of("liver"),
        ellipsoid(np.array([42, 42, 28]) + d[0], (14, 20, 24), 8, 0.8),
        ellipsoid(np.array([-90, -40, 64]) + d[1], (25, 33, 32), 48, 1.8, rough_mm=2).of("spleen"),
    ]
    stomach = np.array([-58, 22, 67]) + d[2]
    turn = np.array([[0.92, 0.38, 0], [-0.38, 0.92, 0], [0, 0, 1.0]])
    shapes += [
        ellipsoid(stomach, (35, 31, 36), 34, wall_suv, axes=turn, rough_mm=2.5),
        ellipsoid(stomach, (30, 26, 31), 14, 0.7, axes=turn, rough_mm=2.5),
    ]
    body = np.add(stomach, (10, 10, -26))
    shapes += tube([body, (-20, 50, 30), (14, 44, 28)], [17, 13, 9], 34, wall_suv, rough_mm=1.5)
    shapes += tube([body, (-20, 50, 30), (10, 44, 28)], [11, 7, 3], 14, 0.7, rough_mm=1)
    if rng.random() < 0.7:
        shapes.append(ellipsoid(np.add(stomach, (0, 15, 4)), (25, 9, 24), AIR_HU, AIR_SUV, axes=turn))
    for side in (1, -1):
        kidney = np.array([side * 58, -48, 18 - 6 * side]) + d[3]
        shapes.append(
            ellipsoid(kidney, (25, 25, 46), KIDNEY_HU, rng.uniform(2.5, 5.0), rough_mm=1).of("kidney")
        )
        shapes.append(ellipsoid(np.add(kidney, (-side * 10, 6, 0)), (9, 9, 20), -30, rng.uniform(4, 12)))
        top = np.array([side * 34, -30, 64 + 4 * side]) + 0.5 * d[3]
        for leg in ((side * 6, -14, -4), (-side * 1, -15, -4), (0, 6, 3)):
            shapes.append(capsule(top, top + leg, 2.8, 2.0, rng.uniform(5, 25), 1.6))
    pancreas = np.array([(26, 18, 24), (4, 14, 34), (-24, 8, 44), (-64, -14, 56)]) + 0.5 * d[4]
    shapes += tube(pancreas, [12, 9, 9, 7], 38, 1.7, rough_mm=1.5)
    for _ in range(7):
        center = np.array([rng.uniform(-95, 40), rng.uniform(30, 62), rng.uniform(-12, 14)])
        shapes.append(ellipsoid(center, rng.uniform(11, 19, 3), 28, rng.uniform(1.0, 3.0), rough_mm=1.5))
        if rng.random() < 0.6:
            shapes.append(
                ellipsoid(np.add(center, (0, 5, 0)), rng.uniform(6, 11, 3), -900, 0.7, rough_mm=1.5)
            )
    return shapes


def heart(rng: np.random.Generator) -> list[Shape]:
    """Heart muscle and chambers inside the epicardial fat; half of the patients take up FDG in the muscle."""
    c = np.array([-20, 30, 142]) + rng.normal(0, 3, 3)
    suv = rng.uniform(1.5, 2.5) if rng.random() < 0.5 else rng.uniform(1.8, 9.0)
    blood = rng.normal(40, 2)
    turn = np.array([[0.82, 0.42, 0.38], [-0.46, 0.89, 0.0], [-0.34, -0.17, 0.92]])
    turn, _ = np.linalg.qr(turn.T)
    return [
        ellipsoid(c, (46, 34, 37), 41, 1.6, axes=turn.T, rough_mm=1.5),
        ellipsoid(np.add(c, (34, 0, 6)), (24, 27, 32), 41, 1.6, rough_mm=1.5),
        ellipsoid(np.add(c, (16, -22, 14)), (36, 15, 20), blood, 1.7, rough_mm=1.0).of("blood"),
        ellipsoid(np.add(c, (-16, -4, -4)), (33, 27, 30), HEART_MUSCLE_HU, suv, axes=turn.T, rough_mm=1.0),
        ellipsoid(np.add(c, (-14, -4, -3)), (22, 16, 19), blood, 1.7, axes=turn.T).of("blood"),
        ellipsoid(np.add(c, (4, 20, 4)), (24, 9, 22), FAT_HU + 15, FAT_SUV, rough_mm=3.0),
    ]


def airways(rng: np.random.Generator) -> list[Shape]:
    """Trachea and main bronchi, walls first."""
    r = rng.uniform(8.0, 9.5)
    trachea = [(0, 7, 335), (0, 4, 262), (3, -4, 208)]
    right = [(4, -4, 207), (25, -9, 190), (41, -13, 178), (54, -22, 168)]
    left = [(1, -4, 207), (-29, -11, 187), (-43, -15, 177), (-54, -24, 166)]
    shapes = []
    for grow, hu, suv in ((2.2, 40.0, 1.1), (0.0, AIR_HU, AIR_SUV)):
        shapes += tube(trachea, r + grow, hu, suv)
        shapes += tube(right, [r - 1 + grow, r - 2 + grow, 5 + grow, 2.5 + grow], hu, suv)
        shapes += tube(left, [r - 1 + grow, r - 2.5 + grow, 4.5 + grow, 2.5 + grow], hu, suv)
    return shapes


def esophagus(rng: np.random.Generator) -> list[Shape]:
    """The esophagus with a collapsed or air-filled lumen; a third of the patients have esophagitis."""
    suv = rng.uniform(1.6, 2.4) if rng.random() < 0.7 else rng.uniform(2.4, 3.6)
    r = rng.uniform(6.2, 8.0)
    heights = np.arange(335.0, 84.0, -10.0)
    points = esophagus_at(heights) + rng.normal(0, 0.8, (len(heights), 3))
    shapes = tube(points, r + rng.normal(0, 0.5, len(points)), 38, suv, rough_mm=0.7)
    if rng.random() < 0.6:
        first = int(rng.integers(2, len(points) - 8))
        lumen = points[first : first + int(rng.integers(3, 7))]
        shapes += tube(lumen, rng.uniform(1.5, 3.2), -700, 0.7)
    return shapes


def neck(rng: np.random.Generator) -> list[Shape]:
    """Thyroid (iodine makes it denser) and the vocal cords' level of the larynx."""
    suv = rng.uniform(1.2, 2.5)
    shapes = []
    for side in (1, -1):
        shapes.append(ellipsoid((side * 15, 10, 288), (7, 10, 20), 78, suv, rough_mm=1))
        shapes += tube([(side * 10, 30, 300), (side * 20, 12, 318)], [2.5, 2.5], 160, 1.0)
        shapes += tube([(side * 8, 26, 255), (side * 7, 28, 300)], 4.0, MUSCLE_HU, MUSCLE_SUV)
    return shapes


def hot_organs(shapes: list[Shape]) -> list[tuple[str, Shape]]:
    """Heart muscle and kidneys, where their uptake rivals a node's, with their names in the sidecar.

    Args:
        shapes: shapes of the heart and of the abdomen.
    """
    return [
        (_HOT_TISSUE[shape.hu], shape)
        for shape in shapes
        if shape.kind == ELLIPSOID and shape.hu in _HOT_TISSUE and shape.suv >= HOT_SUV
    ]
