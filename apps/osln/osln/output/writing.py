"""The files of one case: label map, DICOM and picture, and the JSON that makes them a finished result."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from osln import __version__
from osln.dicom.nodes import NodeSet
from osln.dicom.reading.source import CtSeries
from osln.dicom.writing.export import WRITERS, encoded, on_ct_series
from osln.dicom.writing.from_store import predicted_nodes
from osln.files.arrays import plain, write_json
from osln.files.code import code_key
from osln.files.images import write_atomically
from osln.imaging.study import Study
from osln.output.cases import Case
from osln.output.label_maps import (
    EXTENSIONS,
    LABELS,
    WITH_REJECTED,
    candidate_dtype,
    candidate_map,
    candidate_names,
    label_map,
    write_label_map,
)
from osln.pipeline import Pipeline
from osln.stage_one.candidates import Detections

SCORES = "scores.json"
"""Scores by case and value of the label map."""
FAILED = ".failed.json"
"""End of the name of the file that says why a case has no result."""
CODE = (
    "detection.py",
    "dicom",
    "files",
    "imaging",
    "metrics",
    "networks",
    "output",
    "pictures.py",
    "pipeline.py",
    "published.py",
    "registration",
    "rows",
    "stage_one",
    "stage_two",
    "store",
    "tagging",
    "weights",
)
"""Parts of the code that a result depends on."""
CT_SERIES = "ct_series"
"""In `made_from`: a key of the DICOM images that the result's SEG and RTSTRUCT refer to."""


@dataclass(frozen=True)
class Wanted:
    """What is written of each case, and where.

    Attributes:
        out: Folder; it exists.
        extension: Of the label map, one of `osln.output.label_maps.EXTENSIONS`.
        with_rejected: Whether rejected candidates are the second value of the label map.
        every: Whether each candidate, rejected or not, has its id as value; then `SCORES` has their scores.
        dicom: Of `osln.dicom.writing.export.WRITERS`.
        pictures: Whether a PNG is drawn.
    """

    out: Path
    extension: str = ".nii.gz"
    with_rejected: bool = False
    dicom: tuple[str, ...] = ()
    pictures: bool = False
    every: bool = False

    def __post_init__(self) -> None:
        if self.extension not in EXTENSIONS:
            raise ValueError(f"a label map ends with one of {', '.join(EXTENSIONS)}, not {self.extension}")

    def label_map(self, case: str) -> Path:
        return self.out / f"{case}{self.extension}"

    def picture(self, case: str) -> Path:
        return self.out / f"{case}.png"

    def object(self, case: str, form: str) -> Path:
        return self.out / f"{case}.{form}.dcm"

    def files(self, case: str) -> list[Path]:
        """Everything but the JSON."""
        drawn = [self.picture(case)] if self.pictures else []
        return [self.label_map(case), *(self.object(case, form) for form in self.dicom), *drawn]


def result_path(out: Path, case: str) -> Path:
    """The JSON of a finished case."""
    return out / f"{case}.json"


def failure_path(out: Path, case: str) -> Path:
    """The JSON that says why a case has no result; gone as soon as it has one."""
    return out / f"{case}{FAILED}"


def made_from(case: Case, pipeline: Pipeline, wanted: Wanted) -> dict[str, Any]:
    """All that a result depends on, as JSON values: who has the same has the same result.

    Not among them: libraries' versions, the device, and `CT_SERIES`, which joins it once the series is read.
    """
    second = pipeline.second
    tagger = second.tagger if second else None
    return plain(
        {
            "software": __version__,
            "code": code_key(CODE),
            "inputs": dict(case.fingerprint()),
            "model": pipeline.row.name,
            "weights": {name: version.sha256 for name, version in pipeline.versions.items()},
            "tagger": tagger and tagger.sha256,
            "threshold": pipeline.threshold,
            "score_threshold": second and second.threshold,
            "with_rejected": wanted.with_rejected,
            **({"every": True} if wanted.every else {}),
        }
    )


def with_former_series(case: str, made: dict[str, Any], wanted: Wanted) -> dict[str, Any]:
    """`made_from` with the `CT_SERIES` of the result that is there, if that is of the same origin."""
    former = read_result(result_path(wanted.out, case)).get("made_from", {})
    same = made | {CT_SERIES: former.get(CT_SERIES)}
    return same if former == same else made


def is_finished(case: str, made: dict[str, Any], wanted: Wanted) -> bool:
    """Whether everything that is wanted of a case is there, made from just this."""
    former = read_result(result_path(wanted.out, case))
    return former.get("made_from") == made and all(path.is_file() for path in wanted.files(case))


def write_files(
    found: Detections, study: Study, about: dict[str, Any], wanted: Wanted, series: CtSeries | None
) -> list[str]:
    """Writes all files of a case but its JSON, and takes away what a former result of other origin left.

    The former JSON goes first: whoever stops this in the middle leaves a case that is not finished.

    Args:
        found: The candidates.
        study: The case.
        about: `result` and `made_from`; gets `drawn`, the candidates in a label map that has all of them.
        wanted: What to write.
        series: DICOM images of the CT; None if no DICOM is wanted.

    Returns:
        Names of the files of this result, those of an earlier run of the same origin among them.

    Raises:
        ValueError: If the CT's voxels are not those of the series; nothing is written then.
    """
    case = study.case
    objects = _dicom(found, study, about, wanted, series) if series is not None else {}
    path = result_path(wanted.out, case)
    former = _replaceable(case, wanted)
    names = [Path(name).name for name in former.get("files", [])]
    begun = sorted({*names, *(one.name for one in wanted.files(case))})
    note_failure(wanted.out, case, "it was stopped while its files were written", begun)
    path.unlink(missing_ok=True)
    if former.get("made_from") != about["made_from"]:
        for name in names:
            (wanted.out / name).unlink(missing_ok=True)
        names = []
    if wanted.every:
        labels, names_of, dtype = candidate_map(found, study), candidate_names(found), candidate_dtype(found)
        # One that a stronger neighbor covers on the CT's voxels has no value to be scored by.
        about["drawn"] = np.unique(labels[labels > 0]).tolist()
    else:
        labels = label_map(found, study, with_rejected=wanted.with_rejected)
        names_of, dtype = WITH_REJECTED if wanted.with_rejected else LABELS, "uint8"
    place = wanted.label_map(case)
    write_label_map(place, labels, study.ct.grid, study.ct.file_grid, names_of, dtype=dtype)
    for form, content in objects.items():
        write_atomically(wanted.object(case, form), content)
    if wanted.pictures:
        # Imported here: drawing loads matplotlib, which most runs do not need.
        from osln.pictures import draw_detections, save_picture

        title = f"{case}: {found.experiment}, for research, not for clinical use"
        save_picture(draw_detections(found, None, title), wanted.picture(case))
    scores = [SCORES] if wanted.every else []
    return list(dict.fromkeys([*names, *(path.name for path in wanted.files(case)), *scores]))


def check_name(case: str) -> None:
    """Refuses a name whose result would lie where this command writes something else.

    Raises:
        ValueError: The result would be the scores of all cases or the failure of another case, in small
            letters or large ones: file systems may not tell them apart.
    """
    name, told = result_path(Path(), case).name, None
    if name.lower() == SCORES:
        told = "the scores of all cases lie"
    elif name.lower().endswith(FAILED):
        told = f"is written why the case {name[: -len(FAILED)]} has no result"
    if told:
        raise ValueError(f"its result would be the file {name}, where {told}: call the case otherwise")


def check_place(case: Case, made: dict[str, Any], wanted: Wanted, *, overwrite: bool) -> None:
    """Refuses to put the result of a case in the place of something else.

    Args:
        case: What is about to be looked at.
        made: `made_from`.
        wanted: What is to be written.
        overwrite: Whether the result of another CT may go.

    Raises:
        ValueError: A file there is not of this command, or the result there is that of another CT.
    """
    former = _replaceable(case.name, wanted)
    before, now = (one.get("inputs", {}).get("ct") for one in (former.get("made_from", {}), made))
    if before and now and before != now and not overwrite:
        raise ValueError(
            f"{wanted.out} holds the result of another CT that is called {case.name} too: choose another "
            "folder for this one, or let it replace that one (--overwrite)"
        )


def _replaceable(case: str, wanted: Wanted) -> dict[str, Any]:
    """The former result of a case, or what a stopped run left of one; {} if there is none."""
    finished, failed = read_result(result_path(wanted.out, case)), read_failure(wanted.out, case)
    former = finished or failed
    ours = {Path(name).name for name in former.get("files", [])}
    strange = [one.name for one in wanted.files(case) if one.exists() and one.name not in ours]
    told = ((result_path(wanted.out, case), finished), (failure_path(wanted.out, case), failed))
    strange += [path.name for path, content in told if path.exists() and not content]
    if strange:
        raise ValueError(
            f"{', '.join(strange)} in {wanted.out} was not written by this command: choose another folder, "
            "or take it away"
        )
    return former


def note_failure(out: Path, case: str, reason: str, files: Sequence[str] = ()) -> None:
    """Writes down why a case has no result; `files` may lie there all the same."""
    write_json(failure_path(out, case), {"case": case, "failed": reason, "files": list(files)})


def finish(case: str, content: dict[str, Any], names: list[str], wanted: Wanted) -> None:
    """Writes the JSON that makes a case a finished one, with the names of its files."""
    write_json(result_path(wanted.out, case), content | {"files": names})
    forget_failure(wanted.out, case)


def read_failure(out: Path, case: str) -> dict[str, Any]:
    """Why a case has no result, as `note_failure` wrote it; {} if there is no such file."""
    found = read_result(failure_path(out, case))
    return found if "failed" in found else {}


def forget_failure(out: Path, case: str) -> None:
    """Takes away what was noted of a failure; a file of that name that is something else stays."""
    if read_failure(out, case):
        failure_path(out, case).unlink(missing_ok=True)


def read_result(path: Path) -> dict[str, Any]:
    """The JSON of a finished or failed case; {} if there is none or it is no such file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    ours = isinstance(content, dict) and (isinstance(content.get("made_from"), dict) or "failed" in content)
    return content if ours else {}


def _dicom(
    found: Detections, study: Study, about: dict[str, Any], wanted: Wanted, series: CtSeries
) -> dict[str, bytes]:
    """Content of the DICOM files by format."""
    nodes = predicted_nodes(found.labels_on_ct(study), study.ct.grid, about, datetime.now().astimezone())
    labels = on_ct_series(nodes.labels, nodes.grid, series, "the label map")
    moved = NodeSet(labels, series.grid, nodes.nodes, nodes.author)
    return {form: encoded(WRITERS[form](moved, series)) for form in wanted.dicom}
