"""What the server is and has: said once, shown in the log of the start and on the page."""

from datetime import datetime
from typing import Any

import monailabel
from monailabel.utils.async_tasks.utils import tasks

from lib.models.trainers import newest_first
from osln.published import SERVED_ROWS
from osln.stage_two.answering import told


def state(app: Any) -> dict[str, Any]:
    """Version, cases, weights in use, and what somebody should know about them.

    Args:
        app: The `OslnApp`.
    """
    store = app.datastore()
    counts = store.status()
    tags = counts["label_tags"]
    versions, tagger = app.published.versions(), app.published.tagger.describe()
    notes = list(dict.fromkeys(note for row in SERVED_ROWS.values() for note in app.published.remarks(row)))
    trained_on = [version.trained_on for version in versions.values() if version]
    if any(name.startswith("phantom") for name in (*trained_on, (tagger or {}).get("trained_on", ""))):
        phantoms = "weights trained on phantoms are not for clinical use"
    else:
        phantoms = ""
    return {
        "app": f"{app.name} {app.version} (MONAI Label {monailabel.__version__})",
        "studies": app.studies,
        "cases": {
            "total": counts["total"],
            "approved": counts["completed"],
            "predicted": tags.get("original", 0),
            "with a tumor contour": tags.get("gtv", 0),
        },
        "left_out": store.left_out,
        "remarks": store.about_itself(),
        "models": list(app._infers),
        "tagger": told(tagger),
        "weights": {
            name: version and {"version": version.name, "trained_on": version.trained_on}
            for name, version in versions.items()
        },
        "notes": notes,
        "warning": phantoms,
    }


def last_training(app: Any) -> dict[str, Any] | None:
    """Network, start and outcome of the running or the last training; None before the first."""
    stats = newest_first({name: trainer.stats() for name, trainer in app._trainers.items()})
    name, found = next(iter(stats.items()), ("", {}))
    if not found:
        return None
    began = datetime.fromtimestamp(found["start_ts"]).astimezone().isoformat(timespec="minutes")
    return {"network": name, "began": began, "outcome": _outcome(found)}


def _outcome(found: dict[str, Any]) -> str:
    if found["status"] == "failed":
        return f"failed: {found['error']}"
    if found["status"] == "done":
        return f"done in {found['total_time']}: {found['report']['sentence']}"
    if not any(task["status"] == "RUNNING" for task in tasks("train")):
        return "was ended before it was finished; start it again"
    return found.get("step") or f"epoch {found['epoch']} of {found['total_epochs']}"
