"""One page of all cases in a folder of results: a browser is all that it needs, also without the network."""

import base64
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from osln.files.images import write_atomically
from osln.imaging.distance import LIMIT_MM
from osln.output.result import NOTE
from osln.output.writing import read_failure, read_result

PAGE = "index.html"
STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --bad: #c2410c; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 80rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.15rem; margin: 2.5rem 0 .3rem; }
h2 { border-top: 1px solid var(--line); padding-top: 1rem; overflow-wrap: anywhere; }
.note { border-left: 4px solid var(--bad); padding: .2rem .8rem; background: var(--soft); }
table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; margin: .8rem 0; }
th, td { border-bottom: 1px solid var(--line); padding: .25rem .7rem; text-align: right; }
th:first-child, td:first-child, td.words { text-align: left; overflow-wrap: anywhere; }
th { background: var(--soft); } tr.rejected td { opacity: .55; } .failed { color: var(--bad); }
img { max-width: 100%; height: auto; background: #000; } .quiet { opacity: .75; font-size: 13px; }
"""
CANDIDATES = {
    "id": ("", "{}"),
    "zone": ("zone", "{}"),
    "center_mm": ("center, RAS mm", "{}"),
    "radius_mm": ("radius, mm", "{:.1f}"),
    "volume_mm3": ("volume, mm³", "{:.0f}"),
    "distance_mm": ("from the tumor, mm", "{}"),
    "suv_max": ("SUVmax", "{:.1f}"),
    "stage_one_score": ("stage one", "{:.2f}"),
    "score": ("score", "{:.2f}"),
}
"""Heading and form of what a candidate's line shows."""


def write_overview(out: Path) -> Path:
    """Writes the page of all finished and failed cases that lie in a folder, whichever run made them."""
    results = {
        content["case"]: content
        for path in sorted(out.glob("*.json"))
        if (content := read_result(path)) and isinstance(content.get("case"), str)
        # A failed case keeps the result of an earlier run; what counts is the failure.
        if "failed" in content or not read_failure(out, content["case"])
    }
    path = out / PAGE
    write_atomically(path, page(results, out).encode())
    return path


def page(results: Mapping[str, Mapping[str, Any]], out: Path) -> str:
    """The page.

    Args:
        results: JSON of each case by its name, finished or failed.
        out: Where the pictures lie.
    """
    failed = sum("failed" in content for content in results.values())
    kept = sum(len(_kept(content)) for content in results.values())
    heading = f"Cases: {len(results) - failed}, lymph node candidates: {kept}" + (
        f", <span class=failed>failed: {failed}</span>" if failed else ""
    )
    lines = "".join(_line(name, content, n) for n, (name, content) in enumerate(results.items()))
    parts = "".join(_section(name, content, n, out) for n, (name, content) in enumerate(results.items()))
    columns = "<tr><th>case<th>kept<th>candidates<th>best score<th>model<th>operating point<th>s</tr>"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Lymph node candidates</title><style>{STYLE}</style></head>\n<body>\n"
        f"<h1>Lymph node candidates</h1>\n<p>{heading}</p>\n<p class=note>{escape(NOTE)}</p>\n"
        f"{_trained_on(results.values())}<table><thead>{columns}</thead>\n{lines}</table>\n{parts}</body></html>\n"
    )


def _trained_on(results: Iterable[Mapping[str, Any]]) -> str:
    names = {
        str(weights.get("trained_on"))
        for content in results
        for weights in content.get("models", {}).values()
    }
    return f"<p>Weights trained on: {escape(', '.join(sorted(names)))}.</p>\n" if names else ""


def _kept(content: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [candidate for candidate in content.get("candidates", []) if candidate["kept"]]


def _line(name: str, content: Mapping[str, Any], number: int) -> str:
    link = f'<a href="#case-{number}">{escape(name)}</a>'
    if "failed" in content:
        return f"<tr><td>{link}<td class='words failed' colspan=6>failed: {escape(content['failed'])}</tr>\n"
    best = max((candidate["score"] for candidate in content["candidates"]), default=None)
    cells = (
        len(_kept(content)),
        len(content["candidates"]),
        "" if best is None else f"{best:.2f}",
        content["model"],
        content["operating_point"],
        f"{content['latencies']['total']:.1f}",
    )
    return f"<tr><td>{link}" + "".join(f"<td>{escape(str(cell))}" for cell in cells) + "</tr>\n"


def _section(name: str, content: Mapping[str, Any], number: int, out: Path) -> str:
    heading = f'<h2 id="case-{number}">{escape(name)}</h2>\n'
    if "failed" in content:
        return f"{heading}<p class=failed>{escape(content['failed'])}</p>\n"
    files = [*content["files"], f"{name}.json"]
    links = " · ".join(f'<a href="{quote("./" + file)}">{escape(file)}</a>' for file in files)
    warnings = "".join(f"<li>{escape(warning)}</li>" for warning in content["warnings"])
    head = "".join(f"<th>{words}" for words, _ in CANDIDATES.values())
    rows = "".join(_candidate(candidate) for candidate in content["candidates"])
    table = f"<table><thead><tr>{head}</tr></thead>\n{rows}</table>\n" if rows else "<p>No candidates.</p>\n"
    rejected = len(_kept(content)) < len(content["candidates"])
    return (
        f"{heading}<p class=quiet>{links}</p>\n"
        + (f"<ul>{warnings}</ul>\n" if warnings else "")
        + _picture(out / f"{name}.png", name if f"{name}.png" in content["files"] else None)
        + table
        + ("<p class=quiet>Gray: rejected by stage two.</p>\n" if rejected else "")
    )


def _candidate(candidate: Mapping[str, Any]) -> str:
    values = dict(candidate, center_mm=", ".join(f"{round(value)}" for value in candidate["center_mm"]))
    if (distance := candidate["distance_mm"]) is not None:
        # The distance map ends there.
        values["distance_mm"] = f"{distance:.0f}" if distance < LIMIT_MM else f"over {LIMIT_MM:.0f}"
    cells = ("" if values[key] is None else form.format(values[key]) for key, (_, form) in CANDIDATES.items())
    kind = "" if candidate["kept"] else ' class="rejected" title="rejected by stage two"'
    return f"<tr{kind}>" + "".join(f"<td>{escape(cell)}" for cell in cells) + "</tr>\n"


def _picture(path: Path, name: str | None) -> str:
    if name is None or not path.is_file():
        return ""
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<img alt="{escape(name)}: planes through the candidates" src="data:image/png;base64,{data}">\n'
