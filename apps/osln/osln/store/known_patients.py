"""Whose the cases were that have had a split: kept also when a case is removed, with its CT and its manifest.

Another CT of that patient, or the same one under another id, is not a new patient: networks may have learned
from him. An id that was given to a CT of another patient since has been of both.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from osln.files.whole import write_json

FILE = ".patients.json"
"""Of `.osln`, where no case can have such a name."""


@dataclass(frozen=True)
class Known:
    """Whose a case was.

    Attributes:
        patient: As the import had noted it; None if nothing was noted.
        ct: SHA-256 of its CT's bytes.
        samples: SHA-256 of some of them: only a CT with the same ones is read.
        size, changed: Size and time of change of the file, in ns: while it has both, and the same samples, it
            is not read again.
    """

    patient: str | None
    ct: str
    samples: str
    size: int
    changed: int


def known_patients(root: Path) -> dict[str, list[Known]]:
    """What is kept of each case, the newest last.

    Raises:
        ValueError: The file is damaged.
    """
    path = root / ".osln" / FILE
    try:
        return {case: [Known(**one) for one in found] for case, found in json.loads(path.read_text()).items()}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is damaged ({error}): expected whose each case was. Restore it from a copy, or delete "
            "it: then another CT of a patient whose case was removed counts as a new patient"
        ) from error


def keep_known(root: Path, found: Mapping[str, Known]) -> None:
    """Keeps whose cases are, beside whose they were."""
    path = root / ".osln" / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        kept = known_patients(root)
        for case, one in found.items():
            before = kept.get(case, [])
            others = [former for former in before if (former.patient, former.ct) != (one.patient, one.ct)]
            kept[case] = [*others, one]
        table: dict[str, list[dict[str, Any]]] = {
            case: [asdict(one) for one in ones] for case, ones in sorted(kept.items())
        }
        write_json(path, table)


def former_ids(root: Path, cases: Iterable[str]) -> list[str]:
    """What stands for all that each of the cases has been, to be asked as a case: no case is called so."""
    kept = known_patients(root)
    return [f"{case}/{number}" for case in cases for number in range(len(kept.get(case, ())))]


def case_of(former: str) -> str:
    """The case that one of `former_ids` is of; of a case itself that."""
    return former.partition("/")[0]


def as_kept(kept: Mapping[str, list[Known]], case: str) -> Known | None:
    """What is kept of one of `former_ids`; of a case the newest."""
    name, _, number = case.partition("/")
    found = kept.get(name)
    return found[int(number) if number else -1] if found else None
