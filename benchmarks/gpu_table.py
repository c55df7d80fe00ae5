"""What `gpu.py` found as Markdown for docs/performance.md; only the standard library is imported."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

AIM_SECONDS = 1.5
"""Of a whole patient, warm."""
STEPS = ("read", "prepare", "networks", "candidates", "tags", "classifier", "back on the CT")
TITLES = {
    "computer": "the computer",
    "tests": "CUDA tests",
    "agreement": "candidates of CPU and GPU",
    "patient": "whole patient",
    "networks": "window and training step",
    "training": "training of `standard`",
}


def markdown(result: dict[str, Any]) -> str:
    """Headed by the card's name; what was left out is told with its reason, what is not there yet is not.

    Args:
        result: As `gpu.run` returns it, complete or not.
    """
    parts = result["parts"]
    about = parts.get("computer", {}).get("found", {})
    blocks = [
        [f"### {about.get('card', 'No GPU was found')}"],
        [f"{_computer(about)}{result['date']}, commit {result['commit']}: `{result['command']}`."],
    ]
    if result["toy"]:
        blocks.append(["**A dry run at toy size: its figures say nothing.**"])
    blocks.append(
        _table(
            ("part", "outcome", "seconds"),
            ((TITLES[name], part["outcome"], f"{part['seconds']:.0f}") for name, part in parts.items()),
        )
    )
    for name, section in SECTIONS.items():
        if found := parts.get(name, {}).get("found"):
            title = TITLES[name][:1].upper() + TITLES[name][1:]
            blocks += [[f"#### {title}"], *section(found)]
    return "\n\n".join("\n".join(lines) for lines in blocks) + "\n"


def _computer(about: dict[str, Any]) -> str:
    words = [
        f"{about['memory_gb']} GB of memory" if "memory_gb" in about else "",
        f"compute capability {about['capability']}" if "capability" in about else "",
        f"driver {about['driver']}" if about.get("driver") else "",
        f"CUDA {about['cuda']}" if "cuda" in about else "",
        f"cuDNN {about['cudnn']}" if "cudnn" in about else "",
        f"PyTorch {about['torch']}" if "torch" in about else "",
        f"Python {about['python']}" if "python" in about else "",
        f"{about['cores']} cores of {about['cpu']}" if "cpu" in about else "",
    ]
    return ", ".join(word for word in words if word) + ". " if any(words) else ""


def _tests(found: dict[str, Any]) -> list[list[str]]:
    words = [
        f"{found['passed']} passed",
        f"{len(found['failed'])} failed",
        f"{len(found['skipped'])} skipped",
    ]
    failed = [f"failed: `{name}`" for name in found["failed"]]
    return [["; ".join([", ".join(words), *failed]) + "."]]


def _agreement(found: dict[str, Any]) -> list[list[str]]:
    # It imports numpy, which may be what is missing.
    from benchmarks.report import agreement_table

    return [agreement_table(found)]


def _patient(found: dict[str, Any]) -> list[list[str]]:
    steps = [step for step in STEPS if any(step in row.get("stages", {}) for row in found["rows"])]
    lines = []
    for row in found["rows"]:
        begin = (row["preset"], row["numbers"])
        if "left_out" in row:
            lines.append((*begin, row["left_out"], *[""] * (len(steps) + 4)))
            continue
        low, high = row["range"]
        lines.append(
            (
                *begin,
                row["what"],
                *(f"{row['stages'][step]:.2f}" if step in row["stages"] else "" for step in steps),
                f"{row['seconds']:.2f} ({low:.2f} - {high:.2f})",
                "yes" if row["seconds"] <= AIM_SECONDS else "no",
                str(row["candidates"]),
                str(row.get("peak_mb", "")),
            )
        )
    heads = ("preset", "numbers", "what", *steps, "all, s", f"<= {AIM_SECONDS} s", "candidates", "GPU, MB")
    words = "Seconds, warm, medians; from the files on disk to the label map on the CT's own grid."
    return [[words], _table(heads, lines)]


def _networks(found: dict[str, Any]) -> list[list[str]]:
    blocks = []
    if found.get("windows"):
        heads = ("window", "numbers", "ms", "GPU, MB")
        blocks.append(_table(heads, (_measured(row, ("ms",)) for row in found["windows"])))
    if found.get("steps"):
        keys = ("steps_per_second", "step_ms", "fastest_ms", "batch_ms")
        heads = ("training", "numbers", "steps per s", "ms a step", "fastest", "ms a batch", "GPU, MB")
        blocks.append(_table(heads, (_measured(row, keys) for row in found["steps"])))
        words = (
            "A batch is made by one core, beside the steps: a fastest step far below the mean says that they "
            "wait. Training in f32 on a GPU rounds convolutions to TensorFloat-32, as PyTorch does by itself."
        )
        blocks.append([words])
    return blocks


def _measured(row: dict[str, Any], keys: Sequence[str]) -> tuple[str, ...]:
    """Preset, numbers, what was measured or why not, and the GPU's memory."""
    if "left_out" in row:
        cells = [row["left_out"], *[""] * (len(keys) - 1)]
    else:
        cells = [f"{row[key]:g}" for key in keys]
    return (row["preset"], row["numbers"], *cells, str(row.get("peak_mb", "")))


def _training(found: dict[str, Any]) -> list[list[str]]:
    blocks = []
    if "learned" in found:
        made = f"{found['phantom_seconds']:.0f} s"
        words = (
            f"Learned from {found['learned']} phantoms, default and realistic by turns, judged on others; "
            f"making them all took {made}."
        )
        blocks.append([words])
    if found.get("trained"):
        rows = (
            (row["network"], row["left_out"], "", "")
            if "left_out" in row
            else (
                row["network"],
                f"{row['steps']} of {row['of']}",
                f"{row['seconds']:.0f}",
                f"{row['loss']:.3f}; {row['dice_loss']:.3f}",
            )
            for row in found["trained"]
        )
        blocks.append(_table(("network", "steps", "s", "last loss; of Dice"), rows))
    if found.get("rows"):
        rows = (
            (name, preset, *_figures(one))
            for preset, by_row in (
                ("standard", found["rows"]),
                ("as shipped", found.get("shipped", {})),
            )
            for name, one in by_row.items()
        )
        heads = (
            "row",
            "preset",
            "mRecall",
            "recall at precision .15",
            "false ones per patient",
            "nodes; patients",
        )
        blocks.append(_table(heads, rows))
    return blocks


def _figures(one: dict[str, Any]) -> tuple[str, ...]:
    false = f"{one['false_positives']:.1f}" + ("" if one["reached"] else " (precision not reached)")
    judged = f"{one['nodes']}; {one['patients']}"
    return (f"{one['mean_recall']:.3f}", f"{one['recall']:.3f}", false, judged)


SECTIONS: dict[str, Callable[[dict[str, Any]], list[list[str]]]] = {
    "tests": _tests,
    "agreement": _agreement,
    "patient": _patient,
    "networks": _networks,
    "training": _training,
}


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table; a bar inside a cell would end it."""
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    return lines + ["| " + " | ".join(cell.replace("|", "/") for cell in row) + " |" for row in rows]
