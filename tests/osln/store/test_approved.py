import numpy as np
import pytest

from osln.rows.experiments import PRESETS, SEGMENTERS
from osln.store.approved import approved_cases, load_columns, phantoms
from small.studies import add_case


def test_approved_cases_are_those_with_a_final_label(tmp_path):
    for case in "dba":
        add_case(tmp_path, case)
    add_case(tmp_path, "h", approved=False)
    (tmp_path / "labels" / "final" / ".d.tmp.nii.gz").write_bytes(b"")
    assert approved_cases(tmp_path) == ["a", "b", "d"]


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
