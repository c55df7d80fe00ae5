"""Where a command's work is done: processes of this computer, a Ray cluster, or a part of a job array."""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osln.learning.cores import usable_cores

if TYPE_CHECKING:
    from osln.jobs.engine import Engine


def positive(text: str) -> int:
    """A whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text}")
    return int(text)


def add_engine(parser: Any, processes: int | None) -> None:
    """`--processes` and `--cluster`.

    Args:
        parser: Of the command.
        processes: Workers by default; None for a command that does the work itself unless it is told.
    """
    told = "none: this process with all threads" if processes is None else "%(default)s"
    parser.add_argument(
        "--processes", type=positive, default=processes, metavar="N",
        help=f"workers of one thread each (default: {told})",
    )  # fmt: skip
    parser.add_argument(
        "--cluster", metavar="ADDRESS",
        help="a Ray cluster instead: HOST:PORT of its head, or local for one of --processes workers here "
        "(docs/scaling.md)",
    )  # fmt: skip


def part(text: str) -> tuple[int, int]:
    """K of K/N and N."""
    number, slash, count = text.partition("/")
    if not (slash and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise argparse.ArgumentTypeError(f"expected K/N with K from 1 to N, like 2/8, got {text}")
    return int(number), int(count)


def add_parts(parser: Any) -> None:
    """`--parts`: this job's share of a job array."""
    parser.add_argument(
        "--parts", type=part, default=(1, 1), metavar="K/N",
        help="do the K-th of N parts only, from 1, as a job of an array does (docs/scaling.md)",
    )  # fmt: skip


def engine_of(options: argparse.Namespace, shared: Iterable[Path]) -> "Engine":
    """What the options ask for.

    Args:
        options: Of a parser with `add_engine`.
        shared: As of `osln.jobs.cluster.Cluster`.

    Raises:
        ValueError: As of `Cluster`.
    """
    from osln.jobs.cluster import Cluster
    from osln.jobs.processes import Processes, available_gpus

    if options.cluster is None:
        return Processes(options.processes or usable_cores(), available_gpus())
    return Cluster(options.cluster, options.processes or usable_cores(), [path.absolute() for path in shared])


def make_absolute(options: argparse.Namespace) -> None:
    """Every path that was given, because workers stand in other folders."""
    values: dict[str, Any] = vars(options)
    for name, value in values.items():
        if isinstance(value, Path):
            values[name] = value.absolute()
        elif isinstance(value, list):
            values[name] = [each.absolute() if isinstance(each, Path) else each for each in value]
