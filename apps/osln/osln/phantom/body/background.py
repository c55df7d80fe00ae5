"""What lies behind tumor, nodes and mimics: the interface, and the built-in parametric anatomy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from osln.phantom.body import anatomy, organs, vessels
from osln.phantom.body.painting import Canvas
from osln.phantom.body.shapes import Shape, stack_level


class Background(Protocol):
    """A patient without tumor, nodes and mimics; positions are anatomical millimeters."""

    @property
    def name(self) -> str:
        """What it is, for the sidecar."""

    @property
    def hot(self) -> Sequence[tuple[str, Shape]]:
        """Kind and anatomical ellipsoid of organs that light up on PET."""

    @property
    def own_noise_hu(self) -> float | None:
        """Noise of a real CT, given to what is painted into it; None where the CT is synthetic."""

    @property
    def fat_share(self) -> float:
        """Share of its neighborhood that a node needs in fat."""

    def paint_ct(self, image: np.ndarray, canvas: Canvas) -> None:
        """Paint HU into a float32 image in place."""

    def paint_pet(self, image: np.ndarray, canvas: Canvas) -> None:
        """Paint SUV into a float32 image in place."""

    def body_level(self, points_mm: Sequence[np.ndarray]) -> np.ndarray:
        """Relative radius in the body (0 axis, 1 skin) at anatomical points (three arrays)."""

    def center_line(self, z_mm: np.ndarray) -> np.ndarray:
        """Center line of the esophagus at heights (N,), shape (N, 3)."""


Anatomy = Callable[[np.random.Generator], Background]


@dataclass(frozen=True)
class ShapeBackground:
    """The built-in parametric anatomy.

    Attributes:
        shapes: in painting order.
        hot: kind and shape of organs that light up on PET.
        name: for the sidecar.
        own_noise_hu: None, the CT is synthetic.
        fat_share: share of its neighborhood that a node needs in fat.
    """

    shapes: list[Shape]
    hot: list[tuple[str, Shape]]
    name: str = "parametric"
    own_noise_hu: float | None = None
    fat_share: float = 0.85

    def paint_ct(self, image: np.ndarray, canvas: Canvas) -> None:
        """Paint HU into a float32 image in place."""
        canvas.paint(image, self.shapes, [s.hu for s in self.shapes])

    def paint_pet(self, image: np.ndarray, canvas: Canvas) -> None:
        """Paint SUV into a float32 image in place."""
        canvas.paint(image, self.shapes, [s.suv for s in self.shapes])

    def body_level(self, points_mm: Sequence[np.ndarray]) -> np.ndarray:
        """Relative radius in the body's outline."""
        return stack_level(anatomy.body_outline(), points_mm)

    def center_line(self, z_mm: np.ndarray) -> np.ndarray:
        """Center line of the esophagus at heights."""
        return organs.esophagus_at(z_mm)


def built_in_anatomy(rng: np.random.Generator) -> ShapeBackground:
    """The parametric anatomy of one patient, in painting order."""
    shapes = anatomy.torso(rng) + anatomy.muscles(rng) + anatomy.rib_cage() + anatomy.lungs(rng)
    abdomen = organs.abdomen(rng)
    shapes += abdomen + anatomy.spine() + anatomy.deep_muscles()
    heart = organs.heart(rng)
    shapes += heart
    shapes += organs.neck(rng) + vessels.great_vessels(rng) + organs.esophagus(rng) + organs.airways(rng)
    return ShapeBackground(shapes, organs.hot_organs(heart + abdomen))
