"""What is written tells nothing about who the patient is, and the same about the same patient every time."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest
from pydicom.dataset import Dataset

from osln.dicom.intake import deidentify
from osln.dicom.intake.deidentify import LONGEST_SHIFT_DAYS, Deidentifier, identifying_texts, read_key
from osln.files.whole import write_atomically
from osln.store.layout import check_case
from small.dicom import ct_slices, uid

KEY = bytes(range(32))


def test_ids_are_the_same_in_every_run_with_the_key_and_others_with_another():
    one, again, other = Deidentifier(KEY), Deidentifier(KEY), Deidentifier(bytes(32))

    assert one.case_id("H-1", "1.2.3") == again.case_id("H-1", "1.2.3")
    assert one.case_id("H-1", "1.2.3") != other.case_id("H-1", "1.2.3")
    assert one.case_id("H-1", "1.2.3") != one.case_id("H-2", "1.2.3")
    assert check_case(one.case_id("H-1", "1.2.3")).startswith("case-")
    assert "H-1" not in one.case_id("H-1", "1.2.3") + one.patient("H-1")


def test_two_cts_of_a_patient_are_told_apart_and_seen_to_belong_together():
    one = Deidentifier(KEY)

    first, second = one.case_id("H-1", "1.2.3"), one.case_id("H-1", "1.2.4")
    assert first != second and first[:-5] == second[:-5]


def test_uids_are_mapped_consistently_to_valid_ones():
    one = Deidentifier(KEY)

    mapped = one.uid("1.2.840.1")
    assert mapped == one.uid("1.2.840.1") != one.uid("1.2.840.2")
    assert mapped.startswith("2.25.") and len(mapped) <= 64 and mapped[5:].isdigit()
    assert one.uid("") == ""


def test_all_dates_of_a_patient_move_by_the_same_days():
    one = Deidentifier(KEY)

    def moved(text, patient="H-1"):
        value = one.date(patient, text)
        return date(int(value[:4]), int(value[4:6]), int(value[6:]))

    shift = date(2020, 1, 2) - moved("20200102")
    assert date(2020, 3, 1) - moved("20200301") == shift
    assert 1 <= shift.days <= LONGEST_SHIFT_DAYS
    assert date(2020, 1, 2) - moved("20200102", "H-2") != shift
    assert one.date("H-1", "") == one.date("H-1", "no date") == ""


def test_only_listed_attributes_are_described_and_the_rest_is_counted():
    header = ct_slices()[0]
    header.add_new((0x0009, 0x0010), "LO", "PRIVATE")
    header.add_new((0x0009, 0x1001), "LO", "secret")
    header.PatientAge = "093Y"
    one = Deidentifier(KEY)

    described = one.describe(header, "H-1")

    assert (
        described["Modality"] == "CT"
        and described["KVP"] == 120.0
        and described["PixelSpacing"] == [2.5, 2.0]
    )
    assert described["SeriesInstanceUID"] == one.uid(uid("ct-series"))
    assert described["PatientAge"] == "090Y"
    assert not {"PatientName", "PatientID", "InstitutionName", "SeriesDescription"} & set(described)
    report = one.report()
    assert report["private attributes dropped"] == 2
    assert report["attributes dropped"]["PatientName"] == 1 and "secret" not in str(report)


@pytest.mark.parametrize(
    ("age", "written"),
    [("089Y", "089Y"), ("090Y", "090Y"), ("95Y", "090Y"), ("1200M", "090Y"), ("018M", "018M"), ("95", "")],
)
def test_no_rare_age_is_written_however_it_is_put(age, written):
    header = ct_slices()[0]
    header.PatientAge = age

    assert Deidentifier(KEY).describe(header, "H-1")["PatientAge"] == written


def test_identity_is_kept_only_when_asked_for():
    header = ct_slices()[0]
    kept = Deidentifier(KEY, keep_identity=True)

    described = kept.describe(header, "H-123456")
    assert described["PatientName"] == "Doe^Jane" and described["StudyDate"] == "20200102"
    assert kept.uid("1.2.3") == "1.2.3" and kept.clean("Doe", ["Doe"]) == "Doe"
    assert check_case(kept.case_id("../Müller 7", "1.2.3")).startswith("M_ller_7-")
    assert kept.case_id("///", "1.2.3").startswith("case-")


def test_messages_are_cleaned_of_names_ids_and_uids():
    header = ct_slices()[0]
    one = Deidentifier(KEY)
    message = f"Jane Doe (H-123456) of 20200102: series {uid('ct-series')} of 12 files"

    cleaned = one.clean(message, identifying_texts([header]))

    assert cleaned == f"*** *** (***) of ***: series {one.uid(uid('ct-series'))} of 12 files"


def test_key_is_made_once_and_readable_by_its_owner_alone(tmp_path):
    path = tmp_path / "folder" / "key"

    key = read_key(path)

    assert len(key) == 32 and read_key(path) == key
    assert path.stat().st_mode & 0o077 == 0


def test_those_who_come_at_the_same_time_have_one_key(tmp_path, monkeypatch):
    def slow(path, data, mode):
        time.sleep(0.05)
        write_atomically(path, data, mode)

    monkeypatch.setattr(deidentify, "write_atomically", slow)
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(read_key, [tmp_path / "key"] * 8))) == 1


def test_what_is_no_key_is_refused(tmp_path):
    (tmp_path / "key").write_text("hello")
    with pytest.raises(ValueError, match="no de-identification key"):
        read_key(tmp_path / "key")
    (tmp_path / "short").write_text("abcd")
    with pytest.raises(ValueError, match="no de-identification key"):
        read_key(tmp_path / "short")
    with pytest.raises(ValueError, match="at least 16"):
        Deidentifier(b"short")


def test_empty_header_describes_nothing():
    assert Deidentifier(KEY).describe(Dataset(), "H-1") == {}
