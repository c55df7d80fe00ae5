"""DeepLesion as it is distributed: lesions on key slices with tags that were mined from reports.

Yan et al. 2018, "DeepLesion: automated mining of large-scale lesion annotations", and the labels that come
with LesaNet. `DL_info.csv` has a row for each lesion: key slice, box, spacing. `Images_png` has a folder for
each series with the key slices and their neighbors as 16-bit PNG, gray value 32768 being 0 HU. The label
file names lesions by their row in `DL_info.csv`, counted from 0.
"""

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from osln.rows.tags import TAG_NAMES
from osln.tagging.lesion_patch import SLICE_MM, slices_patch
from osln.tagging.lesion_set import Lesion
from osln.tagging.ontology import Ontology

OFFSET_HU = 32768
SPLITS = ("train", "val", "test")
COLUMNS = ("File_name", "Patient_index", "Key_slice_index", "Bounding_boxes", "Spacing_mm_px_")


@dataclass(frozen=True)
class LesionRow:
    """A lesion of `DL_info.csv`.

    Attributes:
        patient: Patient_index.
        series: Folder of its slices.
        key_slice: Number of the slice with its box.
        box: x1, y1, x2, y2 in pixels from 0, with the margin of about 5 pixels that the data set has.
        spacing_mm: Of columns, rows and slices.
    """

    patient: str
    series: str
    key_slice: int
    box: tuple[float, ...]
    spacing_mm: tuple[float, ...]


@dataclass(frozen=True)
class DeepLesion:
    """The data set at the places where a user has put its parts.

    Args:
        info: `DL_info.csv`.
        images: Folder `Images_png`; series that were not downloaded may be missing.
        labels: `text_mined_labels_171_and_split.json`.
        ontology: Parents and exclusions of the tags.
    """

    info: Path
    images: Path
    labels: Path
    ontology: Ontology

    @cached_property
    def rows(self) -> list[LesionRow]:
        """All lesions in the order of the file.

        Raises:
            ValueError: If the file is missing, or a column or a number in it.
        """
        if not self.info.is_file():
            raise ValueError(f"no file {self.info}: give the path of DeepLesion's DL_info.csv")
        with self.info.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if lacking := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
                raise ValueError(
                    f"{self.info.name} has no column {', '.join(lacking)}: is it DeepLesion's DL_info.csv?"
                )
            return [self._row(line, number) for number, line in enumerate(reader)]

    def count(self, split: str) -> int:
        """Lesions of a split in the label file."""
        return len(self._list(split, "lesion_idxs"))

    def indices(self, split: str) -> list[int]:
        """Positions within a split's label lists of the lesions whose key slice is on this computer."""
        numbers = self._list(split, "lesion_idxs")
        return [i for i, number in enumerate(numbers) if self._key_path(self._lesion(number)).is_file()]

    def lesions(self, split: str) -> Iterator[Lesion]:
        """The lesions of a split ("train", "val" or "test") whose key slice is on this computer.

        Labels are the relevant ones and all that they imply. Uncertain ones, and what they imply, are not
        certain unless they are also labels. Reliable are labels and what they exclude.

        Raises:
            ValueError: If a file is damaged, the label file has other tags, or no key slice is there.
        """
        found = self.indices(split)
        if not found:
            raise ValueError(
                f"none of the {self.count(split)} lesions of split {split} has its key slice below "
                f"{self.images}: expected files like {self.images.name}/000001_01_01/109.png"
            )
        numbers, relevant, uncertain = (
            self._list(split, name) for name in ("lesion_idxs", "relevant_labels", "uncertain_labels")
        )
        for i in found:
            labels = self.ontology.expand(_one_hot(relevant[i]))
            doubted = self.ontology.expand(_one_hot(uncertain[i])) & ~labels
            reliable = (labels | self.ontology.excluded(labels)) & ~doubted
            row = self._lesion(numbers[i])
            image, box = self.patch(row)
            yield Lesion(row.patient, image, box, labels[0], ~doubted[0], reliable[0])

    def patch(self, row: LesionRow) -> tuple[np.ndarray, np.ndarray]:
        """LesaNet's input of a lesion, see `osln.tagging.lesion_patch.slices_patch`.

        Slices up to 2 mm from the key slice are used where they are there; beyond the last one it repeats.
        """
        column_mm, row_mm, slice_mm = row.spacing_mm
        reach = int(np.ceil(SLICE_MM / slice_mm))
        before = self._neighbors(row, -1, reach)[::-1]
        slices = np.stack([*before, self._read(self._key_path(row)), *self._neighbors(row, 1, reach)])
        return slices_patch(slices, len(before), (slice_mm, row_mm, column_mm), np.array(row.box))

    def _neighbors(self, row: LesionRow, step: int, reach: int) -> list[np.ndarray]:
        """Slices next to the key slice on one side, nearest first, until one is missing."""
        found = []
        for distance in range(1, reach + 1):
            path = self._path(row, row.key_slice + step * distance)
            if not path.is_file():
                break
            found.append(self._read(path))
        return found

    def _path(self, row: LesionRow, number: int) -> Path:
        return self.images / row.series / f"{number:03d}.png"

    def _key_path(self, row: LesionRow) -> Path:
        return self._path(row, row.key_slice)

    def _read(self, path: Path) -> np.ndarray:
        """(rows, columns) int32 HU of a slice."""
        try:
            gray = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
        except RuntimeError as error:
            raise ValueError(f"{path} cannot be read as a PNG: download it again ({error})") from error
        if gray.ndim != 2 or gray.dtype != np.uint16:
            raise ValueError(
                f"{path} is no slice of DeepLesion: expected 16-bit gray values, got {gray.dtype} "
                f"{gray.shape}"
            )
        return gray.astype(np.int32) - OFFSET_HU

    def _lesion(self, number: int) -> LesionRow:
        if not 0 <= number < len(self.rows):
            raise ValueError(
                f"{self.labels.name} names lesion {number}, but {self.info.name} has {len(self.rows)} rows: "
                "the two files do not belong together"
            )
        return self.rows[number]

    def _list(self, split: str, name: str) -> list[Any]:
        if split not in SPLITS:
            raise ValueError(f"unknown split {split!r}: expected one of {', '.join(SPLITS)}")
        values: list[Any] = self._labels[f"{split}_{name}"]
        return values

    @cached_property
    def _labels(self) -> Mapping[str, Any]:
        needed = [f"{split}_{name}" for split in SPLITS for name in ("lesion_idxs", "relevant_labels")]
        needed += [f"{split}_uncertain_labels" for split in SPLITS]
        try:
            table = json.loads(self.labels.read_text(encoding="utf-8"))
            lacking = [name for name in ("term_list", *needed) if name not in table]
        except (OSError, ValueError, TypeError) as error:
            raise ValueError(f"the label file {self.labels} cannot be read: {error}") from error
        if lacking:
            raise ValueError(
                f"{self.labels.name} has no {', '.join(lacking[:3])}: expected the labels that LesaNet's "
                "authors distribute as text_mined_labels_171_and_split.json"
            )
        if tuple(table["term_list"]) != TAG_NAMES:
            raise ValueError(
                f"{self.labels.name} lists other tags than the 171 of LesaNet, or in another order"
            )
        for split in SPLITS:
            lengths = {len(table[name]) for name in needed if name.startswith(f"{split}_")}
            if len(lengths) != 1:
                raise ValueError(f"{self.labels.name}: the lists of split {split} differ in length")
        return dict(table)

    def _row(self, line: Mapping[str, str], number: int) -> LesionRow:
        try:
            box = tuple(float(value) for value in line["Bounding_boxes"].split(","))
            spacing_mm = tuple(abs(float(value)) for value in line["Spacing_mm_px_"].split(","))
            if len(box) != 4 or len(spacing_mm) != 3 or min(spacing_mm) <= 0:
                raise ValueError("expected four numbers of a box and three of a spacing")
            series = line["File_name"].rsplit("_", 1)[0]
            return LesionRow(line["Patient_index"], series, int(line["Key_slice_index"]), box, spacing_mm)
        except (ValueError, AttributeError, TypeError) as error:
            raise ValueError(f"{self.info.name}, lesion {number}: {error}") from error


def _one_hot(tags: list[int]) -> np.ndarray:
    """(1, 171) bool of tag numbers, which may be repeated."""
    labels = np.zeros((1, len(TAG_NAMES)), dtype=bool)
    labels[0, np.asarray(tags, dtype=int)] = True
    return labels
