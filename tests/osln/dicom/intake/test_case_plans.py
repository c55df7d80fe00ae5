"""Which series belong together, and why: planning CT, structure set, PET and its own CT."""

import pytest
from pydicom.dataset import Dataset

from osln.dicom.intake.case_plans import plan_cases
from osln.dicom.reading.files import Series, representative
from osln.dicom.reading.referenced import drawn_on as drawn_on_by_contours
from small.dicom import AXIAL, box_contours, ct_slices, structure_set, uid
from small.study import pet

CONTOURS = box_contours(AXIAL, (5, 9), (6, 9), range(4, 7))


def series(datasets):
    return Series(datasets[0], len(datasets), frozenset(str(ds.PatientID) for ds in datasets))


def plan_of(ct, **tags):
    return series([structure_set(ct, {"GTVp": CONTOURS}, **tags)])


def single(found):
    [plan], skipped = found
    return plan, skipped


def test_planning_ct_is_the_one_that_the_structure_set_refers_to():
    low_dose, planning = ct_slices(name="low-dose"), ct_slices(name="planning")

    plan, skipped = single(plan_cases([series(low_dose), series(planning), plan_of(planning)]))

    assert plan.ct.uid == uid("planning-series") and skipped == []
    assert plan.chosen[0] == (
        "CT series 1 (12 files) is the planning CT: a structure set refers to it (1 other CTs are not)"
    )


def test_newest_of_several_structure_sets_is_used_and_told():
    ct = ct_slices()
    old = plan_of(ct, name="old", StructureSetDate="20190101")
    new = plan_of(ct, name="new", StructureSetDate="20210101")

    plan, _ = single(plan_cases([series(ct), new, old]))

    assert [item.header.SOPInstanceUID for item in plan.structures] == [uid("new"), uid("old")]
    told = "2 structure sets lie on this CT: the newest that has tumor or nodes is used"
    assert plan.warnings == [told, "no PET"]


def test_structure_set_without_a_series_is_placed_by_its_frame_of_reference_if_that_is_unique():
    ct, other = ct_slices(), ct_slices(name="other", FrameOfReferenceUID=uid("elsewhere"))
    structures = structure_set(ct, {"GTVp": CONTOURS})
    del structures.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence

    plan, _ = single(plan_cases([series(ct), series(other), series([structures])]))
    assert plan.ct.uid == uid("ct-series")

    twin = ct_slices(name="twin")
    plans, skipped = plan_cases([series(ct), series(twin), series([structures])])
    assert plans == [] and "2 CTs share its frame of reference" in skipped[0].reason


def test_uncorrected_pet_is_passed_over():
    ct = ct_slices()
    uncorrected = pet(name="nac", CorrectedImage=["DECY"], SeriesNumber=2)
    corrected = pet(name="ac", SeriesNumber=3)

    plan, _ = single(plan_cases([series(ct), plan_of(ct), series(uncorrected), series(corrected)]))

    assert plan.pet.uid == uid("ac-series") and plan.registered and plan.pet_ct is None
    assert any(
        sentence.startswith("PT series 2 (6 files) is not used: it is not att") for sentence in plan.chosen
    )


def test_pet_in_the_frame_of_the_ct_goes_before_one_of_a_nearer_day():
    ct = ct_slices()
    near = pet(name="near", FrameOfReferenceUID=uid("other"))
    same = pet(name="same", SeriesDate="20191201", StudyDate="20191201")

    plan, _ = single(plan_cases([series(ct), plan_of(ct), series(near), series(same)]))

    assert plan.pet.uid == uid("same-series")


def test_of_two_pets_elsewhere_the_nearer_day_is_taken_with_its_own_ct():
    ct = ct_slices()
    early = pet(name="early", FrameOfReferenceUID=uid("f1"), SeriesDate="20190601")
    late = pet(name="late", FrameOfReferenceUID=uid("f2"), SeriesDate="20191220")
    own = ct_slices(name="own", FrameOfReferenceUID=uid("f2"))

    plan, _ = single(plan_cases([series(ct), plan_of(ct), series(early), series(own), series(late)]))

    assert (plan.pet.uid, plan.pet_ct.uid) == (uid("late-series"), uid("own-series"))
    assert not plan.registered and plan.warnings == []


def test_pet_long_before_the_ct_is_remarked_on():
    ct = ct_slices()
    early = pet(SeriesDate="20190102")

    plan, _ = single(plan_cases([series(ct), plan_of(ct), series(early)]))

    assert plan.warnings == ["PET and CT lie 365 days apart"]


@pytest.mark.parametrize("name", ["Doe^Jane", "DOE^JANE", "Jane Doe"])
def test_spellings_of_one_name_are_one_patient(name):
    ct = ct_slices(PatientBirthDate="")

    plan, skipped = single(plan_cases([series(ct), series(pet(PatientBirthDate="", PatientName=name))]))
    assert plan.pet is not None and skipped == []


def test_two_names_without_birth_dates_are_two_people():
    found, skipped = plan_cases(
        [series(ct_slices(PatientBirthDate="")), series(pet(PatientBirthDate="", PatientName="Roe^Richard"))]
    )

    assert found == [] and "2 names" in skipped[0].reason


def test_same_id_of_two_hospitals_are_two_patients():
    found, skipped = plan_cases(
        [series(ct_slices(IssuerOfPatientID="A")), series(pet(IssuerOfPatientID="B"))]
    )

    assert len(found) == 1 and found[0].pet is None and "only a PET" in skipped[0].reason


def test_an_issuer_that_one_system_leaves_out_makes_no_other_patient():
    ct = ct_slices(IssuerOfPatientID="A")

    plan, skipped = single(plan_cases([series(ct), plan_of(ct), series(pet())]))
    assert plan.structures and plan.pet is not None and skipped == []


def test_screenshots_that_call_themselves_ct_are_no_ct():
    shots = ct_slices(name="shots", SOPClassUID="1.2.840.10008.5.1.4.1.1.7")

    plan, _ = single(plan_cases([series(ct_slices()), series(shots)]))
    assert plan.ct.uid == uid("ct-series")


def test_series_without_a_patient_id_belong_together_inside_a_study_only():
    ct = ct_slices(PatientID="")
    inside, outside = pet(PatientID=""), pet(name="x", PatientID="", StudyInstanceUID=uid("study 2"))

    plan, _ = single(plan_cases([series(ct), series(inside)]))
    assert plan.pet is not None
    plan, _ = single(plan_cases([series(ct), series(outside)]))
    assert plan.pet is None


def test_localizers_and_projections_are_no_images_to_plan_on():
    scout = ct_slices(name="scout", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    mip = pet(name="mip", ImageType=["DERIVED", "SECONDARY", "MIP"])

    plan, _ = single(plan_cases([series(ct_slices()), series(scout), series(mip)]))

    assert plan.ct.uid == uid("ct-series") and plan.pet is None


def test_the_header_of_a_slice_speaks_for_a_series_and_not_that_of_its_scout():
    ct = ct_slices()
    scout = ct_slices(name="scout", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])[0]
    scout.SeriesInstanceUID = ct[0].SeriesInstanceUID
    header = representative([scout, *ct])
    assert header is ct[0]

    plan, _ = single(plan_cases([Series(header, 13, frozenset({"H-123456"})), plan_of(ct)]))
    assert plan.ct.uid == uid("ct-series")


def naming_both(one, other, drawn_on=frozenset()):
    structures = structure_set(one, {"GTVp": CONTOURS})
    study = structures.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
    more = structure_set(other, {"GTVp": CONTOURS}).ReferencedFrameOfReferenceSequence[0]
    study.RTReferencedSeriesSequence.append(more.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0])
    item = Dataset()
    item.ReferencedSOPInstanceUID = (drawn_on or one)[5].SOPInstanceUID
    if drawn_on:
        structures.ROIContourSequence[0].ContourSequence[0].ContourImageSequence = [item]
    return Series(structures, 1, frozenset({"H-123456"}), drawn_on=drawn_on_by_contours(structures))


def test_of_two_cts_that_a_structure_set_names_its_contours_decide_whatever_the_order():
    one, other = ct_slices(name="one"), ct_slices(name="other", SeriesNumber=2)
    for order in ([one, other], [other, one]):
        cts = [series(ct) for ct in order]
        plan, skipped = single(plan_cases([*cts, naming_both(one, other, other)]))
        assert plan.ct.uid == uid("other-series") and skipped == []

    found, skipped = plan_cases([series(one), series(other), naming_both(one, other)])
    assert found == [] and "it names 2 CTs" in skipped[0].reason and "--ct NUMBER" in skipped[0].reason
    plan, _ = single(plan_cases([series(one), series(other), naming_both(one, other)], ["2"]))
    assert plan.ct.uid == uid("other-series") and plan.structures


def test_enhanced_files_are_refused_by_their_name():
    ct = ct_slices()
    enhanced = Series(ct_slices(SOPClassUID="1.2.840.10008.5.1.4.1.1.2.1")[0], 1, frozenset({"H-123456"}))
    found, skipped = plan_cases([enhanced, plan_of(ct)])
    assert found == [] and all("enhanced multi-frame file" in item.reason for item in skipped)

    pet_file = Series(pet(SOPClassUID="1.2.840.10008.5.1.4.1.1.130")[0], 1, frozenset({"H-123456"}))
    plan, _ = single(plan_cases([series(ct), plan_of(ct), pet_file]))
    assert "PT series 1 (1 files) is not used: it is an enhanced multi-frame file" in plan.chosen[1]
    assert plan.warnings == ["no PET that gives SUV"] and plan.left_out == []


def test_nothing_gives_nothing():
    assert plan_cases([]) == ([], [])
