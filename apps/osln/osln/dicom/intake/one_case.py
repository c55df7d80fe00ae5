"""One case of an import: its series read, brought together, checked and written."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import Dataset

from osln.dicom.intake.case_labels import CaseLabels
from osln.dicom.intake.case_plans import CasePlan
from osln.dicom.intake.deidentify import Deidentifier, identifying_texts
from osln.dicom.intake.drawn_labels import DrawnLabels
from osln.dicom.intake.roi_names import RoiRules
from osln.dicom.intake.store_case import ImportedCase, check_same_images, write_case
from osln.dicom.reading.files import ALONE, DAMAGED, Series, Source, representative, slices_of, text
from osln.dicom.reading.rtstruct import names_of
from osln.dicom.reading.slices import Slice
from osln.dicom.reading.volume import read_ct, read_pet
from osln.dicom.web.errors import PacsError
from osln.imaging.grid import Grid, Volume
from osln.imaging.study import build_study

PARTS = ("pet", "tumor", "nodes")
LEAST_COVERED = 0.5
"""Share of the CT's field below which a PET that covers no more is remarked on."""

Tell = Callable[[str, float], None]
"""Called with what is going on and the share that is done, 0 to 1."""


@dataclass
class CaseImport:
    """Everything that is needed to import one case.

    Attributes:
        plan: Its series.
        case: Id of the case.
        source: Gives the files.
        store: Folder of the store.
        deidentifier: Replaces what identifies the patient.
        rules: What names of regions mean.
        required: Of `PARTS`; without them the study is refused.
        tell: Progress of this case.
        kept: Of "tumor" and "nodes": labels that the store has already, and that are not written.
        warnings: What a person should look at; grows.
    """

    plan: CasePlan
    case: str
    source: Source
    store: Path
    deidentifier: Deidentifier
    rules: RoiRules
    required: tuple[str, ...]
    tell: Tell
    kept: tuple[str, ...] = ()
    warnings: list[str] = field(default_factory=list)

    def run(self) -> dict[str, Any]:
        """Imports the case and returns its manifest.

        A PET that cannot be used is left out with a warning, since CT, tumor and nodes are worth having
        without it; anything else that fails refuses the whole case, and nothing is written. So does a PACS
        that fails while the PET is fetched: the case would count as complete, and nobody would try again.

        Raises:
            AmbiguousNamesError: If somebody has to decide what a region is.
            PacsError: If the PACS fails.
            ValueError: If the study cannot be imported.
            OSError: If the store cannot be written.
        """
        begun = time.perf_counter()
        plan = self.plan
        self.warnings += plan.warnings
        drawn = DrawnLabels(plan, self.rules, self._file, lambda words: self.tell(words, 0.4), self.warnings)
        drawn.check_names()
        ct_slices = self._slices(plan.ct, "CT", 0.0)
        # Before pixels are read; once more before the case is written.
        check_same_images(self.store, self.case, self._instances(ct_slices))
        read = read_ct(ct_slices, lambda done, total: self.tell("reading the CT", 0.2 + 0.2 * done / total))
        ct = read.volume
        self.warnings += read.warnings
        labels = drawn.read(read, ct_slices)
        pet, transform, about_pet = self._pet(ct)
        have = {"pet": pet, "tumor": labels.tumor, "nodes": labels.nodes}
        if lacking := [part for part in self.required if have[part] is None]:
            told = f": {'; '.join(self.warnings)}" if self.warnings else ""
            raise ValueError(f"it has no {' and no '.join(lacking)}, and is required to have it{told}")
        build_study(self.case, ct, pet, _on(ct, labels.tumor), _on(ct, labels.nodes))
        described = self._described(plan.ct, _header(ct_slices), len(ct_slices))
        private = identifying_texts([ct_slices[0].header, *(item.header for item in plan.series)])
        manifest = {
            "case": self.case,
            "patient": self.deidentifier.patient(plan.patient),
            "ct": {**described, "values": read.explanation, "instances": self._instances(ct_slices)},
            "pet": about_pet,
            "structures": self._about_structures(drawn.used, labels),
            "tumor": _about_tumor(labels, ct.grid),
            "nodes": labels.instances,
            "chosen": [self.deidentifier.clean(sentence, private) for sentence in plan.chosen],
            "left out": [self.deidentifier.clean(sentence, private) for sentence in plan.left_out],
            "warnings": [self.deidentifier.clean(sentence, private) for sentence in self.warnings],
            "source": fingerprint(plan, self.deidentifier, self.rules),
            "contents": contents(plan, self.deidentifier),
            "seconds": round(time.perf_counter() - begun, 1),
        }
        self.tell("writing", 0.9)
        tumor = None if "tumor" in self.kept else labels.tumor
        nodes = None if "nodes" in self.kept else labels.nodes
        content = ImportedCase(ct, pet, tumor, nodes, transform, manifest)
        return write_case(self.store, self.case, content)

    def _file(self, labels: Series) -> Path:
        """The file of a structure set or segmentation; refused if there are different ones of one UID."""
        first, *others = self.source.paths(labels)
        if any(pydicom.dcmread(other) != pydicom.dcmread(first) for other in others):
            raise ValueError(
                f"{len(others) + 1} files of {labels.name} have one SOPInstanceUID and differ: keep the one "
                "that is meant, and export the other one again if it is needed"
            )
        return first

    def _slices(self, series: Series, what: str, share: float) -> list[Slice]:
        def progress(words: str, done: int, total: int) -> None:
            self.tell(f"{words} ({what})", share + 0.2 * done / max(total, 1))

        return slices_of(self.source.paths(series, progress))

    def _instances(self, slices: list[Slice]) -> str:
        """Tells whether a series still holds these images, without telling which they are."""
        return self.deidentifier.fingerprint(text(item.header, "SOPInstanceUID") for item in slices)

    def _pet(self, ct: Volume) -> tuple[Volume | None, sitk.Transform | None, dict[str, Any] | None]:
        """The PET on the CT's frame, the transform if it was registered, and what the manifest says."""
        series = self.plan.pet
        if series is None:
            return None, None, None
        try:
            slices = self._slices(series, "PET", 0.5)
            read = read_pet(slices)
            pet, transform, warned = read.volume, None, list(read.warnings)
            registration: Any = "same frame of reference as the CT: not moved"
            if not self.plan.registered:
                pet, transform, registration, more = self._registered(ct, pet)
                warned += more
            build_study(self.case, ct, pet)
            covers = _covered(ct.grid, pet.grid)
        except PacsError:
            raise
        except (ValueError, *DAMAGED) as error:
            reason = str(error).removeprefix(f"case {self.case}: ")
            self.warnings.append(f"{series.name} was left out: {reason}")
            return None, None, None
        if covers < LEAST_COVERED:
            warned.append(f"the PET covers {100 * covers:.0f} % of the CT only; outside it the SUV is 0")
        self.warnings += warned
        about = self._described(series, _header(slices), len(slices))
        return pet, transform, {
            **about, "values": read.explanation, "registration": registration, "covers": round(covers, 3)
        }  # fmt: skip

    def _registered(
        self, ct: Volume, pet: Volume
    ) -> tuple[Volume, sitk.Transform, dict[str, Any], list[str]]:
        # Imported here: studies of one frame of reference need no registration.
        from osln.registration import register_pet

        own = self.plan.pet_ct
        pet_ct = read_ct(self._slices(own, "PET's CT", 0.6)).volume if own else None
        result = register_pet(
            ct, pet, pet_ct, on_progress=lambda part, words: self.tell(words, 0.65 + 0.25 * part)
        )
        return result.pet, result.transform, asdict(result.quality), list(result.warnings)

    def _about_structures(self, used: list[Series], labels: CaseLabels) -> dict[str, Any] | None:
        described = [self._described(item, item.header, item.count) for item in used]
        if not described:
            return None
        more = {"approved here": described[1:]} if described[1:] else {}
        return {**described[0], **more, "regions": labels.regions}

    def _described(self, series: Series, header: Dataset, arrived: int) -> dict[str, Any]:
        return {"images": arrived, **self.deidentifier.describe(header, self.plan.patient)}


def fingerprint(plan: CasePlan, deidentifier: Deidentifier, rules: RoiRules) -> str:
    """Tells whether a case was made from these series and decisions, without telling which they are.

    All that was drawn on the CT counts: which of it is used shows when it is read.
    """
    parts = rules.decisions(name for series in plan.drawn for name in names_of(series.header))
    for series in (plan.ct, plan.pet, plan.pet_ct, *plan.drawn):
        if series is not None:
            instance = text(series.header, "SOPInstanceUID") if series.modality in ALONE else ""
            parts.append(f"{series.uid} {instance} {series.count}")
    return deidentifier.fingerprint(parts)


def contents(plan: CasePlan, deidentifier: Deidentifier) -> dict[str, str]:
    """Tells of each part of a case whether its files hold the same as before, without telling what.

    Files are corrected under the UIDs that they have, which `fingerprint` does not see. Parts whose files are
    not local are left out: what they hold is not known before they are fetched.
    """
    parts = {"CT": (plan.ct,), "PET": (plan.pet,), "CT of the PET": (plan.pet_ct,), "contours": plan.drawn}
    held = {part: [one.content for one in series if one is not None] for part, series in parts.items()}
    return {part: deidentifier.fingerprint(known) for part, known in held.items() if known and all(known)}


def _header(slices: list[Slice]) -> Dataset:
    return representative([item.header for item in slices])


def _about_tumor(labels: CaseLabels, grid: Grid) -> dict[str, Any] | None:
    if labels.tumor is None:
        return None
    names = [region["name"] for region in labels.regions if region["kind"] == "tumor"]
    volume = np.count_nonzero(labels.tumor) * grid.voxel_mm3
    return {"regions": names, "volume_mm3": round(float(volume), 1)}


def _covered(ct: Grid, pet: Grid) -> float:
    start, stop = ct.box_of(pet)
    return float(np.prod((stop - start) / np.asarray(ct.shape)))


def _on(ct: Volume, array: np.ndarray | None) -> Volume | None:
    return None if array is None else Volume(array, ct.grid, ct.file_grid)
