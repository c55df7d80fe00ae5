"""What the reports of all experiments share: setting, Markdown tables, cells of intervals."""

import math
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from osln.metrics.bootstrap import DRAWS, Distribution

PACKAGES = ("torch", "numpy", "scipy", "openvino")


def setting(command: str, **more: Any) -> dict[str, Any]:
    """What a run needs to be repeated: command line, commit, versions, and what else is given."""
    versions = {name: version(name) for name in PACKAGES} | {"python": platform.python_version()}
    return {"command": command, "commit": _commit(), "versions": versions, **more, "bootstrap_draws": DRAWS}


def table(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose first row is the header; a bar inside a cell parts no cells."""
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |" for cells in rows]
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
    interval = bounds(entry["low"], entry["high"], sign)
    single = " ".join(f"{value:{sign}.3f}" for value in entry["per_seed"])
    return f"{entry['value']:{sign}.3f} {interval}" + (f" / {single}" if single else "")


def bounds(low: float | None, high: float | None, sign: str = "") -> str:
    """An interval as text; None or NaN, as of a single patient, is none."""
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return "[no interval]"
    return f"[{low:{sign}.3f}, {high:{sign}.3f}]"


def verdict(entry: Mapping[str, Any]) -> str:
    """Whether the interval of a difference holds 0."""
    if entry["low"] is None or math.isnan(entry["low"]):
        return "not shown: no interval"
    if entry["low"] > 0:
        return "yes, above"
    return "yes, below" if entry["high"] < 0 else "not shown"


def _commit() -> str:
    """Commit of the software, with a mark if files differ from it; "unknown" outside a repository."""
    here = Path(__file__).resolve().parents[1]
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
