"""Parts of `gpu.py` that ask whether a GPU does the right thing: its tests, and the candidates of a CPU."""

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import torch

from benchmarks.agreement import Agreement
from benchmarks.gpu_part import MODEL, Part
from osln.cohorts.phantoms import make_patient, split_seeds
from osln.rows.experiments import OPERATING_POINT, PRESETS, ROWS
from osln.stage_one.inference import Predictor
from osln.stage_two.points import DEFAULT_POINT
from osln.stage_two.scoring import CandidateScorer
from osln.weights.model_store import ModelStore

ROOT = Path(__file__).resolve().parents[1]
ROW = ROWS["lf-stratified"]
CLASSIFIER = "local-ct-pet"
"""Reads no tags, whose network needs torchvision."""
PHANTOMS = 30


def computer(part: Part) -> None:
    """The card and what is around it.

    Raises:
        ValueError: The device is not there.
    """
    info = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in _lines(info) if line.startswith("model name")]
    part.tell(
        card="CPU, no GPU",
        cpu=names[0] if names else platform.processor(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        python=platform.python_version(),
        torch=str(torch.__version__),
    )
    if part.device == "cpu":
        return
    if not torch.cuda.is_available():
        raise ValueError(
            "PyTorch sees no GPU here: install a build with CUDA and look at nvidia-smi, or try the command "
            "with --device cpu --toy"
        )
    card = torch.cuda.get_device_properties(part.device)
    part.tell(
        card=card.name,
        memory_gb=round(card.total_memory / 2**30, 1),
        capability=f"{card.major}.{card.minor}",
        cuda=torch.version.cuda,
        cudnn=torch.backends.cudnn.version(),
        driver=_driver(),
    )


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.is_file() else []


def _driver() -> str | None:
    if shutil.which("nvidia-smi") is None:
        return None
    asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    told = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=30).stdout.split()
    return told[0] if told else None


def tests(part: Part) -> None:
    """The tests that need a GPU, by the marker `cuda`.

    Raises:
        RuntimeError: pytest could not run; its last words.
    """
    report = part.out / "tests.xml"
    report.unlink(missing_ok=True)
    files = sorted(ROOT.glob("tests/osln/*/test_*cuda.py"))
    command = [sys.executable, "-m", "pytest", "-q", "-m", "cuda", "-p", "no:cacheprovider"]
    ran = subprocess.run(
        [*command, f"--junitxml={report}", *map(str, files)], cwd=ROOT, capture_output=True, text=True
    )
    sys.stderr.write(ran.stdout + ran.stderr)
    if not report.is_file():
        raise RuntimeError(f"pytest ended with {ran.returncode} and no report")
    cases = list(ElementTree.parse(report).iter("testcase"))
    told = {"failed": ("failure", "error"), "skipped": ("skipped",)}
    names = {
        what: [str(case.get("name")) for case in cases if any(case.find(tag) is not None for tag in tags)]
        for what, tags in told.items()
    }
    passed = len(cases) - len(names["failed"]) - len(names["skipped"])
    part.tell(passed=passed, **names)


def agreement(part: Part) -> None:
    """Candidates of the shipped networks on this device beside those of the CPU in float32."""
    store = ModelStore(MODEL)
    checkpoints = {name: store.load(name) for name in ROW.segmenters}
    classifier = store.load(CLASSIFIER)
    places = {"CPU f32": ("cpu", "f32")}
    places |= {f"{part.device} {numbers}": (part.device, numbers) for numbers in reversed(part.formats)}
    sides = {
        side: {
            name: Predictor(one, device, runtime="torch", number_format=numbers)
            for name, one in checkpoints.items()
        }
        for side, (device, numbers) in places.items()
    }
    scorers = {side: CandidateScorer(classifier, *place) for side, place in places.items()}
    score = store.thresholds(CLASSIFIER)[DEFAULT_POINT]
    found = Agreement(sides, store.thresholds(ROW.name)[OPERATING_POINT], scorers, score)
    preset = PRESETS[classifier.preset]
    if part.toy:
        preset = replace(preset, window=(40, 40, 64))
    for seed in split_seeds("test", 1 if part.toy else PHANTOMS):
        before = part.left
        found.look(make_patient(seed, preset).column)
        part.tell(**found.result())
        if part.left < 2 * (before - part.left):
            break
