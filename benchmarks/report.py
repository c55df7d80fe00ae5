"""Compares what two sides of the benchmark found, and writes the benchmark's table."""

import os
import platform
from pathlib import Path
from typing import Any

import numpy as np

ORDER = ("read", "prepare", "networks", "candidates", "tags", "classifier", "back on the CT")


def compare(ours: dict[str, np.ndarray], peer: dict[str, np.ndarray]) -> dict[str, Any]:
    """Candidates of two sides matched by overlap on the column's grid.

    Returns:
        `same_candidates` (each candidate overlaps exactly one of the other side, and none is left over),
        how many are equal voxel by voxel, how many differ in some voxels, how many have no counterpart,
        the largest difference of a score and of the fused probability, and the voxels that changed side.
    """
    pairs = np.unique(
        np.stack([ours["labels"].ravel(), peer["labels"].ravel()])[
            :, (ours["labels"].ravel() > 0) & (peer["labels"].ravel() > 0)
        ],
        axis=1,
    ).T
    of_ours, of_peer = len(ours["scores"]), len(peer["scores"])
    one_to_one = len(pairs) == len(set(pairs[:, 0])) == len(set(pairs[:, 1]))
    equal, score_difference = 0, 0.0
    for mine, theirs in pairs:
        equal += bool(((ours["labels"] == mine) == (peer["labels"] == theirs)).all())
        score_difference = max(score_difference, abs(ours["scores"][mine - 1] - peer["scores"][theirs - 1]))
    lonely = of_ours - len(set(pairs[:, 0])), of_peer - len(set(pairs[:, 1]))
    return {
        "same_candidates": bool(one_to_one and lonely == (0, 0)),
        "candidates": of_ours,
        "peer_candidates": of_peer,
        "equal": equal,
        "differing": len(pairs) - equal,
        "without_counterpart": lonely[0],
        "peer_without_counterpart": lonely[1],
        "score_difference": float(score_difference),
        "probability_difference": float(np.abs(ours["prob"] - peer["prob"]).max()),
        "voxels_changed": int(((ours["labels"] > 0) != (peer["labels"] > 0)).sum()),
        "voxels": int((ours["labels"] > 0).sum()),
    }


def describe(threads: int) -> str:
    """The computer, as far as it matters for times."""
    cpu = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        text = info.read_text()
        name = next((line.split(":")[1].strip() for line in text.splitlines() if "model name" in line), cpu)
        known = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if f" {flag}" in text]
        cpu = f"{name} ({', '.join(known)})"
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return (
        f"{cpu}, {os.cpu_count()} cores, {threads} threads per side{load}, Python {platform.python_version()}"
    )


def report(result: dict[str, Any]) -> str:
    """The result as text: stages, ratios, agreement."""
    lines = [
        result["computer"],
        f"networks: {result['preset']}, trained on {result['trained_on']}",
        f"operating point {result['threshold']:.3f}",
        "",
        f"{'median seconds':18s}" + "".join(f"{name:>15s}" for name in result["stages"]),
    ]
    for step in ORDER:
        cells = (
            f"{stages[step]:15.3f}" if step in stages else f"{'':15s}" for stages in result["stages"].values()
        )
        lines.append(f"{step:18s}" + "".join(cells))
    totals = [sum(stages.values()) for stages in result["stages"].values()]
    lines.append(f"{'sum':18s}" + "".join(f"{total:15.3f}" for total in totals))
    second = result["stage_two"]
    low, high = second["share_range"]
    lines += [
        "",
        f"stage two (tags and classifier, trained on {result['stage_two_trained_on']}), "
        f"{result['candidates']} candidates: {second['stage_two_seconds']:.3f} s of "
        f"{second['seconds']:.3f} s, {second['share']:.1%} of the patient ({low:.1%} to {high:.1%})",
    ]
    for key, title in (
        ("whole_patient", "stage one against MONAI"),
        ("public_parts", "stage one against public parts"),
    ):
        if key in result:
            lines += ["", *_verdict(title, result[key])]
    if "server" in result:
        words = (f"{name.replace('_', ' ')} {value:.2f} s" for name, value in result["server"].items())
        lines += ["", "through the server: " + ", ".join(words)]
    return "\n".join(lines)


def agreement_table(result: dict[str, Any]) -> list[str]:
    """`Agreement.result` as lines of a Markdown table, a column for each side beside the first."""
    first, compared = result["first"], result["compared"]

    def line(title: str, words: dict[str, str]) -> str:
        return f"| {title} | " + " | ".join(words[name] for name in compared) + " |"

    def each(*keys: str) -> dict[str, str]:
        return {name: "; ".join(str(one[key]) for key in keys) for name, one in compared.items()}

    def apart(key: str) -> dict[str, str]:
        return {name: "{:.4f}; {:.4f}".format(*one[key]) for name, one in compared.items()}

    def both(key: str) -> dict[str, str]:
        figures = result["figures"]
        return {name: f"{figures[first][key]:.4f}; {figures[name][key]:.4f}" for name in compared}

    lines = [
        f"| phantoms: {result['patients']}, operating point {result['threshold']:.3f} | "
        + " | ".join(f"{first} and {name}" for name in compared)
        + " |",
        "|---" * (1 + len(compared)) + "|",
        line("candidates of the first; of the second", each("candidates", "peer_candidates")),
        line("equal voxel by voxel; differing in some voxels", each("equal", "differing")),
        line(
            "found by the first only; by the second only",
            each("without_counterpart", "peer_without_counterpart"),
        ),
        line("voxels in candidates; voxels that changed", each("voxels", "voxels_changed")),
        line("largest difference of a probability, median patient; any", apart("probability_difference")),
        line("largest difference of a score, median patient; any", apart("score_difference")),
        line("recall at precision 0.15", both("recall")),
        line("mRecall", both("mean_recall")),
    ]
    if all("stage_two_difference" in one for one in compared.values()):
        second = {
            name: f"{one['stage_two_difference']:.4f}; {one['decisions_changed']}"
            for name, one in compared.items()
        }
        lines.append(line("stage two on the first's candidates: score differs by; decisions changed", second))
    return lines


def _verdict(title: str, entry: dict[str, Any]) -> list[str]:
    low, high = entry["time_ratio_range"]
    return [
        f"{title}: {entry['time_ratio']:.2f} times faster (pairs {low:.2f} to {high:.2f}; medians "
        f"{entry['seconds']:.2f} s and {entry['peer_seconds']:.2f} s)",
        f"  peak memory {entry['peak_mb']} MB and {entry['peer_peak_mb']} MB: {entry['memory_ratio']:.2f} "
        f"(rise during the run {entry['rise_mb']} and {entry['peer_rise_mb']} MB)",
        f"  candidates {entry['candidates']} and {entry['peer_candidates']}: {entry['equal']} equal voxel by "
        f"voxel, {entry['differing']} differ in some voxels, {entry['without_counterpart']} and "
        f"{entry['peer_without_counterpart']} without counterpart",
        f"  {entry['voxels_changed']} voxels changed ({entry['voxels']} in candidates), score differs by at "
        f"most {entry['score_difference']:.4f}, probability by {entry['probability_difference']:.4f}",
    ]
