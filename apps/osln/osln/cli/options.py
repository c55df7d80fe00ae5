"""What the subcommands share: one shape of parser, one name for one thing, and what lies in a checkout."""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from osln import __version__
from osln.rows.presets import DEFAULT_PRESET, PRESETS

APP = Path(__file__).resolve().parents[2]
"""Folder of the app: the checkout's `apps/osln`, or where packages are installed."""
CHECKOUT = APP.parents[1] if (APP.parents[1] / "scripts" / "osln").is_file() else None
"""Root of the repository; None where only the package is installed."""
PROGRAM = "./scripts/osln" if CHECKOUT else "osln"


def in_checkout(path: str) -> Path | None:
    """A path of the repository as a default; None, so that it has to be named, where there is none."""
    return CHECKOUT / path if CHECKOUT else None


SAMPLES = in_checkout("sample-datastore")
"""Four synthetic patients."""
MODELS = in_checkout("apps/osln/model")
"""Where trained networks are kept."""
SHIPPED = in_checkout("apps/osln/model/shipped")
"""Where the weights that come with the software lie."""
SHIPPED_TAGGER = in_checkout("apps/osln/model/shipped/lesanet.safetensors")
SHIPPED_CLICK = in_checkout("apps/osln/model/shipped/click.safetensors")
"""The click network that comes with the software."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are refused like all others."""

    def error(self, message: str) -> NoReturn:
        """Raises ValueError with a sentence."""
        raise ValueError(f"{message}; see {self.prog} --help")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Of what is no choice the one that was probably meant comes first."""
        choices = [str(one) for one in action.choices or ()]
        if value not in (action.choices or [value]) and (meant := meant_by(str(value), choices)):
            raise argparse.ArgumentError(
                action, f"invalid choice: {str(value)!r}, perhaps {meant}? (choose from {', '.join(choices)})"
            )
        super()._check_value(action, value)

    def _get_value(self, action: argparse.Action, text: str) -> Any:
        """An empty path would be the working folder."""
        if not text and action.type in (Path, file_to_write, json_to_write):
            raise argparse.ArgumentError(action, "expected a path, got an empty one")
        return super()._get_value(action, text)


def file_to_write(text: str) -> Path:
    """A file that a command writes; a link to a file stays a link, and the file behind it is written."""
    path = Path(text)
    if path.exists() and not path.is_file() and not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is a device or a pipe, expected a file")
    return path.resolve() if path.is_symlink() and not path.is_dir() else path


def json_to_write(text: str) -> str:
    """The same, or "-" for the output."""
    return text if text == "-" else str(file_to_write(text))


def meant_by(word: str, choices: Sequence[str]) -> str | None:
    """The choice that somebody probably meant: the longest that the word holds, else the one most like it.

    >>> meant_by("osln-set-glnet", ["glnet", "set-glnet"]), meant_by("detec", ["detect", "export"])
    ('set-glnet', 'detect')
    """
    held = sorted((one for one in choices if len(one) > 2 and one in word), key=len)
    likely = held or get_close_matches(word, choices, n=1)
    return likely[-1] if likely else None


def command(commands: Any, name: str, doc: str | None, *examples: str) -> argparse.ArgumentParser:
    """The parser of a subcommand.

    Args:
        commands: Where it is added: what `add_subparsers` returned.
        name: Of the subcommand.
        doc: The module's docstring; its first line is shown in the list of the subcommands.
        examples: What may follow the program's name, as a person types it.
    """
    text = doc or ""
    lines = "\n".join(f"  {PROGRAM} {name} {example}".rstrip() for example in examples)
    return commands.add_parser(
        name,
        help=text.partition("\n")[0],
        description=text,
        epilog=f"for example:\n{lines}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_path(parser: Any, name: str, default: Path | None, meaning: str) -> None:
    """An option for a path that lies in the checkout by default, and has to be given where there is none."""
    parser.add_argument(
        name, type=Path, default=default, required=default is None, help=f"{meaning} (default: {default})"
    )


def add_store(parser: argparse.ArgumentParser) -> None:
    """`--store`: the folder of the cases."""
    add_path(parser, "--store", SAMPLES, "folder of the cases")


def add_models(parser: argparse.ArgumentParser) -> None:
    """`--models`: where the versions of the networks lie."""
    add_path(parser, "--models", MODELS, "folder of the networks' versions")


def add_work(parser: argparse.ArgumentParser) -> None:
    """`--work`: what can be used again."""
    add_path(parser, "--work", in_checkout(".osln-measure"), "folder that keeps what can be used again")


def add_out(parser: Any, meaning: str, *, default: Path | None = None, required: bool = True) -> None:
    """`-o`, `--out`: file or folder to write."""
    parser.add_argument(
        "-o",
        "--out",
        type=file_to_write,
        default=default,
        required=required and default is None,
        help=meaning,
    )


def refuse_overwriting(written: Iterable[Path], read: Iterable[Path]) -> None:
    """Looks whether a command would write over what it reads, or two things into one file.

    Raises:
        ValueError: It would; says which file.
    """
    written = list(written)
    places = [path.resolve() for path in written]
    if twice := [path for path in written if places.count(path.resolve()) > 1]:
        raise ValueError(f"{twice[0]} is named for two outputs, of which one would be lost: name two files")
    inputs = {path.resolve() for path in read}
    if lost := [path for path in written if path.resolve() in inputs]:
        raise ValueError(f"{lost[0]} is read and would be written over: write elsewhere")


def add_training(parser: argparse.ArgumentParser) -> None:
    """`--seed` and `--device` of a training."""
    parser.add_argument("--seed", type=int, default=0, help="of everything drawn by chance (%(default)s)")
    add_device(parser)


def add_device(parser: argparse.ArgumentParser) -> None:
    """`--device`: where networks run."""
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: %(default)s)")


def check_device(device: str) -> None:
    """Looks whether PyTorch can use a device that is named.

    Raises:
        ValueError: It is a GPU and there is none.
    """
    if device.startswith("cuda"):
        import torch

        found = torch.cuda.device_count() if torch.cuda.is_available() else 0
        number = device.partition(":")[2]
        if found <= (int(number) if number.isdecimal() else 0):
            have = f"{found} GPU{'s' if found > 1 else ''}" if found else "no GPU"
            raise ValueError(f"--device {device}: PyTorch finds {have} here; leave it out, or say cpu")


def add_threads(parser: argparse.ArgumentParser) -> None:
    """`--threads` of a training that is the same every time."""
    parser.add_argument(
        "--threads", type=int, default=1, help="of the CPU; only with 1 is the result the same every time"
    )


def add_preset(parser: argparse.ArgumentParser, *, in_use: bool = False) -> None:
    """`--preset`: how large networks are and how they learn; None for that of the weights in use."""
    usual = f"that of the weights in use, {DEFAULT_PRESET} where there are none" if in_use else DEFAULT_PRESET
    parser.add_argument(
        "--preset",
        choices=PRESETS,
        default=None if in_use else DEFAULT_PRESET,
        help=f"size and recipe (default: {usual})",
    )


def add_ct_spacing(parser: argparse.ArgumentParser, meaning: str) -> None:
    """`--ct-spacing X Y Z`: the voxels of the CT of phantoms that the tagger looks at, a tuple or None."""
    parser.add_argument(
        "--ct-spacing", type=float, nargs=3, action=_Spacing, metavar=("X", "Y", "Z"),
        help=f"{meaning} that the tagger looks at, 1 1 2 as a scanner's (default: the networks')",
    )  # fmt: skip


class _Spacing(argparse.Action):
    """Three sizes in mm."""

    def __call__(self, parser: argparse.ArgumentParser, options: Any, given: Any, name: Any = None) -> None:
        if not all(0.5 <= step <= 10 for step in given):
            raise ValueError(f"{name} takes three voxel sizes between 0.5 and 10 mm, got {given}")
        setattr(options, self.dest, tuple(given))


def add_json(parser: argparse.ArgumentParser) -> None:
    """`--json`: for machines; `write_json_result` writes it."""
    parser.add_argument(
        "--json", nargs="?", const="-", type=json_to_write, metavar="FILE",
        help="write JSON into FILE, or without FILE to the output instead of the words",
    )  # fmt: skip


def tell(options: argparse.Namespace, words: str, content: Any) -> None:
    """Writes words, or with `--json` the same for machines.

    Args:
        options: Of a parser with `add_json`.
        words: For people.
        content: JSON values.
    """
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    if options.json not in (None, "-"):
        from osln.files.whole import write_atomically

        write_atomically(Path(options.json), text.encode())
    sys.stdout.write(text if options.json == "-" else words)


def version() -> str:
    """Version and commit, the commit only in a checkout."""
    asked = ["git", "rev-parse", "--short", "HEAD"]
    try:
        told = subprocess.run(asked, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        told = ""
    return f"OSLN Label {__version__}" + (f" (commit {told})" if CHECKOUT and told else "")
