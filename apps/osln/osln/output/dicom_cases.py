"""Cases of DICOM studies: what an import makes of them in a temporary folder."""

import hashlib
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from osln.dicom.intake.case_plans import CasePlan, plan_cases
from osln.dicom.intake.deidentify import Deidentifier, identifying_texts
from osln.dicom.intake.importing import reason_of
from osln.dicom.intake.one_case import CaseImport, contents, fingerprint
from osln.dicom.intake.roi_names import RoiRules
from osln.dicom.reading.files import DAMAGED, LocalSource, Progress, slices_of
from osln.dicom.reading.source import CtSeries, ct_series
from osln.imaging.grid import Volume
from osln.output.cases import Case, CaseFiles, Tell, UnusableCase
from osln.store.layout import companions

# Nothing that leaves the temporary folder depends on a secret: fingerprints are of UIDs, which nobody can
# guess, and the same in every process of a job array.
_DEIDENTIFIER = Deidentifier(b"osln: fingerprints of UIDs")


@dataclass(frozen=True)
class DicomCase:
    """A planning CT with its structure set and PET.

    Attributes:
        name: See `case_name`.
        plan: Its series.
        source: Gives the files; open as long as the case is used.
        rules: What names of regions mean.
        required: Of "pet" and "tumor": without them the case is refused.
    """

    name: str
    plan: CasePlan
    source: LocalSource
    rules: RoiRules
    required: tuple[str, ...]

    def fingerprint(self) -> Mapping[str, str | None]:
        """A checksum of the UIDs of the series, of what their files hold, and of what regions mean."""
        held = contents(self.plan, _DEIDENTIFIER).values()
        return {
            "dicom": _DEIDENTIFIER.fingerprint([fingerprint(self.plan, _DEIDENTIFIER, self.rules), *held])
        }

    @contextmanager
    def files(self, tell: Tell) -> Iterator[CaseFiles]:
        """CT, PET (registered if need be) and tumor as the import writes them.

        Raises:
            ValueError: If the study cannot be imported; the sentence names no patient.
        """
        with tempfile.TemporaryDirectory(prefix="osln-case-") as folder:
            store = Path(folder)
            job = CaseImport(
                self.plan, self.name, self.source, store, _DEIDENTIFIER, self.rules, self.required, tell
            )
            try:
                manifest = job.run()
            except (ValueError, OSError, *DAMAGED) as error:
                private = identifying_texts([one.header for one in self.plan.series])
                raise ValueError(_DEIDENTIFIER.clean(reason_of(error), private)) from error
            yield CaseFiles(companions(store, self.name), tuple(manifest["warnings"]))

    def ct_series(self, ct: Volume | None) -> CtSeries:
        return ct_series(slices_of(self.source.paths(self.plan.ct)))

    def lies_in(self, folder: Path) -> bool:
        return folder.resolve().is_relative_to(self.source.path.resolve())


def dicom_cases(
    source: LocalSource,
    rules: RoiRules,
    required: tuple[str, ...],
    *,
    keep_identity: bool = False,
    on_progress: Progress | None = None,
    unusable: int = 0,
) -> list[Case]:
    """The cases among the studies of a folder or archive, and the patients of whom there can be none.

    Args:
        source: Where the studies are.
        rules: What names of regions mean.
        required: Of "pet" and "tumor": what a case must have.
        keep_identity: Call cases by patient id.
        on_progress: Told of headers that were read.
        unusable: Patients of other sources of whom there can be no case; the numbers go on from there.
    """
    found = source.series(on_progress)
    plans, skipped = plan_cases(found, damaged=source.damaged)
    cases: list[Case] = [
        DicomCase(case_name(plan, keep_identity=keep_identity), plan, source, rules, required)
        for plan in plans
    ]
    usable = {plan.patient for plan in plans}
    lost = [one for one in skipped if one.patient not in usable]
    return cases + [
        UnusableCase(f"unusable-{number:02d}", f"{one.what}: {one.reason}")
        for number, one in enumerate(lost, start=unusable + 1)
    ]


def case_name(plan: CasePlan, *, keep_identity: bool) -> str:
    """What a case is called: the same in every run, and without the patient's id unless that is asked for.

    A digest of a hospital number could be undone by trying all numbers; a series UID has too many values.
    """
    digest = hashlib.sha256(plan.ct.uid.encode()).hexdigest()
    if not keep_identity:
        return f"case-{digest[:12]}"
    patient = re.sub(r"[^A-Za-z0-9_-]+", "_", plan.patient).strip("_-") or "case"
    return f"{patient[:100]}-{digest[:4]}"
