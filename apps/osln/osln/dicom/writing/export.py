"""Predictions and approved labels of a store as DICOM files that refer to the CT they were made on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np
from pydicom import dcmwrite
from pydicom.dataset import Dataset

from osln.dicom.nodes import NodeSet
from osln.dicom.reading.source import CtSeries, check_same_ct, read_ct_series
from osln.dicom.writing.from_store import approved, predicted, read_result, stored_result
from osln.dicom.writing.rtstruct import rtstruct
from osln.dicom.writing.segmentation import seg
from osln.files.images import SUFFIXES, write_atomically
from osln.imaging.grid import Grid, Volume, read_volume
from osln.imaging.labelmaps import map_exactly
from osln.store.layout import companions

WRITERS: dict[str, Callable[[NodeSet, CtSeries], Dataset]] = {"seg": seg, "rtstruct": rtstruct}


@dataclass(frozen=True)
class Exported:
    """Files that were written, the number of nodes in them, and what the user should know."""

    paths: tuple[Path, ...]
    nodes: int
    warnings: tuple[str, ...]


def export_case(
    store: str | Path,
    case: str,
    ct_folder: str | Path,
    out: str | Path,
    *,
    what: str = "final",
    formats: Sequence[str] = ("seg", "rtstruct"),
    label_map: str | Path | None = None,
    series_uid: str | None = None,
    in_part: bool = False,
) -> Exported:
    """Writes one result of a case as DICOM.

    Args:
        store: Folder of the cases.
        case: Id of the case.
        ct_folder: DICOM files of the CT that the case was imported from.
        out: Folder for the files; made if it is not there.
        what: "final" (approved nodes), "prediction" (the stored one), or the path of an inference's JSON.
        formats: Of `WRITERS`.
        label_map: Of that JSON; by default the image beside it with the same name.
        series_uid: Which CT series, where the folder holds several.
        in_part: Export the approved nodes of a case that was reviewed in part too; the files say so.

    Raises:
        ValueError: Nothing to export, a case in part that was not asked for, another CT, or files that do not
            belong together; nothing is written.
    """
    if unknown := [name for name in formats if name not in WRITERS]:
        raise ValueError(f"there is no format {', '.join(unknown)}; choose from {', '.join(WRITERS)}")
    paths = companions(store, case)
    ct = read_volume(paths.ct)
    series = read_ct_series(ct_folder, series_uid)
    on_series = Volume(
        on_ct_series(ct.array, ct.grid, series, f"the CT of case {case}"), series.grid, ct.grid
    )
    check_same_ct(case, on_series, series)
    warnings: list[str] = []
    if what == "final":
        nodes, name = approved(Path(store), case, ct.grid, warnings, also_in_part=in_part), "final"
        if nodes.author.undecided is not None:
            name = "in-part"
            warnings.append(nodes.author.note)
    elif what == "prediction":
        path = Path(store) / "labels" / "original" / f"{case}.nii.gz"
        nodes, name = predicted(ct.grid, path, stored_result(Path(store), case)), "prediction"
    else:
        result = read_result(what)
        nodes, name = predicted(ct.grid, label_map or _beside(Path(what)), result), "prediction"
        # No name of a file makes a prediction the approved nodes.
        if Path(what).stem not in (case, name):
            name = f"{name}-{Path(what).stem}"
    nodes = replace(
        nodes, labels=on_ct_series(nodes.labels, nodes.grid, series, "the label map"), grid=series.grid
    )
    datasets = {form: WRITERS[form](nodes, series) for form in formats}
    Path(out).mkdir(parents=True, exist_ok=True)
    written = []
    for form, dataset in datasets.items():
        written.append(Path(out) / f"{case}-{name}.{form}.dcm")
        write_atomically(written[-1], encoded(dataset))
    return Exported(tuple(written), len(nodes.nodes), tuple(warnings))


def encoded(dataset: Dataset) -> bytes:
    """A file of DICOM Part 10."""
    buffer = BytesIO()
    dcmwrite(buffer, dataset, write_like_original=False)
    return buffer.getvalue()


def on_ct_series(labels: np.ndarray, grid: Grid, series: CtSeries, what: str) -> np.ndarray:
    """Voxels (x, y, z) of `grid` in the order of `series.grid`; never interpolated.

    Raises:
        ValueError: If they are not the voxels of the series.
    """
    try:
        return map_exactly(labels, grid, series.grid)
    except ValueError as error:
        raise ValueError(
            f"{what} does not lie on the voxels of this CT series; give the series that it was made from "
            f"({error})"
        ) from error


def _beside(path: Path) -> Path:
    there = [path.with_suffix(suffix) for suffix in SUFFIXES if path.with_suffix(suffix).is_file()]
    if len(there) != 1:
        raise ValueError(
            f"expected one label map beside {path.name} with the same name ({', '.join(SUFFIXES)}), found "
            f"{len(there)}; say where it lies"
        )
    return there[0]
