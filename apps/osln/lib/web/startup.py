"""One block in the log when the server is up: what runs, on which cases, with which weights."""

import logging
from typing import Any

import monailabel

from osln.rows.experiments import SERVED_CLASSIFIERS
from osln.stage_two.answering import answering, told

logger = logging.getLogger(__name__)


def log_startup(app: Any) -> None:
    """Logs version, app, studies, cases and where the weights come from.

    Args:
        app: The `OslnApp`.
    """
    logger.info("\n".join(["", *startup_lines(app)]))


def startup_lines(app: Any) -> list[str]:
    """The lines of that block."""
    store = app.datastore()
    status = store.status()
    tags = status["label_tags"]
    lines = [
        f"{app.name} {app.version} (MONAI Label {monailabel.__version__})",
        f"  app      {app.app_dir}",
        f"  studies  {app.studies}",
        f"  cases    {status['total']}: {status['completed']} approved, {tags.get('original', 0)} predicted, "
        f"{tags.get('gtv', 0)} with a tumor contour",
    ]
    lines += [f"  left out {reason}" for reason in store.refused.values()]
    lines += [f"  {line}" for line in store.about_itself()]
    lines.append(f"  models   {', '.join(app._infers) or 'none'}")
    tagger = app.published.tagger.describe()
    lines.append(f"  tagger   {told(tagger)}{f': {app.published.tagger.path}' if tagger else ''}")
    lines.append(f"  weights  {app.published.store.root}")
    for name, version in app.published.versions().items():
        weights = f"{version.name}, trained on {version.trained_on}" if version else "none: train it first"
        lines.append(f"    {name:14}{weights}")
    for wanted in SERVED_CLASSIFIERS:
        lines += [
            f"  note     {warning}"
            for warning in answering(wanted, app.published.versions(), tagger).warnings
        ]
    trained_on = [version.trained_on for version in app.published.versions().values() if version]
    if any(name.startswith("phantom") for name in (*trained_on, (tagger or {}).get("trained_on", ""))):
        lines.append("  weights trained on phantoms are not for clinical use")
    return lines
