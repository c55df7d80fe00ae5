"""DICOMweb for a folder of cases: search (QIDO-RS) and retrieval (WADO-RS); nothing is written.

Reference: DICOM PS3.18 sections 10.4 and 10.6.
"""

import json
import re
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO

from pydicom import dcmwrite
from pydicom.dataset import Dataset

from osln.dicom.reading.source import CT_CLASS
from osln.dicom.served.catalog import FolderImages, GoneError, SeriesFile, changed, folder_heading
from osln.dicom.served.search import Result, matching
from osln.dicom.served.series import ServedSeries
from osln.dicom.served.uids import CT, case_named, study_uid
from osln.dicom.writing.images import PET_CLASS

JSON = "application/dicom+json"
RESOURCE = re.compile(
    r"(?:studies/(?P<study>[0-9.]+)/?)?(?:series/(?P<series>[0-9.]+)/?)?(?:instances/(?P<instance>[0-9.]+)/?)?"
    r"(?:(?P<what>studies|series|instances|metadata|frames/(?P<frames>[0-9,]+)))?"
)
LITTLE_ENDIAN = "1.2.840.10008.1.2.1"


class NotAcceptableError(ValueError):
    """A client accepts no form in which this is given."""


@dataclass(frozen=True)
class Answer:
    """What a request gets.

    Attributes:
        content: Whole, or part by part.
        media_type: Of the content.
        lasting: It never changes: its UIDs name the content.
    """

    content: bytes | Iterator[bytes]
    media_type: str
    lasting: bool = False


@dataclass(frozen=True)
class Asked:
    """The parts of an address; "" where it does not have one."""

    study: str
    series: str
    instance: str
    what: str
    frames: str


def asked(resource: str) -> Asked | None:
    """What an address asks for; None if it is nothing that is given here."""
    found = RESOURCE.fullmatch(resource)
    return Asked(**{name: value or "" for name, value in found.groupdict().items()}) if found else None


class FolderService:
    """Answers for a folder of cases.

    Args:
        images: Of the folder.
        cases: Ids of the cases as of now.
        known: The id of a case if it is served, else an error with a sentence.
    """

    def __init__(
        self, images: FolderImages, cases: Callable[[], Iterable[str]], known: Callable[[str], str]
    ) -> None:
        self.images, self._cases, self._known = images, cases, known

    def answer(self, resource: str, query: str, accept: str) -> Answer:
        """The answer to a request.

        Args:
            resource: From `osln.dicom.web.address.checked_resource`.
            query: Behind the question mark.
            accept: Media types that the client takes.

        Raises:
            GoneError: If there is no such study, series or image, or it has changed.
            ValueError: If a file cannot be read, or the query is none.
            NotAcceptableError: If the client takes no form that there is.
        """
        wanted = asked(resource)
        if wanted is None:
            raise GoneError(f"the images of this server are not given as {resource.rsplit('/', 1)[-1]!r}")
        if wanted.what in ("studies", "series", "instances"):
            return json_answer(matching(self._level(wanted), query))
        case = self.case_of(wanted.study)
        if wanted.what == "metadata":
            return self._metadata(case, wanted)
        if not wanted.series:
            files = self.images.shown(case)[0]
        else:
            files = [series_named(self.images.files(case), case, wanted.series)]
        return retrieved([self.images.cache.get(file) for file in files], wanted, accept)

    def prepare(self, study: str) -> None:
        """Has the images of a study made before they are asked for.

        Raises:
            GoneError: If there is no such study.
            ValueError: If its files have twin names.
        """
        for file in self.images.files(self.case_of(study)):
            self.images.cache.prepare(file)

    def case_of(self, study: str) -> str:
        """The case of a study.

        Raises:
            GoneError: If there is none.
        """
        case = case_named(study, self._cases())
        if case is None or study_uid(case) != study:
            raise GoneError(
                f"no case of this server has the study {study}: it was removed, or never was here"
            )
        return self._known(case)

    def _metadata(self, case: str, wanted: Asked) -> Answer:
        if not wanted.series:
            files = self.images.shown(case)[0]
            made = [self.images.cache.get(file) for file in files]
            return metadata_answer([one for series in made for one in series.metadata])
        file = series_named(self.images.files(case), case, wanted.series)
        return series_metadata(self.images.cache.get(file), wanted)

    def _level(self, wanted: Asked) -> Iterator[Result]:
        """All results of the level of a search."""
        if wanted.study:
            cases: Iterable[str] = [self.case_of(wanted.study)]
        else:
            cases = sorted(self._cases())
        for case in cases:
            try:
                files = self.images.files(case)
            except (ValueError, GoneError):
                # It vanished, or a twin came: its study says so when it is opened.
                continue
            if wanted.what == "studies":
                yield study_result(folder_heading(case), files, self.images.count)
                continue
            if wanted.series:
                files = [series_named(files, case, wanted.series)]
            for file in files:
                count = self.images.count(file)
                if wanted.what == "series":
                    yield series_result(file, count)
                else:
                    yield from instance_results(file, count)


def series_named(files: Iterable[SeriesFile], case: str, uid: str) -> SeriesFile:
    """The series of a case with a UID.

    Raises:
        GoneError: If there is none; says so if there was one before the file changed.
    """
    for file in files:
        if file.uid == uid:
            return file
    if uid.startswith(f"{study_uid(case)}."):
        kind = uid.split(".")[3]
        raise GoneError(changed(case, "CT" if kind == CT else "PET"))
    raise GoneError(f"case {case} has no series {uid}")


def series_metadata(series: ServedSeries, wanted: Asked) -> Answer:
    """Attributes of all images of a series, or of one."""
    if wanted.instance:
        return metadata_answer([series.metadata[_number(series, wanted.instance) - 1]], lasting=True)
    return metadata_answer(series.metadata, lasting=True)


def retrieved(series: list[ServedSeries], wanted: Asked, accept: str) -> Answer:
    """Whole images, or the frame of one.

    Raises:
        GoneError: If there is no such image or frame.
        NotAcceptableError: If the client wants another form.
    """
    if wanted.frames:
        check_accept(accept, "application/octet-stream")
        number = _number(series[0], wanted.instance)
        if wanted.frames != "1":
            raise GoneError(f"each image of this server has one frame, 1, and {wanted.frames} was asked for")
        kind = f"application/octet-stream; transfer-syntax={LITTLE_ENDIAN}"
        return multipart(iter([series[0].frame(number)]), "application/octet-stream", kind, whole=True)
    check_accept(accept, "application/dicom")
    if wanted.instance:
        images = iter([_file(series[0], _number(series[0], wanted.instance))])
    else:
        images = (_file(one, number) for one in series for number in range(1, len(one) + 1))
    kind = f"application/dicom; transfer-syntax={LITTLE_ENDIAN}"
    return multipart(images, "application/dicom", kind, whole=bool(wanted.instance))


def check_accept(accept: str, kind: str) -> None:
    """Raises NotAcceptableError unless a client takes multipart/related of a kind, not compressed."""
    for part in accept.lower().split(","):
        syntax = re.search(r"transfer-syntax=\"?([0-9.*]+)", part)
        if syntax and syntax[1] not in ("*", LITTLE_ENDIAN):
            continue
        name = part.split(";")[0].strip()
        inner = re.search(r"type=\"?([a-z0-9.+/*-]+)", part.partition(";")[2])
        if name in ("", "*/*", kind) or (
            name in ("multipart/related", "multipart/*") and (not inner or inner[1] in (kind, "*/*"))
        ):
            return
    raise NotAcceptableError(
        f"images are given as multipart/related of {kind}, explicit little endian, and Accept says "
        f"{accept[:200]!r}"
    )


def multipart(parts: Iterator[bytes], kind: str, part_type: str, *, whole: bool) -> Answer:
    """Parts as multipart/related; `whole` for one that is sent at once."""
    boundary = uuid.uuid4().hex
    lines = f"--{boundary}\r\nContent-Type: {part_type}\r\n".encode()

    def written() -> Iterator[bytes]:
        for part in parts:
            yield lines + f"Content-Length: {len(part)}\r\n\r\n".encode() + part + b"\r\n"
        yield f"--{boundary}--\r\n".encode()

    content = b"".join(written()) if whole else written()
    return Answer(content, f'multipart/related; type="{kind}"; boundary={boundary}', lasting=True)


def json_answer(results: Iterable[Result]) -> Answer:
    """Results of a search."""
    return Answer(json.dumps(list(results), separators=(",", ":")).encode(), JSON)


def metadata_answer(images: list[bytes], *, lasting: bool = False) -> Answer:
    """Attributes of images, each an object of DICOM JSON."""
    return Answer(b"[" + b",".join(images) + b"]", JSON, lasting)


def study_result(heading: Dataset, files: list[SeriesFile], count: Callable[[SeriesFile], int]) -> Result:
    """A study as a search tells it."""
    study = _taken(
        heading, "SpecificCharacterSet", "StudyDate", "StudyTime", "AccessionNumber",
        "ReferringPhysicianName", "PatientName", "PatientID", "PatientBirthDate", "PatientSex",
        "StudyInstanceUID", "StudyID", "StudyDescription",
    )  # fmt: skip
    study.ModalitiesInStudy = [file.modality for file in files]
    study.NumberOfStudyRelatedSeries = len(files)
    study.NumberOfStudyRelatedInstances = sum(map(count, files))
    study.InstanceAvailability = "ONLINE"
    return study.to_json_dict()


def series_result(file: SeriesFile, count: int) -> Result:
    """A series as a search tells it, with its study and patient."""
    return _series(file) | {"00201209": {"vr": "IS", "Value": [count]}}


def instance_results(file: SeriesFile, count: int) -> Iterator[Result]:
    """The images of a series as a search tells them."""
    shared = _series(file)
    for number in range(1, count + 1):
        image = Dataset()
        image.SOPClassUID = CT_CLASS if file.kind == CT else PET_CLASS
        image.SOPInstanceUID, image.InstanceNumber = f"{file.uid}.{number}", number
        yield shared | image.to_json_dict()


def _series(file: SeriesFile) -> Result:
    series = _taken(
        file.common, "SpecificCharacterSet", "PatientName", "PatientID", "StudyInstanceUID", "StudyDate",
        "SeriesInstanceUID", "SeriesNumber", "SeriesDescription",
    )  # fmt: skip
    series.Modality = file.modality
    return series.to_json_dict()


def _taken(source: Dataset, *names: str) -> Dataset:
    taken = Dataset()
    for name in names:
        if name in source:
            taken[name] = source[name]
    return taken


def _number(series: ServedSeries, instance: str) -> int:
    number = series.number(instance)
    if number is None:
        raise GoneError(f"the series has {len(series)} images, and none is {instance}")
    return number


def _file(series: ServedSeries, number: int) -> bytes:
    buffer = BytesIO()
    dcmwrite(buffer, series.image(number), write_like_original=False)
    return buffer.getvalue()
