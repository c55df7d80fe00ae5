"""What `benchmarks.voices` makes: thresholds, candidates and second stages, each a function of files."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.fusion import fused_by
from osln.files.arrays import write_json
from osln.imaging.column_file import load_column
from osln.imaging.lung_column import LungColumn
from osln.jobs.worker import tell, tell_training
from osln.metrics.definitions import Counts, operating_thresholds
from osln.metrics.sweep import sweep
from osln.rows.experiments import CLASSIFIERS, Row
from osln.rows.presets import DEFAULT_PRESET, PRESETS
from osln.stage_one.candidates import Detections, find_candidates
from osln.stage_one.inference import Predictor
from osln.stage_two.candidate_sets import candidate_set, load_set, save_set
from osln.stage_two.training import train_classifier
from osln.weights.checkpoint import load_checkpoint, save_checkpoint

DEMO = PRESETS[DEFAULT_PRESET]
Load = Callable[[], LungColumn]


def read_column(path: Path) -> LungColumn:
    """A kept one."""
    return load_column(path)[0]


def measure_thresholds(
    path: Path, rows: Mapping[str, Row], networks: Mapping[str, Path], patients: Sequence[Load]
) -> None:
    """Threshold of each setting's map for the precision at which its row hands over, as JSON."""
    asked = predictors(networks)
    swept: dict[str, list] = {setting: [] for setting in rows}
    for number, load in enumerate(patients, start=1):
        column = load()
        maps = {name: one.probability(column) for name, one in asked.items()}
        for setting, found in swept.items():
            prob = fused_by(rows[setting], maps, column)
            found.append(sweep(prob, np.asarray(column.nodes)).with_missed(column.nodes_outside()))
        tell(number / len(patients))
    at = {one: operating_thresholds(Counts.of(found))[rows[one].handed_at] for one, found in swept.items()}
    write_json(path, at)


def find(
    paths: Mapping[str, Sequence[Path]],
    rows: Mapping[str, Row],
    thresholds: Path,
    networks: Mapping[str, Path],
    patients: Sequence[Load],
    taught: bool,
) -> None:
    """Keep what each setting finds in the patients; with the true nodes where stage two is taught."""
    at = json.loads(thresholds.read_text())
    asked = predictors(networks)
    for number, load in enumerate(patients):
        column = load()
        maps = {name: one.probability(column) for name, one in asked.items()}
        for setting, by in paths.items():
            prob = fused_by(rows[setting], maps, column)
            candidates, labels = find_candidates(prob, at[setting], column)
            detections = Detections(setting, at[setting], candidates, labels, prob, column, {})
            save_set(by[number], candidate_set(detections, DEMO.stage_two, add_nodes=taught))
        tell((number + 1) / len(patients))


def predictors(networks: Mapping[str, Path]) -> dict[str, Predictor]:
    """In single precision: the figures should not depend on the processor."""
    return {name: Predictor(load_checkpoint(path), number_format="f32") for name, path in networks.items()}


def learn(path: Path, classifier: str, taught: Sequence[Path], seed: int) -> None:
    """Train a network of stage two and keep it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sets = [load_set(one) for one in taught]
    trained = train_classifier(
        CLASSIFIERS[classifier], DEMO, sets, seed=seed, trained_on="phantom", on_progress=tell_training
    )
    save_checkpoint(path, trained)
