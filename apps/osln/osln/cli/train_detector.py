"""Train the end-to-end baseline MULAN on generated phantoms or on approved cases of a store, and judge it.

The nodes of phantoms have tags, those of patients have none: the tag head then learns nothing. Judged are
further phantoms, or the approved cases whose split is "validation". A training that was interrupted goes on
when the same command is given again.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osln.cli.options import add_out, add_preset, add_threads, add_training, add_work, check_device, command
from osln.cli.progress import each, steps
from osln.rows.detectors import DETECTORS
from osln.rows.presets import PRESETS

if TYPE_CHECKING:
    from osln.imaging.lung_column import LungColumn
    from osln.learning.fit import Progress
    from osln.mulan.sampling import NodeTags
    from osln.weights.checkpoint import Checkpoint


def add_parser(commands: Any) -> None:
    """The options."""
    parser = command(commands, "train-detector", __doc__, "--phantoms 60 --model mulan-ct-pet --out mulan.pt")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--store", type=Path, help="folder whose approved cases are learned from")
    source.add_argument("--phantoms", type=int, metavar="N", help="learn from N generated phantoms")
    parser.add_argument("--model", required=True, choices=DETECTORS, help="row to train")
    add_out(parser, "file to write (.pt)")
    add_preset(parser)
    parser.add_argument("--iterations", type=int, help="training steps (default: the recipe's)")
    parser.add_argument("--judged", type=int, default=24, help="with --phantoms: further ones to judge by")
    add_training(parser)
    add_threads(parser)
    add_work(parser)
    parser.set_defaults(run=run, goes_on=True)


def run(options: argparse.Namespace) -> int:
    """Collect patients, train, write, judge and tell what came out."""
    check_device(options.device)
    from osln.mulan.training import train_detector
    from osln.weights.checkpoint import save_checkpoint

    learned, tags, judged = patients(options)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    resume = options.out.with_suffix(".resume")
    with steps(options.model) as tell:

        def show(state: "Progress") -> None:
            tell(state.step, state.steps, {"loss": state.loss})

        checkpoint = train_detector(
            DETECTORS[options.model],
            PRESETS[options.preset],
            learned,
            tags,
            iterations=options.iterations,
            seed=options.seed,
            trained_on="patients" if options.store else "phantom",
            device=options.device,
            threads=options.threads,
            resume_path=resume,
            on_progress=show,
        )
    save_checkpoint(options.out, checkpoint)
    resume.unlink(missing_ok=True)
    sys.stdout.write(f"{options.out}: learned from {len(learned)} patients\n")
    sys.stdout.write(judgment(checkpoint, judged, options.device))
    return 0


def patients(
    options: argparse.Namespace,
) -> "tuple[list[LungColumn], list[NodeTags] | None, list[LungColumn]]":
    """Patients to learn from, tags of their nodes if known, and patients to judge by."""
    from osln.cohorts.phantoms import PhantomCohort, split_seeds
    from osln.store.approved import approved_cases, load_columns, with_ct
    from osln.store.parts import partial_cases
    from osln.store.splits import assign
    from osln.store.twins import learned_too
    from osln.tagging.node_tags import node_tags

    preset = PRESETS[options.preset]
    if options.store is None:
        cohort = PhantomCohort(options.work, preset)
        seeds = each(split_seeds("train", options.phantoms), "training phantoms")
        learned = list(cohort.patients(seeds))
        seeds = each(split_seeds("test", options.judged), "further phantoms")
        judged = [patient.column for patient in cohort.patients(seeds)]
        return [patient.column for patient in learned], [node_tags(patient) for patient in learned], judged
    found, lacking = with_ct(options.store, approved_cases(options.store))
    splits = assign(options.store, found)
    lacking |= learned_too(options.store, splits)
    cases = [case for case, split in splits.items() if split != "test" and case not in lacking]
    # It learns from whole slices, where a case in part has much that is unknown.
    partial = partial_cases(options.store, cases)
    complete = [case for case in cases if case not in partial]
    columns, skipped = load_columns(options.store, complete, DETECTORS[options.model], preset)
    skipped |= lacking | dict.fromkeys(partial, "submitted in part: complete its review")
    for case, reason in skipped.items():
        sys.stderr.write(f"left out {case}: {reason}\n")
    return (
        [column for column in columns if splits[column.case] == "train"],
        None,
        [column for column in columns if splits[column.case] == "validation"],
    )


def judgment(checkpoint: "Checkpoint", columns: "Sequence[LungColumn]", device: str) -> str:
    """mFROC and best F1, beside what chance gives: every patient's findings in the next patient's body."""
    import numpy as np

    from osln.metrics.froc import best_f1, froc
    from osln.mulan.detection import SliceDetector

    if len(columns) < 2:
        return "  fewer than two patients to judge by\n"
    detector = SliceDetector(checkpoint, device, number_format="f32")
    found = [detector.detect(column) for column in each(columns, "judged")]
    lines = []
    for name, shift in (("found", 0), ("chance", 1)):
        nodes = [column.nodes for column in np.roll(np.array(columns, dtype=object), -shift)]
        try:
            scored = [one.scored(truth) for one, truth in zip(found, nodes, strict=True)]
        except ValueError as error:
            lines.append(f"  {name}: not known ({error})")
            continue
        curve, f1 = froc(scored), best_f1(scored).f1
        lines.append(
            f"  {name}: mFROC {curve.mean():.3f}, best F1 {f1:.3f}, {len(columns)} patients, "
            f"{sum(one.n_nodes for one in scored)} nodes"
        )
    return "\n".join(lines) + "\n"
