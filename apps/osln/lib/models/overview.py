"""Every network with its versions, its trainings and what they were compared with, as JSON values."""

import json
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from monailabel.utils.async_tasks.utils import tasks

from lib.models.trainers import NetworkTrainer
from lib.options import Choice, Number, Option
from osln.published import SERVED_ROWS
from osln.retraining.publishing import metric_name
from osln.weights.model_store import ModelStore, Version

REPORTED = (
    "sentence",
    "next_step",
    "published",
    "metric_name",
    "metric",
    "metric_before",
    "version_before",
    "judgments",
    "skipped",
)
"""Of the report of a training; figures of single patients stay in the file."""


def networks(store: ModelStore, trainers: Mapping[str, NetworkTrainer]) -> list[dict[str, Any]]:
    """One entry for each network that can be trained, in the order of the tables.

    Args:
        store: Versions of the weights.
        trainers: By name of the network.

    Returns:
        `name`, `about`, `metric_name`, `used_by` (rows), `versions` (newest first, `_version`), `back_to`
        (the version that a roll back would put into use, or None), `options` of a training, and `training`,
        the running or the last one (`training_of`), or None.
    """
    return [_network(store, name, trainer) for name, trainer in trainers.items()]


def _network(store: ModelStore, name: str, trainer: NetworkTrainer) -> dict[str, Any]:
    used, history = store.published(name), store.history(name)
    back = store.former(name)
    versions = [_version(one, used, history, trainer.reports) for one in reversed(store.versions(name))]
    return {
        "name": name,
        "about": trainer.description,
        "metric_name": metric_name(name),
        "used_by": [row.name for row in SERVED_ROWS.values() if name in row.networks],
        "versions": versions,
        "back_to": back and back.name,
        "options": [_option(option) for option in trainer.options],
        "training": training_of(trainer),
    }


def _version(version: Version, used: Version | None, history: list[Version], reports: Path) -> dict[str, Any]:
    about, report = version.metadata, _read(reports / f"{version.name}.json")
    told = {key: report[key] for key in REPORTED if key in report}
    if told:
        told |= {"patients": len(report.get("validation_cases") or [])}
    return {
        "version": version.name,
        "created": about.get("created"),
        "trained_on": version.trained_on,
        "origin": about.get("origin"),
        "sha256": version.sha256,
        "metric": about.get("metric"),
        "in_use": used is not None and used.name == version.name,
        "was_in_use": version.name in {one.name for one in history},
        "base_version": about.get("base_version"),
        "stands_for": about.get("stands_for"),
        "train_cases": len(about.get("train_cases") or []),
        "validation_cases": len(about.get("validation_cases") or []),
        "seconds": about.get("seconds"),
        "losses": losses_of(about.get("losses")),
        "report": told or None,
    }


def losses_of(kept: Any) -> list[list[float]]:
    """[[step or epoch, loss], ...] of a record: stage one keeps (step, total, Dice), stage two the total."""
    if not isinstance(kept, list):
        return []
    return [
        [one[0], one[1]] if isinstance(one, list | tuple) else [number, one]
        for number, one in enumerate(kept, start=1)
    ]


def training_of(trainer: NetworkTrainer) -> dict[str, Any] | None:
    """The running or the last training of a network.

    Returns:
        `state` ("waiting", "running", "done", "failed", "ended"), `sentence`, `next_step` (what to do, or
        None), `began` (seconds since the epoch), `epoch`, `total_epochs`, `seconds_left` and `curve`
        (`NetworkTrainer.curve`); None before the first.
    """
    name, stats = trainer.network.name, trainer.stats()
    own = [task for task in tasks("train") if task["request"].get("model") == name]
    task = own[-1] if own else None
    waits = task is not None and task["status"] == "SUBMITTED"
    if not stats and task is None:
        return None
    asked = _asked(task) if task is not None and task["status"] in ("SUBMITTED", "RUNNING") else None
    curve = trainer.curve()
    if asked is not None and (stats.get("start_ts") or 0) < asked:
        # The record is of the training before: this one has not written yet.
        stats, curve = {}, []
    state, sentence, remedy = _waiting() if waits else _outcome(stats, task)
    keys = ("epoch", "total_epochs", "seconds_left", "total_time", "step")
    about = {key: stats.get(key) for key in keys} | {"began": stats.get("start_ts") or asked}
    return {"state": state, "sentence": sentence, "next_step": remedy, **about, "curve": curve}


def _asked(task: Mapping[str, Any]) -> int | None:
    """When a training was asked for (seconds since the epoch), as MONAI Label notes it."""
    try:
        return int(datetime.strptime(task["start_ts"], "%Y-%m-%d %H:%M:%S").timestamp())
    except (KeyError, TypeError, ValueError):
        return None


def _starts(task: Mapping[str, Any]) -> str:
    asked = _asked(task)
    return "the program starts" + (f", {time.time() - asked:.0f} s since it was asked for" if asked else "")


def _waiting() -> tuple[str, str, None]:
    return "waiting", "waits for the training before it", None


def _outcome(stats: Mapping[str, Any], task: Mapping[str, Any] | None) -> tuple[str, str, str | None]:
    status = stats.get("status")
    if task is not None and task["status"] == "RUNNING":
        steps = {
            "preparing": "reads cases and weights",
            "running": f"epoch {stats.get('epoch')} of {stats.get('total_epochs')}",
        }
        return "running", stats.get("step") or steps.get(str(status)) or _starts(task), None
    if status == "failed":
        return "failed", str(stats.get("error")), None
    if status == "done":
        report = stats.get("report") or {}
        return "done", str(report.get("sentence")), report.get("next_step")
    if task is not None and task["status"] == "ERROR":
        last = list(task.get("details", ()))[-1:]
        return (
            "failed",
            f"the program ended: {last[0] if last else 'its log says why'}",
            ("start it again: it goes on where it was; if it ends again, the log of the server says why"),
        )
    return "ended", "was ended before it was finished", "start it again: it goes on where it was"


def _option(option: Option) -> dict[str, Any]:
    about: dict[str, Any] = {"name": option.name, "default": option.default, "words": option.words}
    if isinstance(option, Choice):
        return about | {"kind": "choice", "values": list(option.values)}
    if isinstance(option, Number):
        whole = isinstance(option.default, int)
        return about | {"kind": "number", "low": option.low, "high": option.high, "whole": whole}
    return about | {"kind": "switch"}


def newest_curve(store: ModelStore, names: list[str]) -> dict[str, Any] | None:
    """What validation patients gave at the operating points of the newest network that was measured.

    Args:
        store: Versions of the weights.
        names: Networks of stage two.

    Returns:
        `network`, `version`, `shipped`, `patients` (that it was measured on; None where that was not
        kept), `points` ([[false positives per patient, sensitivity], ...]); None if no version in use was
        measured.
    """
    used = [version for name in names if (version := store.published(name)) is not None]
    for version in sorted(used, key=lambda one: str(one.metadata.get("created") or ""), reverse=True):
        if curve := store.curve(version.network):
            about = {
                "network": version.network,
                "version": version.name,
                "shipped": store.is_as_shipped(version.network),
            }
            points = [[one["fp_per_patient"], one["sensitivity"]] for one in curve]
            return about | {"patients": store.curve_patients(version.network), "points": points}
    return None


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
        return found if isinstance(found, dict) else {}
    except (OSError, ValueError):
        return {}
