"""Small geometry for tests: rotations and affines."""

import numpy as np


def turned(degrees_z: float, degrees_x: float) -> np.ndarray:
    """Rotation about x, then about z."""
    (cz, sz), (cx, sx) = ((np.cos(a), np.sin(a)) for a in np.deg2rad([degrees_z, degrees_x]))
    return np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])


def affine_of(axes, origin):
    affine = np.eye(4)
    affine[:3, :3] = axes
    affine[:3, 3] = origin
    return affine


ORIGIN = (20.0, 30.0, -40.0)
RAS = affine_of(np.diag([1.5, 2.0, 3.0]), ORIGIN)
OBLIQUE = affine_of(turned(20, 12) @ np.diag([-1.5, -2.0, 3.0]), ORIGIN)
