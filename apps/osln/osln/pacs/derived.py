"""The registered PET of a case as one more series of its CT's study: the PACS has it in another place only.

The mirror holds the file; its images are made when they are asked for, and go to no PACS.
"""

import json
import logging
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs

from pydicom.dataset import Dataset

from osln.dicom.intake.case_plans import CasePlan
from osln.dicom.nodes import MANUFACTURER
from osln.dicom.reading.files import text
from osln.dicom.served.about import (
    FAILED,
    NONE,
    REGISTERED,
    REGISTERING,
    SAME,
    AboutImages,
    AboutPet,
    moved_words,
)
from osln.dicom.served.catalog import FolderImages, GoneError, SeriesFile
from osln.dicom.served.search import Result, matching
from osln.dicom.served.service import (
    Answer,
    Asked,
    instance_results,
    json_answer,
    metadata_answer,
    retrieved,
    series_metadata,
    series_result,
)
from osln.dicom.served.uids import PET, SERIES_PARTS
from osln.pacs.mirror import PacsMirror
from osln.store.imported_pet import registration

logger = logging.getLogger(__name__)

OF_THE_CT = (
    "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID",
    "StudyDate", "StudyTime", "FrameOfReferenceUID",
)  # fmt: skip
LONGEST_DESCRIPTION = 64
NUMBER = 1000
"""Added to the series number of the PET as it came."""


class DerivedPets:
    """Registered PETs of a mirror.

    Args:
        mirror: Has the cases and their files.
        images: Of the mirror's folder.
    """

    def __init__(self, mirror: PacsMirror, images: FolderImages) -> None:
        self._mirror, self._images = mirror, images
        self._working: dict[str, threading.Thread] = {}
        self._errors: dict[str, str] = {}
        self._turn = threading.Lock()

    def of(self, case: str) -> SeriesFile | None:
        """The registered PET of a case; None if it has none, or its images are not here."""
        plan = self._mirror.cases().plans.get(case)
        path = self._mirror.root / "pet" / f"{case}.nii.gz"
        if plan is None or plan.pet is None or plan.registered or not path.is_file():
            return None
        try:
            return self._images.file(case, PET, path, _common(plan))
        except GoneError:
            return None

    def of_study(self, study: str) -> list[SeriesFile]:
        """The registered PETs that belong into a study."""
        plans = self._mirror.cases().plans
        cases = [case for case, plan in plans.items() if text(plan.ct.header, "StudyInstanceUID") == study]
        return [file for case in cases if (file := self.of(case))]

    def answer(self, wanted: Asked, query: str, accept: str) -> Answer | None:
        """The answer to a request about one of these series; None if the PACS has to be asked.

        Raises:
            GoneError: If the series was made from a file that has changed meanwhile, or has no such image.
            ValueError: As `FolderService.answer`.
        """
        files = {file.uid: file for file in self.of_study(wanted.study)}
        file = files.get(wanted.series)
        if file is None:
            if any(_same_root(uid, wanted.series) for uid in files):
                raise GoneError("the registered PET was made anew since it was opened: reload the page")
            return None
        if wanted.what == "instances":
            return json_answer(matching(instance_results(file, self._images.count(file)), query))
        series = self._images.cache.get(file)
        if wanted.what == "metadata":
            return series_metadata(series, wanted)
        return retrieved([series], wanted, accept)

    def joined(self, wanted: Asked, query: str, content: bytes) -> bytes:
        """What the PACS answered, with these series in it where they belong.

        Args:
            wanted: Parts of the address.
            query: Behind the question mark.
            content: Answer of the PACS; b"" if it found nothing.
        """
        if (
            wanted.series
            or wanted.instance
            or wanted.what not in ("metadata", "series", "instances", "studies")
        ):
            return content
        if not wanted.study:
            return self._counted(content) if wanted.what == "studies" else content
        files = self.of_study(wanted.study)
        if not files or parse_qs(query).get("offset", ["0"]) != ["0"]:
            return content
        if wanted.what == "metadata":
            own = [one for file in files for one in self._metadata(file)]
            return metadata_answer(
                [*([content.strip()[1:-1]] if content.strip(b" []\r\n") else []), *own]
            ).content  # type: ignore[return-value]
        own_results: list[Result] = matching(self._results(wanted, files), query)
        return json.dumps([*json.loads(content or b"[]"), *own_results]).encode()

    def about(self, case: str) -> AboutImages:
        """The images of a case; has them fetched and the PET registered if that was not done yet.

        Raises:
            PacsError: If the case is not known.
        """
        known, plan = self._mirror.fetched(case), self._mirror.cases().plans.get(case)
        warnings = known.warnings if known else ()
        return AboutImages(self._mirror.study_of(case), case, self._about_pet(case, plan, warnings), warnings)

    def _about_pet(self, case: str, plan: CasePlan | None, warnings: tuple[str, ...]) -> AboutPet:
        if plan is None or plan.pet is None:
            told = plan.warnings if plan else ["the case is not on the PACS any more"]
            return AboutPet(NONE, "; ".join(one for one in told if "PET" in one or not plan) or "no PET")
        if plan.registered:
            return AboutPet(SAME, "the PET lies in the CT's frame of reference", plan.pet.uid)
        original = plan.pet.uid
        with self._turn:
            error = self._errors.pop(case, None)
        if error:
            return AboutPet(FAILED, f"the PET cannot be registered now: {error}", None, original)
        here = (self._mirror.root / f"{case}.nii.gz").is_file()
        if not here or self._mirror.progress(case):
            self._begin(case)
            step, fraction = self._mirror.progress(case) or ("waiting for the PACS", 0.0)
            message = f"the PET is of another examination and is being registered to the CT: {step}"
            progress = {"step": step, "fraction": round(fraction, 3)}
            return AboutPet(REGISTERING, message, None, original, progress)
        if file := self.of(case):
            quality = registration(self._mirror.root, case, file.path)
            return AboutPet(REGISTERED, moved_words(quality or {}), file.uid, original, quality=quality)
        reasons = [one for one in warnings if "PET" in one or "was left out" in one]
        return AboutPet(FAILED, "; ".join(reasons) or "the PET could not be used", None, original)

    def prepare(self, study: str) -> None:
        """Has the PETs registered, or their images made, that a viewer of a study will want."""
        for file in self.of_study(study):
            self._images.cache.prepare(file)
        for case, plan in self._mirror.cases().plans.items():
            if text(plan.ct.header, "StudyInstanceUID") == study and plan.pet and not plan.registered:
                if not (self._mirror.root / f"{case}.nii.gz").is_file():
                    self._begin(case)

    def _begin(self, case: str) -> None:
        """Fetches a case beside the requests, once at a time."""
        with self._turn:
            working = self._working.get(case)
            if working is not None and working.is_alive():
                return
            # It ends with the process: a registration takes minutes, and is made again.
            self._working[case] = threading.Thread(target=self._fetch, args=(case,), daemon=True)
            self._working[case].start()

    def _fetch(self, case: str) -> None:
        try:
            self._mirror.ensure(case)
        except Exception as error:
            if not isinstance(error, ValueError):
                logger.exception("Case %s could not be fetched", case)
            with self._turn:
                self._errors[case] = str(error)

    def _metadata(self, file: SeriesFile) -> list[bytes]:
        try:
            return self._images.cache.get(file).metadata
        except (ValueError, GoneError) as error:
            logger.warning("The registered PET of case %s is not shown: %s", file.case, error)
            return []

    def _results(self, wanted: Asked, files: list[SeriesFile]) -> Iterator[Result]:
        for file in files:
            count = self._images.count(file)
            if wanted.what == "series":
                yield series_result(file, count)
            else:
                yield from instance_results(file, count)

    def _counted(self, content: bytes) -> bytes:
        """A list of studies whose numbers of series and images count these series too."""
        studies: list[Result] = json.loads(content or b"[]")
        for study in studies:
            for file in self.of_study(str(_first(study, "0020000D"))):
                modalities = study.setdefault("00080061", {"vr": "CS"}).setdefault("Value", [])
                if "PT" not in modalities:
                    modalities.append("PT")
                for tag, more in (("00201206", 1), ("00201208", self._images.count(file))):
                    if isinstance(number := _first(study, tag), int):
                        study[tag]["Value"] = [number + more]
        return json.dumps(studies).encode()


def _common(plan: CasePlan) -> Dataset:
    """What all images of the registered PET share: the patient and study of the CT."""
    assert plan.pet is not None
    common = Dataset()
    common.SpecificCharacterSet = "ISO_IR 192"
    for name in OF_THE_CT:
        setattr(common, name, text(plan.ct.header, name))
    common.StudyID = common.AccessionNumber = common.ReferringPhysicianName = ""
    common.PositionReferenceIndicator = ""
    number = text(plan.pet.header, "SeriesNumber")
    common.SeriesNumber = NUMBER + (int(number) if number.isdecimal() and len(number) < 6 else 0)
    ending = "registered to the CT"
    described = text(plan.pet.header, "SeriesDescription")[: LONGEST_DESCRIPTION - len(ending) - 2]
    common.SeriesDescription = f"{described or 'PET'}, {ending}"
    common.ImageType = ["DERIVED", "SECONDARY", "REGISTERED"]
    common.DerivationDescription = f"Series {plan.pet.uid} registered to series {plan.ct.uid}"
    common.Manufacturer = MANUFACTURER
    return common


def _same_root(one: str, other: str) -> bool:
    return one.split(".")[: SERIES_PARTS - 1] == other.split(".")[: SERIES_PARTS - 1]


def _first(result: Result, tag: str) -> Any:
    return (result.get(tag, {}).get("Value") or [None])[0]
