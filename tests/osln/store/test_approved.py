import numpy as np
import pytest

from osln.rows.experiments import PRESETS, SEGMENTERS
from osln.store import layout
from osln.store.approved import (
    READINGS,
    approved_cases,
    approved_study,
    load_columns,
    marked_study,
    phantoms,
    with_ct,
)
from osln.store.final_copy import FinalCopy
from osln.store.layout import companions, file_marks
from osln.store.revisions import label_revisions
from small.meanwhile import meanwhile
from small.parts import submit_in_part
from small.studies import add_case

BOX = [[20.0, 20.0, 60.0], [26.0, 26.0, 69.0]]


def test_approved_cases_are_those_with_a_final_label(tmp_path):
    for case in "dba":
        add_case(tmp_path, case)
    add_case(tmp_path, "h", approved=False)
    (tmp_path / "labels" / "final" / ".d.tmp.nii.gz").write_bytes(b"")
    assert approved_cases(tmp_path) == ["a", "b", "d"]


def test_a_first_label_whose_copy_waits_is_approved_and_is_what_is_learned_from(tmp_path, monkeypatch):
    for case in "df":
        add_case(tmp_path, case)
    kept = label_revisions(tmp_path, "d", "final")
    with kept.lock(), monkeypatch.context() as patch:
        label = kept.final.read_bytes()
        kept.final.unlink()
        patch.setattr(FinalCopy, "publish", lambda self: (_ for _ in ()).throw(OSError(5, "I/O error")))
        kept.submit(label, by="anna", source="submission")
    assert not kept.final.exists() and approved_cases(tmp_path) == ["d", "f"]
    columns, skipped = load_columns(tmp_path, ["d"], SEGMENTERS["ef"], PRESETS["demo"])
    assert np.unique(columns[0].nodes).tolist() == [0, 1, 2, 3, 4] and not skipped
    # What is known of it is damaged: a case to be left out with that reason, not one without a label.
    (kept.folder / "head.json").write_text("{")
    assert approved_cases(tmp_path) == ["d", "f"]
    assert "restore it from a backup" in with_ct(tmp_path, ["d", "f"])[1]["d"]
    (kept.folder / "head.json").unlink()
    assert approved_cases(tmp_path) == ["f"]


def test_the_components_of_an_approved_label_are_the_nodes(tmp_path):
    add_case(tmp_path, "d")
    columns, skipped = load_columns(tmp_path, ["d"], SEGMENTERS["ef"], PRESETS["demo"])
    assert np.unique(columns[0].nodes).tolist() == [0, 1, 2, 3, 4] and not skipped


def test_a_case_that_cannot_be_used_is_left_out_with_the_reason(tmp_path):
    add_case(tmp_path, "d", pet=False, truth=True)
    add_case(tmp_path, "f", truth=True)
    columns, skipped = load_columns(tmp_path, ["d", "f"], SEGMENTERS["ef"], PRESETS["demo"])
    assert [column.case for column in columns] == ["f"]
    assert skipped == {"d": "no PET"}


def test_phantoms_are_the_cases_whose_true_nodes_are_known(tmp_path):
    add_case(tmp_path, "d")
    add_case(tmp_path, "f", truth=True)
    assert phantoms(tmp_path, ["d", "f"]) == {"f"} and phantoms(tmp_path, ["d"]) == set()


def test_a_folder_that_is_not_there_is_refused_and_not_made(tmp_path):
    with pytest.raises(ValueError, match=r"there is no folder .*mistyped"):
        approved_cases(tmp_path / "mistyped")
    assert not (tmp_path / "mistyped").exists()


def in_part_then_complete(root):
    """A store whose case d has three nodes in part, and what completes it with a fourth."""
    add_case(root, "d")
    four = label_revisions(root, "d", "final").final.read_bytes()
    add_case(root, "d", deleted=(2,))
    submit_in_part(root, "d", undecided=[BOX])
    return lambda: submit_in_part(root, "d", label=four, complete=True)


@pytest.mark.parametrize("place", ["waits", "lies there"])
def test_a_case_that_is_completed_while_it_is_read_is_read_as_completed(tmp_path, monkeypatch, place):
    complete = in_part_then_complete(tmp_path)
    before = approved_study(companions(tmp_path, "d"))
    assert len(before.part.undecided) == 1 and np.unique(before.nodes.array).tolist() == [0, 1, 2, 3]
    if place == "waits":
        monkeypatch.setattr(FinalCopy, "publish", lambda self: (_ for _ in ()).throw(OSError(5, "I/O error")))
    meanwhile(monkeypatch, layout, "build_study", complete)
    study, marks = marked_study(tmp_path, "d")
    assert study.part is None and np.unique(study.nodes.array).tolist() == [0, 1, 2, 3, 4]
    assert marks == file_marks(companions(tmp_path, "d"))


def test_what_is_refused_only_between_two_labels_is_read_again(tmp_path, monkeypatch):
    complete = in_part_then_complete(tmp_path)
    calls = meanwhile(monkeypatch, layout, "build_study", complete, error=ValueError("half of each"))
    assert marked_study(tmp_path, "d")[0].part is None and len(calls) == 2
    with pytest.raises(ValueError, match="half of each"), monkeypatch.context() as patch:
        calls = meanwhile(patch, layout, "build_study", lambda: None, error=ValueError("half of each"))
        marked_study(tmp_path, "d")
    assert len(calls) == 1, "it lies there as it was read"


def test_a_case_that_never_stays_as_it_is_is_refused_in_words(tmp_path, monkeypatch):
    complete = in_part_then_complete(tmp_path)
    boxes = iter([[[0.0, 0.0, float(low)], [6.0, 6.0, 69.0]] for low in range(9)])
    calls = meanwhile(
        monkeypatch,
        layout,
        "build_study",
        lambda: submit_in_part(tmp_path, "d", undecided=[next(boxes)]),
        times=READINGS,
    )
    with pytest.raises(ValueError, match=r"case d changed each of the 5 times.*try again"):
        marked_study(tmp_path, "d")
    complete()
    assert len(calls) == READINGS and marked_study(tmp_path, "d")[0].part is None
