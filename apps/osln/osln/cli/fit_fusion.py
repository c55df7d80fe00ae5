"""Fit what fuses the networks of the rows with learned fusion, and set their operating points.

On the validation patients of a store, or on phantoms. Retraining does it by itself; this is for weights that
have none, or were put there by hand.
"""

import argparse
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from osln.cli.options import add_device, add_models, add_store, add_work, command
from osln.cli.progress import each

if TYPE_CHECKING:
    from osln.imaging.lung_column import LungColumn
    from osln.rows.presets import Preset
    from osln.weights.model_store import ModelStore


def add_parser(commands: Any) -> None:
    """The options."""
    parser = command(commands, "fit-fusion", __doc__, "--store STORE", "--phantoms 30")
    add_store(parser)
    add_models(parser)
    parser.add_argument("--phantoms", type=int, metavar="N", help="so many phantoms instead of a store")
    add_work(parser)
    add_device(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Fit, keep and tell."""
    from osln.retraining.fusing import LEARNED, fit_fusion
    from osln.retraining.operating_points import operating_points
    from osln.stage_two.points import FEWEST_PATIENTS
    from osln.weights.model_store import ModelStore

    store = ModelStore(options.models)
    checkpoints = {name: store.load(name) for row in LEARNED.values() for name in row.segmenters}
    first, *others = (one.preparation for one in checkpoints.values())
    if not all(map(first.prepares_as, others)):
        raise ValueError("the networks in use are of presets with other voxels: train all of them with one")
    columns, whose = patients(options, first, store, checkpoints)
    fusions = {name: fit_fusion(row, checkpoints, columns, options.device) for name, row in LEARNED.items()}
    measured = operating_points(checkpoints, columns, options.device, fusions, patients=whose)
    for name in LEARNED:
        points, number = measured.get(name, ({}, 0))
        if number < FEWEST_PATIENTS:
            raise ValueError(
                f"{number} validation patients have a node and all images that {name} needs, to set its "
                f"operating points {FEWEST_PATIENTS} are needed: nothing was kept"
            )
        store.set_fusion(name, fusions[name].to_json())
        store.set_thresholds(name, points)
    zones = {name: fusion.to_json() for name, fusion in fusions.items()}
    for name, by_zone in zones.items():
        for zone, fit in by_zone.items():
            told = ", ".join(f"{stream} {weight:.3f}" for stream, weight in fit["streams"].items())
            sys.stdout.write(
                f"{name}, {zone}: {told}, distance {fit['distance']:.3f} per 100 mm, "
                f"offset {fit['offset']:.3f}\n"
            )
    sys.stdout.write(f"fitted on {len(set(whose))} validation patients\n")
    return 0


def patients(
    options: argparse.Namespace, preset: "Preset", store: "ModelStore", networks: Iterable[str]
) -> "tuple[list[LungColumn], list[str]]":
    """Prepared cases of the validation patients whom none of the networks has learned from, and the patient
    of each."""
    from osln.cohorts.phantoms import PhantomCohort, split_seeds
    from osln.retraining.eligible import eligible
    from osln.rows.experiments import SEGMENTERS
    from osln.store.approved import load_columns, without_parts
    from osln.store.patients import patients_of

    if options.phantoms:
        cohort = PhantomCohort(options.work, preset)
        seeds = each(split_seeds("validation", options.phantoms), "phantoms")
        columns = [patient.column for patient in cohort.patients(seeds)]
        return columns, [column.case for column in columns]
    versions = (store.published(name) for name in networks)
    found = eligible(options.store, store, [version for version in versions if version])
    cases = [case for case, split in found.splits.items() if split == "validation"]
    read, skipped = load_columns(options.store, cases, SEGMENTERS["ef-proximal"], preset)
    columns, partial = without_parts(read)
    for case, why in (skipped | partial | dict(found.left_out)).items():
        sys.stderr.write(f"left out {case}: {why}\n")
    if not columns:
        raise ValueError(
            f"{options.store} has no complete validation patient with PET and tumor whom the networks have "
            "not learned from: approve more cases, or use --phantoms 30"
        )
    patient_of = patients_of(options.store, [*found.splits, *found.left_out])
    return columns, [patient_of[column.case] for column in columns]
