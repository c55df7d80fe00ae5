"""Say what is there and what is missing for this product on this computer, and what to do about it."""

import argparse
from typing import Any

from osln.cli.options import add_json, add_models, command, tell, version


def add_parser(commands: Any) -> None:
    """The options."""
    parser = command(commands, "doctor", __doc__, "", "--json doctor.json")
    add_models(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Look at everything; 0 if the product can run."""
    from osln.cli.findings import examine

    found = examine(options.models)
    runs = all(one.state == "ok" for one in found if one.needed)
    verdict = "The product can run." if runs else "The product cannot run: what is not ok says why."
    lines = [version(), *(one.line() for one in found), verdict]
    content = {"version": version(), "runs": runs, "findings": [one.content() for one in found]}
    tell(options, "\n".join(lines) + "\n", content)
    return 0 if runs else 1
