"""Realistic phantoms from the command line."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from osln.__main__ import main


def test_realistic_phantoms_are_written_with_what_was_drawn_for_them(tmp_path):
    options = ["--cases", "1", "--seed", "3", "--spacing", "5", "5", "6", "--realistic"]
    assert main(["phantoms", "--out", str(tmp_path), *options]) == 0
    told = json.loads((tmp_path / "truth" / "phantom-01.json").read_text())
    assert told["anatomy"] == "realistic" and told["parameters"]["look_version"] == 1
    assert told["parameters"]["pet_spacing_mm"] != [4.0, 4.0, 4.0]
    assert told["look"]["phase"] in ("native", "venous", "arterial") and "blood" in told["look"]["shift_hu"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            ["--counts", "1", "--ct", "none", "--spacing", "9", "9", "9", "--approve", "foo"],
            "beside --counts there is nothing to do for --spacing, --ct, --approve, because it counts",
        ),
        (["--counts", "1", "--out", "o"], "nothing to do for --out"),
        (["--counts", "0"], "expected a whole number from 1, got 0"),
        (["--ct", "a", "--anatomy", "b"], "nothing to do for --anatomy, because the CT gives"),
        (["--ct", "a", "--field", "body"], "nothing to do for --field"),
        (
            ["--realistic", "--ct", "a"],
            "nothing to do for --ct, because realistic phantoms have the built-in anatomy",
        ),
        (["--ct-tumor", "none"], "--ct-tumor is the tumor of a real CT: give that with --ct"),
        (["--cohort", "1,1,1", "--cases", "3"], "nothing to do for --cases, because its sizes say how many"),
        (["--cohort", "a,1,1"], "expected three whole numbers like 84,23,34, got a,1,1"),
        (["--cohort", "1,1"], "expected three whole numbers"),
        (["--approve", "\u00b2"], "--approve takes all, none or a number up to the 4 cases, got '\u00b2'"),
        (["--cases", "0"], "expected a whole number from 1"),
        (["--spacing", "500", "5", "5"], "voxels of (500.0, 5.0, 5.0) mm are too large: 360 mm of the field"),
        (["--spacing", "nan", "5", "5"], "voxel spacing must be positive"),
    ],
)
def test_what_would_do_nothing_or_cannot_be_is_refused_in_a_sentence(
    given, told, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    out = [] if "--out" in given or "--counts" in given else ["--out", "store"]
    assert main(["phantoms", *out, *given]) == 1
    assert told in capsys.readouterr().err
    assert not list(tmp_path.glob("store/*"))


@pytest.fixture(scope="module")
def phantom_dicom(tmp_path_factory):
    """A phantom as DICOM, whose PET has a CT of its own."""
    folder = tmp_path_factory.mktemp("dicom")
    options = ["--cases", "1", "--field", "column", "--spacing", "10", "10", "10", "--dicom"]
    assert main(["phantoms", "--out", str(folder), *options]) == 0
    return folder


@pytest.mark.parametrize(
    ("tumor", "told"),
    [
        ("{}", "of an RTSTRUCT say the region, too, as {}:REGION; it has GTVp"),
        ("{}:GTV", "there is no region 'GTV' in the structure set; it has GTVp"),
        ("{}x:GTVp", "--ct-tumor: there is no file {}x"),
        ("none.nii.gz", "--ct-tumor: there is no file none.nii.gz"),
    ],
)
def test_the_tumor_of_a_structure_set_needs_its_region(phantom_dicom, tmp_path, capsys, tumor, told):
    patient = phantom_dicom / "phantom-01"
    (structures,) = (patient / "structures").iterdir()
    given = ["--ct", str(patient / "planning-ct"), "--ct-tumor", tumor.format(structures)]
    assert main(["phantoms", "--out", str(tmp_path), "--cases", "1", *given]) == 1
    assert told.format(structures) in capsys.readouterr().err


def test_patients_whom_the_import_will_not_approve_are_named(tmp_path, capsys, monkeypatch):
    def make(seed):
        nodes = np.full((2, 2, 2), seed % 2)
        return SimpleNamespace(nodes=nodes, patient=SimpleNamespace(nodes=[1] * (seed % 2), refused={}))

    monkeypatch.setattr("osln.cli.phantoms.phantom_maker", lambda options: (make, {}))
    monkeypatch.setattr("osln.phantom.written.dicom_study.write_dicom_case", lambda *a, **b: None)
    command = ["phantoms", "--out", str(tmp_path), "--cases", "4", "--dicom"]
    assert main([*command, "--approve", "2"]) == 0
    assert "no nodes to contour: phantom-01: import does not approve" in capsys.readouterr().out
    assert main(command) == 0 and "no nodes to contour" not in capsys.readouterr().out


def test_a_folder_with_two_cts_says_what_to_do(phantom_dicom, tmp_path, capsys):
    assert main(["phantoms", "--out", str(tmp_path), "--ct", str(phantom_dicom / "phantom-01")]) == 1
    told = capsys.readouterr().err
    assert "holds 2 CT series" in told and "give a folder that holds only the one that is meant" in told
