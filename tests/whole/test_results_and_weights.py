"""Documents of results name the weights that they were measured with."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from osln.rows.experiments import TAGGER

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
SINCE = {
    "675e43018274": {
        "ct": "ffc0b673a87d",
        "ct-distal": "3ab85fb42221",
        "ct-proximal": "6c900bb1a77a",
        "ef": "70654f5938a3",
        "ef-distal": "cf0ace1a0d55",
        "ef-proximal": "8db341b386ab",
        "glnet": "b51312bb8177",
        "local-ct": "aee2dbc5d9af",
        "local-ct-pet": "80ca95248f48",
        "tag": "60ac07235e41",
        "lesanet": "4135293f3d2b",
        "click": "409a2f30b4c5",
    },
}
"""Checksums of the weights by former manifests, of which documents say that they have not changed."""
UNCHANGED = "unchanged since manifest"
FORMER = "former weights"
OWN = "trained here"
"""Of a document whose networks were made for it."""


def problem(text: str, checksum: str, shipped: Mapping[str, str]) -> str | None:
    """What is wrong with the line in which a document names its weights; None if nothing is.

    Args:
        text: The document.
        checksum: SHA-256 of the manifest in use.
        shipped: SHA-256 of the weights in use, by name.
    """
    named = [line for line in text.splitlines() if line.startswith("Weights: ")]
    if len(named) != 1:
        return f"{len(named)} lines begin with 'Weights: ', expected one"
    (line,) = named
    known = re.findall(r"`([0-9a-f]{12})`", line)
    if not known and FORMER not in line and OWN not in line:
        return f"it names neither the manifest `{checksum[:SHORT]}` nor {FORMER!r} nor {OWN!r}"
    if UNCHANGED in line:
        return _changed(line, SINCE.get(known[0], {}), shipped)
    if known and checksum[:SHORT] not in known and FORMER not in line:
        return (
            f"it was measured with the manifest {known[0]}, the one that is shipped is {checksum[:SHORT]}: "
            f"measure anew, or say {FORMER!r}"
        )
    return None


def _changed(line: str, since: Mapping[str, str], shipped: Mapping[str, str]) -> str | None:
    """Which of the weights that a line names are other ones now."""
    names = [name for name in re.findall(r"`([a-z-]+)`", line) if name in since]
    if not names:
        return f"it names no weights that are {UNCHANGED} so and so: name those that were asked"
    other = [name for name in names if not shipped.get(name, "").startswith(since[name])]
    return f"{', '.join(other)} changed: measure anew, or say {FORMER!r}" if other else None


def weights_in_use() -> dict[str, str]:
    """SHA-256 by name."""
    manifest = json.loads(MANIFEST.read_text())
    alone = {TAGGER: manifest["tagger"], "click": manifest["click"]}
    return {name: one["sha256"] for name, one in (manifest["networks"] | alone).items()}


@pytest.mark.parametrize("name", RESULTS)
def test_a_document_of_results_names_the_shipped_weights_or_says_former(name):
    checksum = hashlib.sha256(MANIFEST.read_bytes()).hexdigest()
    assert problem((ROOT / name).read_text(), checksum, weights_in_use()) is None


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
        ("Weights: `ct` and `ef`, unchanged since manifest `675e43018274`.", None),
        ("Weights: `ct` and `tag`, unchanged since manifest `675e43018274`.", "tag changed"),
        ("Weights: the shipped ones, unchanged since manifest `675e43018274`.", "names no weights"),
        ("Weights: `ct`, unchanged since manifest `111111111111`.", "names no weights"),
        ("No such line", "0 lines begin"),
        ("Weights: manifest `20a868bb7381`.\nWeights: former weights", "2 lines begin"),
    ],
)
def test_a_stale_document_is_told(text, words):
    found = problem(text, CHECKSUM, {"ct": "ffc0b673a87d" + "0" * 52, "ef": "70654f5938a3" + "1" * 52})
    assert found is None if words is None else words in found
