"""Whose cases are one patient's: by the notes of the import, and by the bytes of the CT."""

from osln.store.patients import by_patient, patients_of, same_ct
from small.studies import of_patient


def test_the_same_ct_under_two_ids_is_found_by_its_bytes(tmp_path):
    files = {}
    # Of equal size: other bytes at the beginning, in the middle, at the end; and one twin.
    for case, place in {"a": None, "b": 0, "c": 3 << 20, "d": -1, "e": None}.items():
        content = bytearray(6 << 20)
        if place is not None:
            content[place] = 1
        files[case] = tmp_path / case
        files[case].write_bytes(content)
    files["short"] = tmp_path / "short"
    files["short"].write_bytes(bytes(10))
    assert same_ct(files) == [["a", "e"]] and same_ct({}) == []


def test_notes_and_cts_together_say_who_is_one_patient(tmp_path):
    of_patient(tmp_path, "P1", "a", "b")
    of_patient(tmp_path, "P2", "c")
    for case, content in {"b": b"1", "c": b"1", "d": b"2", "e": b"2", "f": b"3"}.items():
        (tmp_path / f"{case}.nii.gz").write_bytes(content)
    # c is b under another name, and so is a; nobody has noted anything of d, e and g, which has no CT.
    assert by_patient(tmp_path, "gfedcba") == {"g": ["g"], "f": ["f"], "d": ["e", "d"], "P1": ["c", "b", "a"]}
    # Without b nothing tells that a and c are one.
    assert patients_of(tmp_path, "ac") == {"a": "P1", "c": "P2"}


def test_whom_nothing_can_be_read_of_is_a_patient_of_his_own(tmp_path):
    for name in ("a.nii", "a.nii.gz", "b.nii.gz"):
        (tmp_path / name).write_bytes(b"1")
    assert patients_of(tmp_path, ["a", "b", "../c"]) == {"a": "a", "b": "b", "../c": "../c"}
    assert same_ct({"b": tmp_path / "b.nii.gz", "gone": tmp_path / "gone.nii.gz"}) == []
