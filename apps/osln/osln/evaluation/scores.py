"""Scores of predictions that lie in a file beside their label maps."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from osln.evaluation.csv_table import PATIENT, read_table
from osln.imaging.instances import instances

COLUMNS = {"case": PATIENT, "label": ("label", "instance"), "score": ("score", "probability")}

Scores = Mapping[str, Mapping[int, float]]
"""Score by case and label."""


def read_scores(path: Path) -> Scores:
    """Scores by case and label, from CSV or JSON.

    Raises:
        ValueError: The file cannot be read, repeats a label of a case, or holds a score that is not finite.
    """
    entries: list[tuple[str, str, str, float]] = []
    if path.suffix.lower() == ".json":
        try:
            content = json.loads(path.read_text(), object_pairs_hook=_no_repeats)
            entries = [
                (path.name, case, label, float(score))
                for case, labels in content.items()
                for label, score in labels.items()
            ]
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise ValueError(
                f"{path.name} cannot be read as scores ({error}): expected {{case: {{label: score}}}}"
            ) from error
    else:
        table = read_table(path, COLUMNS, ("case", "label", "score"))
        entries = [
            (row.place, row.text("case"), row.cells["label"], row.number("score")) for row in table.rows
        ]
    scores: dict[str, dict[int, float]] = {}
    for place, case, text, score in entries:
        if not text.isdecimal():
            raise ValueError(f"{place}: label is {text!r} in case {case}; expected a value of the label map")
        if not math.isfinite(score):
            raise ValueError(
                f"{place}: the score of label {text} in case {case} is {score}; expected a number"
            )
        if int(text) in scores.setdefault(case, {}):
            raise ValueError(f"{place}: label {text} of case {case} has two scores; keep one")
        scores[case][int(text)] = score
    return scores


def _no_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    # JSON silently keeps the last of two equal keys.
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)} stands in it twice")
    return content


def scores_of(case: str, labels: np.ndarray, scores: Scores | None) -> np.ndarray | None:
    """(n,) scores of a label map's objects by ascending label; None if no case has any.

    Raises:
        ValueError: A label of the map has no score, or a score no label.
    """
    if scores is None:
        return None
    present = instances(labels).labels.tolist()
    given = scores.get(case, {})
    missing, left_over = sorted(set(present) - set(given)), sorted(set(given) - set(present))
    if missing or left_over:
        raise ValueError(
            f"case {case}: labels without a score: {missing or 'none'}; scores without a label: "
            f"{left_over or 'none'}; give one score for each label of the map"
        )
    return np.array([given[label] for label in present], dtype=np.float64)
