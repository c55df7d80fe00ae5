"""What belongs together: the planning CT of a patient, its structure set, its PET and the PET's own CT.

The planning CT is the one that a structure set was drawn on; every planning CT is a case. Series are never
combined across patients, and nothing is taken because of a file's place or name. Each choice is a sentence.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from osln.dicom.reading.files import DAMAGED, Series, text
from osln.dicom.reading.rtstruct import drawn, referenced
from osln.dicom.reading.suv import refusal
from osln.dicom.reading.times import parse_date

DISTANT_DAYS = 60
CLASSES = (
    "1.2.840.10008.5.1.4.1.1.2",
    "1.2.840.10008.5.1.4.1.1.2.1",
    "1.2.840.10008.5.1.4.1.1.128",
    "1.2.840.10008.5.1.4.1.1.130",
)
"""CT and PET images, single and enhanced; screenshots and dose reports call themselves CT too."""
NO_IMAGE = ("LOCALIZER", "MIP", "PROJECTION IMAGE")


@dataclass
class CasePlan:
    """The series of one case to be imported.

    Attributes:
        patient: Patient id with its issuer; stays inside the import.
        ct: Planning CT.
        structures: Structure sets drawn on it, the newest first; only the first is used.
        pet: PET to be used, or None.
        pet_ct: CT in the PET's frame of reference where that is not the planning CT's, or None.
        chosen: Why these, one sentence each.
        warnings: What a person should look at.
    """

    patient: str
    ct: Series
    structures: list[Series] = field(default_factory=list)
    pet: Series | None = None
    pet_ct: Series | None = None
    chosen: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def registered(self) -> bool:
        """Whether PET and CT already have one frame of reference."""
        return self.pet is not None and self.pet.frame != "" and self.pet.frame == self.ct.frame


@dataclass(frozen=True)
class Skipped:
    """What was not imported and why."""

    patient: str
    what: str
    reason: str


def plan_cases(
    series: Sequence[Series], wanted_cts: Iterable[str] = ()
) -> tuple[list[CasePlan], list[Skipped]]:
    """Finds the cases among the series of a source.

    Args:
        series: All that were found, of any patients.
        wanted_cts: UIDs or numbers of the CT series that are to be cases; all planning CTs if empty.
    """
    skipped: list[Skipped] = []
    patients: dict[str, list[Series]] = {}
    owner = _patient_keys(series)
    for item in series:
        if len(item.patients) > 1:
            reason = f"it holds images of {len(item.patients)} patients; separate them at the source"
            skipped.append(Skipped("", item.name, reason))
        else:
            patients.setdefault(owner[id(item)], []).append(item)
    owners: dict[str, set[str]] = {}
    for item in series:
        owners.setdefault(item.uid, set()).add(owner[id(item)])
    plans: list[CasePlan] = []
    wanted = set(wanted_cts)
    for patient, own in sorted(patients.items()):
        if conflict := _two_people(own):
            skipped.append(Skipped(patient, f"patient with {len(own)} series", conflict))
            continue
        try:
            found, left = _plan_patient(patient, own, owners, wanted)
        except DAMAGED:
            reason = "attributes of its DICOM files are damaged; export the studies again"
            found, left = [], [Skipped(patient, f"patient with {len(own)} series", reason)]
        plans += found
        skipped += left
    return plans, skipped


def _patient_keys(series: Sequence[Series]) -> dict[int, str]:
    """Patient of each series, by its `id()`: patient id, and issuer where one id has several.

    Planning systems often leave the issuer out, so a missing one is no other one. Series without a patient id
    count as one patient inside one study only.
    """
    issuers: dict[str, set[str]] = {}
    for item in series:
        issuers.setdefault(text(item.header, "PatientID"), set()).add(text(item.header, "IssuerOfPatientID"))
    keys = {}
    for item in series:
        patient, issuer = text(item.header, "PatientID"), text(item.header, "IssuerOfPatientID")
        if not patient:
            keys[id(item)] = f"study {text(item.header, 'StudyInstanceUID')}"
        else:
            keys[id(item)] = f"{patient} ({issuer})" if len(issuers[patient] - {""}) > 1 else patient
    return keys


def _two_people(series: Sequence[Series]) -> str | None:
    births = {text(item.header, "PatientBirthDate") for item in series} - {""}
    names = {_letters(text(item.header, "PatientName")) for item in series} - {""}
    if len(births) > 1:
        return f"one patient id stands with {len(births)} birth dates: different people; correct the ids"
    if len(names) > 1 and not births:
        return f"one patient id stands with {len(names)} names and no birth date; correct the ids"
    return None


def _letters(name: str) -> str:
    return "".join(sorted("".join(c if c.isalnum() else " " for c in name.casefold()).split()))


def _plan_patient(
    patient: str, series: Sequence[Series], owners: Mapping[str, set[str]], wanted: set[str]
) -> tuple[list[CasePlan], list[Skipped]]:
    skipped: list[Skipped] = []
    cts = [item for item in series if item.modality == "CT" and item.count > 1 and not _no_image(item)]
    pets = [item for item in series if item.modality == "PT" and item.count > 1 and not _no_image(item)]
    by_uid = {item.uid: item for item in cts}
    drawn_on: dict[str, list[Series]] = {}
    lost = False
    for item in series:
        if item.modality == "RTSTRUCT":
            ct, reason = _image_of(patient, item, cts, pets, owners)
            if ct is not None:
                drawn_on.setdefault(ct.uid, []).append(item)
            else:
                lost = lost or "PET" not in (reason or "")
                skipped.append(Skipped(patient, item.name, reason or ""))
    if wanted:
        planning = [ct for ct in cts if ct.uid in wanted or text(ct.header, "SeriesNumber") in wanted]
    else:
        planning = [by_uid[uid] for uid in drawn_on]
    plans = []
    for ct in planning:
        plan = CasePlan(patient, ct, sorted(drawn_on.get(ct.uid, []), key=_drawn_at, reverse=True))
        plan.chosen.append(_why_ct(ct, plan.structures, cts))
        if len(plan.structures) > 1:
            plan.warnings.append(f"{len(plan.structures)} structure sets lie on this CT: the newest is used")
        plans.append(plan)
    if not planning and not wanted:
        if len(cts) == 1 and not lost:
            plans.append(CasePlan(patient, cts[0]))
            plans[0].chosen.append(f"{cts[0].name} is the patient's only CT")
            plans[0].warnings.append("no structure set: contour the primary tumor in the viewer")
        else:
            skipped.append(Skipped(patient, f"patient with {len(series)} series", _why_none(cts, pets, lost)))
    for plan in plans:
        _choose_pet(plan, pets, cts)
    return plans, skipped


def _image_of(
    patient: str,
    structures: Series,
    cts: Sequence[Series],
    pets: Sequence[Series],
    owners: Mapping[str, set[str]],
) -> tuple[Series | None, str | None]:
    """The CT that a structure set was drawn on, or why there is none."""
    uids, _, frames = referenced(structures.header)
    if found := [ct for ct in cts if ct.uid in uids]:
        return found[0], None
    if any(pet.uid in uids for pet in pets):
        return None, "it was drawn on the PET, not on a CT; only structures of the planning CT are used"
    if any(owners.get(uid, set()) - {patient} for uid in uids):
        return None, "it refers to images of another patient; correct the patient ids"
    if uids:
        return None, "it refers to a CT that is not here; add that series"
    same = [ct for ct in cts if ct.frame and ct.frame in frames]
    if len(same) == 1:
        return same[0], None
    return None, f"it names no series, and {len(same)} CTs share its frame of reference"


def _why_ct(ct: Series, structures: Sequence[Series], cts: Sequence[Series]) -> str:
    others = f" ({len(cts) - 1} other CTs are not)" if len(cts) > 1 else ""
    why = "a structure set refers to it" if structures else "asked for"
    return f"{ct.name} is the planning CT: {why}{others}"


def _why_none(cts: Sequence[Series], pets: Sequence[Series], lost: bool) -> str:
    if not cts:
        return f"there is no CT{' (only a PET)' if pets else ''}; add the planning CT"
    if lost:
        return "its structure set cannot be used, so the planning CT is not known"
    told = ", ".join(ct.name for ct in cts)
    return f"there is no structure set and {len(cts)} CTs ({told}): say which one is meant with --ct NUMBER"


def _choose_pet(plan: CasePlan, pets: Sequence[Series], cts: Sequence[Series]) -> None:
    usable = []
    for pet in pets:
        if reason := refusal(pet.header):
            plan.chosen.append(f"{pet.name} is not used: {reason}")
        else:
            usable.append(pet)
    if not usable:
        plan.warnings.append("no PET that gives SUV" if pets else "no PET")
        return

    def worth(pet: Series) -> tuple[bool, int, int, str]:
        return (
            pet.frame != plan.ct.frame,
            _days(pet, plan.ct) or 0,
            -pet.count,
            text(pet.header, "SeriesNumber"),
        )

    usable.sort(key=worth)
    plan.pet = pet = usable[0]
    same = "shares the CT's frame of reference" if plan.registered else "has a frame of reference of its own"
    plan.chosen.append(
        f"{pet.name} is the PET: attenuation-corrected, {same}"
        + (
            f"; {len(usable) - 1} more were nearer in nothing (frame, date, slices)"
            if len(usable) > 1
            else ""
        )
    )
    days = _days(pet, plan.ct)
    if days is not None and days > DISTANT_DAYS:
        plan.warnings.append(f"PET and CT lie {days} days apart")
    if not plan.registered:
        own = [ct for ct in cts if ct.frame and ct.frame == pet.frame and ct is not plan.ct]
        if own:
            plan.pet_ct = max(own, key=lambda ct: ct.count)
            plan.chosen.append(f"{plan.pet_ct.name} is the PET's own CT: it carries the registration")


def _days(one: Series, other: Series) -> int | None:
    dates = [parse_date(text(s.header, "SeriesDate") or text(s.header, "StudyDate")) for s in (one, other)]
    return None if dates[0] is None or dates[1] is None else abs((dates[0] - dates[1]).days)


def _drawn_at(structures: Series) -> datetime:
    return drawn(structures.header) or datetime.min


def _no_image(series: Series) -> bool:
    kinds = [str(word).upper() for word in series.header.get("ImageType") or []]
    return any(word in NO_IMAGE for word in kinds) or text(series.header, "SOPClassUID") not in CLASSES
