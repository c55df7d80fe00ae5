"""Commands that have no test file of their own, run on small patients or on those of the sample store."""

import hashlib
import json
import shutil
from dataclasses import replace

import pytest

from osln.__main__ import command_line, main
from osln.cli import findings
from osln.cli.options import MODELS, SAMPLES
from osln.cli.tables import preset_of
from osln.rows.presets import PRESETS
from small import export as small_export
from small.export import store as store


def test_export_writes_both_formats(store, tmp_path, capsys):
    small_export.submit(store, small_export.mask_of(small_export.FEET))
    out = tmp_path / "out"
    given = ["export", str(store), "p1", "--ct", str(tmp_path / "ct"), "--out", str(out)]
    assert main(given) == 0
    assert sorted(path.name for path in out.iterdir()) == ["p1-final.rtstruct.dcm", "p1-final.seg.dcm"]
    assert "p1-final.seg.dcm: 1 nodes" in capsys.readouterr().out
    assert main([*given, "--format", "png"]) == 1
    assert "there is no format png" in capsys.readouterr().err


@pytest.mark.slow
def test_draw_finds_and_draws_a_case_of_the_sample_store(tmp_path, capsys):
    out = tmp_path / "case.png"
    assert main(["draw", "phantom-02", "--out", str(out)]) == 0
    assert out.read_bytes().startswith(b"\x89PNG")
    assert capsys.readouterr().out.startswith(f"{out}: ")


@pytest.mark.slow
def test_register_writes_pet_transform_and_figures(tmp_path, capsys):
    images = ["--ct", str(SAMPLES / "phantom-02.nii.gz"), "--pet", str(SAMPLES / "pet" / "phantom-02.nii.gz")]
    assert main(["register", *images, "--out", str(tmp_path / "out")]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert json.loads((tmp_path / "out" / "registration.json").read_text()) == figures
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "pet.nii.gz", "ct_to_pet.h5", "registration.json",
    }  # fmt: skip


def test_register_never_writes_over_the_pet_that_it_reads(tmp_path, capsys):
    for name, place in (("ct.nii.gz", SAMPLES), ("pet.nii.gz", SAMPLES / "pet")):
        shutil.copy(place / "phantom-02.nii.gz", tmp_path / name)
    before = (tmp_path / "pet.nii.gz").read_bytes()
    images = ["--ct", str(tmp_path / "ct.nii.gz"), "--pet", str(tmp_path / "pet.nii.gz")]
    assert main(["register", *images, "--out", str(tmp_path)]) == 1
    assert "pet.nii.gz is read and would be written over" in capsys.readouterr().err
    assert (tmp_path / "pet.nii.gz").read_bytes() == before


def test_tables_take_the_preset_with_what_is_asked_for_besides():
    def chosen(*given):
        return preset_of(command_line().parse_args(["tables", "--table", "1b", "--phantoms", *given]))

    assert chosen() == PRESETS["demo"]
    changed = chosen("--preset", "wide", "--iterations", "7", "--epochs", "2", "--prefilter")
    second = replace(PRESETS["wide"].stage_two, epochs=2)
    assert changed == replace(PRESETS["wide"], iterations=7, prefilter=True, stage_two=second)


def test_serve_hands_everything_over(capfd):
    assert main(["serve", "--dry-run", "--port", "8123", "--conf", "preset", "demo"]) == 0
    assert "--host 127.0.0.1 --port 8123 --conf preset demo" in capfd.readouterr().out
    assert main(["serve", "--workers", "2"]) == 1
    assert "only one worker works" in capfd.readouterr().err


def test_doctor_tells_what_the_product_runs_with(capsys):
    assert main(["doctor"]) == 0
    told = capsys.readouterr().out
    assert "The product can run." in told and "trained on phantom, checksum verified" in told
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["runs"] and {one["state"] for one in found["findings"]} <= {"ok", "missing", "wrong"}
    assert {"Python", "processor", "GPU", "Orthanc", "Chromium", "disk"} <= {
        one["name"] for one in found["findings"]
    }


def test_doctor_refuses_weights_that_were_changed_or_are_not_there(tmp_path, capsys):
    folder = shutil.copytree(MODELS / "shipped", tmp_path / "shipped")
    with (folder / "ct.pt").open("ab") as file:
        file.write(b"x")
    (folder / "ef.pt").unlink()
    assert main(["doctor", "--models", str(tmp_path)]) == 1
    told = capsys.readouterr().out
    assert "ct.pt was changed after it was stored: ./scripts/osln models rollback ct" in told
    assert "ef.pt is not there" in told and "The product cannot run" in told
    found = {one.name: one.state for one in findings.weights(tmp_path / "empty")}
    assert set(found.values()) == {"missing"}


def test_doctor_tells_weights_that_no_row_asks_any_more(tmp_path):
    for name in ("shipped", "ct", "ef-9", "gone", "mine"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "one.pt").touch()
        (tmp_path / name / "one.json").touch()
    # Somebody's own file is no version of the store.
    (tmp_path / "mine" / "one.json").unlink()
    (found,) = findings.former_weights(tmp_path)
    assert found.words.startswith(f"ef-9, gone in {tmp_path}: ") and found.state == "ok"
    (tmp_path / "ef-9" / "one.pt").unlink()
    (tmp_path / "gone" / "one.pt").unlink()
    assert not list(findings.former_weights(tmp_path))


def test_doctor_tells_packages_and_the_last_errors(monkeypatch, tmp_path):
    monkeypatch.setattr(findings, "requirements", lambda: ["numpy>=1", "numpy<1", "nowhere>=3", "pytest<1"])
    found = list(findings.packages())
    assert [(one.state, one.needed) for one in found] == [
        ("wrong", True), ("missing", True), ("wrong", False), ("ok", False),
    ]  # fmt: skip
    assert found[1].line().startswith("missing  package               nowhere: pip install 'nowhere>=3'")
    assert findings.log(tmp_path).state == "ok"
    lines = [f"[time] [1] [main] [{level}] (a:1) - {n}" for n, level in enumerate(("INFO", *["ERROR"] * 4))]
    (tmp_path / "app.log").write_text("\n".join(lines))
    told = findings.log(tmp_path)
    assert told.state == "wrong" and not told.needed
    assert [part[-1] for part in told.remedy.split(" | ")] == ["2", "3", "4"]


def test_a_checksum_is_compared(tmp_path):
    path = tmp_path / "a.pt"
    path.write_bytes(b"weights")
    right = hashlib.sha256(b"weights").hexdigest()
    assert findings.checked("a", path, right, "told", "remedy").state == "ok"
    assert findings.checked("a", path, "0" * 64, "told", "remedy").state == "wrong"
