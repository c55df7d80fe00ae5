"""Parts of `gpu.py` that measure time and memory: a whole patient, and the networks by themselves."""

import shutil
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from benchmarks.gpu_part import MODEL, Part
from benchmarks.patient import CASE, ROW, fresh, write_patient
from benchmarks.sides import Product, Steps
from osln.cohorts.phantoms import make_patient, split_seeds
from osln.detection import SecondStage
from osln.imaging.grid import Grid
from osln.imaging.lung_column import LungColumn
from osln.rows.experiments import DEFAULT_PRESET, OPERATING_POINT, PRESETS, SEGMENTERS, Preset
from osln.stage_one.inference import Predictor
from osln.stage_one.sampling import PatchSampler
from osln.stage_one.training import SegmenterLesson, fit_scaling
from osln.stage_two.scoring import CandidateScorer
from osln.store.layout import StorePaths, companions
from osln.tagging.tagger import Tagger, tagger_file
from osln.weights.checkpoint import Checkpoint
from osln.weights.devices import bf16_is_fast
from osln.weights.model_store import ModelStore

SAMPLES = Path(__file__).resolve().parents[1] / "sample-datastore"
RUNS = 7
WARM_RUNS = 2
WINDOWS = 20
NETWORK = "ef-proximal"
LEARNED_FROM = 2
"""Phantoms; what a step costs does not depend on how many there are."""
WARM_STEPS, STEPS = 5, 40
UNTRAINED_QUANTILE = 0.999
"""Share of the voxels below the operating point of networks that were never trained."""


def patient(part: Part) -> None:
    """The whole patient of `patient_speed.py`, warm, from the files to the label map on the CT's grid."""
    with tempfile.TemporaryDirectory(prefix="osln-gpu-") as name:
        paths = companions(*_patient_files(Path(name), part.toy))
        rows: list[dict[str, Any]] = []
        wanted = [
            (preset, numbers) for preset in (DEFAULT_PRESET, "standard", "paper") for numbers in part.formats
        ]
        for done, (preset, numbers) in enumerate(wanted):
            row: dict[str, Any] = {"preset": preset, "numbers": numbers}
            with part.peak(row):
                product, threshold, row["what"] = _product(preset, part.device, numbers)
                share = part.left / (len(wanted) - done)
                warm, runs = (0, 1) if part.toy else (WARM_RUNS, RUNS)
                row |= _timed_patient(product, paths, threshold, warm, runs, share)
            rows.append(row)
            part.tell(rows=rows)


def _patient_files(folder: Path, toy: bool) -> tuple[Path, str]:
    """A store's root and its case: the patient of clinical size, or a sample case as a toy."""
    if not toy:
        write_patient(folder, seed=0)
        return folder, CASE
    sample = min(SAMPLES.glob("*.nii.gz")).name
    for part in ("", "pet", "labels/gtv"):
        (folder / part).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(SAMPLES / part / sample, folder / part / sample)
    return folder, sample.removesuffix(".nii.gz")


def _product(preset: str, device: str, numbers: str) -> tuple[Product, float | None, str]:
    """Both stages with the shipped weights, or stage one with random ones; its operating point; in words."""
    store = ModelStore(MODEL)
    networks = {name: store.load(name) for name in ROW.segmenters}
    second = threshold = None
    what = "stage one, random weights"
    if {network.preset for network in networks.values()} == {preset}:
        threshold = store.thresholds(ROW.stage_one)[OPERATING_POINT]
        tagger, what = tagger_file(store), "stage one, without torchvision"
        if tagger is not None and find_spec("torchvision") is not None:
            what = "both stages"
            scorer = CandidateScorer(store.load(str(ROW.classifier)), device, numbers)
            second = SecondStage(scorer, Tagger.load(tagger, device, numbers), 0.0)
    else:
        torch.manual_seed(0)
        networks = {name: fresh(name, preset) for name in ROW.segmenters}
    predictors = {
        name: Predictor(network, device, runtime="torch", number_format=numbers)
        for name, network in networks.items()
    }
    return Product(predictors, second), threshold, what


def _timed_patient(
    product: Product, paths: StorePaths, threshold: float | None, warm: int, runs: int, seconds: float
) -> dict[str, Any]:
    """Medians over some runs after the warm ones, fewer where time is short."""
    ends = time.monotonic() + seconds
    if threshold is None:
        prob = product(paths, 0.99, Steps()).prob
        threshold = float(np.clip(np.quantile(prob, UNTRAINED_QUANTILE), 1e-6, 1 - 1e-6))
    taken, stages, outcome = [], [], None
    for number in range(warm + runs):
        steps, began = Steps(), time.perf_counter()
        outcome = product(paths, threshold, steps)
        whole = time.perf_counter() - began
        if number >= warm:
            taken.append(whole)
            stages.append(steps.seconds)
            if time.monotonic() + 2 * whole > ends:
                break
    return {
        "stages": {step: round(median(one[step] for one in stages), 4) for step in stages[0]},
        "seconds": round(median(taken), 3),
        "range": [round(min(taken), 3), round(max(taken), 3)],
        "runs": len(taken),
        "candidates": len(outcome.scores),
    }


def networks(part: Part) -> None:
    """A window and a training step of the presets that are made for a GPU."""
    found: dict[str, list[dict[str, Any]]] = {"windows": [], "steps": []}
    for name in ("paper", "standard"):
        for numbers in part.formats:
            row: dict[str, Any] = {"preset": name, "numbers": numbers}
            with part.peak(row):
                row |= _timed_window(part, PRESETS[name], numbers)
            found["windows"].append(row)
            part.tell(**found)
    for name in ("paper", "standard"):
        preset = PRESETS[name]
        columns = [make_patient(seed, preset).column for seed in split_seeds("train", LEARNED_FROM)]
        fast = bf16_is_fast(torch.device(part.device))
        for numbers in ("bf16", "f32") if fast else ("f32",):
            row = {"preset": name, "numbers": numbers}
            with part.peak(row):
                row |= _timed_steps(part, preset, columns, numbers == "bf16")
            found["steps"].append(row)
            part.tell(**found)


def _timed_window(part: Part, preset: Preset, numbers: str) -> dict[str, Any]:
    """One window as the product asks for it: scaled, copied, run, weighed and copied back."""
    predictor = Predictor(fresh(NETWORK, preset.name), part.device, runtime="torch", number_format=numbers)
    shape = preset.window
    rng = np.random.default_rng(0)
    column = LungColumn(
        case="window",
        grid=Grid(shape, np.diag([*preset.spacing_mm, 1.0])),
        ct_hu=rng.normal(0, 100, shape).astype(np.float32),
        pet_suv=rng.gamma(1.0, 2.0, shape).astype(np.float32),
        distance_mm=np.full(shape, 20.0, np.float32),
        tumor=None,
        nodes=None,
        body=np.ones(shape, bool),
    )
    seconds = _seconds_of(lambda: predictor.probability(column), WARM_RUNS, 1 if part.toy else WINDOWS, part)
    return {"ms": round(1000 * median(seconds), 1), "runs": len(seconds)}


def _timed_steps(part: Part, preset: Preset, columns: list[LungColumn], bf16: bool) -> dict[str, Any]:
    """Training steps as `train` takes them, and what making a batch costs one core."""
    segmenter = SEGMENTERS[NETWORK]
    scaling = fit_scaling(segmenter, columns)
    sampler = PatchSampler(columns, segmenter, preset, scaling)
    warm, most = (1, 2) if part.toy else (WARM_STEPS, STEPS)
    lesson = SegmenterLesson(
        steps=warm + most,
        epoch_steps=warm + most,
        seed=0,
        device=torch.device(part.device),
        learning_rate=preset.learning_rate,
        sampler=sampler,
        empty=Checkpoint(segmenter.name, preset.name, scaling, {}, "phantom"),
        initial=None,
        validation=((), 0),
    )
    network = lesson.network()
    lesson.bf16 = bf16
    optimizer = lesson.optimizer(network)
    network.train()
    numbers = iter(range(warm + most))

    def step() -> None:
        losses = lesson.loss(network, next(numbers))
        losses["total"].backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses["total"].item()

    made = _seconds_of(lambda: sampler.batch(0), 1, 1 if part.toy else 5, part)
    taken = _seconds_of(step, warm, most, part)
    # The mean: a step that waits for its batch must count.
    mean = sum(taken) / len(taken)
    return {
        "steps_per_second": round(1 / mean, 2),
        "step_ms": round(1000 * mean, 1),
        "fastest_ms": round(1000 * min(taken), 1),
        "batch_ms": round(1000 * median(made), 1),
        "steps": len(taken),
        "weights": sum(one.numel() for one in network.parameters()),
    }


def _seconds_of(act: Callable[[], object], warm: int, most: int, part: Part) -> list[float]:
    """Seconds of an act after some warm ones; fewer than asked for where the part's time is short."""
    taken: list[float] = []
    for number in range(warm + most):
        part.wait()
        began = time.perf_counter()
        act()
        part.wait()
        if number >= warm:
            taken.append(time.perf_counter() - began)
            if part.left < 10 * taken[-1]:
                break
    return taken
