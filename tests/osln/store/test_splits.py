import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from filelock import FileLock

from osln.store import patients
from osln.store.known_patients import known_patients
from osln.store.patients import patients_of
from osln.store.removals import begin_removal, end_removal
from osln.store.splits import SHARES, assign, folds, next_split, split_of, stored_splits
from osln.store.strata import Strata, strata_of
from small.columns import small_column
from small.studies import add_case, of_patient


def table(root):
    return json.loads((root / ".osln" / "splits.json").read_text())


def test_the_first_three_train_and_the_fourth_validates():
    decided = []
    for _ in range(4):
        decided.append((next_split(decided, None), None))
    assert [split for split, _ in decided] == ["train", "train", "train", "validation"]


def test_patients_go_where_the_shares_lack_most():
    # Of five, 2.98 train, .82 validate and 1.21 test: with 3, 1, 0 before, test makes it 3, 1, 1.
    decided = [("train", None)] * 3 + [("validation", None)]
    assert next_split(decided, None) == "test"
    # Of six, 3.57, .98 and 1.45: training.
    assert next_split([*decided, ("test", None)], None) == "train"


def test_a_cohort_of_the_papers_size_is_divided_as_the_papers():
    decided = []
    for _ in range(141):
        decided.append((next_split(decided, None), None))
    assert [[split for split, _ in decided].count(split) for split in SHARES] == [84, 23, 34]


def test_nodes_of_both_zones_are_spread_like_the_patients():
    rng = np.random.default_rng(0)
    decided = []
    for near, far in zip(rng.poisson(2, 60), rng.poisson(3, 60), strict=True):
        strata = Strata(int(near), int(far))
        decided.append((next_split(decided, strata), strata))
    for split, share in SHARES.items():
        own = [strata for name, strata in decided if name == split]
        for kind in ("proximal", "distal"):
            nodes = [sum(getattr(one, kind) for one in group) for group in (own, [s for _, s in decided])]
            assert nodes[0] / nodes[1] == pytest.approx(share, abs=0.03)
    # A patient full of nodes is not put where there are too many already.
    heavy = [("train", Strata(0, 0))] * 6 + [("validation", Strata(9, 9)), ("test", Strata(2, 2))]
    assert next_split(heavy, Strata(8, 8)) == "train"


def test_cases_that_arrive_at_once_are_taken_in_the_order_of_their_hash(tmp_path):
    names = [f"patient-{i}" for i in range(20)]
    given = assign(tmp_path, names)
    assert given == assign(tmp_path / "other", names[::-1])
    assert given != assign(tmp_path / "seed", names, seed=1)
    assert [list(given.values()).count(split) for split in SHARES] == [12, 3, 5]


def test_the_nodes_of_a_case_are_read_by_zone(tmp_path):
    add_case(tmp_path, "d")
    add_case(tmp_path, "x", approved=False)
    column = small_column(ord("d"))
    labels = [label for label in np.unique(column.nodes) if label]
    centers = [np.argwhere(column.nodes == label).mean(axis=0).astype(int) for label in labels]
    near = sum(column.distance_mm[tuple(center)] <= 70 for center in centers)
    assert 0 < near < 4 and strata_of(tmp_path, "d") == Strata(near, 4 - near)
    assert strata_of(tmp_path, "x") is None and strata_of(tmp_path, "nobody") is None
    assert table(tmp_path)["nodes"] == {"d": [near, 4 - near]}
    (tmp_path / "labels" / "final" / "d.nii.gz").write_bytes(b"damaged")
    assert strata_of(tmp_path, "d") is None and split_of(tmp_path, "d") == "train"


def test_assigned_splits_are_stored_with_the_seed(tmp_path):
    given = assign(tmp_path, ["a", "b", "a"], seed=3)
    assert list(given) == ["a", "b"] and set(given.values()) == {"train"}
    assert table(tmp_path) == {"seed": 3, "cases": given}


def test_a_stored_split_never_moves(tmp_path):
    (tmp_path / ".osln").mkdir()
    moved = "test"
    (tmp_path / ".osln" / "splits.json").write_text(json.dumps({"seed": 0, "cases": {"a": moved}}))
    assert split_of(tmp_path, "a") == moved
    assign(tmp_path, ["b", "c"], seed=9)
    assert table(tmp_path)["cases"]["a"] == moved and table(tmp_path)["seed"] == 0
    assert stored_splits(tmp_path) == {"a": "test", "b": "train", "c": "train"}


def test_a_wanted_split_is_taken_by_a_case_that_has_none(tmp_path):
    assign(tmp_path, ["a", "b"], wanted={"a": "train", "b": "test"})
    assert assign(tmp_path, ["a", "c"], wanted={"a": "test", "c": "validation"})["a"] == "train"
    assert table(tmp_path) == {"seed": 0, "cases": {"a": "train", "b": "test", "c": "validation"}}
    with pytest.raises(ValueError, match=r"unknown splits .*'d': 'training'"):
        assign(tmp_path, ["d"], wanted={"d": "training"})
    assert "d" not in table(tmp_path)["cases"]


def test_cases_that_arrive_at_once_are_all_kept(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: split_of(tmp_path, f"case{i}"), range(40)))
    assert len(table(tmp_path)["cases"]) == 40


def test_nothing_is_left_behind_by_writing(tmp_path):
    assign(tmp_path, ["a"])
    assert sorted(path.name for path in (tmp_path / ".osln").iterdir()) in (
        ["splits.json"],
        ["splits.json", "splits.json.lock"],
    )


def test_a_table_that_somebody_wrote_needs_the_cases_alone(tmp_path):
    (tmp_path / ".osln").mkdir()
    (tmp_path / ".osln" / "splits.json").write_text('{"cases": {"a": "test"}}')
    assert split_of(tmp_path, "a") == "test" and split_of(tmp_path, "b") == "train"


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"a": "train"}',
        '{"seed": 0, "cases": {"a": "training"}}',
        '{"seed": 0, "cases": {}, "nodes": {"a": [1]}}',
    ],
)
def test_a_damaged_table_is_refused_and_left_as_it_is(tmp_path, text):
    (tmp_path / ".osln").mkdir()
    path = tmp_path / ".osln" / "splits.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"splits\.json"):
        split_of(tmp_path, "a")
    assert path.read_text() == text


def test_a_case_goes_where_another_one_of_its_patient_is(tmp_path):
    of_patient(tmp_path, "P1", "p1-a", "p1-b", "p1-c")
    of_patient(tmp_path, "P2", "p2-a")
    assign(tmp_path, ["p1-b"], wanted={"p1-b": "test"})
    assert assign(tmp_path, ["p1-a", "p2-a"]) == {"p1-a": "test", "p2-a": "train"}
    assert split_of(tmp_path, "p1-c") == "test"


def test_what_was_never_approved_takes_no_place(tmp_path):
    assign(tmp_path, ["a", "b", "c"], wanted=dict.fromkeys("abc", "train"))
    (tmp_path / "labels" / "final").mkdir(parents=True)
    given = []
    for case in ("d", "f", "g", "h"):
        given.append(split_of(tmp_path, case))
        (tmp_path / "labels" / "final" / f"{case}.nii.gz").touch()
    assert given == ["train", "train", "train", "validation"]


def test_all_cases_of_a_patient_are_in_one_fold(tmp_path):
    of_patient(tmp_path, "P1", "case-1", "case-4", "case-7")
    cases = [f"case-{number}" for number in range(10)]
    parts = folds(tmp_path, cases)
    # Eight patients in four parts of two.
    assert sorted(len(part) for part in parts) == [2, 2, 2, 4]
    assert [set(part) >= {"case-1", "case-4", "case-7"} for part in parts].count(True) == 1
    assert sorted(case for part in parts for case in part) == cases and folds(tmp_path, cases[::-1]) == parts


def test_the_same_ct_under_two_ids_goes_where_it_is_and_into_one_fold(tmp_path):
    cases = [f"case-{number}" for number in range(9)]
    for case in cases:
        (tmp_path / f"{case}.nii.gz").write_bytes(case.encode())
    (tmp_path / "twin.nii.gz").write_bytes(b"case-3")
    assign(tmp_path, ["case-3"], wanted={"case-3": "test"})
    assert split_of(tmp_path, "twin") == "test"
    parts = folds(tmp_path, [*cases, "twin"])
    assert [{"case-3", "twin"} & set(part) for part in parts].count({"case-3", "twin"}) == 1
    # The nine patients are dealt as without the twin.
    assert [[case for case in part if case != "twin"] for part in parts] == folds(tmp_path, cases)


def test_cases_of_one_patient_are_one_in_the_balance(tmp_path):
    of_patient(tmp_path, "P1", "a", "b", "c", "d")
    assert set(assign(tmp_path, "abcd").values()) == {"train"}
    # Counted by cases the fifth would be the first that is neither of the first three nor validates.
    given = assign(tmp_path, "abcdfg", nodes_of=lambda root, case: None)
    assert [given[case] for case in "fg"] == ["train", "train"]
    assert {case: assign(tmp_path, [*"abcdfg", case])[case] for case in "h"} == {"h": "validation"}


def test_the_notes_of_the_import_are_read_once_and_before_the_lock(tmp_path, monkeypatch):
    read = []

    def counted(store, case):
        read.append(case)
        # Whoever submits a label meanwhile does not wait for it.
        with FileLock(str(tmp_path / ".osln" / "splits.json.lock"), timeout=0):
            return None

    assign(tmp_path, "abc")
    monkeypatch.setattr(patients, "read_manifest", counted)
    assign(tmp_path, "defghij")
    assert sorted(read) == list("abcdefghij")
    assign(tmp_path, "abcdefghij")
    assert len(read) == 10


@pytest.mark.parametrize("same_ct", [True, False])
def test_a_patient_whose_case_was_removed_is_no_new_one(tmp_path, same_ct):
    (tmp_path / "d.nii.gz").write_bytes(b"first")
    (tmp_path / "z.nii.gz").write_bytes(b"first" if same_ct else b"other")
    if not same_ct:
        of_patient(tmp_path, "P1", "d", "z")
    assign(tmp_path, "dfgh", wanted={"d": "test"})
    end_removal(tmp_path, "d", begin_removal(tmp_path, "d", tmp_path / "d.nii.gz"))
    assert split_of(tmp_path, "z") == "test"
    # Its id is another patient's now, who has nothing to do with a third CT of the first.
    (tmp_path / "d.nii.gz").write_bytes(b"of another one")
    (tmp_path / "y.nii.gz").write_bytes(b"first")
    assign(tmp_path, "d")
    (tmp_path / "z.nii.gz").unlink()
    assert split_of(tmp_path, "y") == "test"
    assert patients_of(tmp_path, "dy") == {"d": "d", "y": "y"}


def test_a_store_in_which_nothing_was_kept_of_its_cases_keeps_it_at_a_removal(tmp_path):
    (tmp_path / "d.nii.gz").write_bytes(b"first")
    assign(tmp_path, "d", wanted={"d": "test"})
    (tmp_path / ".osln" / ".patients.json").unlink()
    end_removal(tmp_path, "d", begin_removal(tmp_path, "d", tmp_path / "d.nii.gz"))
    (tmp_path / "z.nii.gz").write_bytes(b"first")
    assert split_of(tmp_path, "z") == "test" and patients_of(tmp_path, "dz") == {"d": "d", "z": "d"}


def test_a_ct_is_read_once_to_know_whose_it_is(tmp_path, monkeypatch):
    (tmp_path / "d.nii.gz").write_bytes(b"first")
    split_of(tmp_path, "d")
    monkeypatch.setattr(patients, "content_of", lambda path: pytest.fail("read again"))
    split_of(tmp_path, "d")


def test_cts_of_one_size_and_time_that_changed_places_are_not_taken_for_each_other(tmp_path):
    """As those of an archive, which are unpacked with the times that it holds."""
    here = {case: tmp_path / f"{case}.nii" for case in "dexy"}
    for case, content in {"d": b"first", "e": b"other"}.items():
        here[case].write_bytes(content)
        os.utime(here[case], (1, 1))
    assign(tmp_path, "de", wanted={"d": "train", "e": "test"})
    here["d"].rename(here["x"])
    here["e"].rename(here["d"])
    here["x"].rename(here["e"])

    assert patients_of(tmp_path, "de") == {"d": "d", "e": "e"}
    patients.know_patients(tmp_path, "de")
    kept = {case: [one.ct for one in ones] for case, ones in known_patients(tmp_path).items()}
    first, other = (hashlib.sha256(content).hexdigest() for content in (b"first", b"other"))
    assert kept == {"d": [first, other], "e": [other, first]}


def test_what_was_kept_of_patients_is_not_made_anew_where_it_is_damaged(tmp_path):
    (tmp_path / "d.nii.gz").write_bytes(b"first")
    split_of(tmp_path, "d")
    path = tmp_path / ".osln" / ".patients.json"
    path.write_text('{"d": [{"patient": 1}]}')
    with pytest.raises(ValueError, match=r"\.patients\.json is damaged .* Restore it from a copy"):
        split_of(tmp_path, "d")
    assert path.read_text() == '{"d": [{"patient": 1}]}'
