import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from osln.store.splits import FRACTIONS, assign, split_by_hash, split_of


def table(root):
    return json.loads((root / ".osln" / "splits.json").read_text())


def test_the_split_depends_on_case_and_seed_alone():
    # sha256 of "0:d" begins with 7d98, .491 of the range; training ends at .596 and validation at .759.
    assert split_by_hash("d") == split_by_hash("d", 0) == "train"
    # "0:a" gives 9df3, .617; "0:b" e021, .876.
    assert split_by_hash("a") == "validation" and split_by_hash("b") == "test"
    several = {split_by_hash("a", seed) for seed in range(30)}
    assert several == {"train", "validation", "test"}


def test_a_large_cohort_is_divided_like_the_papers():
    names = [split_by_hash(f"patient-{i}") for i in range(5000)]
    for split, share in FRACTIONS:
        assert names.count(split) / 5000 == pytest.approx(share, abs=0.02)


def test_assigned_splits_are_stored_with_the_seed(tmp_path):
    given = assign(tmp_path, ["a", "b", "a"], seed=3)
    assert list(given) == ["a", "b"]
    assert table(tmp_path) == {"seed": 3, "cases": given}


def test_a_stored_split_never_moves(tmp_path):
    (tmp_path / ".osln").mkdir()
    moved = {"train": "test", "validation": "train", "test": "validation"}[split_by_hash("a")]
    (tmp_path / ".osln" / "splits.json").write_text(json.dumps({"seed": 0, "cases": {"a": moved}}))
    assert split_of(tmp_path, "a") == moved
    assign(tmp_path, ["b", "c"], seed=9)
    assert table(tmp_path)["cases"]["a"] == moved and table(tmp_path)["seed"] == 0
    assert table(tmp_path)["cases"]["b"] == split_by_hash("b", 0)


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


@pytest.mark.parametrize("text", ["{", "[]", '{"cases": {}}', '{"seed": 0, "cases": {"a": "training"}}'])
def test_a_damaged_table_is_refused_and_left_as_it_is(tmp_path, text):
    (tmp_path / ".osln").mkdir()
    path = tmp_path / ".osln" / "splits.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"splits\.json"):
        split_of(tmp_path, "a")
    assert path.read_text() == text
