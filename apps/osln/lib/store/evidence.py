"""What predictions leave behind for the strategies, beside the revisions of their case.

A case whose evidence cannot be made says why, so that it is not tried again before its images, its tumor or
the weights have changed.
"""

import hashlib
import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from lib.store.shelf import Shelf
from osln.active.descriptors import NAMES
from osln.active.evidence import CaseEvidence
from osln.files.arrays import read_array, write_array
from osln.files.whole import write_json
from osln.store.layout import companions
from osln.store.revisions import ConflictError, label_revisions

logger = logging.getLogger(__name__)

FILE, FEATURES, DESCRIPTOR = "evidence.json", "features.npy", "descriptor.json"
Found = TypeVar("Found")


@dataclass(frozen=True)
class Kept:
    """What is kept of a case.

    Attributes:
        weights: Key of the weights that were asked.
        marks: Of the files that were read, see `marks`.
        error: Why there is no evidence; None if there is.
        evidence: Without features; None if it could not be made.
    """

    weights: str
    marks: str
    error: str | None
    evidence: CaseEvidence | None


@dataclass(frozen=True)
class KeptDescriptor:
    """The descriptor of a case, or why it has none; attributes as of `Kept`."""

    marks: str
    error: str | None
    values: tuple[float, ...] | None


def marks(root: Path, case: str) -> str:
    """Changes with the files that a prediction is made of: CT, PET and tumor.

    Images are known by size and time, the tumor by its content: it is written again when it becomes a
    revision.

    Raises:
        ValueError: If the case has no CT in the folder, or a file with a twin name.
    """
    paths = companions(root, case)
    stats = [path and path.stat() for path in (paths.ct, paths.pet)]
    told = ["-" if stat is None else f"{stat.st_size}:{stat.st_mtime_ns}" for stat in stats]
    tumor = "-" if paths.tumor is None else hashlib.sha256(paths.tumor.read_bytes()).hexdigest()[:16]
    return " ".join([*told, tumor])


def check_unchanged(store: Shelf, case: str, read: str) -> None:
    """Raises ConflictError if the files of a case have other marks than those that were read."""
    if marks(store.root, case) != read:
        raise ConflictError(
            f"the CT, PET or tumor of case {case} changed while its nodes were looked for; nothing was "
            "stored: run the model again"
        )


def keep_evidence(store: Shelf, case: str, evidence: CaseEvidence, read: str) -> None:
    """Keeps what the stored prediction of a case leaves behind.

    Args:
        store: Of the case.
        case: Its id.
        evidence: What is kept.
        read: Marks of the files when they were read: they may have changed while the networks ran.

    Raises:
        UnknownCaseError: If the case was removed meanwhile.
    """
    bare = evidence.without_features().to_json()
    for one in bare["candidates"]:
        del one["features"]
    features = [one.features for one in evidence.candidates if one.features is not None]
    with store.revisions(case, "final").lock():
        store.check_served(case)
        _path(store.root, case, FEATURES).unlink(missing_ok=True)
        if len(features) == len(evidence.candidates) and features:
            write_array(_path(store.root, case, FEATURES), np.array(features, dtype=np.float16))
        _write(store.root, case, evidence.weights, read, None, bare)


def keep_failure(store: Shelf, case: str, weights: str, error: str, read: str) -> None:
    """Notes why a case has no evidence by these weights; evidence of others goes. `read` as above."""
    with store.revisions(case, "final").lock():
        store.check_served(case)
        _write(store.root, case, weights, read, error, None)


def _write(root: Path, case: str, weights: str, read: str, error: str | None, evidence: Any) -> None:
    about = {"weights": weights, "marks": read, "error": error, "evidence": evidence}
    write_json(_path(root, case, FILE), about)


def kept(root: Path, case: str) -> Kept | None:
    """What is kept of a case; None if nothing is, or nothing that can be read: then it is made anew."""
    return _read(_path(root, case, FILE), _kept)


def features_of(root: Path, case: str) -> np.ndarray | None:
    """(n, F) float32 of the candidates in their order; None if they are not known."""
    try:
        return read_array(_path(root, case, FEATURES)).astype(np.float32)
    except (OSError, ValueError):
        return None


def remove_evidence(root: Path, case: str) -> None:
    """Takes away what belongs to a prediction that is replaced or gone."""
    for name in (FILE, FEATURES):
        _path(root, case, name).unlink(missing_ok=True)


def keep_descriptor(
    store: Shelf, case: str, values: tuple[float, ...] | None, error: str | None, read: str
) -> None:
    """Keeps what `osln.active.descriptors` says of a case, or why it says nothing. `read` as above."""
    with store.revisions(case, "final").lock():
        store.check_served(case)
        about = {"marks": read, "error": error, "values": values}
        write_json(_path(store.root, case, DESCRIPTOR), about)


def kept_descriptor(root: Path, case: str) -> KeptDescriptor | None:
    """The descriptor of a case; None if there is none that can be read."""
    return _read(_path(root, case, DESCRIPTOR), _descriptor)


def _path(root: Path, case: str, name: str) -> Path:
    return label_revisions(root, case, "final").folder / name


def _kept(about: dict[str, Any]) -> Kept:
    told = about["evidence"]
    if told is not None:
        for one in told["candidates"]:
            one["features"] = None
    evidence = None if told is None else CaseEvidence.from_json(told)
    return Kept(str(about["weights"]), str(about["marks"]), about["error"], evidence)


def _descriptor(about: dict[str, Any]) -> KeptDescriptor:
    values = about["values"]
    if values is not None:
        if len(values) != len(NAMES):
            raise ValueError(f"a descriptor has {len(NAMES)} numbers, not {len(values)}")
        values = tuple(float("nan") if value is None else float(value) for value in values)
    return KeptDescriptor(str(about["marks"]), about["error"], values)


_cache: dict[Path, tuple[tuple[int, ...], Any]] = {}
_guard = threading.Lock()


def _read(path: Path, take: Callable[[dict[str, Any]], Found]) -> Found | None:
    """A file in its form, read once per state: the worklist asks for all of them every few seconds."""
    try:
        stat = path.stat()
        seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        with _guard:
            former = _cache.get(path)
        if former is None or former[0] != seen:
            former = (seen, _taken(path, take))
            with _guard:
                _cache[path] = former
        found: Found | None = former[1]
        return found
    except OSError:
        with _guard:
            _cache.pop(path, None)
        return None


def _taken(path: Path, take: Callable[[dict[str, Any]], Found]) -> Found | None:
    try:
        return take(json.loads(path.read_text()))
    except (ValueError, KeyError, TypeError) as error:
        logger.warning("%s is passed over and will be made anew: %s", path, error)
        return None
