"""Start the server on this computer; the same as ./scripts/serve, and every option goes there."""

import argparse
import subprocess
import sys
from typing import Any

from osln.cli.options import CHECKOUT


def add_parser(commands: Any) -> None:
    """No option of its own: with such a prefix whatever follows is handed on as it stands, --help too."""
    summary = (__doc__ or "").strip()
    parser = commands.add_parser("serve", help=summary, prefix_chars="\0", add_help=False)
    parser.add_argument("others", nargs="*")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Hand over to the start-up script."""
    if CHECKOUT is None:
        raise ValueError(
            "the server starts from a checkout of the repository: clone it and run ./scripts/serve"
        )
    script = CHECKOUT / "scripts" / "start" / "start_server.py"
    return subprocess.call([sys.executable, str(script), *options.others])
