"""Approved cases of a store as a cohort: what is used, what is left out, and what is refused in words."""

import json
import shutil

import numpy as np
import pytest

from osln.cohorts.approved_cases import LEAST, StoreCohort
from osln.rows.experiments import PRESETS
from osln.store.splits import folds
from small import store as small_store
from small.cohort import make_store
from small.studies import of_patient

PRESET = PRESETS["demo"]


@pytest.fixture
def store(tmp_path):
    make_store(tmp_path / "store", LEAST)
    return tmp_path / "store"


@pytest.fixture
def opened(store, tmp_path):
    return StoreCohort.open(store, tmp_path / "work", PRESET)


def test_the_splits_are_the_stored_ones_and_stage_two_learns_from_the_training_patients(opened):
    assert opened.cases("train") == ("train-0", "train-1", "train-2", "train-3")
    assert opened.cases("test") == ("test-0", "test-1") and opened.cases("stage two") == opened.cases("train")
    assert opened.trained_on == "4 approved patients" and opened.left_out_cases == {}


def test_a_case_is_prepared_once_with_its_nodes_as_instances(opened, monkeypatch):
    column = opened.column("test-0")
    assert sorted(np.unique(column.nodes)) == [0, 1, 2] and column.pet_suv is not None
    monkeypatch.setattr("osln.cohorts.approved_cases.prepare", None)
    assert np.array_equal(opened.column("test-0").nodes, column.nodes)
    assert opened.ct("test-0").array.shape == small_store.SHAPE


def test_the_networks_asked_for_a_training_patient_have_not_seen_its_fold(opened):
    parts = {opened.unseen_part(case) for case in opened.cases("train")}
    assert sorted(map(list, parts)) == sorted(folds(opened.root, opened.cases("train")))
    assert all(case in opened.unseen_part(case) for case in opened.cases("train"))


def test_the_folds_are_dealt_once_for_all_rows_and_seeds(opened, monkeypatch):
    first = opened.unseen_part("train-0")
    monkeypatch.setattr("osln.cohorts.approved_cases.folds", None)
    assert opened.unseen_part("train-0") == first


def test_cases_of_one_patient_have_his_name(opened):
    assert opened.patients_of("test") == ("test-0", "test-1")
    of_patient(opened.root, "P1", "test-0", "test-1")
    assert opened.patients_of("test") == ("P1", "P1")


def test_a_corrected_label_is_another_fingerprint_of_that_case_alone(opened, store, tmp_path):
    nodes = np.zeros(small_store.SHAPE, dtype=np.uint8)
    nodes[small_store.NODE] = 1
    small_store.write(store / "labels" / "final" / "test-0.nii.gz", nodes)
    again = StoreCohort.open(store, tmp_path / "work", PRESET)
    changed = [case for case in opened.marks if opened.fingerprint(case) != again.fingerprint(case)]
    assert changed == ["test-0"] and sorted(np.unique(again.column("test-0").nodes)) == [0, 1]


def test_a_case_that_was_corrected_since_the_cohort_was_opened_is_refused_until_it_is_opened_again(
    opened, store, tmp_path
):
    assert sorted(np.unique(opened.column("test-1").nodes)) == [0, 1, 2]
    for case in ("test-0", "test-1"):
        nodes = np.zeros(small_store.SHAPE, dtype=np.uint8)
        nodes[small_store.NODE] = 1
        small_store.write(store / "labels" / "final" / f"{case}.nii.gz", nodes)
    with pytest.raises(ValueError, match=r"of case test-0 was changed after .* give the command again"):
        opened.column("test-0")
    assert sorted(np.unique(opened.column("test-1").nodes)) == [0, 1, 2], "it was prepared before"
    again = StoreCohort.open(store, tmp_path / "work", PRESET)
    assert [sorted(np.unique(again.column(f"test-{of}").nodes)) for of in (0, 1)] == [[0, 1], [0, 1]]


def test_a_case_without_pet_or_tumor_is_left_out_of_all_rows_with_the_reason(store, tmp_path):
    small_store.make_case(store, "more-1", pet=False)
    small_store.make_case(store, "more-2", pet=False, gtv=False)
    for case in ("more-1", "more-2"):
        shutil.copy(
            store / "labels" / "final" / "test-0.nii.gz", store / "labels" / "final" / f"{case}.nii.gz"
        )
    found = StoreCohort.open(store, tmp_path / "work", PRESET)
    assert found.left_out_cases == {"more-1": "no PET", "more-2": "no PET and no tumor contour"}
    assert all("more" not in case for split in LEAST for case in found.cases(split))


def test_a_case_that_no_split_names_is_decided_by_the_hash_and_kept(store, tmp_path):
    small_store.make_case(store, "later")
    shutil.copy(store / "labels" / "final" / "test-0.nii.gz", store / "labels" / "final" / "later.nii.gz")
    found = StoreCohort.open(store, tmp_path / "work", PRESET)
    split = json.loads((store / ".osln" / "splits.json").read_text())["cases"]["later"]
    assert "later" in found.cases(split)


def test_a_cohort_too_small_for_its_splits_is_told_with_its_numbers(store, tmp_path):
    (store / "labels" / "final" / "validation-0.nii.gz").unlink()
    (store / "pet" / "test-0.nii.gz").unlink()
    with pytest.raises(ValueError, match="too few are for validation and test") as error:
        StoreCohort.open(store, tmp_path / "work", PRESET)
    assert "4 train (at least 4), 1 validation (at least 2), 1 test (at least 2)" in str(error.value)
    assert "left out test-0: no PET" in str(error.value)


@pytest.mark.parametrize("split", LEAST)
def test_a_split_without_any_node_is_refused_before_anything_is_trained(store, tmp_path, split):
    labels = sorted((store / "labels" / "final").glob(f"{split}-*"))
    for path in labels[1:]:
        small_store.write(path, np.zeros(small_store.SHAPE, dtype=np.uint8))
    StoreCohort.open(store, tmp_path / "work", PRESET)
    small_store.write(labels[0], np.zeros(small_store.SHAPE, dtype=np.uint8))
    with pytest.raises(ValueError, match=f"none of the {len(labels)} {split} patients of .* has a node"):
        StoreCohort.open(store, tmp_path / "work", PRESET)


def test_what_is_no_cohort_is_told(store, tmp_path):
    with pytest.raises(ValueError, match="is no folder: give a store"):
        StoreCohort.open(tmp_path / "none", tmp_path / "work", PRESET)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="has no approved case"):
        StoreCohort.open(tmp_path / "empty", tmp_path / "work", PRESET)


def test_one_ct_in_two_splits_is_refused(store, tmp_path):
    shutil.copy(store / "train-0.nii.gz", store / "test-0.nii.gz")
    with pytest.raises(ValueError, match=r"cases t\S+-0 \(t\w+\) and t\S+-0 \(t\w+\) have the same CT"):
        StoreCohort.open(store, tmp_path / "work", PRESET)


def test_one_ct_under_two_ids_is_one_patient_in_one_fold(store, tmp_path):
    for folder in ("", "pet", "labels/gtv", "labels/final"):
        shutil.copy(store / folder / "train-0.nii.gz", store / folder / "more.nii.gz")
    opened = StoreCohort.open(store, tmp_path / "work", PRESET)
    assert "more" in opened.cases("train") and len(set(opened.patients_of("train"))) == 4
    assert set(opened.unseen_part("more")) == set(opened.unseen_part("train-0")) == {"more", "train-0"}
    # He does not make up for one who is lacking.
    (store / "labels" / "final" / "train-1.nii.gz").unlink()
    with pytest.raises(ValueError, match=r"3 train \(at least 4\)"):
        StoreCohort.open(store, tmp_path / "work", PRESET)


def test_a_label_without_a_ct_and_two_files_of_one_id_are_refused(store, tmp_path):
    label = store / "labels" / "final" / "test-0.nii.gz"
    shutil.copy(label, label.with_name("lonely.nii.gz"))
    with pytest.raises(ValueError, match="no case 'lonely'"):
        StoreCohort.open(store, tmp_path / "work", PRESET)
    label.with_name("lonely.nii.gz").unlink()
    (store / "test-0.nii").write_bytes(b"")
    with pytest.raises(ValueError, match="lie side by side"):
        StoreCohort.open(store, tmp_path / "work", PRESET)


def test_images_that_do_not_lie_on_each_other_are_told_when_the_case_is_prepared(store, opened):
    far = small_store.AFFINE_LPS.copy()
    far[:3, 3] += 1000
    small_store.write(store / "labels" / "final" / "test-1.nii.gz", np.ones((4, 4, 4), np.uint8), far)
    with pytest.raises(ValueError, match="case test-1, node label: the label lies on another grid"):
        opened.column("test-1")
