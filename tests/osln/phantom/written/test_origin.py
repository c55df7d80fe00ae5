"""What is in a folder is made whole or refused: another patient's files never come beside a label."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from osln.__main__ import main
from osln.cli import phantoms
from osln.imaging.grid import Grid, read_volume, write_volume
from osln.phantom import Phantom, make_phantom
from osln.phantom.written import store as written
from osln.phantom.written.origin import content_key
from small.planting import given_ct

SMALL = ["--cases", "2", "--field", "column", "--spacing", "5", "5", "5"]


def command(folder: Path, *options: str) -> int:
    return main(["phantoms", "--out", str(folder), *options])


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def unpacked(folder: Path) -> dict[str, bytes]:
    """Without the time that a packed file holds."""
    told = contents(folder)
    return {name: gzip.decompress(data) if name.endswith(".gz") else data for name, data in told.items()}


@pytest.fixture
def cts(tmp_path: Path) -> list[str]:
    """Two CTs on the same voxels, of which one is 5 HU brighter."""
    paths = [tmp_path / f"ct{number}.nii.gz" for number in range(2)]
    for number, path in enumerate(paths):
        write_volume(path, given_ct().array + np.int16(5 * number), given_ct().grid)
    return [str(path) for path in paths]


def test_an_approved_label_never_comes_beside_another_ct(tmp_path, cts, capsys):
    store = tmp_path / "store"
    assert command(store, "--cases", "1", "--ct", cts[0], "--approve", "all") == 0
    before = contents(store)

    assert command(store, "--cases", "1", "--ct", cts[1]) == 1
    assert (
        "has phantom-01 already, which would become another patient (another ct)" in capsys.readouterr().err
    )
    assert contents(store) == before
    assert command(store, "--cases", "1", "--ct", cts[0]) == 0
    assert contents(store) == before


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--spacing", "6", "6", "6"], "another spacing mm"),
        (["--field", "body"], "another field"),
        (["--realistic"], "another parameters"),
        (["--no-misregistration"], "another misregistered"),
        (["--seed", "1"], "another seed"),
    ],
)
def test_other_options_make_another_patient(tmp_path, capsys, monkeypatch, options, told):
    assert command(tmp_path, *SMALL, "--cases", "1", "--approve", "all") == 0
    before = contents(tmp_path)
    monkeypatch.setattr(written, "write_case", None)

    assert command(tmp_path, *SMALL, "--cases", "1", *options) == 1
    assert told in capsys.readouterr().err
    assert contents(tmp_path) == before


def test_a_label_that_was_corrected_since_stays(tmp_path):
    assert command(tmp_path, *SMALL, "--approve", "1") == 0
    final, gtv = (tmp_path / "labels" / kind / "phantom-01.nii.gz" for kind in ("final", "gtv"))
    final.write_bytes(b"corrected")
    gtv.write_bytes(b"drawn anew")
    (tmp_path / "pet" / "phantom-01.nii.gz").unlink()

    assert command(tmp_path, *SMALL, "--approve", "all") == 0
    assert (final.read_bytes(), gtv.read_bytes()) == (b"corrected", b"drawn anew")
    assert (tmp_path / "pet" / "phantom-01.nii.gz").is_file()
    assert (tmp_path / "labels" / "final" / "phantom-02.nii.gz").is_file()
    approved = [
        json.loads((tmp_path / "truth" / f"phantom-0{number}.json").read_text())["approved"]
        for number in (1, 2)
    ]
    assert approved == [True, True]


@pytest.mark.slow
@pytest.mark.parametrize("at", (1, 5))
def test_a_cohort_that_was_stopped_anywhere_is_made_whole(tmp_path, monkeypatch, capsys, at):
    options = [*SMALL, "--approve", "all", "--spacing", "8", "8", "8"]
    assert command(tmp_path / "whole", *options) == 0
    write, calls = written.write_volume, []

    def stopped(path, *given):
        calls.append(path)
        # Within the second case: the first one has taken five files.
        if len(calls) == 5 + at:
            raise KeyboardInterrupt
        write(path, *given)

    with monkeypatch.context() as during:
        during.setattr(written, "write_volume", stopped)
        assert command(tmp_path / "stopped", *options) != 0
    assert not (tmp_path / "stopped" / "phantom-02.nii.gz").exists()

    capsys.readouterr()
    assert command(tmp_path / "stopped", *options) == 0
    assert "2 synthetic cases" in (told := capsys.readouterr().out) and "(1 of them were there)" in told
    assert unpacked(tmp_path / "stopped") == unpacked(tmp_path / "whole")


def test_what_a_former_version_wrote_is_refused(tmp_path, capsys):
    assert command(tmp_path, *SMALL) == 0
    path = tmp_path / "truth" / "phantom-02.json"
    told = json.loads(path.read_text())
    del told["made_from"]
    path.write_text(json.dumps(told))

    assert command(tmp_path, *SMALL) == 1
    assert "phantom-02.json does not say what it was made from" in capsys.readouterr().err


def test_a_tumor_label_alone_is_somebodys(tmp_path, capsys):
    label = tmp_path / "labels" / "gtv" / "phantom-01.nrrd"
    label.parent.mkdir(parents=True)
    label.write_bytes(b"drawn")

    assert command(tmp_path, *SMALL) == 1
    assert "has phantom-01 already" in capsys.readouterr().err


def test_dicom_studies_are_not_written_over(tmp_path, capsys):
    options = ["--cases", "1", "--field", "column", "--spacing", "10", "10", "10", "--dicom"]
    assert command(tmp_path, *options) == 0
    assert command(tmp_path, *options) == 1
    assert "it has a folder of DICOM files; if a run was stopped in it" in capsys.readouterr().err


def test_a_key_tells_voxels_and_where_they_lie():
    array, affine = np.zeros((2, 3, 4), np.int16), np.eye(4)
    keys = {
        content_key(array, affine),
        content_key(array + np.int16(1), affine),
        content_key(array.reshape(4, 3, 2), affine),
        content_key(array, 2 * affine),
    }
    assert len(keys) == 4
    assert content_key(array[:, ::-1], affine) == content_key(array, affine)


def test_splits_that_were_decided_are_not_promised_to_be_others(tmp_path, capsys):
    options = ["--field", "column", "--spacing", "8", "8", "8"]
    assert command(tmp_path, "--cohort", "1,1,1", *options) == 0
    before = contents(tmp_path)

    assert command(tmp_path, "--cohort", "0,1,2", *options) == 1
    told = capsys.readouterr().err
    assert "has phantom-01 in train, and these sizes of --cohort would have it in validation (2 of 3" in told
    assert contents(tmp_path) == before


def test_organ_volumes_are_known_by_their_content(tmp_path):
    labels = np.zeros((6, 6, 6), np.uint8)
    labels[0], labels[5], labels[3, 3] = 1, 2, 3
    table = 'organ_id,organ,density_g_cm3\n1,"Lung, left",0.4\n2,"Lung, right",0.4\n3,Oesophagus,1.0\n'
    keys = []
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        write_volume(folder / "AM_torso_organs.nii.gz", labels, Grid(labels.shape, np.diag([40, 30, 40, 1])))
        (folder / "AM_organs.csv").write_text(table.replace("1.0", f"1.{number}"))
        options = phantoms_options("--anatomy", str(folder), "--out", "x")
        keys.append(phantoms.phantom_maker(options)[1]["anatomy"])
    assert keys[0] != keys[1]


def phantoms_options(*given: str):
    import argparse

    parser = argparse.ArgumentParser()
    phantoms.add_parser(parser.add_subparsers())
    return parser.parse_args(["phantoms", *given])


def test_the_truth_is_that_of_the_seed(tmp_path):
    assert command(tmp_path, *SMALL, "--cases", "1") == 0
    made: Phantom = make_phantom(0, spacing_mm=(5.0, 5.0, 5.0))
    np.testing.assert_array_equal(read_volume(tmp_path / "truth" / "phantom-01.nii.gz").array, made.nodes)
