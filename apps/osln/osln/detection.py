"""Stage one from images to lymph-node candidates: the upper half of the paper's Figure 3."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from osln.candidates import Candidate, find_candidates
from osln.column import Column, prepare
from osln.experiments import Experiment
from osln.fusion import late_fusion
from osln.grid import paste_labels
from osln.inference import Predictor
from osln.study import Study


@dataclass(frozen=True)
class Detections:
    """What was found in a patient.

    Attributes:
        experiment: Name of the row.
        threshold: Operating point on the fused probability.
        candidates: By falling score; `id` is the value in `labels`.
        labels: (x, y, z) int32 on the column's grid.
        prob: (x, y, z) float32 fused probability on the column's grid.
        column: What the networks saw.
        seconds: Time of each step.
    """

    experiment: str
    threshold: float
    candidates: list[Candidate]
    labels: np.ndarray
    prob: np.ndarray
    column: Column
    seconds: Mapping[str, float]

    def labels_on_ct(self, study: Study) -> np.ndarray:
        """The candidates' label map on the CT's own grid, (x, y, z) int32 in canonical order."""
        return paste_labels(self.labels, self.column.grid, study.ct.grid)

    def to_json(self) -> dict[str, Any]:
        """Plain values: one entry per candidate (RAS mm, mm3, SUV), operating point, seconds, warnings."""
        return {
            "experiment": self.experiment,
            "threshold": self.threshold,
            "candidates": [asdict(candidate) for candidate in self.candidates],
            "seconds": dict(self.seconds),
            "warnings": list(self.column.warnings),
        }


def detect(
    study: Study, experiment: Experiment, networks: Mapping[str, Predictor], threshold: float
) -> Detections:
    """Finds lymph-node candidates in one patient (paper, section 3.1).

    The study is cropped to the lung-centered column; every network of the experiment gives its
    probability; streams are fused by max inside their zone and zones by union (Eq. 2); connected
    components above the operating point are the candidates.

    Args:
        study: CT, and PET and tumor if the experiment's networks use them.
        experiment: Which networks to ask.
        networks: A predictor for each of `experiment.segmenters`, all of one preset.
        threshold: Operating point on the fused probability, in (0, 1).

    Raises:
        ValueError: If PET, tumor or a network is missing, or the networks are of different presets.
    """
    _check(study, experiment, networks, threshold)
    clock = _Clock()
    column = prepare(study, networks[experiment.segmenters[0]].preset)
    clock.stop("prepare")
    probabilities = {}
    for name in experiment.segmenters:
        probabilities[name] = networks[name].probability(column)
        clock.stop(name)
    prob = late_fusion(probabilities, column.distance_mm)
    candidates, labels = find_candidates(prob, threshold, column)
    clock.stop("candidates")
    return Detections(experiment.name, threshold, candidates, labels, prob, column, clock.seconds)


def _check(study: Study, experiment: Experiment, networks: Mapping[str, Predictor], threshold: float) -> None:
    missing = [name for name in experiment.segmenters if name not in networks]
    if missing:
        raise ValueError(f"experiment {experiment.name} needs the networks {', '.join(missing)}")
    presets = {networks[name].preset.name for name in experiment.segmenters}
    if len(presets) > 1:
        raise ValueError(
            f"experiment {experiment.name} mixes networks of the presets {', '.join(sorted(presets))}; train "
            "all of them with one preset"
        )
    if experiment.needs_pet and study.pet is None:
        raise ValueError(
            f"case {study.case} has no PET, which {experiment.name} needs: put pet/{study.case}.nii.gz "
            "(SUVbw) into the store, or use ct-stratified (tumor, no PET) or ct (CT alone)"
        )
    if experiment.needs_tumor and study.tumor is None:
        raise ValueError(
            f"case {study.case} has no tumor contour, which {experiment.name} needs: draw a segment named "
            "'tumor' and submit it, upload it as the label tag 'gtv', or use ct (CT alone)"
        )
    if not 0.0 < threshold < 1.0:
        raise ValueError(f"the threshold must lie between 0 and 1, got {threshold}")


class _Clock:
    """Seconds between calls of `stop`."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def stop(self, step: str) -> None:
        now = time.perf_counter()
        self.seconds[step] = round(now - self._last, 4)
        self._last = now
