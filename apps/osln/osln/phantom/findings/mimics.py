"""Mimics: vessels, vessel stubs, cysts and muscle bundles on the CT, hot spots on the PET."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from osln.phantom.body.shapes import WORLD, Shape, ellipsoid, tube
from osln.phantom.findings.findings import Deposit
from osln.phantom.findings.space import FatSpace
from osln.phantom.findings.tags import region_tag
from osln.phantom.parameters import PhantomParameters

Point = np.ndarray
ToAnatomical = Callable[[Point], Point]

# Anatomical places where brown fat lights up, and where stomach and bowel do.
_BROWN_FAT = ((50, 6, 270), (-50, 6, 270), (28, -48, 215), (-28, -48, 215), (22, -52, 165), (-22, -52, 165))
_BOWEL = ((-58, 30, 62), (-20, 48, 28), (-60, 42, 10), (10, 44, 14), (-80, 20, 40))


def anatomical_mimics(
    rng: np.random.Generator, parameters: PhantomParameters, space: FatSpace, to_anatomical: ToAnatomical
) -> list[Deposit]:
    """Things in the fat that look like nodes on the CT.

    Args:
        rng: the mimics' stream.
        parameters: Poisson means.
        space: the free fat.
        to_anatomical: world point to anatomical point, for the region tag.

    Returns:
        Deposits in painting order.
    """
    found: list[Deposit] = []
    blood_hu, blood_suv = rng.normal(40, 2), rng.uniform(1.4, 1.9)

    for kind, mean, steps, step_mm, radius in (
        ("vessel", parameters.vessel_mean, (5, 12), 8.0, (1.6, 4.0)),
        ("vessel stub", parameters.stub_mean, (1, 4), 4.5, (1.8, 3.6)),
    ):
        for _ in range(int(rng.poisson(mean))):
            r = rng.uniform(*radius)
            path = _walk(rng, space, int(rng.integers(*steps)) + 1, step_mm)
            length = float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum())
            volume = np.pi * r**2 * length + 4 / 3 * np.pi * r**3
            center = path.mean(0)
            tags = _tags(center, to_anatomical, "blood vessel")
            shapes = tube(path, r, blood_hu, blood_suv, space=WORLD)
            found.append(Deposit(kind, center, 2 * r, length + 2 * r, volume, tuple(shapes), tags=tags))
    for _ in range(int(rng.poisson(parameters.cyst_mean))):
        center = space.random_point(rng)
        radii = rng.uniform(2.8, 7.5) * np.array([1.0, 1.0, 0.8]) * rng.uniform(0.85, 1.15, 3)
        axes = Rotation.from_quat(rng.standard_normal(4)).as_matrix()
        shape = ellipsoid(center, radii, rng.uniform(0, 22), rng.uniform(0.6, 1.2), axes=axes, space=WORLD)
        found.append(_blob("cyst", shape, _tags(center, to_anatomical, "cyst", "hypoattenuation")))
    for _ in range(int(rng.poisson(parameters.muscle_bundle_mean))):
        center = space.random_point(rng)
        radii = np.array([rng.uniform(2.0, 3.6), rng.uniform(2.4, 4.5), rng.uniform(6.0, 14.0)])
        axes = Rotation.from_quat(rng.standard_normal(4)).as_matrix()
        shape = ellipsoid(center, radii, rng.normal(52, 3), 0.8, axes=axes, space=WORLD)
        found.append(_blob("muscle bundle", shape, _tags(center, to_anatomical, "muscle")))
    return found


def _tags(center_mm: np.ndarray, to_anatomical: ToAnatomical, *names: str) -> tuple[str, ...]:
    """The body region's tag and the names, sorted."""
    return tuple(sorted({region_tag(float(to_anatomical(center_mm)[2])), *names}))


def _blob(kind: str, shape: Shape, tags: tuple[str, ...], *, avid: bool = False) -> Deposit:
    """A deposit that is one ellipsoid."""
    radii = shape.numbers[3:6]
    volume = float(4 / 3 * np.pi * radii.prod())
    return Deposit(
        kind, shape.numbers[:3], 2 * radii.min(), 2 * radii.max(), volume, (shape,), avid=avid, tags=tags
    )


def _walk(rng: np.random.Generator, space: FatSpace, count: int, step_mm: float) -> np.ndarray:
    """A random walk of up to `count` points that stops where the fat ends."""
    points = [space.random_point(rng)]
    direction = _unit(rng.standard_normal(3))
    for _ in range(count - 1):
        direction = _unit(direction + 0.45 * rng.standard_normal(3))
        following = points[-1] + step_mm * direction
        points.append(following)
        if not space.holds(following):
            break
    return np.array(points)


def hot_spots(
    rng: np.random.Generator,
    parameters: PhantomParameters,
    space: FatSpace,
    to_world: Callable[[Point], Point],
) -> list[Deposit]:
    """Uptake without anything on the CT: noise spots, bowel, brown fat and vocal cords.

    Args:
        rng: the hot spots' stream.
        parameters: Poisson means and shares.
        space: the free fat.
        to_world: anatomical point to world point.

    Returns:
        Deposits that leave the CT as it is.
    """
    found: list[Deposit] = []

    def add(kind: str, center: np.ndarray, radius: float, suv: float, tags: tuple[str, ...]) -> None:
        radii = radius * rng.uniform(0.8, 1.25, 3)
        found.append(_blob(kind, ellipsoid(center, radii, np.nan, suv, space=WORLD), tags, avid=True))

    for _ in range(int(rng.poisson(parameters.hot_spot_mean))):
        add("hot spot", space.random_point(rng), rng.uniform(2.5, 5.0), rng.uniform(3.0, 8.0), ())
    for _ in range(int(rng.poisson(parameters.bowel_spot_mean))):
        place = np.array(_BOWEL[int(rng.integers(len(_BOWEL)))]) + rng.normal(0, 6, 3)
        add("bowel", to_world(place), rng.uniform(4.0, 9.0), rng.uniform(2.5, 7.0), ("abdomen",))
    if rng.random() < parameters.brown_fat_share:
        for _ in range(int(rng.integers(3, 8))):
            place = np.array(_BROWN_FAT[int(rng.integers(len(_BROWN_FAT)))]) + rng.normal(0, 7, 3)
            add("brown fat", to_world(place), rng.uniform(4.0, 8.0), rng.uniform(2.5, 7.0), ("fat",))
    if rng.random() < parameters.vocal_cord_share:
        suv = rng.uniform(2.5, 5.5)
        for side in (1, -1):
            add("vocal cord", to_world(np.array([side * 5.0, 22.0, 304.0])), 3.2, suv, ("neck",))
    return found


def hot_organs(organs: Sequence[tuple[str, Shape]], to_world: Callable[[Point], Point]) -> list[Deposit]:
    """Organs that light up, as findings; they are part of the anatomy and are not painted again.

    Args:
        organs: kind and anatomical ellipsoid of each.
        to_world: anatomical point to world point.
    """
    found = []
    for kind, organ in organs:
        center = to_world(organ.numbers[:3])
        tags = (region_tag(float(organ.numbers[2])),)
        axes = organ.numbers[6:].reshape(3, 3)
        shape = ellipsoid(center, organ.numbers[3:6], np.nan, np.nan, axes=axes, space=WORLD)
        found.append(_blob(kind, shape, tags, avid=True))
    return found


def _unit(vector: np.ndarray) -> np.ndarray:
    """The vector at length 1."""
    return vector / np.linalg.norm(vector)
