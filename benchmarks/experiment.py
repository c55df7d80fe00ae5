"""What experiments share whose parts are kept in a folder: options, making what is missing, the report."""

import argparse
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from osln.cli.engines import engine_of
from osln.files.arrays import write_json
from osln.files.images import write_atomically
from osln.jobs.artifact import Artifact
from osln.reproduction.run import make_all

WORK = Path(__file__).resolve().parents[1] / ".osln-measure"


def experiment_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser that knows both folders."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--work", type=Path, default=WORK, help="folder that keeps what is made (%(default)s)"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the report")
    return parser


def make_or_stop(options: argparse.Namespace, wanted: Iterable[Artifact], *read: Path) -> None:
    """Makes what is missing.

    Args:
        options: With the folder `work` and those of the engine.
        wanted: What they need is made, too.
        read: Folders besides `work` that a cluster has to see.

    Raises:
        ValueError: Something could not be made; names the first thing.
    """
    failures = make_all(options.work, wanted, engine_of(options, [options.work, *read]))
    if failures:
        name, reason = next(iter(failures.items()))
        raise ValueError(f"{name} failed ({reason}): mend it and run the same command again, it goes on")


def write_report(folder: Path, name: str, told: Mapping[str, Any], words: str) -> None:
    """Writes figures as JSON and the report as Markdown, and says it."""
    write_json(folder / f"{name}.json", told)
    write_atomically(folder / f"{name}.md", words.encode())
    sys.stdout.write(words)
