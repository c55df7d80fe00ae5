"""What belongs together: a patient's planning CT, its structure set or SEG, its PET and the PET's own CT.

The planning CT is the one that a structure set was drawn on, without any the one of a DICOM Segmentation
(SEG); every planning CT is a case. Series are never
combined across patients, and nothing is taken because of a file's place or name. Each choice is a sentence.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pydicom.dataset import Dataset

from osln.dicom.intake.label_choice import KINDS, NO_LABELS, asked_for, holds, image_of, newest_first
from osln.dicom.intake.patients import patient_keys, two_people
from osln.dicom.nodes import own_kind
from osln.dicom.reading.files import ALONE, DAMAGED, Series, text
from osln.dicom.reading.suv import refusal
from osln.dicom.reading.times import parse_date

DISTANT_DAYS = 60
ENHANCED = "an enhanced multi-frame file, which is not read: export it as single slices"


@dataclass
class CasePlan:
    """The series of one case to be imported.

    Attributes:
        patient: Patient id with its issuer; stays inside the import.
        ct: Planning CT.
        structures, segmentations: Those drawn on it, the newest first.
        pet: PET to be used, or None.
        pet_ct: CT in the PET's frame of reference where that is not the planning CT's, or None.
        chosen: Why these, one sentence each.
        left_out: The patient's other series and why, one sentence each.
        warnings: What a person should look at.
    """

    patient: str
    ct: Series
    structures: list[Series] = field(default_factory=list)
    segmentations: list[Series] = field(default_factory=list)
    pet: Series | None = None
    pet_ct: Series | None = None
    chosen: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def drawn(self) -> tuple[Series, ...]:
        """What tumor and nodes may come from, in the order in which it counts for other programs' sets."""
        return (*self.structures, *self.segmentations)

    @property
    def series(self) -> list[Series]:
        """All of them."""
        parts = (self.ct, self.pet, self.pet_ct, *self.drawn)
        return [item for item in parts if item]

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
    series: Sequence[Series], wanted_cts: Iterable[str] = (), damaged: Sequence[Dataset] = ()
) -> tuple[list[CasePlan], list[Skipped]]:
    """Finds the cases among the series of a source.

    Args:
        series: All that were found, of any patients.
        wanted_cts: UIDs or numbers of the CT series that are to be cases; all planning CTs if empty.
        damaged: What is known of files that could not be read.
    """
    skipped: list[Skipped] = []
    patients: dict[str, list[Series]] = {}
    owner = patient_keys(series)
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
        if conflict := two_people(own):
            skipped.append(Skipped(patient, f"patient with {len(own)} series", conflict))
            continue
        try:
            found, left = _plan_patient(patient, own, owners, wanted)
        except DAMAGED:
            reason = "attributes of its DICOM files are damaged; export the studies again"
            found, left = [], [Skipped(patient, f"patient with {len(own)} series", reason)]
        plans += found
        skipped += left
    for plan in plans:
        plan.warnings += _lost_labels(plan, damaged)
    return plans, skipped


def _lost_labels(plan: CasePlan, damaged: Sequence[Dataset]) -> list[str]:
    """What to say of structure sets and segmentations of the patient that could not be read."""
    return [
        f"{count} {modality} files of this patient could not be read (truncated or damaged): what was taken "
        "may not be the newest; copy them again"
        for modality in ALONE
        if (
            count := sum(
                text(head, "Modality") == modality and text(head, "PatientID") in plan.ct.patients
                for head in damaged
            )
        )
    ]


def _plan_patient(
    patient: str, series: Sequence[Series], owners: Mapping[str, set[str]], wanted: set[str]
) -> tuple[list[CasePlan], list[Skipped]]:
    skipped: list[Skipped] = []
    cts = [item for item in series if item.modality == "CT" and item.is_volume]
    pets = [item for item in series if item.modality == "PT" and item.is_volume]
    drawn_on: dict[str, list[Series]] = {}
    unplaced: dict[int, str] = {}
    for item in series:
        if item.modality in ALONE and own_kind(item.header) not in NO_LABELS:
            ct, reason = image_of(patient, item, series, owners, wanted)
            if ct is not None:
                drawn_on.setdefault(ct.uid, []).append(item)
            else:
                unplaced[id(item)] = reason
                skipped.append(Skipped(patient, item.name, reason))
    lost = any(item.modality == "RTSTRUCT" and "PET" not in unplaced.get(id(item), "PET") for item in series)
    with_structures = {
        uid for uid, items in drawn_on.items() if any(item.modality == "RTSTRUCT" for item in items)
    }
    if wanted:
        planning = asked_for(cts, wanted)
    else:
        drawn = with_structures or (set() if lost else set(drawn_on))
        planning = [ct for ct in cts if ct.uid in drawn]
    plans = [_planned(patient, ct, drawn_on.get(ct.uid, []), cts) for ct in planning]
    if not planning and not wanted:
        if len(cts) == 1 and not lost:
            plans.append(CasePlan(patient, cts[0]))
            plans[0].chosen.append(f"{cts[0].name} is the patient's only CT")
            plans[0].warnings.append("no structure set: contour the primary tumor in the viewer")
        else:
            what = f"patient with {len(series)} series"
            skipped.append(Skipped(patient, what, _why_none(series, cts, pets, lost)))
    for plan in plans:
        _choose_pet(plan, series, cts)
        told = {*map(id, (plan.ct, plan.pet, plan.pet_ct)), *map(id, drawn_on.get(plan.ct.uid, []))}
        told |= {
            id(pet)
            for pet in series
            if pet.modality == "PT" and any(pet.name in sentence for sentence in plan.chosen)
        }
        plan.left_out += [
            f"{item.name}: {unplaced.get(id(item)) or _why_not(item, plan)}"
            for item in series
            if id(item) not in told
        ]
    return plans, skipped


def _planned(patient: str, ct: Series, labels: Sequence[Series], cts: Sequence[Series]) -> CasePlan:
    """A case with what was drawn on its CT."""
    plan = CasePlan(patient, ct, newest_first([item for item in labels if item.modality == "RTSTRUCT"]))
    plan.segmentations = newest_first([item for item in labels if item.modality == "SEG"])
    plan.chosen.append(_why_ct(plan, cts))
    foreign = [item.modality for item in plan.drawn if not holds(item)]
    for modality, what in KINDS.items():
        if (count := foreign.count(modality)) > 1:
            told = f"{count} {what}s lie on this CT: the newest that has tumor or nodes is used"
            plan.warnings.append(told)
    return plan


def _why_not(series: Series, plan: CasePlan) -> str:
    if series.modality not in ("CT", "PT", *ALONE):
        return "neither CT, PET, RTSTRUCT nor SEG"
    if series.modality in ALONE:
        return NO_LABELS.get(own_kind(series.header), "not drawn on this CT")
    if series.is_enhanced:
        return ENHANCED
    if not series.is_volume:
        return "a single image, localizer, projection or derived picture"
    return "another CT is the planning CT" if series.modality == "CT" else "another PET is used"


def _why_ct(plan: CasePlan, cts: Sequence[Series]) -> str:
    others = f" ({len(cts) - 1} other CTs are not)" if len(cts) > 1 else ""
    why = "a structure set refers to it" if plan.structures else "asked for"
    if plan.segmentations and not plan.structures:
        why = "a segmentation refers to it"
    return f"{plan.ct.name} is the planning CT: {why}{others}"


def _why_none(series: Sequence[Series], cts: Sequence[Series], pets: Sequence[Series], lost: bool) -> str:
    enhanced = [item for item in series if item.modality == "CT" and item.is_enhanced]
    if enhanced and not cts:
        return f"there is no CT that can be read: {enhanced[0].name} is {ENHANCED}"
    if not cts:
        return f"there is no CT{' (only a PET)' if pets else ''}; add the planning CT"
    if lost:
        return "its structure set cannot be used, so the planning CT is not known"
    told = ", ".join(ct.name for ct in cts)
    return f"there is no structure set and {len(cts)} CTs ({told}): say which one is meant with --ct NUMBER"


def _choose_pet(plan: CasePlan, series: Sequence[Series], cts: Sequence[Series]) -> None:
    pets = [item for item in series if item.modality == "PT" and (item.is_volume or item.is_enhanced)]
    usable = []
    for pet in pets:
        if reason := f"it is {ENHANCED}" if pet.is_enhanced else refusal(pet.header):
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
