"""Great vessels from the neck to the upper abdomen, as tubes to paint; blood is nearly as dense as a node."""

from __future__ import annotations

import numpy as np

from osln.phantom.body.shapes import Shape, tube

# Name: points (x, y, z) of the course and the radius at each point, in anatomical millimeters.
_COURSES: dict[str, tuple[tuple[tuple[float, float, float], ...], tuple[float, ...]]] = {
    "inferior vena cava": (((17, -12, -20), (18, -10, 30), (24, -4, 85), (24, 4, 122), (22, 12, 135)),
                           (10, 10, 11, 12, 12)),
    "pulmonary trunk": (((-14, 42, 168), (-14, 32, 184), (-12, 18, 196)), (14, 13, 12)),
    "right pulmonary artery": (((-10, 16, 196), (12, 6, 194), (38, 2, 190), (54, -8, 180)), (11, 11, 9, 5)),
    "left pulmonary artery": (((-12, 18, 197), (-28, 2, 201), (-42, -10, 194), (-52, -20, 180)),
                        (11, 11, 8, 5)),
    "right pulmonary veins": (((14, 6, 160), (36, 4, 164), (56, -4, 168)), (9, 7, 4)),
    "left pulmonary veins": (((-22, 4, 160), (-38, -2, 166), (-56, -8, 172)), (9, 7, 4)),
    "superior vena cava": (((22, 24, 158), (24, 20, 190), (25, 22, 236)), (10, 9, 9)),
    "right brachiocephalic vein": (((25, 22, 236), (34, 24, 258)), (8.5, 7.5)),
    "left brachiocephalic vein": (((24, 24, 233), (4, 36, 238), (-18, 36, 244), (-34, 26, 258)),
                        (8, 7, 7, 7.5)),
    "right jugular vein": (((34, 24, 258), (30, 20, 285), (30, 16, 335)), (7.5, 6.5, 6)),
    "left jugular vein": (((-34, 26, 258), (-30, 20, 285), (-30, 16, 335)), (7.5, 5.5, 5.5)),
    "right subclavian vein": (((34, 24, 258), (70, 26, 264), (125, 10, 262)), (7, 6.5, 6)),
    "left subclavian vein": (((-34, 26, 258), (-70, 26, 264), (-125, 10, 262)), (7, 6.5, 6)),
    "ascending aorta": (((-4, 26, 160), (10, 32, 182), (13, 24, 208), (4, 8, 224)), (15, 16, 15, 14)),
    "aortic arch": (((4, 8, 224), (-14, -14, 226), (-23, -30, 214)), (14, 13, 12.5)),
    "descending aorta": (((-23, -30, 214), (-25, -38, 185), (-24, -38, 150), (-17, -36, 112), (-9, -30, 85),
                          (-6, -22, 50), (-5, -18, -20)), (12.5, 12.5, 12, 11.5, 11, 10, 9)),
    "brachiocephalic trunk": (((7, 14, 228), (15, 12, 252)), (6.5, 6)),
    "right carotid artery": (((15, 12, 252), (20, 10, 280), (23, 9, 335)), (4, 3.8, 3.5)),
    "left carotid artery": (((-7, 4, 230), (-15, 8, 255), (-20, 10, 280), (-23, 9, 335)), (4, 4, 3.8, 3.5)),
    "right subclavian artery": (((15, 12, 252), (30, -4, 266), (60, 2, 270), (120, -2, 264)),
                        (5, 4.8, 4.2, 4)),
    "left subclavian artery": (((-14, -8, 228), (-24, -8, 256), (-38, -6, 267), (-62, 2, 270),
                        (-120, -2, 264)),
                               (5, 5, 4.8, 4.2, 4)),
    "vertebral arteries right": (((30, -4, 266), (18, -26, 290), (17, -26, 335)), (2.2, 2, 2)),
    "vertebral arteries left": (((-30, -8, 266), (-18, -26, 290), (-17, -26, 335)), (2.2, 2, 2)),
    "azygos vein": (((8, -32, 40), (9, -35, 110), (9, -36, 190), (13, -26, 209), (22, -6, 214),
                     (25, 14, 208)),
                    (2.5, 3.2, 4.0, 4.2, 4.5, 4.5)),
    "hemiazygos vein": (((-12, -46, 60), (-13, -48, 130), (4, -38, 152)), (2, 2.4, 2.2)),
    "celiac trunk": (((-5, -14, 63), (-4, 0, 60)), (4, 3.6)),
    "splenic artery": (((-4, 0, 60), (-28, -2, 62), (-52, -12, 60), (-82, -26, 66)), (3.2, 3, 2.8, 2.4)),
    "hepatic artery": (((-4, 0, 60), (14, 8, 54), (32, 14, 58)), (3, 2.8, 2.2)),
    "left gastric artery": (((-4, -1, 61), (-16, 2, 76), (-26, 8, 84)), (2.2, 2, 1.8)),
    "superior mesenteric artery": (((-5, -12, 50), (-4, 2, 34), (-3, 8, -20)), (3.6, 3.4, 3.2)),
    "portal vein": (((8, 12, -20), (7, 12, 28), (26, 10, 50), (42, 8, 64)), (5.5, 6, 6.5, 6)),
    "splenic vein": (((9, 10, 32), (-26, 0, 48), (-62, -18, 60)), (4.5, 4.2, 3.6)),
    "right renal vein": (((18, -12, 18), (44, -34, 14)), (5, 4)),
    "left renal vein": (((16, -6, 20), (-4, -6, 22), (-44, -36, 26)), (4, 4, 4.5)),
    "internal thoracic right": (((24, 68, 130), (22, 66, 230)), (1.8, 1.8)),
    "internal thoracic left": (((-24, 68, 130), (-22, 66, 230)), (1.8, 1.8)),
}  # fmt: skip


def great_vessels(rng: np.random.Generator) -> list[Shape]:
    """Every course with a patient's own blood density, caliber and slightly moved points."""
    hu, suv = rng.normal(40, 2), rng.uniform(1.4, 1.9)
    caliber = rng.uniform(0.9, 1.12)
    shapes = []
    for points, radii in _COURSES.values():
        moved = np.array(points) + rng.normal(0, 1.2, 3)
        shapes += tube(moved, caliber * np.array(radii), hu, suv, rough_mm=0.3)
    return shapes
