"""One block in the log when the server is up: what runs, on which cases, with which weights."""

import logging
from typing import Any

from lib.web.state import state

logger = logging.getLogger(__name__)


def log_startup(app: Any) -> None:
    """Logs version, app, studies, cases and where the weights come from.

    Args:
        app: The `OslnApp`.
    """
    logger.info("\n".join(["", *startup_lines(app)]))


def startup_lines(app: Any) -> list[str]:
    """The lines of that block."""
    told = state(app)
    total, *others = (f"{number} {what}" for what, number in told["cases"].items())
    lines = [
        told["app"],
        f"  app      {app.app_dir}",
        f"  studies  {told['studies']}",
        f"  cases    {total.removesuffix(' total')}: {', '.join(others)}",
    ]
    lines += [f"  left out {reason}" for reason in told["left_out"]]
    lines += [f"  {line}" for line in told["remarks"]]
    lines.append(f"  models   {', '.join(told['models']) or 'none'}")
    file = app.published.tagger.path
    lines.append(f"  tagger   {told['tagger']}{f': {file}' if told['tagger'] != 'none' else ''}")
    lines.append(f"  weights  {app.published.store.root}")
    for name, its in told["weights"].items():
        weights = f"{its['version']}, trained on {its['trained_on']}" if its else "none: train it first"
        lines.append(f"    {name:14}{weights}")
    lines += [f"  damaged  {sentence}" for sentence in app.published.store.damage()]
    lines += [f"  note     {note}" for note in told["notes"]]
    if told["warning"]:
        lines.append(f"  {told['warning']}")
    return lines
