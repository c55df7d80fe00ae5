"""The networks of a run's first seed as the weights that come with the software."""

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from osln.cohorts.cohort import Cohort
from osln.jobs.engine import Engine
from osln.reproduction.artifacts import Artifacts
from osln.reproduction.plan import Network, Plan
from osln.reproduction.reading import row_patients
from osln.reproduction.run import make_all
from osln.reproduction.stage_one import KEPT
from osln.retraining.fusing import LEARNED, fit_fusion
from osln.retraining.operating_points import operating_points
from osln.retraining.score_points import operating_curve, score_thresholds
from osln.rows.experiments import CLASSIFIERS, HANDED, ROWS, SERVED_NETWORKS, SERVED_SEGMENTERS, Preset, Row
from osln.stage_one.candidates import Detections, find_candidates
from osln.stage_one.fusion import fused_map
from osln.stage_one.inference import Predictor, mean_probability
from osln.stage_two.candidate_sets import CandidateSet, candidate_set
from osln.stage_two.training import train_classifier
from osln.stage_two.validation import scored_patients
from osln.tagging.tagger import Tagger
from osln.weights.checkpoint import Checkpoint, load_checkpoint
from osln.weights.shipped import (
    Curves,
    ship_curves,
    ship_fusions,
    ship_more,
    shipped_manifest,
    withdraw,
    without_folders,
    write_shipped,
)

SAME_SCORE = 0.002
"""Scores of one network on two processors lie closer than this."""


def ship(plan: Plan, folder: Path) -> None:
    """Writes the networks of the rows that the server offers, with operating points of validation patients.

    The tagger goes with them, because a classifier that reads tags understands those of its own tagger only.

    Raises:
        ValueError: The run has not all of these rows.
    """
    artifacts = Artifacts(plan)
    networks: dict[str, Checkpoint] = {}
    classifiers: dict[str, Checkpoint] = {}
    scores: dict[str, Any] = {}
    curves: dict[str, Any] = {}
    for row in (row for row in ROWS.values() if row.served and not row.of_one_zone):
        if row not in plan.rows:
            raise ValueError(
                f"the run has no row {row.key}, which {row.name} needs: use --table served or all"
            )
        for network in plan.networks(row, 0):
            networks.setdefault(network.segmenter, load_checkpoint(artifacts.training(network).path))
        if row.classifier is not None:
            learned = load_checkpoint(artifacts.classifier(row, 0).path)
            classifiers[row.classifier] = replace(
                learned, metadata={**learned.metadata, HANDED: row.teacher.setting.key}
            )
            scored = row_patients(artifacts, row, 0, "validation")
            scores[row.classifier] = score_thresholds(scored)
            patients = plan.cohort.patients_of("validation")
            curves[row.classifier] = (row.networks, operating_curve(scored, patients))
    columns = [plan.cohort.column(case) for case in plan.cohort.cases("validation")]
    # As the run's maps were made: its stage two has learned, and was measured, at these very thresholds.
    fusions = {name: fit_fusion(row, networks, columns, number_format="f32") for name, row in LEARNED.items()}
    measured = operating_points(networks, columns, fusions=fusions, number_format="f32")
    points = {name: thresholds for name, (thresholds, _) in measured.items()} | scores
    tagger = (plan.tagger, Tagger.load(plan.tagger).describe())
    write_shipped(folder, networks | classifiers, points, tagger, plan.command, curves)
    ship_fusions(folder, {name: one.to_json() for name, one in fusions.items()}, {})


def measure_shipped(cohort: Cohort, preset: Preset, folder: Path) -> Curves:
    """Measures the operating curves of weights that were shipped, and puts them into their manifest.

    What `ship` does at the end of a run, for weights that were shipped without; nothing is trained.

    Args:
        cohort: Its validation patients are those that the shipped operating points come from.
        preset: Of the weights.
        folder: Of the weights.

    Returns:
        The curves.

    Raises:
        ValueError: These patients give other score thresholds than the shipped ones: nothing was written.
    """
    shipped = ShippedStages(cohort, preset, folder)
    thresholds = shipped.manifest["thresholds"]
    curves: dict[str, Any] = {}
    for row in (row for row in ROWS.values() if row.served and row.classifier):
        name = str(row.classifier)
        given = shipped.candidates(row, "validation")
        patients = scored_patients(load_checkpoint(folder / f"{name}.pt"), *given, number_format="f32")
        for point, score in score_thresholds(patients).items():
            if abs(score - thresholds[name][point]) > SAME_SCORE:
                raise ValueError(
                    f"{name} has score {score:.4f} at {point} false positives per patient of these "
                    f"{len(patients)} patients, and {thresholds[name][point]:.4f} was shipped: name the "
                    "cohort that the shipped weights were measured on; nothing was written"
                )
        curves[name] = (row.networks, operating_curve(patients))
    ship_curves(folder, curves)
    return curves


def ship_new(plan: Plan, folder: Path, engine: Engine) -> list[str]:
    """Trains the networks that the server's rows need and the shipped weights lack.

    First those of stage one, as a run of the tables does. Then those of stage two, on candidates that the
    shipped stage one finds in the patients of "stage two", of whom it has seen none; one that has learned
    from what its row is not handed any more is lacking, too. Operating points and curves are of the
    validation patients. What no row asks any more is taken away; nothing else that is there is changed.

    Args:
        plan: Its cohort gives the patients, its command line is kept with what it made.
        folder: Of the weights.
        engine: Trains stage one.

    Returns:
        Names of what was trained and written; empty if nothing was lacking.

    Raises:
        ValueError: The weights are of another preset, have perhaps seen a patient of "stage two", or a
            training failed.
    """
    cohort, preset = plan.cohort, plan.preset
    for name in shipped_manifest(folder)["networks"].keys() & set(SERVED_NETWORKS):
        used = load_checkpoint(folder / f"{name}.pt").preparation
        if not used.cuts_as(preset):
            raise ValueError(
                f"the shipped {name} is of the preset {used.name} with prefilter {used.prefilter}, asked for "
                f"was {preset.name} with {preset.prefilter}: networks that answer together share the voxels"
            )
    seen = [case for case in cohort.cases("stage two") if cohort.unseen_part(case)]
    if seen:
        raise ValueError(
            f"the shipped stage one may have learned from {seen[0]}, whose candidates then teach nothing: "
            "give phantoms"
        )
    first = _ship_new_stage_one(plan, folder, engine)
    shipped = ShippedStages(cohort, preset, folder)
    made: dict[str, Checkpoint] = {}
    points: dict[str, Any] = {}
    curves: dict[str, Any] = {}
    for row in (row for row in ROWS.values() if row.served and row.classifier):
        name, handed = str(row.classifier), row.teacher.setting.key
        there = shipped.manifest["networks"].get(name)
        if there and there["metadata"].get(HANDED, handed) == handed:
            continue
        learned, tags = shipped.candidates(row, "stage two")
        about = shipped.tagger.describe() if tags is not None else None
        trained = train_classifier(
            CLASSIFIERS[name], preset, learned, tags, tagger=about, trained_on=cohort.trained_on
        )
        made[name] = replace(
            trained, metadata={**trained.metadata, HANDED: handed, "command": without_folders(plan.command)}
        )
        given = shipped.candidates(row, "validation")
        patients = scored_patients(made[name], *given, number_format="f32")
        points[name], curves[name] = score_thresholds(patients), (row.networks, operating_curve(patients))
    if made:
        ship_more(folder, made, points, curves)
    withdraw(folder, SERVED_NETWORKS)
    return [*first, *made]


def _ship_new_stage_one(plan: Plan, folder: Path, engine: Engine) -> list[str]:
    """Networks of stage one that are lacking, and operating points of rows that have none."""
    manifest = shipped_manifest(folder)
    lacking = [name for name in SERVED_SEGMENTERS if name not in manifest["networks"]]
    artifacts = Artifacts(plan)
    trainings = {name: artifacts.training(Network(name, 1, 0)) for name in lacking}
    for name, reason in make_all(plan.work, trainings.values(), engine).items():
        raise ValueError(f"{name} failed ({reason}): mend it and run the same command again, it goes on")
    made = {}
    for name, one in trainings.items():
        learned = load_checkpoint(one.path)
        made[name] = replace(learned, metadata={**learned.metadata, "command": without_folders(plan.command)})
    there = [name for name in SERVED_SEGMENTERS if name in manifest["networks"]]
    asked = made | {name: load_checkpoint(folder / f"{name}.pt") for name in there}
    rows = {row.stage_one for row in ROWS.values() if row.segmenters and set(row.segmenters) <= asked.keys()}
    if made or rows - manifest["thresholds"].keys():
        columns = [plan.cohort.column(case) for case in plan.cohort.cases("validation")]
        measured = operating_points(asked, columns, number_format="f32")
        points = {name: one for name, (one, _) in measured.items() if name not in manifest["thresholds"]}
        ship_more(folder, made, points, {})
    return lacking


class ShippedStages:
    """What the shipped stage one finds in patients of a cohort, and the tags of that.

    Args:
        cohort: Gives the patients.
        preset: Of the weights.
        folder: Of the weights.
    """

    def __init__(self, cohort: Cohort, preset: Preset, folder: Path) -> None:
        self.cohort, self.preset, self.folder = cohort, preset, folder
        self.manifest = shipped_manifest(folder)
        self._found: dict[tuple[Row, str], list[CandidateSet]] = {}

    @cached_property
    def tagger(self) -> Tagger:
        """The shipped one."""
        return Tagger.load(self.folder / self.manifest["tagger"]["file"], number_format="f32")

    def candidates(self, row: Row, split: str) -> tuple[list[CandidateSet], list[np.ndarray] | None]:
        """Candidates of a split's patients for a row's classifier, and their tags if it reads any."""
        key = (row.setting, split)
        if key not in self._found:
            self._found[key] = self._of_stage_one(row.setting, split)
        found = self._found[key]
        if not row.needs_tags:
            return found, None
        tags = [self.tagger.tag_lesions(self.cohort.ct(one.case), one.lesions) for one in found]
        return found, [one.astype(np.float16) for one in tags]

    def _of_stage_one(self, setting: Row, split: str) -> list[CandidateSet]:
        """As a run of the tables keeps them: with the true nodes where stage two is taught."""
        at = setting.handed(self.manifest["thresholds"][setting.stage_one])
        asked = {
            name: Predictor(load_checkpoint(self.folder / f"{name}.pt"), "cpu", number_format="f32")
            for name in setting.segmenters
        }
        found = []
        for case in self.cohort.cases(split):
            column = self.cohort.column(case)
            maps = {name: mean_probability(one, column, setting.turns) for name, one in asked.items()}
            kept = {name: np.where(prob >= KEPT, prob, np.float32(0)) for name, prob in maps.items()}
            fused = fused_map(setting, kept, column.distance_mm)
            candidates, labels = find_candidates(fused, at, column, in_tumor=setting.in_tumor)
            detections = Detections(setting.key, at, candidates, labels, fused, column, {})
            taught = split == "stage two"
            found.append(candidate_set(detections, self.preset.stage_two, add_nodes=taught))
        return found
