"""Lesions that the tagger learns from or is judged by: their images, boxes and tags."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np

from osln.rows.tags import TAG_NAMES
from osln.tagging.lesion_patch import PATCH_PIXELS

ARRAYS = ("images", "boxes", "labels", "certain", "reliable")


class Lesion(NamedTuple):
    """One lesion.

    Attributes:
        case: Id of its patient or image.
        image: (3, 120, 120) float32 from `osln.tagging.lesion_patch`.
        box: (4,) float32, the lesion's box in the image.
        labels: (171,) bool, tags that hold.
        certain: (171,) bool, tags of which it is known whether they hold.
        reliable: (171,) bool, tags that hold, or of which it is known that they cannot.
    """

    case: str
    image: np.ndarray
    box: np.ndarray
    labels: np.ndarray
    certain: np.ndarray
    reliable: np.ndarray


@dataclass(frozen=True)
class LesionSet:
    """N lesions as arrays in memory.

    Attributes:
        cases: N ids of patients or images.
        images: (N, 3, 120, 120) float16, in steps of at most 2 HU; about 86 kB each.
        boxes: (N, 4) float32.
        labels, certain, reliable: (N, 171) bool as in `Lesion`.
    """

    cases: tuple[str, ...]
    images: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    certain: np.ndarray
    reliable: np.ndarray

    def __len__(self) -> int:
        return len(self.cases)

    @classmethod
    def collect(cls, lesions: Iterable[Lesion]) -> "LesionSet":
        """The lesions in order; none give a set of length 0."""
        rows = [lesion._replace(image=lesion.image.astype(np.float16)) for lesion in lesions]
        tags = len(TAG_NAMES)
        images = np.zeros((len(rows), 3, PATCH_PIXELS, PATCH_PIXELS), np.float16)
        for i, row in enumerate(rows):
            images[i] = row.image
            # The lesion's own image is given back at once: there may be gigabytes of them.
            rows[i] = row._replace(image=images[i])

        def stack(name: str, shape: tuple[int, ...], dtype: type) -> np.ndarray:
            stacked: np.ndarray = np.zeros((len(rows), *shape), dtype)
            for i, row in enumerate(rows):
                stacked[i] = getattr(row, name)
            return stacked

        return cls(
            cases=tuple(row.case for row in rows),
            images=images,
            boxes=stack("box", (4,), np.float32),
            labels=stack("labels", (tags,), bool),
            certain=stack("certain", (tags,), bool),
            reliable=stack("reliable", (tags,), bool),
        )

    def save(self, path: Path) -> None:
        """Writes the arrays, whole or not at all; `load` reads them."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}")
        arrays = {name: getattr(self, name) for name in ARRAYS}
        with temporary.open("wb") as file:
            np.savez(file, cases=np.array(self.cases, dtype=np.str_), **arrays)
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path) -> "LesionSet":
        """The set of a file that `save` wrote.

        Raises:
            ValueError: If it cannot be read.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                cases = tuple(str(case) for case in stored["cases"])
                return cls(cases, **{name: stored[name] for name in ARRAYS})
        except (OSError, KeyError, ValueError, BadZipFile) as error:
            raise ValueError(f"{path} cannot be read ({error}): delete it to make it anew") from error
