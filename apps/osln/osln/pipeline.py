"""A row of the table with the weights in use, ready for patients: what scripts ask instead of a server."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from osln.detection import SecondStage, detect
from osln.imaging.study import Study
from osln.rows.experiments import ROWS, Row
from osln.stage_one.candidates import Detections
from osln.stage_one.inference import Predictor
from osln.stage_two.answering import learned_from
from osln.stage_two.scoring import CandidateScorer
from osln.tagging.tagger import Tagger
from osln.weights.model_store import SHIPPED, SHIPPED_TAGGER, ModelStore


@dataclass(frozen=True)
class Pipeline:
    """Networks and operating points of a row; arguments of `detect`."""

    experiment: Row
    networks: Mapping[str, Predictor]
    threshold: float
    second: SecondStage | None

    def detect(self, study: Study) -> Detections:
        """As `detection.detect`."""
        return detect(study, self.experiment, self.networks, self.threshold, self.second)


def load_pipeline(
    models: ModelStore,
    row: str,
    *,
    precision: str = "0.15",
    false_positives: str = "3",
    tagger: Path | None = None,
    device: str = "cpu",
    arithmetic: str | None = None,
) -> Pipeline:
    """The published networks of a row at an operating point.

    Args:
        models: Store of the weights.
        row: Name in `ROWS`.
        precision: Operating point of stage one, as the store names it.
        false_positives: Operating point of stage two: per patient, as the store names it.
        tagger: File of the tagger; the shipped one if omitted.
        device: Where to run.
        arithmetic: "f32" or "bf16"; see `Predictor`.

    Raises:
        ValueError: If weights, operating point or tagger are missing, or the tagger is not the one that the
            network of stage two learned from.
    """
    experiment = ROWS[row]
    thresholds = models.thresholds(experiment.stage_one)
    if precision not in thresholds:
        raise ValueError(f"{row} has no operating point {precision}: known are {', '.join(thresholds)}")
    networks = {
        name: Predictor(models.load(name), device, precision=arithmetic) for name in experiment.segmenters
    }
    second = None
    if experiment.classifier is not None:
        scores = models.thresholds(experiment.classifier)
        if false_positives not in scores:
            raise ValueError(
                f"{experiment.classifier} has no operating point for {false_positives} false positives per "
                f"patient: known are {', '.join(scores)}"
            )
        scorer = CandidateScorer(models.load(experiment.classifier), device, arithmetic)
        told = None
        if experiment.needs_tags:
            told = Tagger.load(tagger or models.root / SHIPPED / SHIPPED_TAGGER, device, arithmetic)
            if not learned_from(scorer.checkpoint, told):
                raise ValueError(
                    f"{experiment.classifier} learned from the tags of another tagger than this: retrain "
                    "it, or ask osln-local-ct-pet, which needs none"
                )
        second = SecondStage(scorer, told, scores[false_positives])
    return Pipeline(experiment, networks, thresholds[precision], second)
