"""A made-up data set of DeepLesion's layout: a few series of small PNGs, tags that can be seen."""

import csv
import json
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from openpyxl import Workbook

from osln.rows.tags import TAG_INDEX, TAG_NAMES
from osln.tagging.ontology import COLUMNS

HEADER = (
    "File_name,Patient_index,Study_index,Series_ID,Key_slice_index,Measurement_coordinates,Bounding_boxes,"
    "Lesion_diameters_Pixel_,Normalized_lesion_location,Coarse_lesion_type,Possibly_noisy,Slice_range,"
    "Spacing_mm_px_,Image_size,DICOM_windows,Patient_gender,Patient_age,Train_Val_Test"
).split(",")
BRIGHT = TAG_INDEX["calcified"]


def write_png(path: Path, hu: np.ndarray) -> None:
    """A slice (rows, columns) as DeepLesion stores it: 16-bit gray values, 32768 being 0 HU."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(sitk.GetImageFromArray((hu + 32768).astype(np.uint16)), str(path))


def info_row(series: str, key: int, box: tuple[float, ...], spacing_mm: tuple[float, ...]) -> dict[str, str]:
    return dict.fromkeys(HEADER, "") | {
        "File_name": f"{series}_{key:03d}.png",
        "Patient_index": str(int(series.split("_")[0])),
        "Key_slice_index": str(key),
        "Bounding_boxes": ", ".join(map(str, box)),
        "Spacing_mm_px_": ", ".join(map(str, spacing_mm)),
    }


def write_info(path: Path, rows: list[dict[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, HEADER)
        table.writeheader()
        table.writerows(rows)


def write_labels(path: Path, **splits: list[tuple[int, list[int], list[int]]]) -> None:
    """The label file; each split lists (lesion, relevant tags, uncertain tags)."""
    table: dict[str, object] = {"term_list": list(TAG_NAMES)}
    for split in ("train", "val", "test"):
        lesions = splits.get(split, [])
        table[f"{split}_lesion_idxs"] = [lesion[0] for lesion in lesions]
        table[f"{split}_relevant_labels"] = [lesion[1] for lesion in lesions]
        table[f"{split}_uncertain_labels"] = [lesion[2] for lesion in lesions]
    path.write_text(json.dumps(table))


def write_table(path: Path, rows: dict[str, tuple[str, str, str]], columns=COLUMNS, tags=TAG_NAMES) -> Path:
    """A table with a row for every tag; `rows` gives exclusive terms, parents and children of some terms."""
    book = Workbook()
    book.active.append(["id", *columns])
    for name in [*tags, *(rows.keys() - set(tags))]:
        book.active.append(["1", name, *(cell or None for cell in rows.get(name, ("", "", "")))])
    book.save(path)
    return path


def write_deeplesion(root: Path, train: int, validation: int) -> None:
    """`DL_info.csv`, `Images_png` and `labels.json`; every other lesion is bright and tagged "calcified"."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(train + validation):
        series = f"{i + 1:06d}_01_01"
        hu = rng.normal(0, 20, (60, 64))
        hu[25:35, 20:32] += 800 * (i % 2)
        write_png(root / "Images_png" / series / "007.png", hu)
        rows.append(info_row(series, 7, (17.0, 22.0, 34.0, 37.0), (0.8, 0.8, 5.0)))
    write_info(root / "DL_info.csv", rows)
    lesions = [(i, [BRIGHT] if i % 2 else [], []) for i in range(train + validation)]
    write_labels(root / "labels.json", train=lesions[:train], val=lesions[train:])
