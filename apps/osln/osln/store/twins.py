"""One patient in two splits: what has learned from him would be judged on him."""

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

from osln.store.layout import companions
from osln.store.patients import by_patient, same_ct


def apart(root: Path, splits: Mapping[str, str]) -> dict[tuple[str, str], str]:
    """Cases of one patient (`by_patient`) whose splits differ.

    Args:
        root: Folder of the studies.
        splits: By case; each has its CT.

    Returns:
        For each two of them a sentence that says what to do.
    """
    groups = same_ct({case: companions(root, case).ct for case in splits})
    twins = {pair for group in groups for pair in combinations(group, 2)}
    found = {}
    for cases in by_patient(root, splits).values():
        for first, other in combinations(cases, 2):
            if splits[first] == splits[other]:
                continue
            what, advice = "are of one patient", "write one split for both into .osln/splits.json"
            if (first, other) in twins:
                what, advice = "have the same CT", "is it one patient under two names? Keep one of them"
            told = f"the cases {first} ({splits[first]}) and {other} ({splits[other]}) {what}: {advice}"
            found[first, other] = told
    return found


def learned_too(root: Path, splits: Mapping[str, str]) -> dict[str, str]:
    """Validation cases that nothing can be judged on, as a training case is the same patient; and why."""
    return {
        case: why
        for pair, why in apart(root, splits).items()
        if {splits[one] for one in pair} == {"train", "validation"}
        for case in pair
        if splits[case] == "validation"
    }
