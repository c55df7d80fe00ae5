"""A prediction in short: what the index and the worklist say of it."""

import math
from typing import Any


def in_short(result: Any) -> dict[str, Any]:
    """Number of candidates, how many are kept, and in how far their scores are in doubt.

    Args:
        result: JSON of an inference; candidates without a score count, and add no doubt. Clients may store
            anything as one: what is not of its kind counts as not there.

    Returns:
        `candidates`, `kept`, `doubt` (`doubt_of`), `model` and its operating point, `warnings`.
    """
    result = result if isinstance(result, dict) else {}
    candidates = [one for one in _list(result.get("candidates")) if isinstance(one, dict)]
    return {
        "candidates": len(candidates),
        "kept": sum(bool(one.get("kept", True)) for one in candidates),
        "doubt": doubt_of(candidates),
        "model": result.get("model"),
        "operating_point": result.get("operating_point"),
        "warnings": [str(sentence) for sentence in _list(result.get("warnings"))],
    }


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def doubt_of(candidates: list[dict[str, Any]]) -> float:
    """Sum over the candidates of the entropy of their scores in bits: 1 for each that could be either.

    A case with many candidates near .5 is the one that an annotator's answers teach most; .01 or .99 add
    almost nothing. 0 without candidates.
    """
    scores = [one.get("score") for one in candidates]
    return round(sum(_entropy(score) for score in scores if isinstance(score, int | float)), 2)


def _entropy(p: float) -> float:
    if not 0 < p < 1:
        return 0.0
    return -p * math.log2(p) - (1 - p) * math.log2(1 - p)
