"""Candidates of a stored prediction as a viewer lists them, with what was decided about each."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from lib.store.history import stored_review
from lib.store.shelf import Shelf
from osln.store.predictions import read_prediction
from osln.store.reviews import MOST_CANDIDATES, ZONES

NUMBERS = ("radius_mm", "score", "stage_one_score", "suv_max", "distance_mm")
NEAREST = 64
"""Decisions around a candidate that may be about it: anybody who may store them writes their radii, and all
pairs of thousands of candidates and decisions would fill the memory."""


class NoPredictionError(LookupError):
    """Nothing was found in a case yet, or it was not stored."""


def offered(store: Shelf, case: str) -> dict[str, Any]:
    """What was found in a case, by falling score.

    Args:
        store: Knows the case.
        case: Its id.

    Returns:
        `case`; `model` {"name", "versions" by network, "operating_point"}; `revision` of the newest review (0
        before the first label); `candidates`, each with `id`, `rank` (from 1), `center_mm` (RAS), `kept`,
        `zone`, the numbers of `NUMBERS` and `state`. What is not known is None; `state` is None where no
        review names the candidate. Those behind the first `MOST_CANDIDATES`, more than a review names, are
        left out.

    Raises:
        NoPredictionError: If no prediction is stored.
        ValueError: If the stored review is damaged.
    """
    result = read_prediction(store.root, case)
    if result is None:
        raise NoPredictionError(
            f"case {case} has no stored prediction: run a model on it with the option save_label, or let "
            "POST /osln/jobs find its nodes"
        )
    entries = result.get("candidates")
    found = [one for one in map(_candidate, entries if isinstance(entries, list) else []) if one]
    found.sort(key=lambda one: -math.inf if one["score"] is None else one["score"], reverse=True)
    del found[MOST_CANDIDATES:]
    review = stored_review(store, case)
    states = decided(found, (review["review"] or {}).get("candidates", []))
    return {
        "case": case,
        "model": _model(result),
        "revision": review["revision"],
        "candidates": [one | {"rank": n, "state": states.get(n)} for n, one in enumerate(found, start=1)],
    }


def decided(found: list[dict[str, Any]], reviewed: list[dict[str, Any]]) -> dict[int, str]:
    """State by rank: a viewer gives its own ids, so that the place tells which node a decision is about.

    Two are the same if their centers lie no farther apart than the larger radius; the nearest go together,
    each once. Of the decisions around a candidate the `NEAREST` are looked at.
    """
    if not found or not reviewed:
        return {}
    centers = np.array([one["center_mm"] for one in reviewed], dtype=float)
    radii = np.array([one["radius_mm"] or 0.0 for one in reviewed])
    around = _nearest(centers, np.array([one["center_mm"] for one in found], dtype=float))
    pairs = []
    for rank, (one, indices) in enumerate(zip(found, around, strict=True), start=1):
        apart = np.linalg.norm(centers[indices] - one["center_mm"], axis=1)
        near = apart <= np.maximum(radii[indices], one["radius_mm"] or 0.0)
        pairs += [(float(d), rank, int(n)) for d, n in zip(apart[near], indices[near], strict=True)]
    states: dict[int, str] = {}
    taken: set[int] = set()
    for _, rank, n in sorted(pairs):
        if rank not in states and n not in taken:
            states[rank] = reviewed[n]["state"]
            taken.add(n)
    return states


def _nearest(centers: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Indices (n, k) of the `NEAREST` centers (m, 3) around each of the points (n, 3)."""
    if len(centers) <= NEAREST:
        return np.tile(np.arange(len(centers)), (len(points), 1))
    _, indices = cKDTree(centers).query(points, NEAREST)
    return np.asarray(indices)


def _candidate(entry: Any) -> dict[str, Any] | None:
    """An entry of a result; None if it has no place. Anybody who may store a prediction writes them."""
    if not isinstance(entry, dict):
        return None
    center = entry.get("center_mm")
    if not isinstance(center, list) or len(center) != 3 or any(_number(along) is None for along in center):
        return None
    zone, identity = entry.get("zone"), entry.get("id")
    return {
        "id": identity if isinstance(identity, int | str) else None,
        "center_mm": [float(along) for along in center],
        "kept": bool(entry.get("kept", True)),
        "zone": zone if zone in ZONES else None,
        **{name: _number(entry.get(name)) for name in NUMBERS},
    }


def _number(value: Any) -> float | None:
    right = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if right else None


def _model(result: Mapping[str, Any]) -> dict[str, Any]:
    """In the form of a review, so that it can be sent with one."""
    models = result.get("models")
    versions = {
        str(network): _text(version.get("version")) if isinstance(version, dict) else None
        for network, version in (models.items() if isinstance(models, dict) else ())
    }
    name, point = _text(result.get("model")), _text(result.get("operating_point"))
    return {"name": name or "unknown", "versions": versions, "operating_point": point}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
