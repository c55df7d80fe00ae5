"""UIDs that need no register."""

import os

from osln.dicom.served.uids import (
    CT,
    FORMAT,
    PET,
    Checksums,
    case_named,
    frame_uid,
    series_part,
    series_uid,
    study_uid,
)
from osln.files.whole import write_atomically

CHECK = 0xCBF43926
"""CRC-32 of "123456789", as the catalog of CRC algorithms gives it."""


def test_uids_name_their_case_and_fit():
    case, cases = "x" * 128, ["a", "x" * 128, "b"]
    uid = series_uid(case, CT, 2**32 - 1)
    image = f"{uid}.9999"

    assert len(image) <= 64 and set(image) <= set("0123456789.")
    assert {case_named(one, cases) for one in (study_uid(case), frame_uid(case), uid, image)} == {case}
    assert series_part(image) == series_part(uid) == uid
    assert len({study_uid(case), frame_uid(case), uid, series_uid(case, PET, 2**32 - 1)}) == 4


def test_uids_stay_the_same_for_ever():
    assert study_uid("phantom-02") == "2.25.54017779956625742370770092534950048746"


def test_other_uids_name_no_case():
    assert case_named("2.25.12345", ["a"]) is None
    assert case_named("1.2.840", ["a"]) is None
    assert case_named("a", ["a"]) is None
    assert case_named(study_uid("gone"), ["a"]) is None


def test_checksum_follows_the_content(tmp_path, monkeypatch):
    monkeypatch.setattr("osln.dicom.served.uids.FORMAT", 0)
    monkeypatch.setattr("osln.dicom.served.uids.PART", 4)
    path, sums = tmp_path / "a", Checksums()
    path.write_bytes(b"123456789")
    assert FORMAT == 1 and sums.of(path) == CHECK

    before = path.stat()
    write_atomically(path, b"123456788")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert sums.of(path) != CHECK, "another file of the same size and time"
