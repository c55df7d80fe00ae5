"""Which cases were submitted in part, and what is told of them."""

import gzip
import json

import numpy as np
import pytest

from osln.cohorts.approved_cases import LEAST, StoreCohort
from osln.imaging.grid import Grid
from osln.imaging.labelmaps import packed_labels
from osln.imaging.reviewed_part import DECIDED, UNKNOWN
from osln.rows.experiments import PRESETS, SEGMENTERS
from osln.store.approved import load_columns
from osln.store.layout import companions, file_marks
from osln.store.parts import part_of, partial_cases
from osln.store.revisions import label_revisions
from osln.store.strata import strata_of
from small.cohort import make_store
from small.parts import box_of, partial_review, submit_in_part
from small.studies import add_case, write

BOX = [[0.0, 0.0, 30.0], [6.0, 6.0, 39.0]]
GRID = Grid((24, 24, 72), np.eye(4))
OTHER = [[20.0, 20.0, 60.0], [26.0, 26.0, 69.0]]


@pytest.fixture
def root(tmp_path):
    for case in "df":
        add_case(tmp_path, case)
    return tmp_path


def test_a_case_in_part_says_where_nothing_was_decided(root):
    assert part_of(root, "d") is None and partial_cases(root, ["d", "f"]) == []
    assert submit_in_part(root, "d", rejected=[BOX], undecided=[OTHER]).complete is False
    part = part_of(root, "d")
    assert part.rejected.tolist() == [BOX] and part.undecided.tolist() == [OTHER]
    assert partial_cases(root, ["d", "f"]) == ["d"]


@pytest.mark.parametrize("complete", [{"complete": True}, {"count_as": "rejected"}, {"count_as": "accepted"}])
def test_complete_is_what_says_so_and_what_tells_what_undecided_ones_count_as(root, complete):
    assert submit_in_part(root, "d", undecided=[OTHER], **complete).complete is True
    assert part_of(root, "d") is None and partial_cases(root, ["d"]) == []


def test_a_later_complete_label_and_one_put_there_past_the_server_are_complete(root):
    submit_in_part(root, "d", undecided=[OTHER])
    former = np.zeros((24, 24, 72), dtype=np.uint8)
    write(root / "labels" / "final" / "d.nii.gz", former, np.eye(4))
    assert part_of(root, "d") is None
    submit_in_part(root, "d", undecided=[OTHER])
    assert part_of(root, "d") is not None
    submit_in_part(root, "d", complete=True)
    assert part_of(root, "d") is None


@pytest.mark.parametrize("name", ["d.nii.gz", "d.nii"])
@pytest.mark.parametrize("mtime", [1, 2])
def test_a_label_in_part_from_a_backup_is_in_part_before_and_after_it_is_taken_up(root, name, mtime):
    kept = label_revisions(root, "d", "final")
    label, empty = (packed_labels(np.full(GRID.shape, of), GRID, GRID) for of in (True, False))
    unpacked = gzip.decompress(label)
    kept.final.write_bytes(gzip.compress(unpacked, mtime=1))
    submit_in_part(root, "d", undecided=[OTHER])
    with kept.lock():
        kept.submit(empty, by="anna", source="submission")
    assert part_of(root, "d") is None
    kept.final.unlink()
    again = gzip.compress(unpacked, mtime=mtime) if name.endswith(".gz") else unpacked
    kept.final.with_name(name).write_bytes(again)
    for _ in range(2):
        assert part_of(root, "d").undecided.tolist() == [OTHER]
        with kept.lock():
            kept.settle()
    assert kept.head().revision == 3


def test_without_a_box_a_candidate_is_the_cube_around_its_radius(root):
    kept = label_revisions(root, "d", "final")
    review = partial_review(undecided=[BOX])
    review["candidates"][0] |= {"box_mm": None, "radius_mm": 2.0}
    with kept.lock():
        kept.submit(kept.final.read_bytes(), by="anna", source="submission", review=review)
    assert part_of(root, "d").undecided.tolist() == [[[1.0, 1.0, 32.5], [5.0, 5.0, 36.5]]]


def test_a_damaged_review_is_refused_and_its_case_left_out(root):
    submit_in_part(root, "d", undecided=[BOX])
    (path,) = (root / ".osln" / "d").glob("*.review.json")
    path.write_text("{")
    with pytest.raises(ValueError, match="is not a review"):
        part_of(root, "d")
    _, skipped = load_columns(root, ["d"], SEGMENTERS["ct"], PRESETS["demo"])
    assert "is not a review" in skipped["d"]


def test_another_review_of_the_same_label_is_another_content(root):
    submit_in_part(root, "d", undecided=[BOX])
    paths = companions(root, "d")
    first = file_marks(paths)
    submit_in_part(root, "d", undecided=[OTHER])
    second = file_marks(paths)
    submit_in_part(root, "d", undecided=[OTHER], complete=True)
    assert len({json.dumps(marks) for marks in (first, second, file_marks(paths))}) == 3


def test_the_column_of_a_case_in_part_knows_its_nodes_and_what_was_rejected(root):
    (column,), _ = load_columns(root, ["d"], SEGMENTERS["ct"], PRESETS["demo"])
    assert column.known is None
    submit_in_part(root, "d", undecided=[box_of(column, 1)])
    (column,), _ = load_columns(root, ["d"], SEGMENTERS["ct"], PRESETS["demo"])
    assert (column.known[column.nodes > 0] == DECIDED).all() and 0 < (column.known > UNKNOWN).mean() < 0.2


def test_nobody_knows_how_many_nodes_a_case_in_part_has(root):
    assert strata_of(root, "d") is not None
    submit_in_part(root, "d")
    assert strata_of(root, "d") is None


def test_the_tables_leave_cases_in_part_out(tmp_path):
    cases = make_store(tmp_path / "store", LEAST | {"test": LEAST["test"] + 1})
    submit_in_part(tmp_path / "store", cases["test"][0], undecided=[BOX])
    opened = StoreCohort.open(tmp_path / "store", tmp_path / "work", PRESETS["demo"])
    assert opened.cases("test") == tuple(cases["test"][1:])
    assert opened.left_out_cases == {cases["test"][0]: "submitted in part: complete its review"}
