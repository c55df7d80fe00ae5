"""Evidence of made-up cases, for tests of active learning."""

from typing import Any

from osln.active.evidence import CandidateEvidence, CaseEvidence, WindowEvidence


def candidate(number: int, p: float, **changes: Any) -> CandidateEvidence:
    """A proximal candidate of 8 mm under a probability of stage two."""
    values = {
        "score": p,
        "stage_one": 0.5,
        "stage_two": p,
        "streams": {},
        "zone": "proximal",
        "size_mm": 8.0,
        "center_mm": (float(number), 0.0, 0.0),
    }
    return CandidateEvidence(number, **(values | changes))


def window(doubt: float) -> WindowEvidence:
    return WindowEvidence((0.0, 0.0, 0.0), 20.0, doubt, 0.1)


def evidence(case: str, probabilities: list[float], windows: list[float] = ()) -> CaseEvidence:
    """A case whose candidates are numbered from 1 on."""
    candidates = tuple(candidate(number, p) for number, p in enumerate(probabilities, start=1))
    return CaseEvidence(case, "w1", 0.5, candidates, tuple(map(window, windows)))
