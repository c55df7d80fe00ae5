"""What the reports of all experiments share: setting, Markdown tables, cells of intervals, writing."""

import json
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from osln.bootstrap import DRAWS, Distribution
from osln.checkpoint import plain
from osln.imagefile import write_atomically

PACKAGES = ("torch", "numpy", "scipy", "openvino")

ONLY_PHANTOMS = (
    "measured on generated phantoms. The figures are about these phantoms and small networks; they are not "
    "comparable with the paper's, which are about patients."
)

PAIRED = (
    "Same test phantoms and same resamples on both sides. An interval that holds 0 shows no effect of the "
    "size that this experiment can see, which is about half the interval's width."
)


def setting(command: str, **more: Any) -> dict[str, Any]:
    """What a run needs to be repeated: command line, commit, versions, and what else is given."""
    versions = {name: version(name) for name in PACKAGES} | {"python": platform.python_version()}
    return {"command": command, "commit": _commit(), "versions": versions, **more, "bootstrap_draws": DRAWS}


def setting_lines(about: Mapping[str, Any]) -> str:
    """Command, commit and versions as the first lines of a list."""
    versions = ", ".join(f"{name} {value}" for name, value in about["versions"].items())
    return f"- Command: `{about['command']}`\n- Commit {about['commit']}; {versions}"


def write_sections(path: Path, sections: Iterable[str], content: Mapping[str, Any]) -> None:
    """Writes a report as Markdown and, beside it under the same name, its figures as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path.with_suffix(".json"), (json.dumps(plain(content), indent=1) + "\n").encode())
    write_atomically(path, "\n\n".join(sections).encode() + b"\n")


def table(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose first row is the header."""
    lines = ["| " + " | ".join(cells) + " |" for cells in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def plain_interval(found: Distribution) -> dict[str, Any]:
    """JSON values: value, low, high and the value of each training."""
    return asdict(found.interval()) | {"per_seed": [round(float(value), 4) for value in found.per_seed]}


def interval_cell(entry: Mapping[str, Any], sign: str = "") -> str:
    """A `plain_interval` as text; single trainings behind a slash.

    Args:
        entry: The figure.
        sign: "+" for differences.
    """
    interval = f"[{entry['low']:{sign}.3f}, {entry['high']:{sign}.3f}]"
    single = " ".join(f"{value:{sign}.3f}" for value in entry["per_seed"])
    return f"{entry['value']:{sign}.3f} {interval}" + (f" / {single}" if single else "")


def verdict(entry: Mapping[str, Any]) -> str:
    """Whether the interval of a difference holds 0."""
    if entry["low"] > 0:
        return "yes, above"
    return "yes, below" if entry["high"] < 0 else "not shown"


def _commit() -> str:
    """Commit of the software, with a mark if files differ from it; "unknown" outside a repository."""
    here = Path(__file__).parent
    try:
        head = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=here, capture_output=True, text=True, check=True
        )
        changed = subprocess.run(
            ["git", "status", "--porcelain", "--", "."], cwd=here, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + (" with changes" if changed.stdout.strip() else "")
