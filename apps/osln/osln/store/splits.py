"""Which patients train, validate and test: decided once by a hash and never moved.

A patient that arrives later or is labeled later does not move the others, and a corrected label never
carries a patient from test to training.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from osln.files.images import write_atomically

FOLDS = 4
"""Parts that the training patients are divided into when versions have to be trained without some."""

FRACTIONS = (("train", 84 / 141), ("validation", 23 / 141), ("test", 34 / 141))
"""Shares of the paper's 84, 23 and 34 patients (section 4.1)."""


def split_by_hash(case: str, seed: int = 0) -> str:
    """Split that the hash of seed and case id falls into: "train", "validation" or "test"."""
    digest = hashlib.sha256(f"{seed}:{case}".encode()).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    for name, share in FRACTIONS[:-1]:
        if position < share:
            return name
        position -= share
    return FRACTIONS[-1][0]


def assign(
    root: str | Path, cases: Iterable[str], seed: int = 0, wanted: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Splits of the cases, deciding and storing those that have none yet.

    Args:
        root: Folder of the studies; the table is `<root>/.osln/splits.json`.
        cases: Case ids.
        seed: Used when the table is made; an existing table keeps its own.
        wanted: Splits of cases that have none yet, instead of what their hash says.

    Returns:
        Split by case id, for the cases asked.

    Raises:
        ValueError: The table cannot be read (it is left as it is), or a wanted split is unknown.
    """
    wanted = wanted or {}
    if bad := _unknown_splits(wanted):
        raise ValueError(f"unknown splits {bad}: use train, validation or test")
    path = _table_path(root)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(str(path) + ".lock"):
        table: dict[str, Any] = _read(path) if path.exists() else {"seed": seed, "cases": {}}
        unknown = [case for case in dict.fromkeys(cases) if case not in table["cases"]]
        for case in unknown:
            table["cases"][case] = wanted.get(case) or split_by_hash(case, table["seed"])
        if unknown:
            write_atomically(path, (json.dumps(table, indent=1, sort_keys=True) + "\n").encode())
    return {case: table["cases"][case] for case in dict.fromkeys(cases)}


def stored_splits(root: str | Path) -> dict[str, str]:
    """Splits by case id of the cases that have one; decides nothing, errors as in `assign`."""
    path = _table_path(root)
    return dict(_read(path)["cases"]) if path.exists() else {}


def split_of(root: str | Path, case: str) -> str:
    """Stored split of a case; decided and stored now if it has none."""
    return assign(root, [case])[case]


def _table_path(root: str | Path) -> Path:
    return Path(root) / ".osln" / "splits.json"


def _read(path: Path) -> dict[str, Any]:
    try:
        table = json.loads(path.read_text())
        bad = _unknown_splits(table["cases"])
        int(table["seed"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is not a table of splits ({error}): restore it from a copy, "
            "because a fresh table could move test patients into training"
        ) from error
    if bad:
        raise ValueError(f"{path} names unknown splits {bad}: use train, validation or test")
    return table


def _unknown_splits(cases: Mapping[str, str]) -> dict[str, str]:
    return {case: split for case, split in cases.items() if split not in dict(FRACTIONS)}


def folds(cases: Iterable[str]) -> list[list[str]]:
    """The cases dealt into `FOLDS` parts in the order of a hash of their ids; fewer if there are fewer."""
    ordered = sorted(cases, key=lambda case: hashlib.sha256(f"fold:{case}".encode()).hexdigest())
    return [ordered[start::FOLDS] for start in range(min(FOLDS, len(ordered)))]
