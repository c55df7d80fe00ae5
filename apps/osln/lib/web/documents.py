"""The documents of the repository as pages: headings that links lead to, tables, pictures."""

import re
from collections.abc import Iterable
from functools import cache, lru_cache
from pathlib import Path
from threading import Lock

from markdown_it import MarkdownIt
from markdown_it.token import Token

APP = Path(__file__).resolve().parents[2]
ROOT = APP.parent.parent
DOCUMENTS = ROOT / "docs" if (ROOT / "scripts" / "serve").is_file() else APP / "docs"
"""Of the repository; an app that was copied elsewhere has none, and shows nobody else's."""
README = DOCUMENTS.with_name("README.md")
_turn = Lock()
PICTURES = {".png": "image/png", ".webp": "image/webp"}
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>OSLN Label: TITLE</title><link rel="stylesheet" href="../page/style.css"></head>
<body class="document"><nav><a href="../../">OSLN Label</a></nav><article>TEXT</article></body></html>
"""


def documents() -> dict[str, str]:
    """Titles of the documents that are there by their names, README first."""
    found = [README, *sorted(DOCUMENTS.glob("*.md"))]
    return {path.name: _title(path) for path in found if path.is_file()}


@cache
def _title(path: Path) -> str:
    with path.open(encoding="utf-8") as file:
        return next((line[2:].strip() for line in file if line.startswith("# ")), path.stem)


def pictures() -> dict[str, Path]:
    """The pictures of the documents by their path in the folder, as documents name them."""
    found = (path for path in DOCUMENTS.glob("*/*") if path.suffix in PICTURES)
    return {path.relative_to(DOCUMENTS).as_posix(): path for path in sorted(found)}


def page(name: str) -> str:
    """A document as HTML.

    Args:
        name: Of `documents()`.
    """
    path = README if name == README.name else DOCUMENTS / name
    with _turn:
        return _page(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=64)
def _page(path: Path, _changed: int) -> str:
    # The longest ones take seconds.
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = reader.parse(path.read_text(encoding="utf-8"))
    _name_headings(tokens)
    _turn_links(tokens)
    text = reader.renderer.render(tokens, reader.options, {})
    return PAGE.replace("TITLE", path.stem).replace("TEXT", text)


def _name_headings(tokens: Iterable[Token]) -> None:
    """Gives headings the names that links on GitHub lead to."""
    opened = None
    seen: dict[str, int] = {}
    for token in tokens:
        if opened is not None:
            words = "".join(one.content for one in token.children or ())
            name = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
            times = seen[name] = seen.get(name, -1) + 1
            opened.attrSet("id", f"{name}-{times}" if times else name)
        opened = token if token.type == "heading_open" else None


def _turn_links(tokens: Iterable[Token]) -> None:
    """Links between README and documents lead to pages; those to files that are no page lead nowhere."""
    known = {*documents(), *pictures()}
    for token in tokens:
        _turn_links(token.children or ())
        name = {"link_open": "href", "image": "src"}.get(token.type, "")
        target = str(token.attrGet(name) or "").removeprefix("docs/").removeprefix("../")
        if not target or target.startswith(("#", "https://", "http://")):
            continue
        if target.partition("#")[0] in known:
            token.attrSet(name, target)
        else:
            del token.attrs[name]
