"""A report as one HTML file that needs nothing but a browser: styles and pictures are inside."""

import base64
from collections.abc import Iterable
from html import escape

from osln.reproduction.cells import NO_BETTER
from osln.reproduction.report import Block, Heading, Picture, Sheet, Words

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --mark: #c2410c; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.25rem; margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
nav { columns: 2; } nav a { display: block; }
.wide { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .6rem; text-align: left; vertical-align: top; }
th { background: var(--soft); } td:first-child { min-width: 12rem; }
td:not(:first-child) { white-space: nowrap; }
td.marked { color: var(--mark); font-weight: 600; }
figure { margin: 1.5rem 0; } figure img { max-width: 100%; height: auto; background: #fff; }
figcaption { font-size: 13px; opacity: .8; } ul { padding-left: 1.2rem; }
"""


def page(parts: Iterable[Block]) -> str:
    """The whole file."""
    listed = list(parts)
    title = next((part.words for part in listed if isinstance(part, Heading) and part.level == 1), "Results")
    sections = [part.words for part in listed if isinstance(part, Heading) and part.level == 2]
    links = "".join(f'<a href="#{_anchor(words)}">{escape(words)}</a>' for words in sections)
    nav = f"<nav>{links}</nav>"
    body = [_part(part) + (nav if isinstance(part, Heading) and part.level == 1 else "") for part in listed]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _part(part: Block) -> str:
    if isinstance(part, Heading):
        return f'<h{part.level} id="{_anchor(part.words)}">{escape(part.words)}</h{part.level}>'
    if isinstance(part, Words):
        if len(part.items) == 1:
            return f"<p>{escape(part.items[0])}</p>"
        return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in part.items) + "</ul>"
    if isinstance(part, Sheet):
        header, *rows = part.cells
        head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
        lines = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in rows)
        return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>'
    return _picture(part)


def _cell(text: str) -> str:
    marked = ' class="marked"' if NO_BETTER in text else ""
    return f"<td{marked}>{escape(text)}</td>"


def _picture(part: Picture) -> str:
    data = base64.b64encode(part.path.read_bytes()).decode()
    caption = escape(part.caption)
    return (
        f'<figure><img alt="{caption}" src="data:image/png;base64,{data}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _anchor(words: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in words.lower())
