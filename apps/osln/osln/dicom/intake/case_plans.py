"""What belongs together: a patient's planning CT, its structure set or SEG, its PET and the PET's own CT.

The planning CT is the one that a structure set was drawn on, without any the one of a DICOM Segmentation
(SEG); every planning CT is a case. Series are never
combined across patients, and nothing is taken because of a file's place or name. Each choice is a sentence.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from osln.dicom.intake.patients import patient_keys, two_people
from osln.dicom.nodes import IN_PART, MANUFACTURER, PREDICTED
from osln.dicom.reading.files import DAMAGED, Series, text
from osln.dicom.reading.rtstruct import drawn, referenced
from osln.dicom.reading.segmentation import is_ours, when_created
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
        segmentations: Those drawn on it, the newest first; the first is used if there is no structure set.
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
    def labels(self) -> Series | None:
        """The structure set or segmentation that tumor and nodes come from."""
        return next(iter((*self.structures, *self.segmentations)), None)

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
    return plans, skipped


def _plan_patient(
    patient: str, series: Sequence[Series], owners: Mapping[str, set[str]], wanted: set[str]
) -> tuple[list[CasePlan], list[Skipped]]:
    skipped: list[Skipped] = []
    cts = [item for item in series if item.modality == "CT" and item.count > 1 and not _no_image(item)]
    pets = [item for item in series if item.modality == "PT" and item.count > 1 and not _no_image(item)]
    by_uid = {item.uid: item for item in cts}
    drawn_on: dict[str, dict[str, list[Series]]] = {"RTSTRUCT": {}, "SEG": {}}
    lost = False
    for item in series:
        if item.modality in drawn_on:
            ct, reason = _image_of(patient, item, cts, pets, owners)
            if ct is not None:
                drawn_on[item.modality].setdefault(ct.uid, []).append(item)
            else:
                lost = lost or (item.modality == "RTSTRUCT" and "PET" not in (reason or ""))
                skipped.append(Skipped(patient, item.name, reason or ""))
    structures, segmentations = drawn_on.values()
    if wanted:
        planning = [ct for ct in cts if ct.uid in wanted or text(ct.header, "SeriesNumber") in wanted]
    else:
        planning = [by_uid[uid] for uid in (structures or ({} if lost else segmentations))]
    plans = [
        _planned(patient, ct, structures.get(ct.uid, []), segmentations.get(ct.uid, []), cts)
        for ct in planning
    ]
    if not planning and not wanted:
        if len(cts) == 1 and not lost:
            plans.append(CasePlan(patient, cts[0]))
            plans[0].chosen.append(f"{cts[0].name} is the patient's only CT")
            plans[0].warnings.append("no structure set: contour the primary tumor in the viewer")
        else:
            skipped.append(Skipped(patient, f"patient with {len(series)} series", _why_none(cts, pets, lost)))
    for plan in plans:
        _choose_pet(plan, pets, cts)
        told = {*map(id, (plan.ct, plan.pet, plan.pet_ct, *plan.structures, *plan.segmentations))}
        told |= {id(pet) for pet in pets if any(pet.name in sentence for sentence in plan.chosen)}
        plan.left_out += [f"{item.name}: {_why_not(item, plan)}" for item in series if id(item) not in told]
    return plans, skipped


def _planned(
    patient: str, ct: Series, structures: list[Series], segmentations: list[Series], cts: Sequence[Series]
) -> CasePlan:
    parts = [item for item in (*structures, *segmentations) if _is_part(item)]
    structures, segmentations = (
        [item for item in items if item not in parts] for items in (structures, segmentations)
    )
    plan = CasePlan(patient, ct, sorted(structures, key=_drawn_at, reverse=True))
    plan.left_out += [f"{item.name}: nodes of a case that was reviewed in part" for item in parts]
    plan.chosen.append(_why_ct(ct, plan.structures, segmentations, cts))
    plan.left_out += [f"{older.name}: a newer structure set lies on this CT" for older in plan.structures[1:]]
    if len(plan.structures) > 1:
        plan.warnings.append(f"{len(plan.structures)} structure sets lie on this CT: the newest is used")
    usable = []
    for seg in sorted(segmentations, key=_drawn_at, reverse=True):
        if text(seg.header, "ContentLabel") == PREDICTED and is_ours(seg.header):
            plan.left_out.append(f"{seg.name}: a prediction of this program, which nobody has reviewed")
        elif plan.structures:
            plan.warnings.append(f"{seg.name} was left out: the structure set of this CT goes before it")
        else:
            usable.append(seg)
    plan.segmentations = usable
    plan.left_out += [f"{older.name}: a newer segmentation lies on this CT" for older in usable[1:]]
    if usable:
        plan.chosen.append(f"{usable[0].name} gives the labels: no structure set lies on this CT")
    if len(usable) > 1:
        plan.warnings.append(f"{len(usable)} segmentations lie on this CT: the newest is used")
    return plan


def _is_part(series: Series) -> bool:
    """Whether it is an object of ours that has not all nodes."""
    named = [text(series.header, name) for name in ("ContentLabel", "StructureSetLabel")]
    ours = text(series.header, "Manufacturer") == MANUFACTURER
    return ours and any(name.replace(" ", "_") == IN_PART for name in named)


def _why_not(series: Series, plan: CasePlan) -> str:
    if series.modality not in ("CT", "PT", "RTSTRUCT", "SEG"):
        return "neither CT, PET, RTSTRUCT nor SEG"
    if series.modality in ("RTSTRUCT", "SEG"):
        return "not drawn on this CT"
    if series.count == 1 or _no_image(series):
        return "a single image, localizer, projection or derived picture"
    return "another CT is the planning CT" if series.modality == "CT" else "another PET is used"


def _image_of(
    patient: str,
    structures: Series,
    cts: Sequence[Series],
    pets: Sequence[Series],
    owners: Mapping[str, set[str]],
) -> tuple[Series | None, str | None]:
    """The CT that a structure set was drawn on, or why there is none."""
    uids, frames = _drawn_on(structures)
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


def _drawn_on(labels: Series) -> tuple[set[str], set[str]]:
    """UIDs of the image series and frames of reference that a structure set or segmentation names."""
    if labels.modality == "RTSTRUCT":
        uids, _, frames = referenced(labels.header)
        return uids, frames
    items = labels.header.get("ReferencedSeriesSequence") or []
    return {text(item, "SeriesInstanceUID") for item in items} - {""}, {labels.frame} - {""}


def _why_ct(
    ct: Series, structures: Sequence[Series], segmentations: Sequence[Series], cts: Sequence[Series]
) -> str:
    others = f" ({len(cts) - 1} other CTs are not)" if len(cts) > 1 else ""
    why = "a structure set refers to it" if structures else "asked for"
    if segmentations and not structures:
        why = "a segmentation refers to it"
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


def _drawn_at(labels: Series) -> datetime:
    made = when_created(labels.header) if labels.modality == "SEG" else None
    return made or drawn(labels.header) or datetime.min


def _no_image(series: Series) -> bool:
    kinds = [str(word).upper() for word in series.header.get("ImageType") or []]
    return any(word in NO_IMAGE for word in kinds) or text(series.header, "SOPClassUID") not in CLASSES
