"""Train networks on the approved cases of a store.

A network goes on from its published weights, is compared with them on the validation patients and published
if it is at least as good: what the server does. The weights that come with the software are made from
generated phantoms by ./scripts/osln tables --table all --ship.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from osln.cli.options import MODELS
from osln.learning.fit import Progress
from osln.retraining.classifier import retrain_classifier
from osln.retraining.publishing import RetrainReport
from osln.retraining.segmenter import retrain
from osln.rows.experiments import CLASSIFIERS, NETWORKS, PRESETS, SERVED_NETWORKS
from osln.weights.model_store import SHIPPED, SHIPPED_TAGGER

ONE_DEVICE = (
    "a training uses one device: the networks are small, and batch normalization over several GPUs would "
    "give other results than over one; choose it with --device cuda:N"
)


def command_line() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--studies", type=Path, required=True, help="store whose approved cases are learned from"
    )
    parser.add_argument(
        "--model",
        required=True,
        choices=[*NETWORKS, "all"],
        help="network to train; all: the server's",
    )
    parser.add_argument("--models", type=Path, default=MODELS, help="folder of the versions")
    parser.add_argument("--preset", choices=PRESETS, default="demo", help="size and recipe")
    parser.add_argument(
        "--iterations", type=int, help="stage one: training steps (default: the preset's, fewer to go on)"
    )
    parser.add_argument(
        "--epochs", type=int, help="stage two: passes through the candidates (default: as for --iterations)"
    )
    parser.add_argument(
        "--tagger", type=Path, help="with tags: LesaNet's weights (default: shipped/lesanet.safetensors)"
    )
    parser.add_argument("--learning-rate", type=float, help="(default: the preset's, lower to go on)")
    parser.add_argument("--seed", type=int, default=0, help="of first weights and patches")
    parser.add_argument("--from-scratch", action="store_true", help="do not go on from published weights")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--no-publish", action="store_true", help="store the new version only")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Train as asked; 0 if every network was trained."""
    parser = command_line()
    options = parser.parse_args(arguments)
    if "," in options.device or int(os.environ.get("WORLD_SIZE", "1")) > 1:
        parser.error(ONE_DEVICE)
    names = list(SERVED_NETWORKS) if options.model == "all" else [options.model]
    failed = [name for name in names if not from_store(options, name)]
    return 1 if failed else 0


def from_store(options: argparse.Namespace, name: str) -> bool:
    """Train one network on approved cases and tell what came out."""
    tagger = options.tagger or options.models / SHIPPED / SHIPPED_TAGGER
    common = {
        "preset": options.preset,
        "learning_rate": options.learning_rate,
        "from_scratch": options.from_scratch,
        "seed": options.seed,
        "device": options.device,
        "publish": not options.no_publish,
        "tagger_path": tagger if options.tagger or tagger.is_file() else None,
        "on_step": lambda sentence: tqdm.write(f"{name}: {sentence}", file=sys.stderr),
    }
    if name in CLASSIFIERS:
        work = partial(retrain_classifier, options.studies, options.models, name, epochs=options.epochs)
    else:
        work = partial(retrain, options.studies, options.models, name, iterations=options.iterations)
    try:
        report = with_bar(name, lambda show: work(**common, on_progress=show))
    except ValueError as error:
        sys.stderr.write(f"{name}: {error}\n")
        return False
    sys.stdout.write(summary(report))
    return True


def summary(report: RetrainReport) -> str:
    """The report in a few lines."""
    lines = [
        f"{report.network}: {report.sentence}",
        f"  learned from {', '.join(report.train_cases)}; compared on "
        f"{', '.join(report.validation_cases) or 'none'}",
        *(f"  left out {case}: {reason}" for case, reason in report.skipped.items()),
        *(f"  {case}: {found['after']}, before {found['before']}" for case, found in report.cases.items()),
        f"  next: {report.next_step}",
    ]
    return "\n".join(lines) + "\n"


def with_bar(name: str, work: Callable[[Callable[[Progress], None]], Any]) -> Any:
    """Run a training with a progress bar."""
    with tqdm(desc=name, unit="step") as bar:

        def show(state: Progress) -> None:
            bar.total = state.steps
            figures = state.validation or {}
            known = {key: figures.get(key) for key in ("recall", "false_positives")}
            shown = {key: round(value, 2) for key, value in known.items() if value is not None}
            bar.set_postfix({"loss": round(state.loss, 3), **shown})
            bar.update(state.step - bar.n)

        return work(show)


if __name__ == "__main__":
    sys.exit(main())
