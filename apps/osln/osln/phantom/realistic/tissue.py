"""Texture inside tissues: septa and strands of fat, fat between muscle bundles, uneven organs and lungs.

Septa are where one smooth random field is near zero (curved sheets), strands where two are (curved lines).
They fill any amount of fat at the same cost, and are the same on every grid.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from osln.phantom.body.painting import Canvas
from osln.phantom.body.shapes import Shape
from osln.phantom.realistic.look import Look

Field = Callable[[float], np.ndarray]
"""A new unit-variance field on the image's grid for a lattice step in mm."""

OTHER, FAT, MUSCLE, LUNG, STOOL = range(5)
_CODES = {"fat": FAT, "muscle": MUSCLE, "stool": STOOL}
_LUNG_HU = (-890.0, -700.0)
# Half width of a sheet or line in units of the field; with a step of 8 mm about 1.3 mm, half a voxel.
_SHEET = 0.2
# Size of the bundles that sheets of fat part from each other.
_BUNDLE_MM = 22.0
# Strands never get denser than blood without contrast.
_DENSEST_HU = 45.0


def tissue_map(shapes: list[Shape], canvas: Canvas) -> np.ndarray:
    """`FAT`, `MUSCLE`, `LUNG`, `STOOL` or `OTHER` of each voxel, uint8, by the last shape over its center."""
    codes = np.zeros(canvas.shape, np.float32)
    canvas.paint(codes, shapes, [float(_code(shape)) for shape in shapes], hard=True)
    return codes.astype(np.uint8)


def _code(shape: Shape) -> int:
    if _LUNG_HU[0] < shape.hu < _LUNG_HU[1] and shape.suv == 0.45:
        return LUNG
    return _CODES.get(shape.tissue, OTHER)


def add_texture(
    image: np.ndarray, tissues: np.ndarray, field: Field, look: Look, fat_sd_hu: float, tissue_sd_hu: float
) -> None:
    """Give fat, muscle, lungs and other tissue a structure, in place.

    Args:
        image: HU without mimics, tumor, nodes and noise, float32 (X, Y, Z).
        tissues: as `tissue_map` says.
        field: source of random fields, called in a fixed order.
        look: strength of septa, strands, fat in muscle, gas in stool and lung texture.
        fat_sd_hu, tissue_sd_hu: slow variation.
    """
    fat, muscle, lung = (tissues == code for code in (FAT, MUSCLE, LUNG))
    slow, region = field(14.0), field(40.0)
    amount = np.minimum(np.exp(0.8 * region - 0.3), 3.0)
    sheets = look.septum_hu * np.exp(-((field(look.septum_step_mm) / _SHEET) ** 2))
    first, second = field(0.8 * look.septum_step_mm), field(0.8 * look.septum_step_mm)
    lines = look.strand_hu * np.exp(-(first**2 + second**2) / look.strand_width**2)
    denser = np.minimum(image + amount * (sheets + lines), np.maximum(image, _DENSEST_HU))
    image[fat] = (denser + fat_sd_hu * slow)[fat]
    between = np.exp(-((field(_BUNDLE_MM) / (0.5 * _SHEET)) ** 2))
    within = np.exp(-((second / _SHEET) ** 2)) * np.clip(0.4 + region, 0.0, 2.0)
    image[muscle] -= (look.muscle_fat_hu * np.minimum(between + 0.5 * within, 1.0))[muscle]
    image[lung] += (look.lung_texture_hu * (0.6 * slow + 0.8 * first))[lung]
    stool = tissues == STOOL
    image[stool] += (look.stool_hu * second)[stool]
    rest = ~fat & ~lung & (image > -200.0)
    image[rest] += (tissue_sd_hu * slow)[rest]
