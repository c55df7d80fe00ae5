"""Which series of a PACS are cases, and which case a series belongs to."""

from osln.dicom.reading.files import Series
from osln.pacs.cases import find_cases, told
from small.dicom import ct_slices, structure_set
from small.study import pet, regions


def series(datasets):
    return Series(datasets[0], len(datasets), frozenset({str(datasets[0].PatientID)}))


PLANNING = ct_slices(name="planning")
PET = pet(FrameOfReferenceUID="1.2.9")
PET_CT = ct_slices(name="pet ct", FrameOfReferenceUID="1.2.9")


def uids(*parts):
    return [str(part[0].SeriesInstanceUID) for part in parts]


def test_ct_that_only_carries_the_registration_of_a_pet_is_no_case_but_leads_to_it():
    cases = find_cases([series(part) for part in (PLANNING, PET, PET_CT)])

    planning, pet_uid, pet_ct = uids(PLANNING, PET, PET_CT)
    assert list(cases.plans) == [planning]
    assert cases.case_of(pet_uid) == cases.case_of(pet_ct) == planning


def test_ct_of_a_pet_is_the_case_where_there_is_no_other():
    cases = find_cases([series(PET), series(PET_CT)])

    pet_uid, pet_ct = uids(PET, PET_CT)
    assert list(cases.plans) == [pet_ct] and cases.case_of(pet_uid) == pet_ct


def test_ct_of_a_pet_on_which_somebody_drew_is_a_case():
    drawn = structure_set(PET_CT, regions())
    cases = find_cases([*(series(part) for part in (PLANNING, PET, PET_CT)), series([drawn])])

    assert set(cases.plans) == set(uids(PLANNING, PET_CT))
    assert cases.case_of(str(drawn.SeriesInstanceUID)) == uids(PET_CT)[0]


def test_pet_of_two_cts_stands_for_the_newer_one():
    newer = ct_slices(name="newer", StudyDate="20210101")
    older = ct_slices(name="older")
    cases = find_cases([series(part) for part in (newer, older, pet())])

    assert set(cases.plans) == set(uids(newer, older))
    assert cases.case_of(uids(pet())[0]) == uids(newer)[0]


def test_series_of_two_people_under_one_id_are_left_out_with_the_reason():
    other = ct_slices(name="other", PatientBirthDate="19990101")
    cases = find_cases([series(PLANNING), series(other)])

    assert cases.plans == {} and "2 birth dates" in cases.left_out[0]


def test_nothing_gives_nothing():
    assert find_cases([]).plans == {} and find_cases([series(PET)]).case_of("1.2") is None


def test_viewers_are_told_patient_study_and_date():
    (plan,) = find_cases([series(PLANNING)]).plans.values()

    assert told(plan) == {
        "PatientID": "H-123456",
        "StudyInstanceUID": str(PLANNING[0].StudyInstanceUID),
        "SeriesInstanceUID": str(PLANNING[0].SeriesInstanceUID),
        "SeriesNumber": "1",
        "SeriesDescription": "planning-0",
        "Modality": "CT",
        "StudyDate": "20200102",
        "StudyTime": "095000",
    }
