"""Nothing uses what the oldest supported Python, 3.10, does not have. Syntax is the linter's business."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(path for folder in ("apps", "scripts", "tests") for path in (ROOT / folder).rglob("*.py"))
LATER = {
    "tomllib",
    "datetime.UTC",
    "enum.StrEnum",
    "itertools.batched",
    "contextlib.chdir",
    "asyncio.timeout",
    "asyncio.TaskGroup",
    "hashlib.file_digest",
    "math.cbrt",
    "math.sumprod",
    "typing.Self",
    "typing.override",
    "typing.Never",
    "typing.assert_never",
    "typing.NotRequired",
    "typing.Required",
    "typing.Unpack",
    "typing.LiteralString",
}


def used_names(source: str) -> set[str]:
    """Dotted names that a source imports or reads from a module by its name."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            names.add(f"{node.value.id}.{node.attr}")
    return names


def test_names_are_found_however_they_are_imported():
    source = "import tomllib\nfrom datetime import UTC, date\nimport enum\nclass A(enum.StrEnum): pass\n"

    assert used_names(source) & LATER == {"tomllib", "datetime.UTC", "enum.StrEnum"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_source_runs_on_the_oldest_supported_python(path):
    assert not used_names(path.read_text()) & LATER
