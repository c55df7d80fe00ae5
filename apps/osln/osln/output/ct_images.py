"""The DICOM images that a CT was made from, found among any DICOM files by geometry and values."""

import hashlib
from pathlib import Path

from osln.dicom.reading.files import LocalSource, slices_of
from osln.dicom.reading.source import CT_CLASS, CtSeries, check_same_ct, ct_series
from osln.dicom.writing.export import on_ct_series
from osln.imaging.grid import Volume


def series_key(series: CtSeries) -> str:
    """Tells one series from another by all UIDs that SEG and RTSTRUCT take from it, and by the patient."""
    first = series.headers[0]
    own = (first.StudyInstanceUID, series.series_uid, series.frame_of_reference_uid)
    patient = (first.get("PatientID"), first.get("PatientName"))
    return hashlib.sha256(repr([*map(str, (*own, *patient, *series.slice_of))]).encode()).hexdigest()


def images_of(case: str, ct: Volume, folder: Path) -> CtSeries:
    """The CT series in a folder and its sub-folders whose voxels are those of a CT.

    Args:
        case: For messages.
        ct: In HU.
        folder: With DICOM files; several series, other modalities and other patients may be there.

    Raises:
        ValueError: If there is no folder or no such series; says of each CT series why it is not the one.
    """
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}; give the folder with the DICOM files of the CT")
    reasons = []
    with LocalSource(folder) as source:
        for listed in source.series():
            if listed.header.get("SOPClassUID") != CT_CLASS:
                continue
            try:
                series = ct_series(slices_of(source.paths(listed)))
                voxels = on_ct_series(ct.array, ct.grid, series, f"the CT of case {case}")
                check_same_ct(case, Volume(voxels, series.grid, ct.grid), series)
            except ValueError as error:
                reasons.append(f"{listed.name}: {error}")
            else:
                return series
    told = "; ".join(reasons) or "it holds no CT images"
    raise ValueError(f"{folder.name} does not hold the DICOM images of the CT of case {case}: {told}")
