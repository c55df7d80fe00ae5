"""The weights in use: looked up whenever they are asked for, loaded once per version."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from osln.rows.experiments import (
    CLASSIFIERS,
    DEFAULT_ROW,
    HANDED,
    NETWORKS,
    OPERATING_POINT,
    ROWS,
    SEGMENTERS,
    UNMEASURED,
    Row,
)
from osln.stage_one.inference import Predictor
from osln.stage_one.learned_fusion import LearnedFusion
from osln.stage_two.answering import Answering, answering
from osln.stage_two.points import measured_points
from osln.stage_two.scoring import CandidateScorer
from osln.tagging.in_use import TaggerInUse, store_stamp
from osln.tagging.tagger import Tagger
from osln.weights.model_store import ModelStore, Version

TAGGER = "tagger"
"""Name of the tagger among the checksums."""
FUSION = "fusion"
"""The same of the learned fusion."""
PAPERS = ROWS["osln"].teacher.setting.key
"""The row whose candidates the paper's stage two is handed."""
SERVED_ROWS = {DEFAULT_ROW: ROWS[DEFAULT_ROW]} | {name: row for name, row in ROWS.items() if row.served}
"""Every row that is offered, by name; the first one is what Slicer runs by itself."""


def led_by(name: str) -> dict[str, Row]:
    """The rows that are offered, this one first."""
    return {name: SERVED_ROWS[name]} | SERVED_ROWS


class NotReadyError(ValueError):
    """Something that is needed is not there yet: weights, room on the device, PET, an approved label."""


@dataclass(frozen=True)
class _Loaded:
    version: Version
    network: Predictor | CandidateScorer


class Published:
    """Published versions and their networks, by device.

    Another process publishes (training, `./scripts/osln models`), so every look compares the store's two
    small files with what was read last; a network is loaded anew when its version's checksum changed.

    Args:
        store: Versions of the weights.
        tagger: File of the tagger to use; None for the published version.
        rows: What can be asked; the first one where nobody has chosen.

    Raises:
        ValueError: If the file is no tagger.
    """

    def __init__(
        self, store: ModelStore, tagger: Path | None = None, rows: Mapping[str, Row] = SERVED_ROWS
    ) -> None:
        self.store = store
        self.rows = rows
        self.tagger = TaggerInUse(store, tagger)
        self._guard = threading.Lock()
        self._seen: tuple[Any, ...] = ()
        self._versions: dict[str, Version | None] = {}
        self._thresholds: dict[str, dict[str, float]] = {}
        self._points: dict[str, dict[str, float]] = {}
        self._curves: dict[str, list[dict[str, float]]] = {}
        self._measured: dict[str, bool] = {}
        self._worse: dict[str, str] = {}
        self._loaded: dict[tuple[str, str], _Loaded] = {}

    def stamp(self) -> tuple[Any, ...]:
        """What changes when other weights or operating points come into use."""
        return store_stamp(self.store)

    def versions(self) -> Mapping[str, Version | None]:
        """The version in use of every network; None where there are no weights."""
        self._refresh()
        return self._versions

    def thresholds(self, row: Row) -> Mapping[str, float]:
        """Thresholds of a row's stage one by its precision on validation patients, the paper's first; {} if
        nobody has measured any.
        """
        self._refresh()
        return self._thresholds[row.stage_one]

    def handed(self, row: Row) -> float:
        """Threshold of stage one at which a row's candidates are handed over, whoever judges them."""
        return row.handed(self.thresholds(row))

    def points(self, classifier: str) -> Mapping[str, float]:
        """Score thresholds of a network of stage two by false positives per patient; empty if unmeasured."""
        self._refresh()
        return self._points[classifier]

    def curve(self, row: Row) -> list[dict[str, float]]:
        """What validation patients gave at other scores with exactly the weights that answer for a row now.

        Returns:
            `fp_per_patient`, `threshold` and `sensitivity`, by rising `fp_per_patient`; [] where it was not
            measured, or with other weights, and for a row that ends with stage one.
        """
        answers = self.answering(row)
        if answers is None or self._handed_remarks(row):
            return []
        return [dict(point) for point in self._curves[answers.classifier]]

    def answering(self, row: Row) -> Answering | None:
        """Which network of stage two answers for a row now; None where the score is stage one's own."""
        choice = self._choice(row)
        return choice if choice and choice.ready else None

    def remarks(self, row: Row) -> list[str]:
        """What the reader of a row's results has to know about who scores the candidates now."""
        choice = self._choice(row)
        return [
            *self._fusion_remarks(row),
            *(choice.warnings if choice else []),
            *self._handed_remarks(row),
            *self._measured_remarks(row),
        ]

    def _measured_remarks(self, row: Row) -> list[str]:
        """Whether the operating points that are used are of the weights in use."""
        versions, answers = self.versions(), self.answering(row)
        names = [row.stage_one, *([answers.classifier] if answers else [])]
        known = {name: self._points.get(name) or self._thresholds.get(name) for name in names}
        told = []
        if other := [name for name in names if known[name] and not self._measured[name]]:
            told.append(
                f"the operating points of {' and '.join(other)} were measured with other weights than those "
                "in use, so that more or fewer candidates are shown than they say: approve validation cases "
                "and train again, or put the former weights back into use"
            )
        if not known[row.stage_one] and all(map(versions.get, row.segmenters)):
            told.append(
                f"no operating point was measured for {row.stage_one}: its threshold is {UNMEASURED:g}, "
                "which says nothing of its precision"
            )
        return told

    def _fusion_remarks(self, row: Row) -> list[str]:
        if row.fusion != "learned" or not (stored := self.store.fusion(row.stage_one)):
            return []
        versions = self.versions()
        now = {name: version.sha256 for name in row.segmenters if (version := versions.get(name))}
        if now == stored["weights"]:
            return []
        return [
            f"the fusion of {row.name} was fitted to other weights than those in use: fit it again "
            "(./scripts/osln fit-fusion)"
        ]

    def _handed_remarks(self, row: Row) -> list[str]:
        """Whether who answers has learned from other candidates than it is handed."""
        answers = self.answering(row)
        version = self.versions()[answers.classifier] if answers else None
        if answers is None or version is None:
            return []
        # Versions from before there was a choice say nothing: they learned from the paper's.
        learned = version.metadata.get(HANDED, PAPERS)
        handed = row.teacher.setting.key
        if learned == handed:
            return []
        name = answers.classifier
        points = "" if self.store.is_as_shipped(name) else ", its operating points are of these too"
        return [
            f"{name} has learned from the candidates of {learned}{points}, and it is handed those of "
            f"{handed}: train it again"
        ]

    def _choice(self, row: Row) -> Answering | None:
        if row.classifier is None:
            return None
        return answering(row.classifier, self.versions(), self.tagger.describe(), self._worse)

    def fusion(self, row: Row) -> LearnedFusion | None:
        """What was fitted to fuse a row's networks; None if nothing has to be.

        Raises:
            NotReadyError: If the row needs it and nobody has fitted it.
        """
        if row.fusion != "learned":
            return None
        stored = self.store.fusion(row.stage_one)
        if not stored:
            raise NotReadyError(f"no fusion was fitted for {row.name}: ./scripts/osln fit-fusion does it")
        return LearnedFusion.from_json(stored["zones"])

    def checksums(self, row: Row) -> dict[str, str] | None:
        """SHA-256 of all that a row would run with now, by name; None while weights are missing."""
        versions, answers = self.versions(), self.answering(row)
        names = [*row.segmenters, *([answers.classifier] if answers else [])]
        found = {name: version.sha256 for name in names if (version := versions.get(name))}
        if len(found) < len(names):
            return None
        if row.fusion == "learned":
            if not (stored := self.store.fusion(row.stage_one)):
                return None
            found[FUSION] = LearnedFusion.from_json(stored["zones"]).sha256
        tagger = self.tagger.describe() if answers and row.needs_tags else None
        return found | ({TAGGER: tagger["sha256"]} if tagger else {})

    def networks(self, row: Row, device: str) -> tuple[dict[str, Predictor], dict[str, Version]]:
        """The networks of a row's stage one on a device, and the versions they were loaded from.

        Raises:
            ValueError: If a network has no weights, or its file is not the one that was stored.
        """
        loaded = {name: self._network(name, device) for name in row.segmenters}
        return (
            {name: cast(Predictor, one.network) for name, one in loaded.items()},
            {name: one.version for name, one in loaded.items()},
        )

    def scorer(self, row: Row, device: str) -> tuple[CandidateScorer, Version, Tagger | None, list[str]]:
        """The network that answers for a row's stage two, on a device.

        Returns:
            The network, its version, the tagger if there is one and the row has to do with tags, and what
            the reader of the result has to know.

        Raises:
            ValueError: If there are no weights, or their file is not the one that was stored.
        """
        wanted = cast(str, row.classifier)
        tagger = self.tagger.on(device) if row.needs_tags else None
        choice = answering(wanted, self.versions(), tagger.describe() if tagger else None, self._worse)
        if not choice.ready:
            raise NotReadyError(choice.warnings[0])
        loaded = self._network(choice.classifier, device)
        warnings = [*choice.warnings, *self._handed_remarks(row), *self._measured_remarks(row)]
        return cast(CandidateScorer, loaded.network), loaded.version, tagger, warnings

    def _network(self, name: str, device: str) -> _Loaded:
        version = self.versions()[name]
        with self._guard:
            loaded = self._loaded.get((name, device))
            if loaded is None or version is None or loaded.version.sha256 != version.sha256:
                checkpoint = self.store.load(name, version)
                make = Predictor if name in SEGMENTERS else CandidateScorer
                there = cast(Version, version or self.store.published(name))
                loaded = _Loaded(there, make(checkpoint, device))
                self._loaded[name, device] = loaded
            return loaded

    def _refresh(self) -> None:
        seen = store_stamp(self.store)
        with self._guard:
            if seen == self._seen:
                return
            asked = [name for name in NETWORKS if any(name in row.networks for row in self.rows.values())]
            self._versions = {name: self.store.published(name) for name in asked}
            self._thresholds = {
                row: dict(
                    sorted(self.store.thresholds(row).items(), key=lambda entry: entry[0] != OPERATING_POINT)
                )
                for row in {*self.rows, *(one.stage_one for one in self.rows.values())}
            }
            scorers = [name for name in asked if name in CLASSIFIERS]
            self._points = {name: measured_points(self.store.thresholds(name)) for name in scorers}
            self._curves = {name: self.store.curve(name) for name in scorers}
            self._measured = {name: self.store.is_measured(name) for name in (*self._thresholds, *scorers)}
            told = {name: self.store.worse_than_none(name) for name in scorers}
            self._worse = {name: why for name, why in told.items() if why}
            self._seen = seen
