"""Commands that documents, messages and docstrings print, as a person would type them."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
START = r"\./(?:scripts|benchmarks)/[a-z-]+"
PLACEHOLDER = "ct"
"""Stands where a message puts a name: a network, which is what most of them name."""


def in_documents() -> Iterator[tuple[str, str]]:
    """Where and what: lines of code blocks, and code within sentences."""
    documents = [ROOT / "README.md", ROOT / "sample-datastore" / "README.md", *(ROOT / "docs").glob("*.md")]
    for path in documents:
        text = path.read_text().replace("\\\n", " ")
        for line in text.splitlines():
            quoted = re.findall(rf"`({START}[^`]*)`", line)
            plain = re.findall(rf"^(?:[A-Z_]+=\S+ +)*({START}.*)", line)
            for command in quoted + plain:
                yield path.name, command.partition(" #")[0].strip()


def in_sources() -> Iterator[tuple[str, str]]:
    """Where and what: string literals of product and measurements, up to the end of the sentence."""
    for folder in ("apps", "scripts", "benchmarks"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            source = path.read_text()
            if re.search(START, source) is None:
                continue  # most name none, and taking them apart takes seconds
            for text in literals(source):
                for command in re.findall(rf"{START}[^\n`();,|]*", text):
                    command = re.split(r"[.:] |[.:]?$", command.replace("...", ""))[0]
                    # What may be left out stands in brackets.
                    yield path.name, re.sub(r"[\[\]]", "", command).strip()


def literals(source: str) -> Iterator[str]:
    """The string literals of a source, with `PLACEHOLDER` for what is filled in."""
    found = list(ast.walk(ast.parse(source)))
    parts = {part for node in found if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in found:
        if isinstance(node, ast.JoinedStr):
            yield "".join(
                part.value if isinstance(part, ast.Constant) else PLACEHOLDER for part in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in parts:
            yield node.value


def beginnings(command: str) -> Iterator[list[str]]:
    """The command's words, then without what may be the rest of a sentence, one word less each time.

    Options and words in capitals are the command's own and are never taken away.
    """
    try:
        words = shlex.split(command)
    except ValueError:
        words = command.split()
    own = [k for k, word in enumerate(words) if word.startswith("--") or word.isupper()]
    for end in range(len(words), max(own, default=0), -1):
        yield words[:end]
