"""From corrected labels to a better network of stage one.

Called by the server's training process and by `./scripts/osln train`; both get the same report.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from osln.imaging.lung_column import LungColumn
from osln.learning.fit import Progress
from osln.metrics.sweep import Sweep
from osln.retraining.judgment import HIGHEST_RISK
from osln.retraining.matched_points import match_operating_points, unlabeled_columns
from osln.retraining.operating_points import points_kept, renew_operating_points
from osln.retraining.publishing import RetrainReport, alone
from osln.retraining.round import Round
from osln.retraining.score_points import renew_score_thresholds
from osln.retraining.settings import Settings
from osln.rows.experiments import ROWS, SEGMENTERS, Preset
from osln.stage_one.training import train
from osln.stage_one.validation import figures_of, sweeps
from osln.store.approved import load_on_grids
from osln.weights.checkpoint import Checkpoint
from osln.weights.model_store import ModelStore, Version


@alone
def retrain(
    root: str | Path,
    models: ModelStore | str | Path,
    segmenter_name: str,
    *,
    preset: str | None = None,
    iterations: int | None = None,
    learning_rate: float | None = None,
    from_scratch: bool = False,
    seed: int = 0,
    device: str = "cpu",
    publish: bool = True,
    highest_risk: float = HIGHEST_RISK,
    cross_fit: bool = True,
    tagger_path: Path | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    on_step: Callable[[str], None] | None = None,
    resume: bool = True,
    devices: Sequence[str] = (),
) -> RetrainReport:
    """Train one network on the approved cases of a store and publish it if it is not likely to be worse.

    Goes on from the published weights, with their preprocessing numbers, unless told otherwise. Only
    approved cases whose split is "train" are learned from; the former and the new network are compared
    on the approved cases whose split is "validation" and, where these are few, by cross-fitting
    (`Round`). The new version is stored in any case.

    Args:
        root: Folder of the studies.
        models: Store of the versions, or its folder.
        segmenter_name: Row of `SEGMENTERS`.
        iterations: Training steps; by default the preset's, or 30 % of them from published weights.

    The others are those of `Settings`; the tagger is asked for the score thresholds of stage two.

    Raises:
        ValueError: No approved case can be learned from, or a name is unknown; says what to do.
    """
    settings = Settings(
        preset, iterations, learning_rate, from_scratch, seed, device, publish, highest_risk,
        cross_fit, tagger_path, on_progress, on_step, resume, devices,
    )  # fmt: skip
    return SegmenterRound(root, models, segmenter_name, settings).run()


class SegmenterRound(Round):
    """A round of a network of stage one."""

    known = SEGMENTERS
    tuning_length = 0.3

    def judges(self) -> list[Version]:
        """Also what answers together with the network: operating points are measured of both."""
        rows = (row for row in ROWS.values() if self.name in row.segmenters)
        beside = {name for row in rows for name in row.networks} - {self.name}
        found = [self.store.published(name) for name in sorted(beside)]
        return [*super().judges(), *(one for one in found if one)]

    @property
    def _rival_grid(self) -> list[Preset]:
        """What the rival's columns are prepared with, if not as the new network's; what stands for it in
        cross-fitting was trained beside it."""
        grid = None if self.former is None else self.former.preparation
        return [] if grid is None or grid.prepares_as(self.preset) else [grid]

    def recipe(self) -> Preset:
        preset = self.preset
        return replace(preset, learning_rate=self.rate(preset.learning_rate))

    def gather(
        self, recipe: Preset, splits: Mapping[str, str]
    ) -> tuple[list[LungColumn], list[LungColumn], dict[str, str]]:
        # Also what comes into use meanwhile changes nothing in which column a network is asked about.
        grids = [recipe, *self._rival_grid]
        self._read: list[tuple[Preset, dict[str, LungColumn]]] = [(grid, {}) for grid in grids]
        # Only in cross-fitting the rival is asked about patients to learn from.
        learned, skipped = self._columns("train", splits, grids if self.settings.cross_fit else [recipe])
        compared, lacking = self._columns("validation", splits, grids)
        return learned, compared, skipped | lacking

    def _columns(
        self, split: str, splits: Mapping[str, str], grids: Sequence[Preset]
    ) -> tuple[list[LungColumn], dict[str, str]]:
        """Columns of a split, remembered for each grid; and why other cases are left out."""
        cases = [case for case, given in splits.items() if given == split]
        read, skipped = load_on_grids(self.root, cases, SEGMENTERS[self.name], grids)
        for columns in read:
            for (_, known), column in zip(self._read, columns, strict=False):
                known[column.case] = column
        return [columns[0] for columns in read], skipped

    def train(
        self, recipe: Preset, learned: Sequence[LungColumn], compared: Sequence[LungColumn], **options: Any
    ) -> Checkpoint:
        steps = self.length(recipe.iterations)
        options |= {"iterations": steps, "devices": self.settings.devices}
        return train(SEGMENTERS[self.name], recipe, learned, compared, **options)

    def found(self, checkpoint: Checkpoint, compared: Sequence[LungColumn]) -> list[Sweep]:
        known = next(columns for grid, columns in self._read if checkpoint.preparation.prepares_as(grid))
        return sweeps(checkpoint, [known[column.case] for column in compared], self.settings.device)

    def figures(self, compared: Sequence[LungColumn], found: Sequence[Sweep]) -> dict[str, Any]:
        return figures_of([column.case for column in compared], found)

    def renew(self, store: ModelStore, checkpoint: Checkpoint, compared: Sequence[LungColumn]) -> str:
        self.settings.tell("setting the operating points")
        cases, device = [column.case for column in compared], self.settings.device
        points = self._points(store, compared)
        tagger = self.settings.tagger_path
        scores = renew_score_thresholds(store, self.root, self.name, cases, tagger, device)
        return "; ".join(part for part in (points, scores) if part)

    def _points(self, store: ModelStore, compared: Sequence[LungColumn]) -> str:
        """Measures the operating points; of rows with few validation patients keeps how much is found."""
        device, former = self.settings.device, self.former
        patients = self.patients(compared)
        said, few = renew_operating_points(store, self.name, compared, device, patients)
        told, moved = [said], set[str]()
        if few and former is not None and former.preparation.prepares_as(self.preset):
            columns = unlabeled_columns(self.root, self.name, self.recipe())
            more, moved = match_operating_points(store, self.name, former, columns, few, device)
            told.append(more)
        kept = [name for name in few if name not in moved and store.thresholds(name)]
        told.append(points_kept({name: few[name] for name in kept}))
        return "; ".join(part for part in told if part)
