"""Cases on disk: the store's layout, a sidecar that rebuilds the field, and splits that never move."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from osln.__main__ import main
from osln.cli import phantoms
from osln.imaging.grid import read_volume
from osln.phantom import Phantom, make_phantom
from osln.phantom.patient.fields import SplineField
from osln.phantom.written.store import case_names, split_sizes, write_case
from osln.store.layout import companions, load_study


@cache
def phantom() -> Phantom:
    return make_phantom(3, spacing_mm=(5.0, 5.0, 5.0))


def test_a_written_case_loads_as_a_study_with_its_values(tmp_path: Path) -> None:
    write_case(tmp_path, "case-01", phantom(), approve=True)
    study = load_study(companions(tmp_path, "case-01"))
    assert np.array_equal(study.ct.array, phantom().ct_hu)
    assert study.pet is not None and np.abs(study.pet.array - phantom().pet_suv).max() <= 1 / 64 + 1e-6
    assert study.tumor is not None and np.array_equal(study.tumor.array, phantom().tumor)
    assert study.nodes is not None and np.array_equal(study.nodes.array, phantom().nodes > 0)
    assert np.allclose(study.ct.grid.affine, phantom().affine)


def test_a_case_that_is_not_approved_has_no_final_label_but_its_truth(tmp_path: Path) -> None:
    write_case(tmp_path, "case-01", phantom(), approve=False)
    assert not (tmp_path / "labels" / "final").exists()
    assert np.array_equal(read_volume(tmp_path / "truth" / "case-01.nii.gz").array, phantom().nodes)


def test_the_sidecar_lists_everything_and_rebuilds_the_misregistration(tmp_path: Path) -> None:
    write_case(tmp_path, "case-01", phantom(), approve=False)
    told = json.loads((tmp_path / "truth" / "case-01.json").read_text())
    assert told["synthetic"] is True and told["seed"] == 3 and told["anatomy"] == "parametric"
    assert len(told["findings"]) == len(phantom().findings)
    keys = {
        "kind",
        "zone",
        "center_mm",
        "volume_mm3",
        "radius_mm",
        "suv_max",
        "avid",
        "osln",
        "tags",
        "label",
    }
    assert all(keys <= finding.keys() for finding in told["findings"])
    field = SplineField.from_json(told["misregistration"])
    assert phantom().motion is not None
    points = np.array([[0.0, 0.0, 100.0], [40.0, -30.0, 250.0]])
    assert np.allclose(field.at(points), phantom().motion.at(points), atol=1e-3)


def test_names_have_as_many_digits_as_they_need() -> None:
    assert case_names(2) == ["phantom-01", "phantom-02"]
    assert case_names(141, "p")[-1] == "p-141" and case_names(141, "p")[0] == "p-001"


def test_sizes_become_splits_in_order() -> None:
    assert split_sizes(4, (2, 1, 1)) == ["train", "train", "validation", "test"]
    with pytest.raises(ValueError, match="add up to 4"):
        split_sizes(4, (2, 1, 0))


@pytest.mark.parametrize(
    ("text", "cohort", "expected"),
    [(None, False, 0), (None, True, 7), ("all", False, 7), ("none", True, 0), ("3", False, 3)],
)
def test_how_many_cases_are_approved(text: str | None, cohort: bool, expected: int) -> None:
    assert phantoms.approved_count(text, 7, cohort=cohort) == expected


def test_an_approval_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="all, none or a number"):
        phantoms.approved_count("some", 7, cohort=False)
    with pytest.raises(ValueError, match="a number up to the 7 cases, got '8'"):
        phantoms.approved_count("8", 7, cohort=False)


def test_the_command_line_makes_a_small_cohort(tmp_path: Path) -> None:
    output = tmp_path / "cohort"
    given = ["--cohort", "1,1,0", "--field", "column", "--spacing", "5", "5", "5", "--seed", "3"]
    assert main(["phantoms", "--out", str(output), *given]) == 0
    splits = json.loads((output / ".osln" / "splits.json").read_text())["cases"]
    assert splits == {"phantom-01": "train", "phantom-02": "validation"}
    assert (output / "labels" / "final" / "phantom-02.nii.gz").is_file()
    assert np.array_equal(read_volume(output / "phantom-01.nii.gz").array, phantom().ct_hu)


def test_cases_that_are_there_are_not_overwritten_unasked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    label = tmp_path / "labels" / "final" / "phantom-02.nii.gz"
    label.parent.mkdir(parents=True)
    label.write_bytes(b"a patient's")
    small = ["--cases", "2", "--field", "column", "--spacing", "5", "5", "5"]
    assert main(["phantoms", "--out", str(tmp_path), *small]) == 1
    assert "has phantom-02 already, which would become another patient" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["labels"]
    other = ["phantoms", "--out", str(tmp_path), *small, "--prefix", "other"]
    assert main(other) == 0
    assert main(other) == 0, "the same patients"
    assert main([*other, "--seed", "1"]) == 1
    (tmp_path / ".osln" / "other-02").mkdir(parents=True)
    assert main(other) == 1, "a server has had it"
    assert label.read_bytes() == b"a patient's"


def test_the_command_line_asks_for_an_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["phantoms"]) == 1
    assert "--out FOLDER is needed" in capsys.readouterr().err
