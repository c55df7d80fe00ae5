"""Train the end-to-end baseline MULAN on generated phantoms or on approved cases of a store, and judge it.

The nodes of phantoms have tags, those of patients have none: the tag head then learns nothing. Judged are
further phantoms, or the approved cases whose split is "validation". A training that was interrupted goes on
when the same command is given again.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from osln.cli.options import ROOT
from osln.cohorts.phantoms import PhantomCohort, split_seeds
from osln.imaging.lung_column import Column
from osln.learning.fit import Progress
from osln.metrics.froc import best_f1, froc
from osln.mulan.detection import SliceDetector
from osln.mulan.sampling import NodeTags
from osln.mulan.training import train_detector
from osln.rows.detectors import DETECTORS
from osln.rows.experiments import PRESETS
from osln.store.approved import approved_cases, load_columns
from osln.store.splits import assign
from osln.tagging.node_tags import node_tags
from osln.weights.checkpoint import Checkpoint, save_checkpoint


def command_line() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--studies", type=Path, help="store whose approved cases are learned from")
    source.add_argument("--phantoms", type=int, metavar="N", help="learn from N generated phantoms")
    parser.add_argument("--model", required=True, choices=DETECTORS, help="row to train")
    parser.add_argument("--output", type=Path, required=True, help="file to write (.pt)")
    parser.add_argument("--preset", choices=PRESETS, default="demo", help="size and recipe")
    parser.add_argument("--iterations", type=int, help="training steps (default: the recipe's)")
    parser.add_argument("--judged", type=int, default=24, help="with --phantoms: further ones to judge by")
    parser.add_argument("--seed", type=int, default=0, help="of first weights, slices and sampled boxes")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument(
        "--threads", type=int, default=1, help="of the CPU; only with 1 is the result the same every time"
    )
    parser.add_argument("--work", type=Path, default=ROOT / ".osln-measure", help="keeps phantoms")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Train as asked; 0 if the network was written."""
    options = command_line().parse_args(arguments)
    try:
        run(options)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def run(options: argparse.Namespace) -> None:
    """Collect patients, train, write, judge and tell what came out."""
    learned, tags, judged = patients(options)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    resume = options.output.with_suffix(".resume")
    with tqdm(desc=options.model, unit="step") as bar:

        def show(state: Progress) -> None:
            bar.total = state.steps
            bar.set_postfix({"loss": round(state.loss, 3)})
            bar.update(state.step - bar.n)

        checkpoint = train_detector(
            DETECTORS[options.model],
            PRESETS[options.preset],
            learned,
            tags,
            iterations=options.iterations,
            seed=options.seed,
            trained_on="patients" if options.studies else "phantom",
            device=options.device,
            threads=options.threads,
            resume_path=resume,
            on_progress=show,
        )
    save_checkpoint(options.output, checkpoint)
    resume.unlink(missing_ok=True)
    sys.stdout.write(f"{options.output}: learned from {len(learned)} patients\n")
    sys.stdout.write(judgment(checkpoint, judged, options.device))


def patients(options: argparse.Namespace) -> tuple[list[Column], list[NodeTags] | None, list[Column]]:
    """Patients to learn from, tags of their nodes if known, and patients to judge by."""
    preset = PRESETS[options.preset]
    if options.studies is None:
        cohort = PhantomCohort(options.work, preset)
        seeds = tqdm(split_seeds("train", options.phantoms), desc="training phantoms", unit="case")
        learned = list(cohort.patients(seeds))
        seeds = tqdm(split_seeds("test", options.judged), desc="further phantoms", unit="case")
        judged = [patient.column for patient in cohort.patients(seeds)]
        return [patient.column for patient in learned], [node_tags(patient) for patient in learned], judged
    splits = assign(options.studies, approved_cases(options.studies))
    cases = [case for case, split in splits.items() if split != "test"]
    columns, skipped, _ = load_columns(options.studies, cases, DETECTORS[options.model], preset)
    for case, reason in skipped.items():
        sys.stderr.write(f"left out {case}: {reason}\n")
    return (
        [column for column in columns if splits[column.case] == "train"],
        None,
        [column for column in columns if splits[column.case] == "validation"],
    )


def judgment(checkpoint: Checkpoint, columns: Sequence[Column], device: str) -> str:
    """mFROC and best F1, beside what chance gives: every patient's findings in the next patient's body."""
    if len(columns) < 2:
        return "  fewer than two patients to judge by\n"
    detector = SliceDetector(checkpoint, device, precision="f32")
    found = [detector.detect(column) for column in tqdm(columns, desc="judged", unit="case")]
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


if __name__ == "__main__":
    sys.exit(main())
