"""The command line: `./scripts/osln COMMAND` in a checkout, `osln COMMAND` where the package is installed."""

import argparse
import importlib
import os
import shlex
import sys
import traceback
from collections.abc import Sequence

from osln.cli.options import PROGRAM, Parser

COMMANDS = (
    "detect",
    "import",
    "export",
    "register",
    "train",
    "train-tagger",
    "train-detector",
    "train-click",
    "fit-fusion",
    "tables",
    "simulate",
    "evaluate",
    "models",
    "phantoms",
    "draw",
    "convert-tagger",
    "serve",
    "doctor",
    "users",
)
"""Each is a module of `osln.cli` with `add_parser(commands)`, which names its `run(options) -> int`."""


class ShowVersion(argparse.Action):
    """`--version`: asks git, and so only when it is wanted."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from osln.cli.options import version

        sys.stdout.write(f"{version()}\n")
        parser.exit()


def command_line() -> Parser:
    """The parser with all subcommands; loads nothing that takes time."""
    parser = Parser(
        prog=PROGRAM,
        description="OSLN Label: finds oncology-significant lymph nodes in radiotherapy CT and PET. "
        "Research software, not a medical device.",
        epilog=f"{PROGRAM} COMMAND --help tells the options of one and shows an example.",
    )
    parser.add_argument("--version", action=ShowVersion, nargs=0, help="show version and commit")
    parser.add_argument("--debug", action="store_true", help="show where an error comes from; anywhere")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in COMMANDS:
        module = "import_" if name == "import" else name.replace("-", "_")
        importlib.import_module(f"osln.cli.{module}").add_parser(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a subcommand.

    Returns:
        Exit status: what the subcommand says; 1 with one sentence for what cannot be done, 130 after Ctrl-C.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    # Taken out first, so that it stands anywhere, also behind what `serve` hands on.
    words = [word for word in given if word != "--debug"]
    options = None
    try:
        options = command_line().parse_args(words)
        options.given = shlex.join([PROGRAM, *words])
        status = options.run(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        goes_on = ": the same command goes on from what is kept" if getattr(options, "goes_on", False) else ""
        sys.stderr.write(f"\ninterrupted{goes_on}\n")
        return 130
    except BrokenPipeError:
        # Whoever read the output has enough. Python would complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if "--debug" in given:
            traceback.print_exc()
        sys.stderr.write(f"{refusal(error)}\n")
        return 1
    return status


def refusal(error: Exception) -> str:
    """One sentence for an error; for one that nobody foresaw, how to see more."""
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, ValueError | OSError):
        return str(error)
    return f"{type(error).__name__}: {error} (--debug shows where it comes from)"


if __name__ == "__main__":
    sys.exit(main())
