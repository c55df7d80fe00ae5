"""What the paths of a command line name."""

from contextlib import ExitStack

import pytest

from osln.dicom.intake.roi_names import load_rules
from osln.output.cases import UnusableCase
from osln.output.inputs import Reading, chosen_cases, find_cases, part_of
from osln.rows.experiments import ROWS
from small import store as small_store
from small.dicom import ct_slices, write_dicom


def find(*paths, row="ct", **options):
    with ExitStack() as stack:
        return find_cases(
            [str(path) for path in paths], Reading(ROWS[row], load_rules(None, []), **options), stack
        )


def names(cases):
    return [case.name for case in cases]


@pytest.fixture
def store(tmp_path):
    for name in ("b", "a", "c"):
        small_store.make_case(tmp_path / "store", name)
    return tmp_path / "store"


def test_a_store_is_all_its_cases_by_name_or_those_that_are_named(store):
    assert names(find(store)) == ["a", "b", "c"]
    assert names(chosen_cases(find(store), ["c", "a"])) == ["a", "c"]
    with pytest.raises(ValueError, match="there is no case d; the cases are: a, b, c"):
        chosen_cases(find(store), ["d"])


def test_three_files_are_one_case_with_the_name_of_its_ct(store):
    [case] = find(
        store / "a.nii.gz", store / "pet" / "a.nii.gz", store / "labels" / "gtv" / "a.nii.gz", row="osln"
    )
    assert case.name == "a" and case.paths.pet == store / "pet" / "a.nii.gz"


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
def test_the_parts_of_a_job_array_hold_every_case_exactly_once(count):
    cases = [UnusableCase(f"case-{n}", "") for n in range(5)]
    parts = [part_of(cases, part, count) for part in range(1, count + 1)]
    assert sorted(name for part in parts for name in names(part)) == names(cases)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize(("part", "parts"), [(0, 3), (4, 3), (1, 0)])
def test_a_part_that_there_is_not_is_refused(part, parts):
    with pytest.raises(ValueError, match="parts are counted from 1"):
        part_of([], part, parts)


def test_what_cannot_be_used_is_refused_with_what_was_expected(store, tmp_path):
    ct = store / "a.nii.gz"
    refusals = {
        ("osln", ct): "osln needs a PET and a tumor: give CT PET TUMOR",
        ("ct-stratified", ct): "ct-stratified needs a tumor",
        ("ct", tmp_path / "nowhere"): "neither a folder nor an image",
        ("ct", __file__): "neither a folder nor an image",
        ("ct", "-"): "neither a folder nor an image",
        ("ct", ct, ct, ct, ct): "expected CT PET TUMOR, got 4 files",
        ("ct", store, store): "3 names stand for several cases",
    }
    for (row, *paths), sentence in refusals.items():
        with pytest.raises(ValueError, match=sentence):
            find(*paths, row=row)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="there is no case in"):
        find(tmp_path / "empty")


def test_an_image_that_cannot_be_a_case_fails_in_its_turn(store):
    (store / "my patient.nii.gz").write_bytes((store / "a.nii.gz").read_bytes())
    small_store.write(store / "b.nii", small_store.ct())
    cases = {case.name: case for case in find(store)}
    assert list(cases) == ["a", "b", "c", "my patient"]
    with pytest.raises(ValueError, match="is not a case id"):
        cases["my patient"].fingerprint()
    with pytest.raises(ValueError, match="programs confuse the two"):
        cases["b"].fingerprint()


def test_results_would_lie_among_images_in_the_folders_of_the_images_only(store):
    [case] = chosen_cases(find(store), ["a"])
    assert case.lies_in(store) and case.lies_in(store / "pet") and case.lies_in(store / ".." / "store")
    assert not case.lies_in(store / "nodes") and not case.lies_in(store.parent)


def test_patients_without_a_usable_ct_are_told_by_numbers_through_all_folders(tmp_path):
    for name in ("one", "other"):
        # One slice is no CT of a patient.
        slices = ct_slices(name=name, PatientID=name)[:1]
        write_dicom(tmp_path / name, slices)
    found = find(tmp_path / "one", tmp_path / "other")
    assert names(found) == ["unusable-01", "unusable-02"]
    assert all(isinstance(case, UnusableCase) and case.reason for case in found)
