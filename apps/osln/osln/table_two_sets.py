"""Candidate sets of phantoms for Table 2: the same patients once for each setting of stage one."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from osln.candidate_sets import CandidateSet, candidate_set, load_set, save_set
from osln.candidates import find_candidates
from osln.cohort import PhantomCohort
from osln.column import Column
from osln.detection import Detections
from osln.experiments import EXPERIMENTS
from osln.fusion import late_fusion
from osln.inference import Predictor
from osln.weights import ModelStore

STAGE_ONE_ROWS = ("ct-stratified", "ef-stratified", "lf-stratified")
"""Settings of stage one, the three blocks of Table 2."""
FORMAT = 2
"""Of the stored sets; another one makes them anew."""
PRECISION = "0.15"
"""Operating point whose candidates go to stage two (paper, section 4.3)."""


class PhantomSets:
    """Sets of phantoms, kept in a folder that depends on the stage-one weights and operating points.

    Args:
        cohort: Phantoms of the networks' preset.
        models: Store of the stage-one weights; the published ones are used.
    """

    def __init__(self, cohort: PhantomCohort, models: ModelStore) -> None:
        self.cohort = cohort
        self.models = models
        self.thresholds = {row: models.thresholds(row)[PRECISION] for row in STAGE_ONE_ROWS}
        versions = [models.published(name) for name in self.segmenters]
        content = (sorted(self.thresholds.items()), [version and version.sha256 for version in versions])
        cut = (cohort.preset.stage_two.patch, cohort.preset.stage_two.margin)
        key = hashlib.sha256(repr((FORMAT, content, *cut)).encode()).hexdigest()[:12]
        self.folder = cohort.root / f"{cohort.folder.name.replace('phantoms', 'candidates')}-{key}"

    @property
    def segmenters(self) -> tuple[str, ...]:
        """Every network that a setting asks."""
        return tuple(dict.fromkeys(name for row in STAGE_ONE_ROWS for name in EXPERIMENTS[row].segmenters))

    def path(self, row: str, seed: int) -> Path:
        return self.folder / row / f"{seed}.npz"

    def read(self, row: str, seeds: Sequence[int]) -> list[CandidateSet]:
        """The sets of a setting, which `make` has made."""
        return [load_set(self.path(row, seed)) for seed in seeds]

    def make(self, seeds: Sequence[int], *, add_nodes: bool) -> None:
        """Makes the sets of these phantoms in all settings unless they are there; each network runs once."""
        wanted = [seed for seed in seeds if not all(self.path(row, seed).is_file() for row in STAGE_ONE_ROWS)]
        if not wanted:
            return
        # Single precision: the figures must not depend on the processor.
        networks = {name: Predictor(self.models.load(name), precision="f32") for name in self.segmenters}
        for seed in wanted:
            column = self.cohort.patient(seed).column
            maps = {name: network.probability(column) for name, network in networks.items()}
            for row in STAGE_ONE_ROWS:
                found = self._detections(row, column, maps)
                content = candidate_set(found, self.cohort.preset.stage_two, add_nodes=add_nodes)
                save_set(self.path(row, seed), content)

    def _detections(self, row: str, column: Column, maps: Mapping[str, np.ndarray]) -> Detections:
        prob = late_fusion({name: maps[name] for name in EXPERIMENTS[row].segmenters}, column.distance_mm)
        candidates, labels = find_candidates(prob, self.thresholds[row], column)
        return Detections(row, self.thresholds[row], candidates, labels, prob, column, {})
