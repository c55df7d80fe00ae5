"""Colors of nodes, the same in every program that is told them."""

import colorsys

import numpy as np

_GOLDEN_RATIO = 0.6180339887498949
_SRGB_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
"""IEC 61966-2-1, white point D65."""


def node_color(number: int) -> tuple[int, int, int]:
    """Red, green and blue from 0 to 255; the hues of following numbers lie far apart."""
    red, green, blue = colorsys.hsv_to_rgb(number * _GOLDEN_RATIO % 1.0, 0.75, 0.95)
    return round(255 * red), round(255 * green), round(255 * blue)


def cielab(color: tuple[int, int, int]) -> list[int]:
    """CIELab of red, green and blue (0 to 255) as DICOM stores it (PS3.3, C.10.7.1.1).

    L* from 0 to 100 and a*, b* from -128 to 127 become 0 to 65535.
    """
    srgb = np.array(color) / 255.0
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    xyz = _SRGB_TO_XYZ @ linear / _SRGB_TO_XYZ.sum(axis=1)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    lab = np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])
    stored = np.rint(lab * [655.35, 257.0, 257.0] + [0.0, 128 * 257.0, 128 * 257.0])
    return [int(value) for value in np.clip(stored, 0, 65535)]
