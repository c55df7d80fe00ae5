"""Stage one of the lane in which both stages learn: one network, trained on what the annotator has said."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from filelock import FileLock
from scipy import ndimage

from osln.active.gathering import case_evidence
from osln.files.code import code_key
from osln.imaging.lung_column import LungColumn
from osln.imaging.reviewed_part import DECIDED, UNKNOWN
from osln.jobs.worker import device, tell_training
from osln.learning.state import fingerprint
from osln.metrics.sweep import THRESHOLDS, sweep
from osln.retraining.matched_points import MOST_CASES, matched
from osln.rows.constants import TUNING_LEARNING_RATE
from osln.rows.experiments import SEGMENTERS, Preset
from osln.simulation.cases import Case
from osln.simulation.code import TRAINING
from osln.simulation.reviews import Review
from osln.stage_one.candidates import Candidate, Detections, find_candidates
from osln.stage_one.fusion import stream_means
from osln.stage_one.inference import Predictor
from osln.stage_one.training import train
from osln.stage_two.candidate_sets import LEAST_KNOWN, candidate_set
from osln.stage_two.numbers import candidate_numbers
from osln.weights.checkpoint import Checkpoint, load_checkpoint, save_checkpoint


@dataclass(frozen=True)
class StageOneRecipe:
    """How stage one is retrained; its text is part of a run's key.

    Attributes:
        segmenter: Name in `SEGMENTERS` of a network for the whole column.
        first: Steps from scratch, on the cases of the start.
        steps: Of each round, from the network before it at the lower rate of the product's retraining.
        candidates: In a case, on average over patients whose labels are not looked at: the operating point.
    """

    segmenter: str = "gated-soft"
    first: int = 600
    steps: int = 80
    candidates: int = 20


@dataclass(frozen=True)
class Networks:
    """Trained networks as files that are named by all they are made of, so that none is trained twice.

    Attributes:
        folder: Of the files.
        recipe: How they are trained.
        preset: Their size and how they learn.
    """

    folder: Path
    recipe: StageOneRecipe
    preset: Preset

    def learned(self, columns: Sequence[LungColumn], initial: Checkpoint | None, seed: int) -> Checkpoint:
        """The network that these patients teach, read if it is there; a killed training is gone on with.

        Args:
            columns: As `Review.taught` gives them, each case once.
            initial: Network to go on from; None for random weights.
            seed: Of weights and patches.
        """
        steps = self.recipe.first if initial is None else self.recipe.steps
        rate = self.preset.learning_rate * (1 if initial is None else TUNING_LEARNING_RATE)
        preset = replace(self.preset, learning_rate=rate)
        weights = (
            [] if initial is None else [one for pair in sorted(initial.state_dict.items()) for one in pair]
        )
        patients = [
            one
            for column in columns
            for one in (column.case, *column.images.values(), column.nodes, column.known)
        ]
        about = code_key(TRAINING), self.recipe.segmenter, preset, steps, seed
        key = fingerprint(*about, *patients, *weights)[:16]
        path = self.folder / f"{key}.pt"
        self.folder.mkdir(parents=True, exist_ok=True)
        resume_path = path.with_suffix(".resume")
        # Runs of several arms begin with the same network; the second one waits for it.
        with FileLock(path.with_suffix(".lock")):
            if not path.is_file():
                checkpoint = train(
                    SEGMENTERS[self.recipe.segmenter], preset, columns, iterations=steps, seed=seed,
                    initial=initial, trained_on="phantom", device=device(), resume_path=resume_path,
                    on_progress=tell_training,
                )  # fmt: skip
                save_checkpoint(path, checkpoint)
                resume_path.unlink(missing_ok=True)
        return load_checkpoint(path)


@dataclass(frozen=True)
class Seen:
    """A patient as a network sees it.

    Attributes:
        case: Its candidates; `path` is empty, there is no file of patches.
        boxes: (m, 2, 3) lowest and highest corner of each candidate, RAS mm.
        judged: Indices of candidates about which an earlier review has said enough.
    """

    case: Case
    boxes: np.ndarray
    judged: frozenset[int] = frozenset()


class Eye:
    """Looks at patients with one network at one operating point.

    Args:
        checkpoint: The network; None finds nothing anywhere, as before the first training.
        unlabeled: Patients that set the operating point; up to `MOST_CASES` are looked at.
        candidates: In each of them, on average.
        preset: Of patches.
    """

    def __init__(
        self, checkpoint: Checkpoint | None, unlabeled: Sequence[LungColumn], candidates: int, preset: Preset
    ) -> None:
        self.checkpoint, self.unlabeled = checkpoint, unlabeled[:MOST_CASES]
        self.candidates, self.preset = candidates, preset
        self._maps: dict[str, np.ndarray] = {}

    @cached_property
    def _network(self) -> Predictor:
        assert self.checkpoint is not None
        return Predictor(self.checkpoint, device())

    def _map(self, column: LungColumn) -> np.ndarray:
        if column.case not in self._maps:
            self._maps[column.case] = self._network.probability(column)
        return self._maps[column.case]

    @cached_property
    def threshold(self) -> float:
        """That gives about as many candidates as are wanted; labels are not looked at."""
        if self.checkpoint is None:
            return 1.0
        counts = np.zeros(len(THRESHOLDS))
        for column in self.unlabeled:
            prob = self._map(column)
            counts += sweep(prob, np.zeros(prob.shape, dtype=np.uint8)).false_predictions
        wanted = np.full(len(THRESHOLDS), float(self.candidates * len(self.unlabeled)))
        return matched(wanted, counts, THRESHOLDS[0])

    def look(self, column: LungColumn, review: Review | None) -> Seen:
        """The candidates of a patient, and which of them a review of it has decided.

        Args:
            column: With all true nodes.
            review: Of the same patient, if it was opened.
        """
        if self.checkpoint is None:
            prob = np.zeros(column.ct_hu.shape, dtype=np.float32)
        else:
            prob = self._map(column)
        candidates, labels = find_candidates(prob, self.threshold, column)
        maps = {} if self.checkpoint is None else {self.checkpoint.name: prob}
        streams = stream_means(maps, column.distance_mm, candidates, labels)
        found = Detections("simulated", self.threshold, candidates, labels, prob, column, {}, streams=streams)
        content = candidate_set(found, self.preset.stage_two, add_nodes=False)
        case = Case(
            name=column.case,
            evidence=case_evidence(found, column.case, "simulated"),
            numbers=candidate_numbers(content.patches, self.preset.spacing_mm),
            truth=content.truth,
            overlaps=content.overlaps,
            looks=(),
            path=Path(),
        )
        boxes = np.array([_corners(one, column) for one in candidates]).reshape(-1, 2, 3)
        return Seen(case, boxes, _judged(case, labels, column, review))


def _corners(candidate: Candidate, column: LungColumn) -> np.ndarray:
    """(2, 3) lowest and highest corner, RAS mm."""
    faces = column.grid.index_to_mm(np.array(candidate.box, dtype=float).T - 0.5)
    return np.stack([faces.min(axis=0), faces.max(axis=0)])


def _judged(case: Case, labels: np.ndarray, column: LungColumn, review: Review | None) -> frozenset[int]:
    """Indices of candidates that hit an outlined node or lie by half in what a review decided."""
    count, overlaps = len(case.truth), case.overlaps
    if review is None or not count:
        return frozenset()
    if review.complete:
        return frozenset(range(count))
    outlined = np.isin(overlaps.node_labels[overlaps.touched], sorted(review.nodes)) & overlaps.fits
    shares = ndimage.mean(review.taught(column).known == DECIDED, labels, range(1, count + 1))
    decided = np.flatnonzero(np.asarray(shares) >= LEAST_KNOWN)
    return frozenset({*overlaps.predicted[outlined].tolist(), *decided.tolist()})


def is_known(column: LungColumn, review: Review, corners: np.ndarray) -> bool:
    """Whether a review says what is in the middle of a box, (2, 3) RAS mm."""
    known = review.taught(column).known
    middle = np.round(column.grid.mm_to_index(corners.mean(axis=0))).astype(int)
    at = np.clip(middle, 0, np.array(column.ct_hu.shape) - 1)
    return known is None or bool(known[tuple(at)] > UNKNOWN)
