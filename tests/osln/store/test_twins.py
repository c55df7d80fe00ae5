"""One patient in two splits is found by what the import noted, and by the bytes of the CT."""

import shutil

from osln.store.twins import apart, learned_too
from small.store import make_case
from small.studies import of_patient


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


def test_a_twin_of_a_twin_is_the_same_patient(tmp_path):
    for case in "dfg":
        make_case(tmp_path, case)
    shutil.copy(tmp_path / "d.nii.gz", tmp_path / "f.nii.gz")
    of_patient(tmp_path, "P1", "f", "g")
    # f, in the test, is d by the CT and g by the notes.
    splits = {"d": "train", "f": "test", "g": "validation"}
    assert learned_too(tmp_path, splits) == {
        "g": "the cases d (train) and g (validation) are of one patient: write one split for both into "
        ".osln/splits.json"
    }
