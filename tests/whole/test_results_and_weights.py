"""Documents of results name the weights that they were measured with."""

import hashlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MANIFEST = ROOT / "apps" / "osln" / "model" / "shipped" / "manifest.json"
RESULTS = (
    "README.md",
    "docs/clicks.md",
    "docs/performance.md",
    "docs/real-images.md",
    *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("results-*.md"))),
)
SHORT = 12
FORMER = "former weights"
OWN = "trained here"
"""Of a document whose networks were made for it."""


def problem(text: str, checksum: str) -> str | None:
    """What is wrong with the line in which a document names its weights; None if nothing is.

    Args:
        text: The document.
        checksum: SHA-256 of the manifest in use.
    """
    named = [line for line in text.splitlines() if line.startswith("Weights: ")]
    if len(named) != 1:
        return f"{len(named)} lines begin with 'Weights: ', expected one"
    known = re.findall(r"`([0-9a-f]{12})`", named[0])
    if not known and FORMER not in named[0] and OWN not in named[0]:
        return f"it names neither the manifest `{checksum[:SHORT]}` nor {FORMER!r} nor {OWN!r}"
    if known and checksum[:SHORT] not in known and FORMER not in named[0]:
        return (
            f"it was measured with the manifest {known[0]}, the one that is shipped is {checksum[:SHORT]}: "
            f"measure anew, or say {FORMER!r}"
        )
    return None


@pytest.mark.parametrize("name", RESULTS)
def test_a_document_of_results_names_the_shipped_weights_or_says_former(name):
    assert problem((ROOT / name).read_text(), hashlib.sha256(MANIFEST.read_bytes()).hexdigest()) is None


CHECKSUM = "20a868bb7381" + "0" * 52


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Weights: manifest `20a868bb7381`.", None),
        ("Weights: former weights.", None),
        ("Weights: trained here.", None),
        ("Weights: trained here, beside manifest `111111111111`.", "measure anew"),
        ("Weights: former weights, manifest `111111111111`.", None),
        ("Weights: manifest `111111111111`.", "measure anew"),
        ("Weights: those in use.", "names neither"),
        ("No such line", "0 lines begin"),
        ("Weights: manifest `20a868bb7381`.\nWeights: former weights", "2 lines begin"),
    ],
)
def test_a_stale_document_is_told(text, words):
    found = problem(text, CHECKSUM)
    assert found is None if words is None else words in found
