"""The report of a lane: sentences, tables, curves."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from osln.files.arrays import write_json
from osln.files.images import write_atomically
from osln.metrics.intervals import table
from osln.simulation.arms import RANDOM
from osln.simulation.statistics import SHARES

DRAWN = ("random", "oracle", "likeliest-10", "mixed-10", "doubt-10", "confident", "chance-10")
"""Arms of the picture, as far as a lane has them."""
BANDS = ("random", "likeliest-10")
"""Those of them with their interval."""
NEVER = "never"
AT_MOST = "<="


def write_report(figures: Mapping[str, Any], about: Mapping[str, Any], folder: Path) -> Path:
    """figures.json, curves.png and report.md in a folder; returns the path of the last one."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "figures.json", {"about": about, **figures})
    chart(figures).savefig(folder / "curves.png", dpi=110)
    path = folder / "report.md"
    write_atomically(path, ("\n\n".join(parts(figures, about)) + "\n").encode())
    return path


def parts(figures: Mapping[str, Any], about: Mapping[str, Any]) -> Iterable[str]:
    """Paragraphs and tables in Markdown."""
    schedule, prices = figures["schedule"], figures["prices"]
    yield f"# Simulated annotation: {figures['cohort']}, {figures['learner']}"
    yield "\n".join(
        (
            f"- command: {about['command']}",
            f"- commit {about['commit']}; {', '.join(f'{k} {v}' for k, v in about['versions'].items())}; "
            "patients and their candidates that were there already may be an earlier one's",
            f"- {figures['seeds']} seeds; in each {figures['pool']} patients to label and {figures['test']} "
            f"to test, {schedule['start']} whole cases to start with, then {schedule['rounds']} rounds of "
            f"{schedule['budget']} decisions; stage two learned from scratch in each",
            *_levels(figures),
        )
    )
    yield (
        "Mean of mFROC over the rounds, at equal decisions (candidates judged and missed nodes added). "
        "Differences to whole cases by chance are paired by seed; in brackets the 95 % interval of Student's "
        "t over seeds, then the same with the variance over resampled patients added; p adjusted for all "
        "arms (Holm)."
    )
    yield table(list(_main_rows(figures)))
    if figures["stage_one_recipe"]:
        yield "Stage one alone, after the start and after each round: mFROC, and share of the nodes it hits."
        yield table(list(_stage_one_rows(figures)))
    yield (
        "Decisions until the mean curve has a share of what everything labeled gives, with the 95 % interval "
        "over resamples of the seeds; resamples that never arrive are infinite. Ratio: to whole cases by "
        f"chance. Seconds: {prices['candidate']:g} for a candidate, {prices['added']:g} for a missed node, "
        f"{prices['opened']:g} for opening a case; assumed, not measured."
    )
    yield table(list(_arrival_rows(figures)))
    yield (
        f"Where whole cases by chance do not arrive, the ratio is {AT_MOST} what it would be if they had at "
        "the end of what was watched, and its interval begins at 0 where too many resamples do not. "
        "Intervals of this table resample the seeds and are too narrow where there are few: of a mean, those "
        "of 2 seeds hold the truth in half of the cases, of 4 in 81 %, of 16 in 91 %."
    )
    yield "![mFROC over decisions, means over the seeds; bands: 95 % intervals over seeds.](curves.png)"


def _levels(figures: Mapping[str, Any]) -> Iterable[str]:
    """Between what the curves lie, and how stage one comes by its candidates."""
    start = f"after the start ({figures['start_decisions']:.0f} decisions) {_pm(figures['start'])}"
    full = f"with everything labeled ({figures['full_decisions']:.0f} decisions) {_pm(figures['full'])}"
    alone, recipe = _pm(figures["stage_one"]), figures["stage_one_recipe"]
    if recipe is None:
        yield f"- mFROC of stage one alone {alone}, {start}, {full}"
        return
    yield (
        f"- stage one learns too: {recipe['segmenter']}, {recipe['first']} steps from scratch on the start, "
        f"{recipe['steps']} more in each round; its threshold gives {recipe['candidates']} candidates a case"
    )
    yield f"- mFROC {start}, {full}; stage one alone, with everything labeled, {alone}"


def _stage_one_rows(figures: Mapping[str, Any]) -> Iterable[list[str]]:
    rounds = range(figures["schedule"]["rounds"] + 1)
    yield ["", *(f"{'start' if not n else n}" for n in rounds)]
    for name, arm in figures["arms"].items():
        told = zip(arm["alone"], arm["recall"], strict=True)
        cells = [f"{alone['value']:.3f}, {recall['value']:.3f}" for alone, recall in told]
        yield [name, *cells, *[""] * (len(rounds) - len(cells))]


def _main_rows(figures: Mapping[str, Any]) -> Iterable[list[str]]:
    yield [
        "",
        "mean over rounds",
        "difference, by seed",
        "by seed and patient",
        "p (Holm)",
        "seeds better",
        "at the end",
        "cases opened",
        "nodes seen",
        "per decision",
    ]
    for name, arm in figures["arms"].items():
        cells = [f"{name}: {arm['title']}", f"{arm['mean']['value']:.3f}"]
        if name == RANDOM:
            cells += ["0", "", "", ""]
        else:
            by_patient = arm["difference_by_patient"]
            cells += [
                _signed(arm["difference"]),
                f"[{by_patient['low']:+.3f}, {by_patient['high']:+.3f}]",
                f"{arm['p_holm']:.2g}",
                f"{arm['better_seeds']} of {figures['seeds']}",
            ]
        cells += [
            f"{arm['end']['value']:.3f}",
            f"{arm['cases']:.0f}",
            f"{arm['nodes']:.0f}",
            f"{arm['nodes_per_decision']:.2f}",
        ]
        yield cells


def _arrival_rows(figures: Mapping[str, Any]) -> Iterable[list[str]]:
    header = [""]
    for share in SHARES:
        header += [f"{share:.0%}: decisions", "resamples never, runs that do", "ratio", "ratio of seconds"]
    yield header
    for name, arm in figures["arms"].items():
        cells = [name]
        for key in (f"{one:g}" for one in SHARES):
            entry = arm["arrivals"][key]
            cells += [
                f"{_cost(entry['cost'])} [{_cost(entry['low'])}, {_cost(entry['high'])}]",
                f"{entry['never']:.0%}, {entry['runs']:.0%}",
            ]
            for kind in ("ratios", "ratios_of_seconds"):
                cells.append(_ratio(arm[kind][key]) if kind in arm else "1")
        yield cells


def _ratio(entry: Mapping[str, float]) -> str:
    bound = f"{AT_MOST} " if entry["at_most"] else ""
    return f"{bound}{_share(entry['value'])} [{_share(entry['low'])}, {_share(entry['high'])}]"


def _share(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else NEVER


def _cost(value: float) -> str:
    return f"{value:.0f}" if math.isfinite(value) else NEVER


def _pm(entry: Mapping[str, float]) -> str:
    return f"{entry['value']:.3f} [{entry['low']:.3f}, {entry['high']:.3f}]"


def _signed(entry: Mapping[str, float]) -> str:
    return f"{entry['value']:+.3f} [{entry['low']:+.3f}, {entry['high']:+.3f}]"


def chart(figures: Mapping[str, Any]) -> Figure:
    """mFROC over decisions of some arms, with the level of everything labeled and of stage one alone."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    schedule = figures["schedule"]
    last = figures["start_decisions"] + schedule["budget"] * schedule["rounds"]
    for name in DRAWN:
        if name in figures["arms"]:
            curve = [one for one in figures["arms"][name]["curve"] if one["decisions"] <= 1.1 * last]
            decisions = [one["decisions"] for one in curve]
            (line,) = axes.plot(decisions, [one["value"] for one in curve], label=name)
            if name in BANDS:
                low, high = ([one[end] for one in curve] for end in ("low", "high"))
                axes.fill_between(decisions, low, high, color=line.get_color(), alpha=0.12, linewidth=0)
    for label, style in (("full", "--"), ("stage_one", ":")):
        axes.axhline(figures[label]["value"], color="0.5", linestyle=style, label=label.replace("_", " "))
    axes.set(xlabel="decisions", ylabel="mFROC on the test patients")
    axes.legend(fontsize=8)
    return figure
