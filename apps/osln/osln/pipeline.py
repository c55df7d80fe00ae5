"""A row of the table with the weights in use, ready for patients: what the server and every script ask."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from osln.detection import SecondStage, detect
from osln.imaging.study import Study
from osln.published import FUSION, TAGGER, NotReadyError, Published
from osln.rows.experiments import ROWS, UNMEASURED, Row
from osln.stage_one.candidates import Detections
from osln.stage_one.inference import Predictor
from osln.stage_one.learned_fusion import LearnedFusion
from osln.stage_two.points import FEWEST_PATIENTS, named_points
from osln.weights.model_store import ModelStore, Version

PRECISION = "precision "
"""Begins the names of operating points of rows that end with stage one."""


class NoRoomError(NotReadyError):
    """The device has no memory left for the networks or the case."""


@dataclass(frozen=True)
class Pipeline:
    """What a row runs with.

    Attributes:
        row: What is asked.
        networks: Of stage one, by name.
        threshold: Operating point of stage one on the fused probability.
        second: Stage two; None for a row that ends with stage one.
        point: Name of the operating point.
        versions: Of all networks that run, by name.
        warnings: What the reader of a result has to know.
        device: Where it runs.
        curve: What other operating points gave on validation patients, see `Published.curve`.
        learned: Fitted fusion of a row that has one.
    """

    row: Row
    networks: Mapping[str, Predictor]
    threshold: float
    second: SecondStage | None
    point: str
    versions: Mapping[str, Version]
    warnings: list[str]
    device: str
    curve: Sequence[Mapping[str, float]] = ()
    learned: LearnedFusion | None = None

    @property
    def checksums(self) -> dict[str, str]:
        """SHA-256 of everything learned that runs, by name; as `Published.checksums`."""
        found = {name: version.sha256 for name, version in self.versions.items()}
        tagger = self.second and self.second.tagger
        found |= {FUSION: self.learned.sha256} if self.learned else {}
        return found | ({TAGGER: tagger.describe()["sha256"]} if tagger else {})

    def detect(self, study: Study) -> Detections:
        """As `detection.detect`.

        Raises:
            NoRoomError: If the device has no room for the case.
        """
        with room_on(self.device):
            return detect(study, self.row, self.networks, self.threshold, self.second, self.learned)


def operating_points(row: Row, published: Published) -> dict[str, float]:
    """Thresholds by the names of the operating points that a row can be asked at, the default first."""
    answering = published.answering(row)
    if answering is None:
        points = {PRECISION + name: value for name, value in published.thresholds(row).items()}
        return points or {f"threshold {UNMEASURED:g}": UNMEASURED}
    return named_points(published.points(answering.classifier))


def in_use(
    row: Row, published: Published, device: str, point: str | None = None, score: float = 0.0
) -> Pipeline:
    """A row with the weights in use at an operating point.

    A row with stage two that nobody can score, or whose network is worse than none, ends with stage one.

    Args:
        row: Which networks are asked.
        published: Weights in use.
        device: Where to run.
        point: Name from `operating_points`; the first of them if omitted.
        score: Keep candidates from this score of stage two on, instead of `point`; 0 leaves it to `point`.

    Raises:
        NotReadyError: If weights are missing, or the device has no room for them.
        ValueError: If the operating point is unknown, or a file is not the one that was stored.
    """
    while True:
        seen = published.stamp()
        found = _in_use(row, published, device, point, score)
        # Networks and points of one moment: another process may have published meanwhile.
        if published.stamp() == seen:
            return found


def _in_use(row: Row, published: Published, device: str, point: str | None, score: float) -> Pipeline:
    points = operating_points(row, published)
    if point is not None and point not in points:
        raise ValueError(f"{row.name} has no operating point {point!r}: choose one of {', '.join(points)}")
    if score and published.answering(row) is None:
        why = f"{row.name} ends with stage one"
        if row.classifier is not None:
            why = "; ".join(published.remarks(row))
        raise ValueError(f"{why}, which gives no such score: ask for a precision")
    point = point or next(iter(points))
    learned = published.fusion(row)
    with room_on(device):
        networks, versions = published.networks(row, device)
        if published.answering(row) is None:
            alone = row if row.classifier is None else ROWS[row.stage_one]
            remarks = published.remarks(row)
            return Pipeline(
                alone, networks, points[point], None, point, versions, remarks, device, learned=learned
            )
        scorer, version, tagger, warnings = published.scorer(row, device)
    if not published.points(version.network) and not score:
        warnings = [
            *warnings,
            f"no operating point was measured for {version.network}, which takes {FEWEST_PATIENTS} "
            f"validation patients: candidates are kept from a score of {points[point]} on",
        ]
    second = SecondStage(scorer, tagger, score or points[point])
    return Pipeline(
        row,
        networks,
        published.handed(row),
        second,
        f"score {score:g}" if score else point,
        versions | {version.network: version},
        warnings,
        device,
        published.curve(row),
        learned,
    )


def load_pipeline(
    models: ModelStore,
    row: str,
    *,
    point: str | None = None,
    score: float = 0.0,
    tagger: Path | None = None,
    device: str = "cpu",
) -> Pipeline:
    """The published networks of any row for a script, which runs once; see `in_use`.

    Args:
        models: Store of the weights.
        row: Name in `ROWS`, served or not.
        point: Name of the operating point, for instance "3 FP per patient" or "precision 0.15".
        score: Instead of `point`.
        tagger: File of the tagger; the published one if omitted.
        device: Where to run.
    """
    published = Published(models, tagger, ROWS)
    return in_use(ROWS[row], published, device, point, score)


@contextmanager
def room_on(device: str) -> Iterator[None]:
    """Where the networks are loaded and run; a GPU without room says so and keeps nothing of the attempt."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        raise NoRoomError(
            f"{device} has no memory left for this case: ask again with device cpu, or when other "
            "programs have left the GPU"
        ) from error
