"""From the fused probability map to lymph-node candidates (paper, end of section 3.1)."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from osln.imaging.instances import CONNECTIVITY, radius_mm
from osln.imaging.lung_column import LungColumn
from osln.imaging.resampling import paste_labels
from osln.imaging.study import Study
from osln.rows.experiments import PROXIMAL_MM


@dataclass(frozen=True)
class Candidate:
    """One connected component of voxels above the operating point.

    Attributes:
        id: 1, 2, ... by falling score; the value in the label map.
        center_mm: Center of mass, RAS mm.
        volume_mm3: Volume.
        radius_mm: Radius of the sphere of that volume.
        box: First and past-the-last voxel along x, y, z of the working grid.
        zone: "proximal" or "distal" by the distance of the center; None
            without a tumor.
        distance_mm: Signed distance of the center to the tumor boundary, clipped at 100 mm; None
            without a tumor.
        score: What candidates are ranked by: the score of stage two if there was one, else of stage one.
        stage_one_score: Mean probability of its voxels (paper, section 4.5: the "#" rows).
        suv_max, suv_mean: Over its voxels; None without a PET.
        stage_two_score: Probability that stage two gives it; None without stage two.
        kept: False if stage two rejects it.
        tags: Likeliest tags, as `osln.tagging.tags.top_tags` gives them; None without a tagger.
    """

    id: int
    center_mm: tuple[float, float, float]
    volume_mm3: float
    radius_mm: float
    box: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
    zone: str | None
    distance_mm: float | None
    score: float
    stage_one_score: float
    suv_max: float | None
    suv_mean: float | None
    stage_two_score: float | None = None
    kept: bool = True
    tags: tuple[dict[str, Any], ...] | None = None


def find_candidates(
    prob: np.ndarray, threshold: float, column: LungColumn, *, in_tumor: bool = True
) -> tuple[list[Candidate], np.ndarray]:
    """26-connected components of `prob >= threshold`, no minimum size, by falling score.

    Args:
        prob: (x, y, z) fused probability on the column's grid.
        threshold: Operating point; voxels of probability 0 are never taken.
        column: Gives PET, distance and geometry.
        in_tumor: False leaves out components whose center (the voxel nearest to the center of mass) lies in
            the tumor or on its boundary; the column must have distances then.

    Returns:
        The candidates and their label map, (x, y, z) int32; both empty if no voxel reaches the threshold.
    """
    parts, count = ndimage.label((prob >= threshold) & (prob > 0), CONNECTIVITY)
    boxes = ndimage.find_objects(parts, count)
    found = []
    for value, box in enumerate(boxes, start=1):
        mask = parts[box] == value
        voxels = np.argwhere(mask)
        center = voxels.mean(axis=0) + [part.start for part in box]
        if not in_tumor and column.distance_mm[tuple(np.round(center).astype(int))] <= 0:  # type: ignore[index]
            continue
        score = float(prob[box][mask].mean())
        found.append((score, value, box, mask, center, len(voxels)))
    found.sort(key=lambda entry: (-entry[0], entry[1]))

    renumbered = np.zeros(count + 1, dtype=np.int32)
    candidates = []
    for identity, (score, value, box, mask, center, size) in enumerate(found, start=1):
        renumbered[value] = identity
        volume = size * column.grid.voxel_mm3
        nearest = tuple(np.round(center).astype(int))
        distance = None if column.distance_mm is None else float(column.distance_mm[nearest])
        suv = None if column.pet_suv is None else column.pet_suv[box][mask]
        candidates.append(
            Candidate(
                id=identity,
                center_mm=tuple(float(x) for x in column.grid.index_to_mm(center)),  # type: ignore[arg-type]
                volume_mm3=float(volume),
                radius_mm=float(radius_mm(volume)),
                box=tuple((part.start, part.stop) for part in box),  # type: ignore[arg-type]
                zone=None if distance is None else ("proximal" if distance <= PROXIMAL_MM else "distal"),
                distance_mm=distance,
                score=score,
                stage_one_score=score,
                suv_max=None if suv is None else float(suv.max()),
                suv_mean=None if suv is None else float(suv.mean()),
            )
        )
    return candidates, renumbered[parts]


@dataclass(frozen=True)
class Detections:
    """What was found in a patient.

    Attributes:
        experiment: Name of the row.
        threshold: Operating point on the fused probability.
        candidates: By falling score, rejected ones too; `id` is the value in `labels`.
        labels: (x, y, z) int32 on the column's grid.
        prob: (x, y, z) float32 fused probability on the column's grid.
        column: What the networks saw.
        seconds: Time of each step.
        classifier: Network that scored the candidates again; None without stage two.
        score_threshold: Score below which it rejects; None without stage two.
        tagger: What gave the tags, as `Tagger.describe` says it; None without one.
        streams: For each candidate, the mean probability of each network (`stream_means`).
        features: (n, F) float32 what the last layer of stage two reads of each; None without stage two.
    """

    experiment: str
    threshold: float
    candidates: list[Candidate]
    labels: np.ndarray
    prob: np.ndarray
    column: LungColumn
    seconds: Mapping[str, float]
    classifier: str | None = None
    score_threshold: float | None = None
    tagger: Mapping[str, Any] | None = None
    streams: Sequence[Mapping[str, float]] = ()
    features: np.ndarray | None = None

    @property
    def kept(self) -> list[Candidate]:
        """The candidates that stage two does not reject; all of them without stage two."""
        return [candidate for candidate in self.candidates if candidate.kept]

    @property
    def kept_labels(self) -> np.ndarray:
        """`labels` without the rejected candidates."""
        return np.where(np.isin(self.labels, [candidate.id for candidate in self.kept]), self.labels, 0)

    def labels_on_ct(self, study: Study) -> np.ndarray:
        """The candidates' label map on the CT's own grid, (x, y, z) int32 in canonical order."""
        return paste_labels(self.labels, self.column.grid, study.ct.grid)

    def to_json(self) -> dict[str, Any]:
        """Plain values: one entry per candidate (RAS mm, mm3, SUV), operating points, seconds, warnings."""
        return {
            "experiment": self.experiment,
            "threshold": self.threshold,
            "classifier": self.classifier,
            "score_threshold": self.score_threshold,
            "tagger": None if self.tagger is None else dict(self.tagger),
            "candidates": [asdict(candidate) for candidate in self.candidates],
            "seconds": dict(self.seconds),
            "warnings": list(self.column.warnings),
        }
