"""The command for a GPU: what fails stops nothing else and is told; as a toy it runs without a GPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import gpu
from benchmarks.gpu_part import MODULES
from benchmarks.gpu_table import TITLES, markdown
from benchmarks.gpu_training import cohorts
from osln.cohorts.phantoms import KINDS
from osln.phantom import RealisticParameters
from osln.rows.presets import DEFAULT_PRESET

ROOT = Path(__file__).resolve().parents[2]


def part(found: dict | None = None, outcome: str = "done") -> dict:
    return {"outcome": outcome, "seconds": 12.4, "found": found or {}}


def result(**parts: dict) -> dict:
    about = {
        "card": "Card 9000",
        "memory_gb": 24.0,
        "cpu": "a CPU",
        "cores": 8,
        "torch": "2.9",
        "python": "3.11",
    }
    return {
        "command": "./benchmarks/run gpu --minutes 12 --device cuda",
        "date": "2026-01-02",
        "commit": "abc1234",
        "toy": False,
        "parts": {"computer": part(about), **parts},
    }


def program(folder: Path, text: str) -> str:
    """Stands in for Python: a shell script."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def ran(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str, seconds: float = 30) -> dict:
    monkeypatch.setattr(gpu.sys, "executable", program(folder, text))
    options = gpu.argparse.Namespace(out=folder, device="cpu", toy=True)
    return gpu.run_part("networks", seconds, options)


def test_every_part_has_a_share_a_process_and_a_title():
    assert [one.name for one in gpu.PARTS] == list(MODULES) == list(TITLES)


def test_a_part_that_fails_is_told_by_its_last_words(tmp_path, monkeypatch):
    found = ran(tmp_path, monkeypatch, "echo Traceback >&2; echo 'ValueError: no card' >&2; exit 3")

    assert found["outcome"] == "failed: ValueError: no card" and found["found"] == {}


def test_a_part_that_takes_too_long_is_stopped_and_what_it_found_is_kept(tmp_path, monkeypatch):
    text = f"echo '{{\"steps\": []}}' > {tmp_path}/networks.json; exec sleep 600"
    found = ran(tmp_path, monkeypatch, text, seconds=1.0)

    assert found["outcome"] == "stopped when its 1 s were over" and found["found"] == {"steps": []}


def test_the_time_that_a_part_leaves_goes_to_those_after_it(tmp_path, monkeypatch):
    given = {}

    def at_once(name: str, seconds: float, options: object) -> dict:
        given[name] = seconds
        return part(outcome="failed: no reason" if name == "agreement" else "done")

    monkeypatch.setattr(gpu, "run_part", at_once)
    status = gpu.main(["--out", str(tmp_path), "--minutes", "10"])

    # 597 s, of which nobody here takes any: the first has its least, the last has all.
    assert list(given) == list(MODULES) and status == 1
    assert given["computer"] == 90 and given["tests"] == pytest.approx(597 / 11.5, rel=0.05)
    assert given["training"] == pytest.approx(597, rel=0.05)
    assert "| candidates of CPU and GPU | failed: no reason | 12 |" in (tmp_path / "gpu.md").read_text()


def test_without_a_gpu_nothing_else_is_tried(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "run_part", lambda *_: part(outcome="failed: PyTorch sees no GPU here"))

    assert gpu.main(["--out", str(tmp_path)]) == 2
    assert list(json.loads((tmp_path / "gpu.json").read_text())["parts"]) == ["computer"]


def test_missing_packages_are_named_with_the_way_to_get_them(tmp_path, monkeypatch, capsys):
    lacking = {"numba", "yaml", "pytest"}
    monkeypatch.setattr(gpu, "find_spec", lambda name: None if name in lacking else object())

    assert gpu.main(["--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert "missing: numba, PyYAML. Get them: " in told and "-m pip install numba PyYAML pytest" in told
    assert not (tmp_path / "out").exists()


def test_a_part_without_its_package_is_left_out_and_the_others_run(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "find_spec", lambda name: None if name == "pytest" else object())
    monkeypatch.setattr(gpu, "run_part", lambda *_: part())

    assert gpu.main(["--out", str(tmp_path)]) == 1
    parts = json.loads((tmp_path / "gpu.json").read_text())["parts"]
    assert parts["tests"]["outcome"] == "left out: needs pytest"
    assert parts["training"]["outcome"] == "done"


def test_the_table_names_the_card_and_whether_the_aim_is_reached():
    row = {
        "preset": "demo", "numbers": "f16", "what": "both stages", "seconds": 0.9, "range": [0.85, 1.0],
        "stages": {"read": 0.3, "networks": 0.05}, "candidates": 18, "runs": 7, "peak_mb": 512,
    }  # fmt: skip
    slow = row | {"preset": "paper", "what": "stage one", "seconds": 1.6}
    none = {"preset": "paper", "numbers": "f32", "left_out": "it does not fit into the GPU's memory"}

    text = markdown(result(patient=part({"rows": [row, slow, none]})))

    assert text.startswith("### Card 9000\n\n24.0 GB of memory, ")
    assert "| demo | f16 | both stages | 0.30 | 0.05 | 0.90 (0.85 - 1.00) | yes | 18 | 512 |" in text
    assert "| paper | f16 | stage one | 0.30 | 0.05 | 1.60 (0.85 - 1.00) | no | 18 | 512 |" in text
    assert "| paper | f32 | it does not fit into the GPU's memory |  |" in text
    assert "toy" not in text


def test_the_table_has_as_many_cells_in_every_row():
    window = {"preset": "paper", "numbers": "f16", "ms": 12.5, "peak_mb": 900}
    step = {"preset": "paper", "numbers": "bf16", "steps_per_second": 5.0, "step_ms": 200.0}
    step |= {"fastest_ms": 150.0, "batch_ms": 300.0}
    figures = {
        "mean_recall": 0.5,
        "recall": 0.25,
        "false_positives": 7.25,
        "reached": False,
        "nodes": 40,
        "patients": 8,
    }
    trained = {"network": "ct-distal", "steps": 10, "of": 20, "seconds": 3.0, "loss": 1.5, "dice_loss": 0.75}
    found = result(
        tests=part({"passed": 3, "failed": ["test_a"], "skipped": []}),
        networks=part({"windows": [window], "steps": [step, {**window, "left_out": "why | not"}]}),
        training=part(
            {
                "phantom_seconds": 30.0, "learned": 8,
                "trained": [trained, {"network": "ef-distal", "left_out": "no time was left"}],
                "rows": {"ct-stratified": figures},
            }
        ),
    )  # fmt: skip

    blocks = [block.splitlines() for block in markdown(found).split("\n\n") if block.startswith("|")]

    assert all(len({line.count("|") for line in block}) == 1 for block in blocks) and len(blocks) == 5
    assert "3 passed, 1 failed, 0 skipped; failed: `test_a`." in markdown(found)
    assert "| ct-stratified | standard | 0.500 | 0.250 | 7.2 (precision not reached) | 40; 8 |" in markdown(
        found
    )
    assert "| ct-distal | 10 of 20 | 3 | 1.500; 0.750 |" in markdown(found)


def test_it_learns_from_the_kinds_of_phantoms_that_the_shipped_weights_have_learned_from(tmp_path):
    learning, shipped = cohorts(tmp_path)
    assert (learning.preset.name, shipped.preset.name) == ("standard", DEFAULT_PRESET)
    assert learning.kinds == shipped.kinds == KINDS["mixed"]
    assert any(isinstance(one, RealisticParameters) for one in learning.kinds)


@pytest.mark.slow
def test_all_of_it_runs_as_a_toy_without_a_gpu(tmp_path):
    command = [sys.executable, "-m", "benchmarks.gpu", "--out", str(tmp_path), "--minutes", "60"]
    paths = os.pathsep.join((str(ROOT), str(ROOT / "apps" / "osln")))

    status = subprocess.run(
        [*command, "--device", "cpu", "--toy"], cwd=ROOT, env=os.environ | {"PYTHONPATH": paths}, check=False
    )

    parts = json.loads((tmp_path / "gpu.json").read_text())["parts"]
    assert {name: one["outcome"] for name, one in parts.items()} == dict.fromkeys(MODULES, "done")
    assert status.returncode == 0
    assert parts["tests"]["found"]["failed"] == [] and parts["tests"]["found"]["skipped"]
    same = parts["agreement"]["found"]["compared"]["cpu f32"]
    assert same["equal"] == same["candidates"] > 0 and same["stage_two_difference"] == 0
    assert [row["preset"] for row in parts["patient"]["found"]["rows"]] == [
        DEFAULT_PRESET,
        "standard",
        "paper",
    ]
    assert [one["steps"] for one in parts["training"]["found"]["trained"]] == [2, 2, 2, 2]
    text = (tmp_path / "gpu.md").read_text()
    assert "A dry run at toy size: its figures say nothing." in text
    assert (tmp_path / "model" / "shipped" / "ef-distal.pt").is_file()
