"""The cases of a PACS: every CT volume that is not just the CT of a PET. A case is named by its CT's UID."""

from collections.abc import Sequence
from dataclasses import dataclass

from osln.dicom.intake.case_plans import CasePlan, plan_cases
from osln.dicom.reading.files import Series, text

TOLD = (
    "PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "Modality",
    "StudyDate", "StudyTime",
)  # fmt: skip
"""What viewers show of a case, or open it by."""


@dataclass(frozen=True)
class Cases:
    """Cases and the series that belong to them.

    Attributes:
        plans: What is to be imported, by case.
        aliases: Case by the UID of one of its series (PET, the PET's CT, structure sets).
        left_out: Why other things are no cases, one sentence each.
    """

    plans: dict[str, CasePlan]
    aliases: dict[str, str]
    left_out: tuple[str, ...]

    def case_of(self, uid: str) -> str | None:
        """The case of a series; None if there is none."""
        return uid if uid in self.plans else self.aliases.get(uid)


def find_cases(series: Sequence[Series]) -> Cases:
    """Finds the cases among all series of a PACS.

    Unlike an import, which takes planning CTs, this offers every CT of a patient to the viewers, except those
    that only carry the registration of a PET. A PET that serves several CTs stands for the newest.
    """
    cts = [item.uid for item in series if item.modality == "CT"]
    if not cts:
        return Cases({}, {}, ())
    plans, skipped = plan_cases(series, cts)
    of_pets = {plan.pet_ct.uid for plan in plans if plan.pet_ct}
    kept = [plan for plan in plans if plan.structures or plan.ct.uid not in of_pets]
    kept.sort(key=lambda plan: (text(plan.ct.header, "StudyDate"), text(plan.ct.header, "StudyTime")))
    aliases = {
        item.uid: plan.ct.uid for plan in kept for item in (plan.pet, plan.pet_ct, *plan.structures) if item
    }
    reasons = tuple(f"{item.what}: {item.reason}" for item in skipped)
    return Cases({plan.ct.uid: plan for plan in kept}, aliases, reasons)


def told(plan: CasePlan) -> dict[str, str]:
    """What viewers are told about a case."""
    return {name: text(plan.ct.header, name) for name in TOLD}
