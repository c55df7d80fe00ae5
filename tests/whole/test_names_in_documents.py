"""Every name of the code that a document prints is one that there is."""

import pkgutil
import re

import pytest

from small.commands import ROOT

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SOURCES = [
    path for folder in ("apps", "tests", "benchmarks", "scripts") for path in (ROOT / folder).rglob("*.py")
]
ENDINGS = "csv gz html json jsonl log md npy safetensors toml txt yaml".split()
OTHERS = ("dataclasses", "MONAILabelClient")
"""Whose names are of other packages."""


def printed(pattern: str) -> list[tuple[str, str]]:
    """(document, name) of code within sentences that is a name as a whole."""
    code = ((path, re.findall(r"`([^`\n]+)`", path.read_text())) for path in DOCUMENTS)
    return sorted({(path.name, one) for path, spans in code for one in spans if re.fullmatch(pattern, one)})


DOTTED = [
    (document, name)
    for document, name in printed(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
    if name.split(".")[-1] not in (*ENDINGS, "py") and name.split(".")[0] not in OTHERS
]
FILES = printed(r"[\w./-]+\.py")


def there(name: str) -> bool:
    """Whether a full name is there, or an attribute of a class, or a name of a module called by its own."""
    if name.startswith("osln."):
        try:
            pkgutil.resolve_name(name)
        except (ImportError, AttributeError):
            return False
        return True
    *_, owner, attribute = name.split(".")
    defined = re.compile(rf"^ *(def |class )?{attribute}\b", re.MULTILINE)
    for path in SOURCES:
        text = path.read_text()
        if (path.stem == owner or re.search(rf"^class {owner}\b", text, re.MULTILINE)) and defined.search(
            text
        ):
            return True
    return False


@pytest.mark.parametrize(("document", "name"), DOTTED)
def test_a_name_in_a_document_is_one_of_the_code(document, name):
    assert there(name), f"{document} names {name}, which does not exist"


@pytest.mark.parametrize(("document", "name"), FILES)
def test_a_source_file_in_a_document_is_there(document, name):
    assert any(str(path).endswith(f"/{name}") for path in SOURCES), f"{document} names {name}: no such file"


def test_what_is_not_there_would_be_found():
    assert len(DOTTED) > 10 and len(FILES) > 30
    assert there("column_file.FORMAT") and there("Preset.prefilter") and there("osln.evaluation.figures")
    for name in ("slice_detection.SliceDetector", "Preset.no_such_field", "osln.mulan.no_such_name"):
        assert not there(name)
