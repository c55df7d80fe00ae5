"""The command line: `python -m osln COMMAND`, or `./scripts/osln COMMAND` from the repository."""

import importlib
import sys

COMMANDS = {
    "convert-tagger": "convert",
    "detect": "detect",
    "draw": "draw",
    "evaluate": "evaluate",
    "export": "export",
    "import": "import_",
    "models": "models",
    "phantoms": "phantoms",
    "register": "register",
    "tables": "tables",
    "train": "train",
    "train-detector": "train_detector",
    "train-tagger": "train_tagger",
}


def main() -> int:
    """Runs the subcommand that is named first."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in COMMANDS:
        sys.stderr.write(f"expected one of {', '.join(COMMANDS)}\n")
        return 1
    sys.argv = [f"osln {name}", *sys.argv[2:]]
    return importlib.import_module(f"osln.cli.{COMMANDS[name]}").main() or 0


if __name__ == "__main__":
    sys.exit(main())
