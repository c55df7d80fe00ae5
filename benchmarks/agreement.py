"""Whether the same networks find the same candidates on another device or in other numbers."""

from collections.abc import Mapping
from statistics import median
from typing import Any

import numpy as np

from benchmarks.report import compare
from osln.imaging.lung_column import LungColumn
from osln.metrics.definitions import Counts, stage_one
from osln.metrics.sweep import Sweep, sweep
from osln.stage_one.candidates import find_candidates
from osln.stage_one.fusion import late_fusion
from osln.stage_one.inference import Predictor
from osln.stage_two.context import candidate_patches
from osln.stage_two.scoring import CandidateScorer

SUMMED = ("candidates", "peer_candidates", "equal", "differing", "without_counterpart",
          "peer_without_counterpart", "voxels", "voxels_changed")  # fmt: skip
DIFFERENCES = ("score_difference", "probability_difference")


class Agreement:
    """Sides that look at the same patients; the first is what each other one is compared with.

    Args:
        sides: Networks of stage one by name, of each side.
        threshold: Operating point of stage one.
        scorers: A network of stage two without tags for each side; it scores the first side's candidates.
        score: Operating point of stage two.
    """

    def __init__(
        self,
        sides: Mapping[str, Mapping[str, Predictor]],
        threshold: float,
        scorers: Mapping[str, CandidateScorer] | None = None,
        score: float = 0.5,
    ) -> None:
        self.sides, self.threshold = sides, threshold
        self.scorers, self.score = scorers or {}, score
        self.first, *self.others = sides
        self.patients = 0
        self._sweeps: dict[str, list[Sweep]] = {name: [] for name in sides}
        self._compared: dict[str, list[dict[str, Any]]] = {name: [] for name in self.others}
        self._second: dict[str, list[tuple[float, int]]] = {name: [] for name in self.scorers}

    def look(self, column: LungColumn) -> None:
        """One more patient, with true nodes."""
        outcomes: dict[str, dict[str, np.ndarray]] = {}
        for name, networks in self.sides.items():
            maps = {one: network.probability(column) for one, network in networks.items()}
            prob = late_fusion(maps, column.distance_mm)
            candidates, labels = find_candidates(prob, self.threshold, column)
            scores = np.array([candidate.score for candidate in candidates])
            outcomes[name] = {"prob": prob, "labels": labels, "scores": scores}
            self._sweeps[name].append(sweep(prob, column.nodes))
            if name == self.first and self.scorers:
                self._look_again(column, candidates)
        for name in self.others:
            self._compared[name].append(compare(outcomes[self.first], outcomes[name]))
        self.patients += 1

    def _look_again(self, column: LungColumn, candidates: list[Any]) -> None:
        """Stage two of every side on the first side's candidates."""
        patches = candidate_patches(column, candidates, self.scorers[self.first].stage_two)
        scores = {name: scorer.scores(patches) for name, scorer in self.scorers.items()}
        for name, found in scores.items():
            apart = np.abs(found - scores[self.first]).max(initial=0.0)
            turned = (found >= self.score) != (scores[self.first] >= self.score)
            self._second[name].append((float(apart), int(turned.sum())))

    def result(self) -> dict[str, Any]:
        """JSON values.

        `figures` by side (recall at the operating precision, mRecall); `compared` by other side: sums over
        the patients, for differences their median and their largest; of stage two the largest difference of
        a score and the decisions that changed.

        Raises:
            ValueError: No patient was looked at.
        """
        figures = {name: stage_one(Counts.of(found)) for name, found in self._sweeps.items()}
        compared: dict[str, dict[str, Any]] = {}
        for name, entries in self._compared.items():
            compared[name] = {key: sum(entry[key] for entry in entries) for key in SUMMED}
            for key in DIFFERENCES:
                values = [entry[key] for entry in entries]
                compared[name][key] = [median(values), max(values)]
            if name in self._second:
                apart, turned = zip(*self._second[name], strict=True)
                compared[name] |= {"stage_two_difference": max(apart), "decisions_changed": sum(turned)}
        return {
            "patients": self.patients,
            "threshold": self.threshold,
            "first": self.first,
            "figures": {
                name: {"recall": found.recall, "mean_recall": found.mean_recall}
                for name, found in figures.items()
            },
            "compared": compared,
        }
