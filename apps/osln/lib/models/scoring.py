"""Evidence for the strategies, made anew for every case that lacks it: MONAI Label's scoring.

`POST /scoring/evidence` starts it in a process of its own, as the server does by itself (`background`). A
case that is done is done: whatever ends the process, the next one goes on with the others.
"""

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fastapi import HTTPException
from monailabel.interfaces.tasks.scoring import ScoringMethod

from lib.errors import translated
from lib.models.jobs import be_idle
from lib.options import BY_ITSELF, FROM_CLIENT, listed
from lib.store import evidence
from lib.temporary import server
from osln.active.descriptors import descriptor
from osln.active.evidence import weights_key
from osln.imaging.lung_column import prepare
from osln.published import Published
from osln.rows.experiments import Preset
from osln.store.layout import companions, load_study

logger = logging.getLogger(__name__)

NAME = "evidence"
OF_THE_SERVER = ("method", "background", "gpus")
"""Keys that MONAI Label and the server put into a request."""
LASTING = range(400, 500)
"""Status of a refusal that comes again as long as files and weights are the same."""


@dataclass(frozen=True)
class Plan:
    """How far the evidence of a store is.

    Attributes:
        missing: Row to be asked, by case, of those without evidence by the weights in use.
        undescribed: Cases without a descriptor of their images.
        done: Number of waiting cases with evidence by the weights in use.
        failed: Why waiting cases have none, by case.
        reserved: Number of cases left out: somebody works on them, or has stored a prediction of their own.
    """

    missing: Mapping[str, str]
    undescribed: tuple[str, ...]
    done: int
    failed: Mapping[str, str]
    reserved: int

    @property
    def left(self) -> int:
        return len(self.missing) + len(self.undescribed)


def plan(store: Any, published: Published) -> Plan:
    """What there is and what is missing; reads no image and asks no network.

    Cases whose images are not in the folder (of a PACS, before somebody has opened them) are left out.

    Args:
        store: An `OslnDatastore`.
        published: The weights in use.
    """
    # The index alone: the store of a PACS would ask it with every look.
    objects, leased = store.index().objects, store.leases()
    keys = current_keys(published)
    missing, undescribed, failed, done, reserved = {}, [], {}, 0, 0
    for case in sorted(objects):
        try:
            now = evidence.marks(store.root, case)
        except (ValueError, OSError):
            continue
        described = evidence.kept_descriptor(store.root, case)
        if described is None or described.marks != now:
            undescribed.append(case)
        if "final" in objects[case].labels:
            continue
        row, kept = row_of(objects[case], published.rows), evidence.kept(store.root, case)
        if kept and row and (kept.weights, kept.marks) == (keys.get(row), now):
            done += kept.error is None
            failed |= {} if kept.error is None else {case: kept.error}
        elif row is None or case in leased:
            reserved += 1
        elif row in keys:
            missing[case] = row
    return Plan(missing, tuple(undescribed), done, failed, reserved)


def current_keys(published: Published) -> dict[str, str]:
    """Key of the weights in use, by row; rows without weights are left out."""
    return {
        name: weights_key(name, checksums, published.handed(row))
        for name, row in published.rows.items()
        if (checksums := published.checksums(row))
    }


def row_of(entry: Any, rows: Iterable[str]) -> str | None:
    """The row whose prediction somebody asked for, the first one if nobody has; None for a foreign one."""
    served = list(rows)
    label = entry.labels.get("original")
    if label is None or label.info.get(BY_ITSELF):
        return served[0]
    return label.info.get("model") if label.info.get("model") in served else None


class Evidence(ScoringMethod):
    """Runs the row of each waiting case without evidence, and describes all images.

    Args:
        published: The weights in use.
        preset: Gives the grid on which images are described.
        infer: The app's inference, called as `infer(request)`.
    """

    def __init__(self, published: Published, preset: Preset, infer: Callable[..., Any]) -> None:
        super().__init__("Evidence for the strategies: predictions of waiting cases by the weights in use")
        self.published, self.preset, self.infer = published, preset, infer

    def check(self, request: Mapping[str, Any]) -> None:
        """Raises ValueError if a request has an option: there is none."""
        if strange := sorted(set(request) - {*OF_THE_SERVER, *FROM_CLIENT}):
            raise ValueError(f"{NAME} has no options, this request has {listed(strange)}: leave them out")

    def __call__(self, request: Mapping[str, Any], datastore: Any) -> dict[str, Any]:
        """Makes what is missing, case by case.

        Returns:
            `done`: number of cases; `failed`: why, by case; `described`: number of cases.
        """
        with translated():
            self.check(request)
        if server()[0] not in (0, os.getpid()):
            be_idle()
        what = plan(datastore, self.published)
        failed, done = {}, 0
        for number, (case, row) in enumerate(what.missing.items(), start=1):
            if not _still_waits(datastore, case, row, self.published.rows):
                continue
            error = self._predict(datastore, case, row)
            done += error is None
            failed |= {} if error is None else {case: error}
            logger.info("evidence %d/%d %s: %s", number, len(what.missing), case, error or "made")
        described = sum(self._describe(datastore, case) for case in what.undescribed)
        return {"done": done, "failed": failed, "described": described}

    def _predict(self, store: Any, case: str, row: str) -> str | None:
        """Stores a prediction with its evidence; returns why not, None if it did."""
        key = current_keys(self.published).get(row, "")
        read = _marks(store, case)
        try:
            result = self.infer({"model": row, "image": case, "save_label": True, BY_ITSELF: True})
            Path(result["file"]).unlink(missing_ok=True)
            return None
        except HTTPException as refusal:
            error, lasting = str(refusal.detail), refusal.status_code in LASTING
        except Exception as accident:
            logger.exception("evidence: case %s failed", case)
            error, lasting = f"{type(accident).__name__}: {accident}", True
        if lasting and key:
            self._noted(case, lambda: evidence.keep_failure(store, case, key, error, read))
        return error

    def _describe(self, store: Any, case: str) -> bool:
        values, error = None, None
        read = _marks(store, case)
        try:
            paths = replace(companions(store.root, case), nodes=None, truth=None)
            values = descriptor(prepare(load_study(paths), self.preset))
        except (ValueError, OSError) as reason:
            error = str(reason)
        self._noted(case, lambda: evidence.keep_descriptor(store, case, values, error, read))
        return error is None

    def _noted(self, case: str, keep: Callable[[], None]) -> None:
        try:
            keep()
        except (OSError, ValueError, LookupError) as error:
            logger.warning("evidence: what is known of case %s cannot be kept: %s", case, error)


def _still_waits(store: Any, case: str, row: str, rows: Iterable[str]) -> bool:
    """Whether the case is as it was planned: a round takes hours, and people work meanwhile."""
    entry = store.index().objects.get(case)
    if entry is None or "final" in entry.labels or case in store.leases():
        return False
    return row_of(entry, rows) == row


def _marks(store: Any, case: str) -> str:
    """Marks of the case's files; "" if there are none to read, which no file has."""
    try:
        return evidence.marks(store.root, case)
    except (ValueError, OSError):
        return ""
