"""ICRP-110 reference anatomy as background: organ volumes that the user has, read from a given path.

The volumes are not part of the product. They are found as `<name>_organs.nii.gz` (or
`<name>_torso_organs.nii.gz`) with a table `<name>_organs.csv` of organ id, name, medium and density beside.

Reference: ICRP Publication 110 (2009), adult reference computational phantoms.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from osln.imaging.grid import read_volume
from osln.phantom.body.anatomy import AIR_HU, FAT_HU, FAT_SUV, LUNG_HU
from osln.phantom.body.painting import Canvas
from osln.phantom.body.shapes import Shape

# Bounding box of the built-in anatomy's lungs: organ volumes are placed so that theirs coincides.
LUNG_BOX_MM = np.array([(-121.0, 121.0), (-80.0, 75.0), (45.0, 269.0)])
_TISSUE_DENSITY = (0.0, 0.95, 1.03, 1.06, 1.1, 1.2, 1.4, 1.95)
_TISSUE_HU = (AIR_HU, FAT_HU, 32.0, 50.0, 95.0, 210.0, 430.0, 900.0)
# Uptake by words in the organ's name; the first match counts.
_UPTAKE = (
    ("air", 0.3), ("lung", 0.45), ("heart contents", 1.7), ("blood vessels", 1.6), ("liver", 2.2),
    ("spleen", 1.8), ("kidney", 3.8), ("thyroid", 1.8), ("brain", 6.0), ("oesophagus", 2.0),
    ("stomach wall", 1.5), ("intestine", 1.5), ("colon", 1.5), ("pancreas", 1.7), ("adrenal", 1.6),
    ("contents", 0.7), ("spine", 1.3), ("muscle", 0.8), ("residual", FAT_SUV), ("breast", FAT_SUV),
    ("lymphatic", FAT_SUV),
)  # fmt: skip


@dataclass(frozen=True)
class Organ:
    """One line of the table: name in lower case and density in g/cm3."""

    name: str
    density: float

    @property
    def hu(self) -> float:
        """CT value: by density, except lungs (inflated), blood (non-contrast) and nodes (fat instead)."""
        if "lung" in self.name:
            return LUNG_HU
        if "lymphatic" in self.name:
            return FAT_HU
        if "blood" in self.name:
            return 40.0
        return float(np.interp(self.density, _TISSUE_DENSITY, _TISSUE_HU))

    @property
    def suv(self) -> float:
        """Uptake by name."""
        return next((suv for word, suv in _UPTAKE if word in self.name), 1.0)


class OrganVolumes:
    """An anatomy made of organ volumes; call it with a random stream to get a patient's background."""

    def __init__(self, path: str | Path) -> None:
        """Read one volume and its table.

        Args:
            path: the organ volume, e.g. AM_torso_organs.nii.gz.

        Raises:
            ValueError: if the table is missing or names no lungs.
        """
        path = Path(path)
        self.name = f"ICRP-110 {path.name.split('_')[0]}"
        table = path.with_name(f"{path.name.split('_')[0]}_organs.csv")
        if not table.is_file():
            raise ValueError(f"expected the organ table {table} beside {path.name}: put it there")
        # Of all that a patient depends on besides the seed.
        self.key = hashlib.sha256(path.read_bytes() + table.read_bytes()).hexdigest()
        volume = read_volume(path)
        self._organs = _read_table(table)
        self._spacing_mm = volume.grid.spacing_mm
        self._labels = np.asarray(volume.array).astype(np.int64)
        self._names = {i: organ.name for i, organ in self._organs.items()}
        left, right = self._mask("lung, left"), self._mask("lung, right")
        if not left.any() or not right.any():
            raise ValueError(f"{path.name} has no voxels of both lungs: expected an ICRP-110 torso volume")
        index = np.argwhere(left | right)
        self._box = np.stack([index.min(0), index.max(0)], axis=1).astype(float)
        self._labels = np.where(self._mediastinal_muscle(left, right), -1, self._labels)
        self._line = self._esophagus()

    def __call__(self, rng: np.random.Generator) -> OrganBackground:
        """A patient: heart uptake varies as in the built-in anatomy."""
        heart = rng.uniform(1.5, 2.5) if rng.random() < 0.5 else rng.uniform(1.8, 9.0)
        top = max(int(self._labels.max()), max(self._organs)) + 2
        hu, suv = np.full(top, AIR_HU, np.float32), np.full(top, 0.02, np.float32)
        for i, organ in self._organs.items():
            hu[i], suv[i] = organ.hu, heart if organ.name == "heart wall" else organ.suv
        hu[0], hu[-1], suv[-1] = -1000.0, FAT_HU, FAT_SUV
        return OrganBackground(self.name, hu[self._labels], suv[self._labels], self._box, self._line)

    def _mask(self, words: str) -> np.ndarray:
        """Voxels of the organs whose name begins with the words."""
        return np.isin(self._labels, [i for i, name in self._names.items() if name.startswith(words)])

    def _mediastinal_muscle(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Filling tissue between the lungs and in front of the spine, which the source calls muscle.

        It stands for the mediastinum's fat: as muscle there would be no fat to put a node into.
        """
        between = _after(left) & _after(right[::-1])[::-1]
        gullet = np.argwhere(self._mask("oesophagus"))
        if not len(gullet):
            return np.zeros(self._labels.shape, bool)
        behind = gullet[:, 1].min() - round(4.0 / self._spacing_mm[1])
        between[:, :behind] = False
        return between & self._mask("muscle, trunk")

    def _esophagus(self) -> np.ndarray:
        """Its center line in anatomical mm, ascending z, (N, 3)."""
        index = np.argwhere(self._mask("oesophagus"))
        if not len(index):
            raise ValueError(f"{self.name} has no esophagus: expected an ICRP-110 torso volume")
        points = [index[index[:, 2] == k].mean(0) for k in np.unique(index[:, 2])]
        return _to_anatomical(np.array(points), self._box)


@dataclass(frozen=True)
class OrganBackground:
    """Organ volumes turned into HU and SUV, placed by the lungs' bounding box.

    Attributes:
        name: for the sidecar.
        ct_hu, pet_suv: float32 on the organ volume's grid.
        lung_box: first and last voxel of the lungs per axis, (3, 2).
        line_mm: center line of the esophagus.
    """

    name: str
    ct_hu: np.ndarray
    pet_suv: np.ndarray
    lung_box: np.ndarray
    line_mm: np.ndarray
    hot: tuple[tuple[str, Shape], ...] = ()
    own_noise_hu: float | None = None
    # The volumes have little fat between organs.
    fat_share: float = 0.6

    def paint_ct(self, image: np.ndarray, canvas: Canvas) -> None:
        """Fill a float32 image with HU."""
        image[:] = self._sampled(self.ct_hu, canvas, -1000.0)

    def paint_pet(self, image: np.ndarray, canvas: Canvas) -> None:
        """Fill a float32 image with SUV."""
        image[:] = self._sampled(self.pet_suv, canvas, 0.02)

    def body_level(self, points_mm: Sequence[np.ndarray]) -> np.ndarray:
        """Relative radius in an ellipse of a body's size."""
        return np.sqrt((points_mm[0] / 165.0) ** 2 + (points_mm[1] / 110.0) ** 2) + 0.0 * points_mm[2]

    def center_line(self, z_mm: np.ndarray) -> np.ndarray:
        """Center line of the esophagus at heights, held at its ends."""
        x, y = (np.interp(z_mm, self.line_mm[:, 2], self.line_mm[:, d]) for d in (0, 1))
        return np.stack([x, y, np.asarray(z_mm, float)], axis=-1)

    def _sampled(self, values: np.ndarray, canvas: Canvas, outside: float) -> np.ndarray:
        """Linear interpolation at the canvas's anatomical coordinates."""
        low, high = LUNG_BOX_MM[:, 0], LUNG_BOX_MM[:, 1]
        scale = (self.lung_box[:, 1] - self.lung_box[:, 0]) / (high - low)
        index = (canvas.anatomical_mm - low[:, None, None, None]) * scale[:, None, None, None]
        index += self.lung_box[:, 0][:, None, None, None]
        return ndimage.map_coordinates(values, index.astype(np.float32), order=1, cval=outside)


def find_volumes(path: str | Path) -> list[Path]:
    """Organ volumes at a path: the file itself, or all `*_organs.nii.gz` of a folder.

    Raises:
        ValueError: if there are none.
    """
    path = Path(path)
    if path.is_file():
        return [path]
    found = sorted(path.glob("*_organs.nii.gz")) if path.is_dir() else []
    if not found:
        raise ValueError(f"no organ volume *_organs.nii.gz at {path}: give the file or its folder")
    return found


def _read_table(path: Path) -> dict[int, Organ]:
    """Organ id to organ."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    try:
        return {int(r["organ_id"]): Organ(r["organ"].lower(), float(r["density_g_cm3"])) for r in rows}
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"{path.name} must have the columns organ_id, organ, density_g_cm3; could not read it: {error}"
        ) from error


def _after(mask: np.ndarray) -> np.ndarray:
    """Voxels with a voxel of the mask at smaller x in their row."""
    return np.maximum.accumulate(mask, axis=0)


def _to_anatomical(index: np.ndarray, lung_box: np.ndarray) -> np.ndarray:
    """Voxel indices (N, 3) to anatomical mm."""
    low, high = LUNG_BOX_MM[:, 0], LUNG_BOX_MM[:, 1]
    return low + (index - lung_box[:, 0]) * (high - low) / (lung_box[:, 1] - lung_box[:, 0])
