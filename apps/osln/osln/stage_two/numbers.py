"""What a candidate looks like in numbers, for regressions that learn from few patients."""

import numpy as np

from osln.rows.experiments import CLASSIFIERS, NUMBER_INPUTS, Classifier
from osln.stage_two.context import known_numbers
from osln.stage_two.patches import Patches

RADII_MM = (0.0, 2.6, 5.2, 7.8, 11.0, 16.0)
"""Borders of the shells around a candidate's center."""
SOFT_HU, FAT_HU = (0.0, 90.0), (-150.0, -50.0)
CONTEXT_READER = CLASSIFIERS["local-context"]


def known_of(
    classifier: Classifier, tags: np.ndarray | None, patches: Patches, spacing_mm: tuple[float, float, float]
) -> np.ndarray | None:
    """As `known_numbers`, or (n, 39) `candidate_numbers` for a network that reads these.

    Raises:
        ValueError: As `known_numbers`; or there is no PET.
    """
    if classifier.network == "numbers":
        numbers = candidate_numbers(patches, spacing_mm)
        if np.isnan(numbers).any():
            raise ValueError("a candidate's numbers are not finite: check CT and PET for NaN or infinity")
        return numbers
    return known_numbers(classifier, tags, patches.context)


def candidate_numbers(patches: Patches, spacing_mm: tuple[float, float, float]) -> np.ndarray:
    """Score, place and size (7), and what CT and PET show in the box and around it (32).

    A large candidate's patch was made smaller, and its shells are larger then.

    Args:
        patches: Of m candidates; may be none.
        spacing_mm: Of the patches.

    Returns:
        (m, 39) float32, of very different sizes.

    Raises:
        ValueError: PET or context are missing, or the patient has no tumor contour.
    """
    if patches.pet_suv is None:
        raise ValueError("the numbers of a candidate are of CT and PET: give a PET")
    known = known_numbers(CONTEXT_READER, None, patches.context)
    shape = patches.ct_hu.shape[1:]
    voxels = np.stack(np.meshgrid(*(np.arange(n) + 0.5 for n in shape), indexing="ij"), axis=-1)
    found = np.zeros((len(patches), NUMBER_INPUTS), dtype=np.float32)
    for index in range(len(patches)):
        box = patches.boxes[index]
        inside = np.all((voxels > box[:, 0]) & (voxels < box[:, 1]), axis=-1)
        apart = (voxels - box.mean(axis=1)) * spacing_mm
        shells = np.digitize(np.sqrt((apart**2).sum(axis=-1)), RADII_MM) - 1
        ct = patches.ct_hu[index].astype(np.float32)
        pet = patches.pet_suv[index].astype(np.float32)
        edges = np.sort((box[:, 1] - box[:, 0]) * spacing_mm)
        seen = [
            *_of_image(ct, inside, shells),
            *_of_image(pet, inside, shells),
            _share(ct, shells <= 1, SOFT_HU),
            _share(ct, (shells >= 2) & (shells < 5), FAT_HU),
            float(np.log2(1 + pet.max(where=inside, initial=0.0))),
            float(np.log2(1 + np.median(pet))),
            float(edges[-1] / edges[0]),
            float(np.log2(edges[0])),
        ]
        found[index] = np.concatenate([known[index], seen])  # type: ignore[index]
    return found


def _of_image(image: np.ndarray, inside: np.ndarray, shells: np.ndarray) -> list[float]:
    """Means of five shells; mean, SD, largest and smallest in the box; what it differs by from outside; the
    largest in the patch; the median; the SD outside."""
    # A box thinner than a voxel holds no center.
    own = image[inside] if inside.any() else image[shells == 0]
    around = image[~inside & (shells < 5)]
    # A bulky candidate fills the shells, at worst the patch.
    if not around.size:
        around = image[~inside] if not inside.all() else own
    means = [float(image[shells == n].mean()) for n in range(5)]
    differs = float(own.mean() - around.mean())
    in_box = [float(own.mean()), float(own.std()), float(own.max()), float(own.min())]
    return [*means, *in_box, differs, float(image.max()), float(np.median(image)), float(around.std())]


def _share(ct: np.ndarray, where: np.ndarray, limits: tuple[float, float]) -> float:
    part = ct[where]
    return float(((part >= limits[0]) & (part <= limits[1])).mean())
