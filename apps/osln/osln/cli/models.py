"""Versions of the networks' weights: list them, put one into use, or go back to the one before.

    ./scripts/osln models list
    ./scripts/osln models publish ct-distal 20250131T101500123-0.612
    ./scripts/osln models rollback ct-distal

A running server uses the change from its next request on.
"""

import argparse
import sys
from pathlib import Path

from osln.cli.options import APP
from osln.rows.experiments import VERSIONED
from osln.weights.model_store import ModelStore, Version


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--models", type=Path, default=APP / "model", help="model store (default: %(default)s)"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    shown = commands.add_parser("list", help="show all versions, the one in use with a star")
    shown.add_argument("network", nargs="?", choices=VERSIONED, help="only this network")
    chosen = commands.add_parser("publish", help="put a stored version into use")
    chosen.add_argument("network", choices=VERSIONED)
    chosen.add_argument("version", help="name of the version, as `list` shows it")
    back = commands.add_parser("rollback", help="put the version before the one in use back into use")
    back.add_argument("network", choices=VERSIONED)
    return parser.parse_args(arguments)


def row(version: Version, in_use: bool) -> str:
    """One version as a line: star, name, validation figure, origin, checksum, patients left out."""
    metric = version.metadata.get("metric")
    figure = "      " if metric is None else f"{metric:6.3f}"
    star = "*" if in_use else " "
    without = ", ".join(version.metadata.get("left_out", ()))
    told = f"  without {without}" if without else ""
    return f"  {star} {version.name:<28} {figure}  {version.trained_on:<12} {version.sha256[:12]}{told}"


def show(store: ModelStore, networks: list[str]) -> None:
    figures = "figure on validation patients: mRecall, stage two mFROC, lesanet mean AUC of tags"
    say(f"Model store {store.root}   (* in use; {figures})")
    for network in networks:
        used = store.published(network)
        versions = store.versions(network)
        say(network if versions else f"{network}: no weights")
        for version in versions:
            say(row(version, used is not None and version.name == used.name))


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; exit status 1 with words where it cannot work."""
    options = parse(arguments)
    store = ModelStore(options.models)
    try:
        if options.command == "list":
            show(store, [options.network] if options.network else list(VERSIONED))
        elif options.command == "publish":
            say(f"{options.network} now uses {store.publish(options.network, options.version).name}")
        else:
            say(f"{options.network} is back to {store.rollback(options.network).name}")
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
