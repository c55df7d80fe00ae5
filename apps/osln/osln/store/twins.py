"""One patient in two splits: what has learned from him would be judged on him."""

import hashlib
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

from osln.store.layout import companions
from osln.store.patients import by_patient

SAMPLE_BYTES = 1 << 20


def apart(root: Path, splits: Mapping[str, str]) -> dict[tuple[str, str], str]:
    """Cases of one patient, or with the same CT, whose splits differ.

    Args:
        root: Folder of the studies.
        splits: By case; each has its CT.

    Returns:
        For each two of them a sentence that says what to do.
    """
    advice = {
        "are of one patient": "write one split for both into .osln/splits.json",
        "have the same CT": "is it one patient under two names? Keep one of them",
    }
    groups = {
        "are of one patient": list(by_patient(root, splits).values()),
        "have the same CT": same_ct({case: companions(root, case).ct for case in splits}),
    }
    return {
        (first, other): f"the cases {first} ({splits[first]}) and {other} ({splits[other]}) {what}: {do}"
        for what, do in advice.items()
        for group in groups[what]
        for first, other in combinations(group, 2)
        if splits[first] != splits[other]
    }


def learned_too(root: Path, splits: Mapping[str, str]) -> dict[str, str]:
    """Validation cases that nothing can be judged on, as a training case is the same patient; and why."""
    return {
        case: why
        for pair, why in apart(root, splits).items()
        if {splits[one] for one in pair} == {"train", "validation"}
        for case in pair
        if splits[case] == "validation"
    }


def same_ct(files: Mapping[str, Path]) -> list[list[str]]:
    """Groups of cases, at least two in each, whose CT files are the same to the byte."""
    groups = [list(files)]
    # Whole files are read only where size, beginning and middle are the same as another one's.
    for mark in (lambda path: path.stat().st_size, _samples, _content):
        marked: dict[object, list[str]] = {}
        for number, cases in enumerate(groups):
            for case in cases:
                marked.setdefault((number, mark(files[case])), []).append(case)
        groups = [cases for cases in marked.values() if len(cases) > 1]
    return groups


def _samples(path: Path) -> tuple[bytes, bytes]:
    with path.open("rb") as file:
        beginning = file.read(SAMPLE_BYTES)
        file.seek(path.stat().st_size // 2)
        return beginning, file.read(SAMPLE_BYTES)


def _content(path: Path) -> bytes:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 24):
            found.update(part)
    return found.digest()
