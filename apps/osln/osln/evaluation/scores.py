"""Scores of predictions that lie in a file beside their label maps."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from osln.evaluation.csv_table import PATIENT, read_table
from osln.imaging.instances import instances

COLUMNS = {"case": PATIENT, "label": ("label", "instance"), "score": ("score", "probability")}

FILES = ("scores.csv", "scores.json")
"""Names under which scores are found beside the predictions."""

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


def file_beside(folder: Path) -> Path | None:
    """The file of scores in a folder of predictions.

    Raises:
        ValueError: There are two.
    """
    beside = [folder / name for name in FILES if (folder / name).is_file()]
    if len(beside) > 1:
        raise ValueError(f"{folder} holds {' and '.join(FILES)}: keep one or name it")
    return beside[0] if beside else None


def own_scores(results: Mapping[str, Mapping[int, float] | None], cases: Sequence[str]) -> Scores:
    """The scores that results of `detect` have, by case and label.

    Args:
        results: None of a case whose label map shows what was kept alone.
        cases: That are judged.

    Raises:
        ValueError: Some label maps show every candidate, others what was kept alone.
    """
    judged = {case: results[case] for case in cases if case in results}
    own = {case: scores for case, scores in judged.items() if scores is not None}
    if own and (kept := sorted(set(judged) - set(own))):
        raise ValueError(
            f"the label map of case {min(own)} shows every candidate, those of {len(kept)} other cases "
            f"({', '.join(kept[:3])}) what was kept alone: run detect again in one way for all"
        )
    return own


def with_own(scores: Scores, own: Scores) -> tuple[Scores, list[str]]:
    """Scores of a `scores.json` with those that it lacks and results have; and a note about these.

    Whoever stopped `detect`, or ran it in between, may have left a file that lacks cases or is older.

    Raises:
        ValueError: File and result differ in a case.
    """
    if other := [case for case in own if case in scores and scores[case] != own[case]]:
        raise ValueError(
            f"scores.json has other scores of case {other[0]} than its result {other[0]}.json: take "
            "scores.json away, so that those of the results count, or name it with --scores if it is meant"
        )
    lacking = sorted(case for case in own if own[case] and case not in scores)
    note = f"scores.json lacks {len(lacking)} cases ({', '.join(lacking[:3])}): the results of detect gave "
    return {**own, **scores}, [f"{note}their scores"] if lacking else []


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
