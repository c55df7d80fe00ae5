"""List the versions of the networks' weights, put one into use, or go back to the one before.

A running server uses the change from its next request on.
"""

import argparse
import sys
from typing import TYPE_CHECKING, Any

from osln.cli.options import add_json, add_models, command, tell
from osln.rows.experiments import VERSIONED

if TYPE_CHECKING:
    from osln.weights.model_store import ModelStore, Version

ACTIONS = ("list", "publish", "rollback")


def add_parser(commands: Any) -> None:
    """The options."""
    examples = ("", "list ct-distal", "publish ct-distal shipped", "rollback ct-distal")
    parser = command(commands, "models", __doc__, *examples)
    parser.add_argument("action", nargs="?", choices=ACTIONS, default="list", help="list by default")
    parser.add_argument("network", nargs="?", choices=VERSIONED, help="list: only this one")
    parser.add_argument("version", nargs="?", help="publish: as list shows it")
    add_models(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Show or change what is in use."""
    from osln.weights.model_store import ModelStore

    if not options.models.is_dir():
        raise ValueError(f"there is no folder {options.models}: name one that a server or train made")
    store = ModelStore(options.models)
    network, version = options.network, options.version
    if options.action == "list":
        found = [(name, entries(store, name)) for name in ([network] if network else VERSIONED)]
        tell(options, words(store, found), dict(found))
        return 0
    if network is None or (version is None) == (options.action == "publish"):
        raise ValueError("expected models publish NETWORK VERSION or models rollback NETWORK")
    if options.action == "publish":
        sys.stdout.write(f"{network} now uses {store.publish(network, version).name}\n")
    else:
        version = store.rollback(network, lambda sentence: sys.stderr.write(f"{sentence}\n"))
        sys.stdout.write(f"{network} is back to {version.name}\n")
    return 0


def entries(store: "ModelStore", network: str) -> list[dict[str, Any]]:
    """The versions of a network as JSON values, oldest first."""
    used = store.published(network)
    return [entry(one, used is not None and one.name == used.name) for one in store.versions(network)]


def entry(version: "Version", in_use: bool) -> dict[str, Any]:
    """One version as JSON values."""
    return {
        "version": version.name,
        "in_use": in_use,
        "metric": version.metadata.get("metric"),
        "trained_on": version.trained_on,
        "sha256": version.sha256,
        "left_out": list(version.metadata.get("left_out", ())),
    }


def words(store: "ModelStore", found: list[tuple[str, list[dict[str, Any]]]]) -> str:
    """A line for each version: star, name, validation figure, origin, checksum, patients left out."""
    lines = [
        f"Model store {store.root}   (* in use; figure on validation patients: mRecall, stage two mFROC, "
        "lesanet mean AUC of tags)"
    ]
    for network, versions in found:
        if not versions:
            continue
        lines.append(network)
        for one in versions:
            figure = "      " if one["metric"] is None else f"{one['metric']:6.3f}"
            without = f"  without {', '.join(one['left_out'])}" if one["left_out"] else ""
            lines.append(
                f"  {'*' if one['in_use'] else ' '} {one['version']:<28} {figure}  {one['trained_on']:<12} "
                f"{one['sha256'][:12]}{without}"
            )
    if lacking := [network for network, versions in found if not versions]:
        lines.append(f"no weights: {', '.join(lacking)}")
    return "\n".join(lines) + "\n"
