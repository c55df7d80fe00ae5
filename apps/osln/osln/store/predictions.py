"""What was said of a stored prediction: its JSON beside its label map.

It has 20 kB a case; the index of the store, which is written with every label, holds a line of it.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from osln.files.whole import write_json


def prediction_path(root: Path, case: str) -> Path:
    """Where the JSON of a case's prediction lies, whether it exists or not."""
    return root / "labels" / "original" / f"{case}.json"


def write_prediction(root: Path, case: str, result: Mapping[str, Any]) -> None:
    """Keeps the JSON of an inference."""
    write_json(prediction_path(root, case), result)


def read_prediction(root: Path, case: str) -> dict[str, Any] | None:
    """The JSON of the inference that made the stored prediction.

    Returns:
        None if there is none, or none that can be read.
    """
    try:
        found = json.loads(prediction_path(root, case).read_text())
        return found if isinstance(found, dict) else None
    except (OSError, ValueError):
        return _of_the_index(root, case)


def remove_prediction(root: Path, case: str) -> None:
    """Takes the JSON away; nothing happens if there is none."""
    prediction_path(root, case).unlink(missing_ok=True)


def _of_the_index(root: Path, case: str) -> dict[str, Any] | None:
    """From a store of a former version, whose index held it."""
    try:
        labels = json.loads((root / "datastore_v2.json").read_text())["objects"][case]["labels"]
        result = dict(labels["original"]["info"]["params"])
        return result if "candidates" in result else None
    except (OSError, KeyError, TypeError, ValueError):
        return None
