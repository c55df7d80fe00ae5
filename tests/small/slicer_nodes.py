"""Nodes as the module for 3D Slicer gets them: candidates of the server, and boxes that are drawn."""

import numpy as np

AFFINE = np.array([[-2.0, 0, 0, 40.0], [0, -2.0, 0, 40.0], [0, 0, 3.0, 0.0], [0, 0, 0, 1.0]])
SHAPE = (20, 20, 10)
LEFT, RIGHT, FAR = np.s_[2:5, 4:6, 4:6], np.s_[5:8, 4:6, 4:6], np.s_[15:17, 15:17, 2:3]
"""Two boxes that touch, and one that does not."""


def found(rank, box, **other):
    center = [np.mean([side.start, side.stop - 1]) for side in box]
    blank = dict.fromkeys(("stage_one_score", "suv_max", "distance_mm", "zone", "state"))
    place = (AFFINE[:3, :3] @ center + AFFINE[:3, 3]).tolist()
    return {
        "id": rank,
        "rank": rank,
        "center_mm": place,
        "radius_mm": 4.0,
        "score": 0.5,
        "kept": True,
        **blank,
    } | other


def drawn(*boxes, values=None):
    array = np.zeros(SHAPE, np.uint16)
    for number, box in enumerate(boxes):
        array[box] = values[number] if values else 1
    return array
