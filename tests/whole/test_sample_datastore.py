"""The committed sample studies are what the recorded command makes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from osln.__main__ import main
from osln.imaging.grid import read_volume
from osln.phantom import make_phantom
from osln.phantom.written.store import sidecar

STORE = Path(__file__).resolve().parents[2] / "sample-datastore"
FIRST_SEED = 2


def test_the_store_is_small_enough_to_commit() -> None:
    names = ["", "pet", "labels/gtv", "labels/final", "truth"]
    files = [f for name in names for f in (STORE / name).glob("phantom-0[1-4].*")]
    assert sum(f.stat().st_size for f in files) < 12e6


def test_each_case_is_whole_and_says_that_it_is_synthetic() -> None:
    for i in range(1, 5):
        case = f"phantom-0{i}"
        for folder in ("", "pet", "labels/gtv", "truth"):
            assert (STORE / folder / f"{case}.nii.gz").is_file()
        told = json.loads((STORE / "truth" / f"{case}.json").read_text())
        assert told["synthetic"] is True and told["seed"] == FIRST_SEED + i - 1
        nodes = read_volume(STORE / "truth" / f"{case}.nii.gz").array
        assert nodes.max() == sum(f["osln"] for f in told["findings"]) > 0


def test_the_committed_splits_name_one_validation_case() -> None:
    cases = json.loads((STORE / ".osln" / "splits.json").read_text())["cases"]
    assert cases["phantom-01"] == "validation"
    assert {cases[f"phantom-0{i}"] for i in (2, 3, 4)} == {"train"}


@pytest.mark.slow
def test_the_first_case_is_made_again_voxel_by_voxel() -> None:
    phantom = make_phantom(FIRST_SEED, field="body", spacing_mm=(2.0, 2.0, 3.0))
    ct = read_volume(STORE / "phantom-01.nii.gz")
    assert np.array_equal(ct.array, phantom.ct_hu)
    assert np.allclose(ct.grid.affine, phantom.affine)
    pet = read_volume(STORE / "pet" / "phantom-01.nii.gz").array
    assert np.abs(pet - phantom.pet_suv).max() <= 1 / 64 + 1e-6
    assert np.array_equal(read_volume(STORE / "truth" / "phantom-01.nii.gz").array, phantom.nodes)
    assert np.array_equal(read_volume(STORE / "labels" / "gtv" / "phantom-01.nii.gz").array, phantom.tumor)
    told = json.loads((STORE / "truth" / "phantom-01.json").read_text())
    made = sidecar("phantom-01", phantom, approved=True, made_from=told["made_from"])
    assert told == json.loads(json.dumps(made))


def test_the_recorded_command_finds_its_cases_whole(tmp_path, capsys) -> None:
    copy = tmp_path / "store"
    for folder in ("", "pet", "labels/gtv", "labels/final", "truth"):
        (copy / folder).mkdir(parents=True, exist_ok=True)
        for file in (STORE / folder).glob("phantom-0[1-4].*"):
            shutil.copy(file, copy / folder)
    options = ["--out", str(copy), "--cases", "4", "--seed", str(FIRST_SEED), "--approve", "1"]
    assert main(["phantoms", *options]) == 0
    assert "(4 of them were there)" in capsys.readouterr().out
