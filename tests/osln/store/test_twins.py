"""One patient in two splits is found by what the import noted, and by the bytes of the CT."""

import shutil

from osln.store.twins import apart, learned_too, same_ct
from small.store import make_case
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


def test_cases_of_one_patient_in_two_splits_are_told_with_what_to_do(tmp_path):
    for case in "dfgh":
        make_case(tmp_path, case)
    shutil.copy(tmp_path / "d.nii.gz", tmp_path / "e.nii.gz")
    of_patient(tmp_path, "P1", "f", "g")
    splits = {"d": "train", "e": "validation", "f": "validation", "g": "train", "h": "validation"}
    told = apart(tmp_path, splits)
    assert told[("d", "e")] == (
        "the cases d (train) and e (validation) have the same CT: is it one patient under two names? Keep "
        "one of them"
    )
    assert set(told) == {("d", "e"), ("f", "g")} and "write one split for both" in told["f", "g"]
    assert learned_too(tmp_path, splits) == {"e": told["d", "e"], "f": told["f", "g"]}
    assert learned_too(tmp_path, splits | {"d": "test", "g": "validation"}) == {}
    assert apart(tmp_path, dict.fromkeys(splits, "train")) == {}
