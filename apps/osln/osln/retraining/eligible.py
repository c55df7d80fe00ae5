"""Which approved cases a round learns from and is judged on, and why it leaves others out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from osln.retraining.seen import cases_known_seen, patients_with_seen
from osln.store.approved import IN_PART, approved_cases, with_ct
from osln.store.parts import partial_cases
from osln.store.splits import assign
from osln.store.twins import learned_too
from osln.weights.model_store import ModelStore, Version


@dataclass(frozen=True)
class Eligible:
    """Approved cases of a store, as a round sees them.

    Attributes:
        splits: By case.
        left_out: Reasons for the others, which have no place in `splits`.
    """

    splits: Mapping[str, str]
    left_out: Mapping[str, str]


def eligible(root: Path, store: ModelStore, judges: Iterable[Version]) -> Eligible:
    """Divides the approved cases of a store.

    Nothing is judged on a case where nobody knows all nodes, nor on a patient whom the round learns from, or
    whom a version that is asked about him has learned from: in another store, or before splits were changed.

    Args:
        root: Folder of the studies.
        store: Versions of the weights.
        judges: Versions that what is found in a validation patient depends on.
    """
    cases, left_out = with_ct(root, approved_cases(root))
    splits = assign(root, cases)
    validation = [case for case, split in splits.items() if split == "validation"]
    left_out |= learned_too(root, splits)
    left_out |= dict.fromkeys(partial_cases(root, validation), IN_PART)
    for version in judges:
        versions = store.versions(version.network)
        patient_of = patients_with_seen(root, versions, validation)
        for case in cases_known_seen(patient_of, version, versions, validation):
            left_out.setdefault(
                case,
                f"{version.network} in use ({version.name}) has learned from this patient, so nothing is "
                'judged on it (validation): make it "train" in .osln/splits.json or, if that was another '
                "store's case of the same name, keep the networks of each store in a folder of their own",
            )
    return Eligible({case: split for case, split in splits.items() if case not in left_out}, left_out)
