"""Which patients train, validate and test: decided once for each and never moved.

A patient that arrives later or is labeled later does not move the others, and a corrected label never
carries a patient from test to training.

The rule: the first three patients train and the fourth validates, because a young cohort has to learn before
it can be judged. From then on each patient goes where the shares of patients, of proximal and of distal nodes
come closest to the paper's (minimization), so that validation and test grow with the cohort. Patients that
arrive at once are taken in the order of a hash of their ids. Several cases of one patient are in one split
and count as one patient.

References:
    Pocock and Simon, Sequential treatment assignment with balancing for prognostic factors, Biometrics 1975.
    The paper, section 4.1: 84, 23 and 34 patients.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from osln.files.images import write_atomically
from osln.store.approved import approved_cases
from osln.store.known_patients import case_of, former_ids
from osln.store.patients import by_patient, know_patients, patients_of
from osln.store.strata import Strata, strata_of

FOLDS = 4
"""Parts that the training patients are divided into when versions have to be trained without some."""

SHARES = {"train": 84 / 141, "validation": 23 / 141, "test": 34 / 141}
"""Of the paper's patients (section 4.1)."""
FIRST = ("train", "train", "train", "validation")
"""Splits of the first patients of a cohort."""


def next_split(decided: Iterable[tuple[str, Strata | None]], strata: Strata | None) -> str:
    """Split of the next patient.

    >>> next_split([("train", None)] * 3 + [("validation", None)], None)
    'test'

    Args:
        decided: Split and nodes of the patients so far; None where the nodes are not known.
        strata: Nodes of the patient.

    Returns:
        The split after which patients and nodes are spread most like `SHARES`; of equals the larger one.
    """
    decided = list(decided)
    if len(decided) < len(FIRST):
        return FIRST[len(decided)]
    counts = {
        split: np.array([_features(known) for name, known in decided if name == split] or [(0.0,) * 3]).sum(0)
        for split in SHARES
    }
    new = np.array(_features(strata))
    total = sum(counts.values()) + new

    def imbalance(chosen: str) -> float:
        apart = np.zeros(3)
        for split, share in SHARES.items():
            apart += abs(counts[split] + new * (split == chosen) - share * total)
        # Patients weigh as much as their nodes of both zones together.
        return float((apart / np.maximum(total, 1)) @ (2, 1, 1))

    return min(SHARES, key=lambda split: round(imbalance(split), 9))


def _features(strata: Strata | None) -> tuple[float, float, float]:
    return (1.0, 0.0, 0.0) if strata is None else (1.0, float(strata.proximal), float(strata.distal))


def assign(
    root: str | Path,
    cases: Iterable[str],
    seed: int = 0,
    wanted: Mapping[str, str] | None = None,
    nodes_of: Callable[[Path, str], Strata | None] = strata_of,
) -> dict[str, str]:
    """Splits of the cases, deciding and storing those that have none yet.

    A case of a patient of whom another case has, or had, a split gets that one. In the balance count the
    patients of approved cases and of those asked: what has a split and no label (any more) takes no place.

    Args:
        root: Folder of the studies; the table is `<root>/.osln/splits.json`.
        cases: Case ids.
        seed: Of the order of cases that arrive at once; an existing table keeps its own.
        wanted: Splits of cases that have none yet, instead of what the rule says.
        nodes_of: Reads the approved nodes of a case by zone, None where that cannot be known.

    Returns:
        Split by case id, for the cases asked.

    Raises:
        ValueError: The table cannot be read (it is left as it is), or a wanted split is unknown.
    """
    root, wanted = Path(root), wanted or {}
    if bad := _unknown_splits(wanted):
        raise ValueError(f"unknown splits {bad}: use train, validation or test")
    path = _table_path(root)
    path.parent.mkdir(parents=True, exist_ok=True)
    cases = list(dict.fromkeys(cases))
    # Images and manifests are read before the lock is taken.
    known = _table(path, seed)["cases"]
    found = {case: nodes_of(root, case) for case in cases if case not in known}
    patient_of = _patients(root, [*known, *found]) if found else {}
    counted = {*approved_cases(root), *cases}
    with FileLock(str(path) + ".lock"):
        table = _table(path, seed)
        splits = table["cases"]
        if new := {case: strata for case, strata in found.items() if case not in splits}:
            if not splits.keys() <= patient_of.keys():
                # Others came meanwhile.
                patient_of = _patients(root, [*splits, *new])
            _decide(table, new, patient_of, counted, wanted)
            write_atomically(path, (json.dumps(table, indent=1, sort_keys=True) + "\n").encode())
    know_patients(root, cases)
    return {case: splits[case] for case in cases}


def _patients(root: Path, cases: list[str]) -> dict[str, str]:
    """The patient of each of the cases, and of all that each of them has been."""
    return patients_of(root, [*cases, *former_ids(root, cases)])


def _decide(
    table: dict[str, Any],
    new: Mapping[str, Strata | None],
    patient_of: Mapping[str, str],
    counted: Collection[str],
    wanted: Mapping[str, str],
) -> None:
    """Adds the splits of new cases, whose nodes are given, to a table of all others.

    A removed case's patient keeps its split, also where its id is another patient's now.
    """
    splits, nodes = table["cases"], table.get("nodes", {})
    sofar = _SoFar(patient_of)
    for case in sorted(splits):
        sofar.add(case, splits[case], _strata(nodes.get(case)), counts=case in counted)
    for former in sorted(patient_of.keys() - splits.keys() - new.keys()):
        if case_of(former) in splits:
            sofar.add(former, splits[case_of(former)], None, counts=False)
    for case in sorted(new, key=lambda case: _hash(table["seed"], case)):
        strata = new[case]
        splits[case] = wanted.get(case) or sofar.split_of(case) or next_split(sofar.decided, strata)
        sofar.add(case, splits[case], strata, counts=True)
        if strata is not None:
            table["nodes"] = nodes = nodes | {case: [strata.proximal, strata.distal]}


class _SoFar:
    """The patients who have a split, while those of further cases are decided."""

    def __init__(self, patient_of: Mapping[str, str]) -> None:
        self._patient_of = patient_of
        self._splits: dict[str, str] = {}
        self._counted: dict[str, Strata | None] = {}

    @property
    def decided(self) -> list[tuple[str, Strata | None]]:
        """As `next_split` takes them: split and nodes of each patient who counts."""
        return [(self._splits[patient], strata) for patient, strata in self._counted.items()]

    def split_of(self, case: str) -> str | None:
        """The split that other cases of the patient have; None if there is none."""
        return self._splits.get(self._patient_of[case])

    def add(self, case: str, split: str, strata: Strata | None, *, counts: bool) -> None:
        """A case with its split; the nodes of a patient are those of all cases that count."""
        patient = self._patient_of[case]
        self._splits.setdefault(patient, split)
        if counts:
            before = self._counted.get(patient)
            self._counted[patient] = strata if before is None else before + strata


def stored_splits(root: str | Path) -> dict[str, str]:
    """Splits by case id of the cases that have one; decides nothing, errors as in `assign`."""
    path = _table_path(root)
    return dict(_read(path)["cases"]) if path.exists() else {}


def split_of(root: str | Path, case: str) -> str:
    """Stored split of a case; decided and stored now if it has none."""
    return assign(root, [case])[case]


def _hash(seed: int, case: str) -> str:
    return hashlib.sha256(f"{seed}:{case}".encode()).hexdigest()


def _strata(known: list[int] | None) -> Strata | None:
    return None if known is None else Strata(*known)


def _table(path: Path, seed: int) -> dict[str, Any]:
    return _read(path) if path.exists() else {"seed": seed, "cases": {}}


def _table_path(root: str | Path) -> Path:
    return Path(root) / ".osln" / "splits.json"


def _read(path: Path) -> dict[str, Any]:
    try:
        table = json.loads(path.read_text())
        bad = _unknown_splits(table["cases"])
        table.setdefault("seed", 0)
        int(table["seed"])
        for known in table.get("nodes", {}).values():
            _strata(known)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f'{path} is not a table of splits: expected {{"cases": {{"CASE": "train", ...}}}} with train, '
            f"validation or test for each case, got {type(error).__name__} {error}. Restore it from a copy: "
            "a fresh table could move test patients into training"
        ) from error
    if bad:
        raise ValueError(f"{path} names unknown splits {bad}: use train, validation or test")
    return table


def _unknown_splits(cases: Mapping[str, str]) -> dict[str, str]:
    return {case: split for case, split in cases.items() if split not in SHARES}


def folds(root: str | Path, cases: Iterable[str]) -> list[list[str]]:
    """The cases dealt into `FOLDS` parts, patient by patient; fewer parts if there are fewer patients.

    Args:
        root: Folder of the studies.
        cases: Dealt in the order of a hash of their patients.
    """

    def place(name: str) -> str:
        return hashlib.sha256(f"fold:{name}".encode()).hexdigest()

    patients = by_patient(root, sorted(cases, key=place))
    ordered = sorted(patients, key=place)
    return [
        [case for patient in ordered[start::FOLDS] for case in patients[patient]]
        for start in range(min(FOLDS, len(ordered)))
    ]
