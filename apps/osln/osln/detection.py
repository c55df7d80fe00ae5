"""From images to lymph nodes: the paper's Figure 3, stage one above, stage two below."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from osln.imaging.lung_column import prepare
from osln.imaging.study import Study
from osln.rows.experiments import Row
from osln.stage_one.candidates import Detections, find_candidates
from osln.stage_one.fusion import fused_map, stream_means
from osln.stage_one.inference import Predictor, mean_probability
from osln.stage_one.learned_fusion import LearnedFusion
from osln.stage_two.context import candidate_patches
from osln.stage_two.scoring import CandidateScorer, mean_judged
from osln.tagging.lesion_patch import lesion_places
from osln.tagging.tagger import Tagger
from osln.tagging.tags import top_tags


@dataclass(frozen=True)
class SecondStage:
    """Stage two: what scores the candidates again and rejects the poor ones.

    Attributes:
        scorer: Network of stage two.
        tagger: Gives the tags that the network reads; may be None for a network that reads none.
        threshold: Candidates below this score are rejected; 0 rejects none.
    """

    scorer: CandidateScorer
    tagger: Tagger | None
    threshold: float


def detect(
    study: Study,
    row: Row,
    networks: Mapping[str, Predictor],
    threshold: float,
    second: SecondStage | None = None,
    learned: LearnedFusion | None = None,
) -> Detections:
    """Finds lymph nodes in one patient (paper, section 3).

    The study is cropped to the lung-centered column; every network of the row gives its
    probability; streams are fused by max inside their zone and zones by union (Eq. 2); connected
    components above the operating point are the candidates. Stage two scores each from its local patch
    and its tags, and rejects those below its own operating point. A row
    with turns takes the mean of each network's answers for as many turned views of the patient, and a row
    may fuse otherwise than by max, or drop candidates centered in the tumor (`Row.fusion`, `Row.in_tumor`).

    >>> found = detect(study, experiment, networks, threshold=0.5)
    >>> [(candidate.zone, round(candidate.score, 2)) for candidate in found.candidates]
    [('proximal', 0.9), ('distal', 0.9)]

    Args:
        study: CT, and PET and tumor if the row's networks use them.
        row: Which networks to ask.
        networks: A predictor for each of `row.segmenters`; their presets prepare a patient alike.
        threshold: Operating point on the fused probability, in (0, 1).
        second: For a row with a classifier; None for one that ends with the candidates.
        learned: For a row with learned fusion.

    Raises:
        ValueError: If PET, tumor or a network is missing, or the networks see different voxels.
    """
    _check(study, row, networks, threshold, second)
    clock = _Clock()
    column = prepare(study, networks[row.segmenters[0]].preset)
    clock.stop("prepare")
    probabilities = {}
    for name in row.segmenters:
        probabilities[name] = mean_probability(networks[name], column, row.turns)
        clock.stop(name)
    prob = fused_map(row, probabilities, column.distance_mm, learned)
    candidates, labels = find_candidates(prob, threshold, column, in_tumor=row.in_tumor)
    streams = stream_means(probabilities, column.distance_mm, candidates, labels)
    clock.stop("candidates")
    found = Detections(row.name, threshold, candidates, labels, prob, column, clock.seconds, streams=streams)
    return found if second is None else _rescored(found, study, second, row.turns, clock)


def _rescored(
    found: Detections, study: Study, second: SecondStage, turns: int, clock: "_Clock"
) -> Detections:
    """The same candidates under the scores of stage two (paper, section 3.2)."""
    tags = None
    if second.tagger is not None:
        tags = second.tagger.tag_lesions(study.ct, lesion_places(found.labels, found.column.grid))
        clock.stop("tags")
    patches = candidate_patches(found.column, found.candidates, second.scorer.stage_two)
    scores, features = mean_judged(second.scorer, patches, tags, turns)
    order = np.argsort(-scores, kind="stable")
    renumbered = np.zeros(len(scores) + 1, dtype=np.int32)
    renumbered[order + 1] = np.arange(1, len(scores) + 1)
    candidates = [
        replace(
            found.candidates[index],
            id=identity,
            score=float(scores[index]),
            stage_two_score=float(scores[index]),
            kept=bool(scores[index] >= second.threshold),
            tags=None if tags is None else tuple(top_tags(tags[index])),
        )
        for identity, index in enumerate(order, start=1)
    ]
    clock.stop("classifier")
    return replace(
        found,
        candidates=candidates,
        labels=renumbered.take(found.labels),
        seconds=clock.seconds,
        classifier=second.scorer.classifier.name,
        score_threshold=second.threshold,
        tagger=None if second.tagger is None else second.tagger.describe(),
        streams=[found.streams[index] for index in order],
        features=features[order],
    )


def _check(
    study: Study,
    row: Row,
    networks: Mapping[str, Predictor],
    threshold: float,
    second: SecondStage | None,
) -> None:
    missing = [name for name in row.segmenters if name not in networks]
    if missing:
        raise ValueError(f"experiment {row.name} needs the networks {', '.join(missing)}")
    if row.classifier is None and second is not None:
        raise ValueError(f"experiment {row.name} ends with stage one: give it no second stage")
    if row.classifier is not None and second is None:
        raise ValueError(f"experiment {row.name} ends with {row.classifier}: give it that stage two")
    asked = [networks[name].preset for name in row.segmenters]
    if second is not None:
        asked.append(second.scorer.checkpoint.preparation)
    if not all(one.prepares_as(asked[0]) for one in asked):
        presets = {one.name + (" with a prefilter" if one.prefilter else "") for one in asked}
        raise ValueError(
            f"experiment {row.name} mixes networks of the presets {', '.join(sorted(presets))}, which have "
            "other voxels; train all of them with one preset"
        )
    if row.needs_pet and study.pet is None:
        raise ValueError(
            f"case {study.case} has no PET, which {row.name} needs: put pet/{study.case}.nii.gz "
            "(SUVbw) into the store, or use ct-stratified (tumor, no PET) or ct (CT alone)"
        )
    if row.needs_tumor and study.tumor is None:
        raise ValueError(
            f"case {study.case} has no tumor contour, which {row.name} needs: draw a segment named "
            "'tumor' and submit it, upload it as the label tag 'gtv', or use ct (CT alone)"
        )
    if not 0.0 < threshold < 1.0:
        raise ValueError(f"the threshold must lie between 0 and 1, got {threshold}")
    if second is not None and not 0.0 <= second.threshold <= 1.0:
        raise ValueError(f"the score of stage two lies between 0 and 1, got {second.threshold}")


class _Clock:
    """Seconds between calls of `stop`."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def stop(self, step: str) -> None:
        now = time.perf_counter()
        self.seconds[step] = round(now - self._last, 4)
        self._last = now
