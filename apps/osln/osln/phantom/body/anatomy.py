"""The body's frame: skin, muscle, lungs, mediastinal fat, bones and large muscles, as shapes to paint.

Anatomical millimeters: x to the patient's right, y to the front, z up; z = 0 is the lower edge of the
field (about L2), z = 312 its upper edge (about C6); x = y = 0 near the center of the chest.
"""

from __future__ import annotations

import numpy as np

from osln.phantom.body.shapes import Shape, capsule, cross_section, ellipsoid, stack, tube

FIELD_TOP_MM = 312.0
FAT_HU, FAT_SUV = -100.0, 0.45
MUSCLE_HU, MUSCLE_SUV = 53.0, 0.8
BONE_SUV = 1.3
LUNG_HU, LUNG_SUV = -840.0, 0.45
AIR_HU, AIR_SUV = -990.0, 0.3

_SPINE_Y = ((-20.0, -36.0), (0.0, -38.0), (60.0, -46.0), (120.0, -54.0), (200.0, -57.0), (250.0, -49.0),
            (290.0, -36.0), (340.0, -26.0))  # fmt: skip


def spine_y(z_mm: float | np.ndarray) -> np.ndarray:
    """Anatomical y of the vertebral bodies' centers at height z."""
    z, y = np.array(_SPINE_Y).T
    return np.interp(z_mm, z, y)


def body_outline() -> Shape:
    """The skin's surface filled with fat."""
    knots = [
        (-30, 0, 0, 146, 102), (0, 0, 0, 148, 103), (70, 0, 0, 150, 106), (140, 0, 0, 154, 109),
        (205, 0, 0, 158, 108), (235, 0, -2, 166, 102), (255, 0, -5, 168, 92), (270, 0, -8, 158, 80),
        (282, 0, -8, 122, 71), (293, 0, -7, 82, 66), (303, 0, -5, 68, 64), (345, 0, -3, 64, 64),
    ]  # fmt: skip
    return stack(knots, FAT_HU, FAT_SUV, squareness=0.35)


def torso(rng: np.random.Generator) -> list[Shape]:
    """Skin, subcutaneous fat, the muscle layer and the fat inside it, in painting order."""
    outline = body_outline()
    fat_mm = rng.uniform(8.0, 20.0)
    skin = outline.valued(45.0, 0.6)
    knots_muscle, knots_inner, knots_under = [], [], []
    for z in (-30, 0, 70, 110, 140, 205, 235, 255, 266):
        row = cross_section(outline, z)
        wall = 9.0 if z < 90 else 22.0
        knots_under.append((z, row[0], row[1], row[2] - 2.0, row[3] - 2.0))
        knots_muscle.append((z, row[0], row[1], row[2] - fat_mm, row[3] - 0.6 * fat_mm))
        knots_inner.append(
            (z, row[0], row[1] + 2, row[2] - fat_mm - wall, row[3] - 0.6 * fat_mm - 0.8 * wall)
        )
    for z in (280, 293, 303, 345):
        row = cross_section(outline, z)
        knots_under.append((z, row[0], row[1], row[2] - 2.0, row[3] - 2.0))
    shapes = [skin, stack(knots_under, FAT_HU, FAT_SUV, squareness=0.35)]
    shapes.append(stack(knots_muscle, MUSCLE_HU, MUSCLE_SUV, squareness=0.35, rough_mm=1.0))
    shapes.append(stack(knots_inner, FAT_HU, FAT_SUV, squareness=0.25))
    return shapes


def lungs(rng: np.random.Generator) -> list[Shape]:
    """Both lungs with vessels, the domes under them, and the mediastinal fat between them."""
    right = [
        (42, 80, -58, 14, 8), (52, 76, -50, 32, 22), (80, 72, -24, 50, 56), (120, 70, -6, 54, 74),
        (170, 68, -2, 53, 77), (210, 62, -8, 46, 68), (240, 54, -15, 35, 50), (256, 47, -20, 23, 34),
        (264, 44, -22, 14, 20), (269, 43, -23, 4, 6),
    ]  # fmt: skip
    shapes = []
    hu = LUNG_HU + rng.uniform(-30, 40)
    for side in (1, -1):
        knots = [(z, side * cx, cy, a, b) for z, cx, cy, a, b in right]
        shapes.append(stack(knots, hu, LUNG_SUV, squareness=0.3, rough_mm=0.8))
    shapes += _lung_vessels(rng)
    mediastinum = [
        (60, -4, 6, 44, 70), (95, -8, 12, 48, 72), (130, -14, 20, 58, 66), (165, -9, 20, 52, 64),
        (190, -3, 15, 42, 64), (215, -2, 12, 37, 62), (245, 0, 8, 38, 58), (258, 0, 3, 52, 56),
        (272, 0, 0, 90, 60),
    ]  # fmt: skip
    shapes.append(stack(mediastinum, FAT_HU, FAT_SUV, squareness=0.2, rough_mm=1.2))
    back = [(z, -4, float(spine_y(z)) + 4, 35, 30) for z in (40, 90, 140, 190, 240, 275)]
    shapes.append(stack(back, FAT_HU, FAT_SUV, rough_mm=1.0))
    for side in (1, -1):
        shapes.append(ellipsoid((side * 40, -8, 186), (18, 16, 20), FAT_HU, FAT_SUV, rough_mm=1.5))
    return shapes


def _lung_vessels(rng: np.random.Generator) -> list[Shape]:
    """Branches that run from the hila into the lungs."""
    shapes = []
    for side in (1, -1):
        for _ in range(22):
            tip = np.array([side * rng.uniform(50, 110), rng.uniform(-65, 60), rng.uniform(95, 250)])
            root = np.array([side * 46, -6 + rng.normal(0, 4), 186 + rng.normal(0, 8)])
            middle = 0.5 * (tip + root) + rng.normal(0, 7, 3)
            radius = rng.uniform(1.4, 3.2)
            shapes += tube([root, middle, tip], [radius, 0.8 * radius, 0.5], 30.0, 1.2)
    return shapes


def spine() -> list[Shape]:
    """Vertebral bodies with discs, canal, arches and spinous processes."""
    heights = (-10.0, 20, 50, 90, 130, 170, 210, 250, 275, 295, 330)
    bodies = [(z, 0, float(spine_y(z)), 20 - z / 60, 16 - z / 70) for z in heights]
    core = [(z, 0, y, a - 3.0, b - 3.0) for z, _, y, a, b in bodies]
    shapes = []
    for z in np.arange(0.0, FIELD_TOP_MM + 20, 22.0):
        y = float(spine_y(z))
        back = float(np.interp(z, [250, 290], [0, 9]))
        for side in (1, -1):
            shapes.append(capsule((side * 12, y - 14, z), (side * 34, y - 22, z + 3), 5, 3.5, 210, BONE_SUV))
            shapes.append(
                capsule((side * 13, y - 14, z), (side * 3, y - 32 + back, z - 6), 4, 4, 230, BONE_SUV)
            )
        shapes.append(
            capsule((0, y - 32 + back, z - 6), (0, y - 44 + 1.5 * back, z - 16), 3.5, 3, 230, BONE_SUV)
        )
    shapes += [stack(bodies, 260, BONE_SUV, rough_mm=0.5), stack(core, 165, BONE_SUV)]
    for z in np.arange(11.0, FIELD_TOP_MM + 20, 22.0):
        row = [float(np.interp(z, heights, column)) for column in np.array(bodies).T[2:]]
        shapes.append(ellipsoid((0, row[0], z), (row[1], row[2], 2.8), 85, 0.9))
    canal = [(z, 0, float(spine_y(z)) - 21, 10, 8) for z in heights]
    cord = [(z, 0, float(spine_y(z)) - 21, 6, 5) for z in heights]
    return [*shapes, stack(canal, 10, 0.6), stack(cord, 35, 1.5)]


def rib_cage() -> list[Shape]:
    """Ribs, sternum, clavicles and shoulder blades."""
    shapes = []
    for number in range(11):
        head = 252.0 - 19.0 * number
        a = np.interp(number, [0, 1, 3, 6, 10], [66, 94, 122, 131, 129])
        b = float(np.interp(number, [0, 1, 3, 6, 10], [54, 68, 85, 90, 92]))
        slope = float(np.interp(number, [0, 10], [26, 62]))
        last = np.interp(number, [0, 6, 7, 10], [0.86, 0.86, 0.75, 0.5])
        angles = np.linspace(0.16, last, 15) * np.pi
        for side in (1, -1):
            points = [
                (side * a * np.sin(t), -b * np.cos(t) - 2, head - slope * (t / np.pi) ** 1.2) for t in angles
            ]
            shapes += tube(points, 4.6, 330, BONE_SUV) + tube(points, 2.2, 180, BONE_SUV)
            if number < 7:
                front = (side * 12, 0.88 * b + 2, max(160.0, head - slope - 4))
                shapes += tube([points[-1], front], 4.5, 90, 0.8)
    plate = [
        (140, 0, 84, 10, 5),
        (165, 0, 85, 14, 6),
        (215, 0, 78, 15, 6),
        (235, 0, 68, 22, 7),
        (246, 0, 61, 20, 6),
    ]
    shapes += [
        stack(plate, 240, BONE_SUV),
        stack([(z, x, y, a - 3, b - 3) for z, x, y, a, b in plate], 130, BONE_SUV),
    ]
    for side in (1, -1):
        clavicle = [(side * 20, 60, 246), (side * 55, 52, 256), (side * 90, 28, 264), (side * 128, 10, 264)]
        shapes += tube(clavicle, [8, 6, 6, 7], 300, BONE_SUV)
        blade = np.array([[0.83, 0.55 * side, 0.0], [-0.55 * side, 0.83, 0.0], [0.0, 0.0, 1.0]])
        shapes.append(ellipsoid((side * 104, -74, 215), (30, 4, 52), 280, BONE_SUV, axes=blade))
        shapes.append(ellipsoid((side * 146, -12, 256), (16, 18, 16), 260, BONE_SUV))
    return shapes


def muscles(rng: np.random.Generator) -> list[Shape]:
    """Long muscles of the back, the neck and the chest wall."""
    hu = MUSCLE_HU + rng.normal(0, 2)
    bulk = rng.uniform(0.9, 1.1)
    nape_knots = [
        (254, 0, -52, 18, 8), (270, 0, -46, 74, 20), (284, 0, -40, 62, 23), (296, 0, -34, 50, 26),
        (345, 0, -28, 46, 28),
    ]  # fmt: skip
    shapes = [stack(nape_knots, hu, MUSCLE_SUV, squareness=0.3, rough_mm=1.5)]
    for side in (1, -1):
        back = [(side * 28, float(spine_y(z)) - 32, z) for z in (-20.0, 60.0, 140.0, 220.0, 262.0)]
        shapes += tube(back, [21, 18, 15, 14, 15], hu, MUSCLE_SUV, rough_mm=1.2)
        nape = [(side * 20, float(spine_y(z)) - 20, z) for z in (262.0, 290.0, 335.0)]
        shapes += tube(nape, [16, 13, 13], hu, MUSCLE_SUV, rough_mm=1.2)
        shapes += tube(
            [(side * 18, 50, 248), (side * 30, 34, 280), (side * 44, 14, 335)], 9.0 * bulk, hu, MUSCLE_SUV
        )
        shapes += tube(
            [(side * 36, -10, 262), (side * 25, -16, 300), (side * 22, -18, 335)], 8 * bulk, hu, MUSCLE_SUV
        )
        shapes += tube([(side * 9, -34, 262), (side * 8, -22, 335)], 5, hu, MUSCLE_SUV)
        pectoral = np.array([[0.9, -0.43 * side, 0], [0.43 * side, 0.9, 0], [0, 0, 1.0]])
        shapes.append(ellipsoid((side * 78, 78, 222), (46, 9, 34), hu, MUSCLE_SUV, axes=pectoral, rough_mm=1))
        shapes.append(ellipsoid((side * 120, -52, 250), (34, 26, 24), hu, MUSCLE_SUV, rough_mm=1))
        shapes.append(ellipsoid((side * 60, -62, 272), (52, 16, 14), hu, MUSCLE_SUV, rough_mm=1))
    return shapes


def deep_muscles(crus: float = 1.0, rough_mm: float = 0.8) -> list[Shape]:
    """Psoas muscles and the diaphragm's crura (`crus` times as thick) inside the abdominal fat."""
    shapes = []
    for side in (1, -1):
        psoas = [(side * 36, -42, -20), (side * 30, -42, 20), (side * 21, -46, 52)]
        shapes += tube(psoas, [17, 13, 5], MUSCLE_HU, MUSCLE_SUV, rough_mm=1.0)
        course = [(side * 10, -22, 10), (side * 13, -26, 55), (side * 18, -24, 82), (side * 20, -4, 100)]
        shapes += tube(course, [crus * r for r in (4, 5, 4.5, 2.5)], MUSCLE_HU, MUSCLE_SUV, rough_mm=rough_mm)
    return shapes
