"""Fusion of the streams by weights that validation patients give; the paper takes the maximum."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from osln.imaging.distance import LIMIT_MM, zone_mask
from osln.rows.experiments import SEGMENTERS

LEAST = 0.0009
"""Where no network of the zone says this much, the fused probability is 0.

Runs of the tables keep no smaller probabilities; the mean, which they have too, takes these for as much."""
LIMIT = 10.0
"""Of the log odds: half precision says no more, and beyond it a network is only sure of itself."""
PENALTY = 1e4
"""Inverse strength of the ridge: next to none, as there are four numbers to thousands of voxels."""
FEWEST_VOXELS = 100
"""Node voxels of a zone that weights are fitted to."""


@dataclass(frozen=True)
class ZoneFusion:
    """Log odds of a node: offset + sum of weight * log odds of each stream + distance * d / 100 mm.

    Attributes:
        offset: Log odds at the tumor where all streams say .5.
        streams: Weight of each network's log odds, by name; none is negative: more never counts as less.
        distance: Change of the log odds over 100 mm of distance to the tumor.
    """

    offset: float
    streams: Mapping[str, float]
    distance: float


@dataclass(frozen=True)
class LearnedFusion:
    """What takes the place of the maximum over streams, by zone.

    >>> one = LearnedFusion({"distal": ZoneFusion(-1.0, {"ct-distal": 0.5}, 1.0)})
    >>> ct, far = np.full((1, 1, 1), 0.5, np.float32), np.full((1, 1, 1), 100, np.float32)
    >>> one({"ct-distal": ct}, far).item()
    0.5

    Attributes:
        zones: By zone.
        least: Smaller probabilities count as this one.
    """

    zones: Mapping[str, ZoneFusion]
    least: float = 0.0

    def __call__(self, probabilities: Mapping[str, np.ndarray], distance_mm: np.ndarray) -> np.ndarray:
        """(x, y, z) float32 fused probability; arguments as `fusion.late_fusion`, of the networks fitted to.

        Raises:
            ValueError: If the networks are not those that the weights were fitted to.
        """
        asked = {name for zone in self.zones.values() for name in zone.streams}
        if asked != set(probabilities):
            raise ValueError(
                f"the fusion was fitted to {', '.join(sorted(asked))}, the maps are of "
                f"{', '.join(sorted(probabilities))}: fit it again (./scripts/osln fit-fusion)"
            )
        fused = np.zeros(distance_mm.shape, dtype=np.float32)
        for zone, fit in self.zones.items():
            inside = _answered([probabilities[name] for name in fit.streams], distance_mm, zone)
            logit = np.float32(fit.distance / LIMIT_MM) * distance_mm[inside] + np.float32(fit.offset)
            for name, weight in fit.streams.items():
                logit += np.float32(weight) * log_odds(np.maximum(probabilities[name][inside], self.least))
            fused[inside] = 1 / (1 + np.exp(-logit))
        return fused

    @property
    def sha256(self) -> str:
        """Of the weights: stands among the checksums of what a row runs with."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Plain values for the model store."""
        return {zone: asdict(fit) for zone, fit in self.zones.items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "LearnedFusion":
        """Inverse of `to_json`."""
        return cls({zone: ZoneFusion(**fit) for zone, fit in values.items()})


def mean_fusion(segmenters: Sequence[str]) -> LearnedFusion:
    """The mean of the log odds of each zone's networks, as a fusion whose weights nobody has to fit."""
    return LearnedFusion(
        {
            zone: ZoneFusion(0.0, dict.fromkeys(names, 1 / len(names)), 0.0)
            for zone, names in by_zone(segmenters).items()
        },
        LEAST,
    )


def by_zone(segmenters: Sequence[str]) -> dict[str, list[str]]:
    """Names of networks by zone, in the order in which the zones come up; one without a zone is in each.

    Where no network has a zone, all are in the one named "all".
    """
    own = {name: SEGMENTERS[name].zone for name in segmenters}
    zones = list(dict.fromkeys(zone for zone in own.values() if zone != "all")) or ["all"]
    return {zone: [name for name, of in own.items() if of in (zone, "all")] for zone in zones}


@dataclass
class FusionLesson:
    """Gathers the voxels of validation patients, one after the other, and fits the weights to them.

    Every voxel is one example where any network of its zone says `LEAST`; elsewhere the answer is 0 anyway.
    Classes are not balanced: the log odds are those of a voxel being node, so that both zones mean the same
    by a number.

    Args:
        segmenters: Networks that are fused, some of them of one zone.
    """

    segmenters: Sequence[str]
    _columns: dict[str, list[np.ndarray]] = field(default_factory=dict)
    _truth: dict[str, list[np.ndarray]] = field(default_factory=dict)

    def look(
        self, probabilities: Mapping[str, np.ndarray], distance_mm: np.ndarray, nodes: np.ndarray
    ) -> None:
        """One more patient.

        Args:
            probabilities, distance_mm: As for `LearnedFusion`.
            nodes: (x, y, z) integer instances of the truth, 0 is background.
        """
        for zone, names in by_zone(self.segmenters).items():
            inside = _answered([probabilities[name] for name in names], distance_mm, zone)
            streams = [log_odds(probabilities[name][inside]) for name in names]
            columns = [*streams, distance_mm[inside].astype(np.float32) / np.float32(LIMIT_MM)]
            self._columns.setdefault(zone, []).append(np.stack(columns, axis=1))
            self._truth.setdefault(zone, []).append(nodes[inside] > 0)

    def fit(self) -> LearnedFusion:
        """The weights that make the truth likeliest.

        Raises:
            ValueError: If a zone of the patients has fewer than `FEWEST_VOXELS` node voxels.
        """
        zones = {}
        for zone, names in by_zone(self.segmenters).items():
            columns = np.concatenate(self._columns.get(zone) or [np.zeros((0, len(names) + 1))])
            truth = np.concatenate(self._truth.get(zone) or [np.zeros(0, dtype=bool)])
            if truth.sum() < FEWEST_VOXELS or truth.all():
                raise ValueError(
                    f"the {zone} zone of the validation patients has {truth.sum()} node voxels that a "
                    f"network answers for, at least {FEWEST_VOXELS} and some of background are needed: "
                    "approve more cases"
                )
            zones[zone] = _fit_zone(names, columns, truth)
        return LearnedFusion(zones)


def _fit_zone(names: Sequence[str], columns: np.ndarray, truth: np.ndarray) -> ZoneFusion:
    """Logistic regression; a stream whose weight would be negative is left out with weight 0."""
    # It takes a second to import, which nobody who only detects should wait for.
    from sklearn.linear_model import LogisticRegression

    kept = list(range(len(names)))
    while True:
        used = [*kept, len(names)]
        fit = LogisticRegression(C=PENALTY, max_iter=500).fit(columns[:, used], truth)
        weights = fit.coef_[0]
        if not kept or (weights[:-1] >= 0).all():
            streams = dict.fromkeys(names, 0.0) | {
                names[index]: float(weight) for index, weight in zip(kept, weights[:-1], strict=True)
            }
            return ZoneFusion(float(fit.intercept_[0]), streams, float(weights[-1]))
        kept.pop(int(np.argmin(weights[:-1])))


def log_odds(prob: np.ndarray) -> np.ndarray:
    """float32 log odds of probabilities, within +-`LIMIT`."""
    low = np.float32(1 / (1 + np.exp(LIMIT)))
    inside = np.clip(prob.astype(np.float32, copy=False), low, 1 - low)
    return np.log(inside / (1 - inside))


def _answered(maps: Sequence[np.ndarray], distance_mm: np.ndarray, zone: str) -> np.ndarray:
    """(x, y, z) bool: voxels of a zone where any of its networks says `LEAST`."""
    heard = maps[0] >= LEAST
    for one in maps[1:]:
        heard = heard | (one >= LEAST)
    return heard & zone_mask(distance_mm, zone)
