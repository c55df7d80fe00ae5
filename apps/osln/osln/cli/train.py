"""Train networks on the approved cases of a store.

A network goes on from its published weights, is compared with them on patients that neither has learned from
and published if it is not likely to be worse: what the server does. The weights that come with the software
are made from generated phantoms by ./scripts/osln tables --table all --phantoms --ship
"""

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from osln.cli.engines import add_engine, engine_of, make_absolute, positive
from osln.cli.options import MODELS, add_models, add_preset, add_training, check_device, command
from osln.cli.progress import steps
from osln.rows.experiments import CLASSIFIERS, NETWORKS, SERVED_NETWORKS

if TYPE_CHECKING:
    from osln.jobs.artifact import Made
    from osln.learning.fit import Progress
    from osln.retraining.publishing import RetrainReport

Told = Callable[[str, "RetrainReport | str"], None]
"""Takes the name of a network and its report, or why there is none."""


def add_parser(commands: Any) -> None:
    """The options."""
    parser = command(
        commands, "train", __doc__, "--store my-store --model ct-distal", "--store my-store --model all"
    )
    parser.add_argument(
        "--store", type=Path, required=True, help="folder whose approved cases are learned from"
    )
    parser.add_argument(
        "--model", required=True, choices=[*NETWORKS, "all"], help="network to train; all: the server's"
    )
    add_models(parser)
    add_preset(parser, in_use=True)
    parser.add_argument(
        "--iterations", type=int, help="stage one: training steps (default: the preset's, fewer to go on)"
    )
    parser.add_argument(
        "--epochs", type=int, help="stage two: passes through the candidates (default: as for --iterations)"
    )
    parser.add_argument(
        "--tagger", type=Path, help="with tags: LesaNet's weights (default: the published ones)"
    )
    parser.add_argument("--learning-rate", type=float, help="(default: the preset's, lower to go on)")
    add_training(parser)
    parser.add_argument("--from-scratch", action="store_true", help="do not go on from published weights")
    parser.add_argument(
        "--highest-risk",
        type=float,
        help="probability of being worse below which it is published, 0 to .5 (default: .2)",
    )
    parser.add_argument(
        "--no-cross-fit",
        action="store_true",
        help="judge on the validation patients alone, also where they are few: a fifth of the time",
    )
    parser.add_argument("--no-publish", action="store_true", help="store the new version only")
    parser.add_argument(
        "--gpus", type=positive, default=1, metavar="N",
        help="stage one: the first N GPUs of this computer share each training (docs/scaling.md)",
    )  # fmt: skip
    add_engine(parser, None)
    parser.set_defaults(run=run, goes_on=True)


def run(options: argparse.Namespace) -> int:
    """Train one network after the other; what went wrong with some is told in the end."""
    if "," in options.device:
        raise ValueError("--device names one device; several GPUs share a training with --gpus N")
    make_absolute(options)
    options.devices = ()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        failed = with_torchrun(options)
    else:
        if options.gpus > 1:
            share_gpus(options)
        else:
            check_device(options.device)
        failed = every_network(options)
    if failed:
        raise ValueError("\n".join(failed))
    return 0


def every_network(options: argparse.Namespace) -> list[str]:
    """Tells the report of each network; returns what went wrong with others."""
    names = SERVED_NETWORKS if options.model == "all" else (options.model,)
    failed: list[str] = []

    def tell(name: str, outcome: "RetrainReport | str") -> None:
        if isinstance(outcome, str):
            failed.append(f"{name}: {outcome}")
        else:
            sys.stdout.write(summary(outcome, options.models))
            sys.stdout.flush()

    (by_workers if spread(options) else one_by_one)(options, names, tell)
    return failed


def spread(options: argparse.Namespace) -> bool:
    """Whether workers do the trainings."""
    return options.cluster is not None or options.processes is not None


def share_gpus(options: argparse.Namespace) -> None:
    """Takes the first GPUs for every training."""
    from osln.jobs.processes import available_gpus

    found = available_gpus()
    if spread(options) or options.device != "cpu":
        raise ValueError("--gpus chooses the devices: leave --processes, --cluster and --device away")
    if len(found) < options.gpus:
        raise ValueError(f"--gpus {options.gpus}: this computer has {len(found)} that PyTorch can use")
    options.devices = found[: options.gpus]
    options.device = found[0]


def with_torchrun(options: argparse.Namespace) -> list[str]:
    """`every_network` in the first of torchrun's processes; the others follow its trainings."""
    from osln.learning.together import follow, joined

    if spread(options) or options.gpus > 1 or options.device not in ("cpu", "cuda"):
        raise ValueError(
            "torchrun says how many processes there are: leave --gpus, --processes and --cluster away and "
            "say --device cuda (each process takes the GPU of its place) or cpu"
        )
    if options.device == "cuda":
        options.device = f"cuda:{os.environ['LOCAL_RANK']}"
    with joined(options.device) as team:
        if team.rank:
            follow(options.device)
            return []
        options.devices = (options.device,) * team.size
        return every_network(options)


def one_by_one(options: argparse.Namespace, names: Sequence[str], tell: Told) -> None:
    """Tells the report of each network, or why there is none."""
    for name in names:
        try:
            outcome: RetrainReport | str = from_store(options, name)
        except ValueError as error:
            outcome = str(error)
        tell(name, outcome)


def by_workers(options: argparse.Namespace, names: Sequence[str], tell: Told) -> None:
    """The same from workers, each as it comes; the trainings of stage one run at the same time.

    Raises:
        ValueError: One of the networks is being trained already, or a worker was killed; says which networks
            are done and how to go on with the others.
    """
    from osln.jobs.run import KilledError, run_jobs
    from osln.retraining.judgment import HIGHEST_RISK
    from osln.retraining.settings import Settings
    from osln.retraining.spread import Trainings
    from osln.weights.model_store import ModelStore

    if options.device != "cpu":
        raise ValueError("--device is for one process: workers take the GPUs that there are, else the CPU")
    settings = Settings(
        options.preset,
        options.iterations,
        options.learning_rate,
        options.from_scratch,
        options.seed,
        highest_risk=HIGHEST_RISK if options.highest_risk is None else options.highest_risk,
        cross_fit=not options.no_cross_fit,
    )
    told = argparse.Namespace(**{name: value for name, value in vars(options).items() if name != "run"})
    trainings = Trainings(options.store, options.models, settings, partial(in_worker, told))
    done: list[str] = []

    def note(name: str, made: "Made") -> None:
        if name in names:
            done.append(name)
            tell(name, made.value)

    options.models.mkdir(parents=True, exist_ok=True)
    shared = [options.models, options.store, *([options.tagger] if options.tagger else [])]
    engine = engine_of(options, shared)
    store = ModelStore(options.models)
    try:
        with ExitStack() as held:
            # Before any work, and of all: their trainings do not wait for their rounds.
            for name in names:
                held.enter_context(store.training(name))
            failures = run_jobs(trainings.artifacts(names), engine, note)
    except KilledError as error:
        left = ", then ".join(f"--model {name}" for name in names if name not in done)
        raise ValueError(
            f"a worker was killed, perhaps for memory ({error.__cause__}); done and not to be trained again: "
            f"{', '.join(done) or 'no network'}; the others go on from their last states with {left}"
        ) from error
    for name in names:
        if name not in done:
            tell(name, "; ".join(f"{one} failed: {why}" for one, why in failures.items()))


def in_worker(options: argparse.Namespace, name: str, device: str) -> "RetrainReport":
    """`from_store` on a worker's device."""
    return from_store(argparse.Namespace(**{**vars(options), "device": device}), name)


def from_store(options: argparse.Namespace, name: str) -> "RetrainReport":
    """Train one network on approved cases."""
    from osln.retraining import classifier, segmenter
    from osln.tagging.tagger import tagger_file
    from osln.weights.model_store import ModelStore

    tagger = tagger_file(ModelStore(options.models), options.tagger)
    with steps(name) as tell:

        def show(state: "Progress") -> None:
            figures = state.validation or {}
            known = {key: figures.get(key) for key in ("recall", "false_positives")}
            tell(state.step, state.steps, {"loss": state.loss, **known})

        common = {
            "preset": options.preset,
            "learning_rate": options.learning_rate,
            "from_scratch": options.from_scratch,
            "seed": options.seed,
            "device": options.device,
            "publish": not options.no_publish,
            "cross_fit": not options.no_cross_fit,
            **({} if options.highest_risk is None else {"highest_risk": options.highest_risk}),
            # `by_workers` holds the lock for its workers.
            "held": spread(options),
            "tagger_path": tagger,
            "on_step": lambda sentence: tqdm.write(f"{name}: {sentence}", file=sys.stderr),
            "on_progress": show,
        }
        if name in CLASSIFIERS:
            if options.devices:
                tqdm.write(f"{name}: networks of stage two learn on one device", file=sys.stderr)
            return classifier.retrain_classifier(
                options.store, options.models, name, epochs=options.epochs, **common
            )
        stage_one = {"iterations": options.iterations, "devices": options.devices}
        return segmenter.retrain(options.store, options.models, name, **stage_one, **common)


def summary(report: "RetrainReport", models: Path) -> str:
    """The report in a few lines; `models` is where the network was stored."""
    next_step = report.next_step
    if MODELS is None or models.absolute() != MODELS:
        # The sentence is the server's, whose folder is the usual one.
        for action in ("publish", "rollback"):
            next_step = next_step.replace(
                f" models {action} ", f" models --models {shlex.quote(str(models))} {action} "
            )
    lines = [
        f"{report.network}: {report.sentence}",
        f"  learned from {', '.join(report.train_cases)}; compared on "
        f"{', '.join(report.validation_cases) or 'none'}",
        *(
            []
            if report.version_before
            else [f"  began from random weights: {models} had none of {report.network}"]
        ),
        *(f"  left out {case}: {reason}" for case, reason in report.skipped.items()),
        *(
            f"  {case}: {figures(found['after'])}"
            + (f"; before {figures(found['before'])}" if found["before"] else "")
            for case, found in report.cases.items()
        ),
        f"  next: {next_step}",
    ]
    return "\n".join(lines) + "\n"


def figures(found: Mapping[str, Any]) -> str:
    """Figures of a patient in words: "8 nodes, 3 found, 2 false"."""
    return ", ".join(f"{value:g} {name}" for name, value in found.items())
