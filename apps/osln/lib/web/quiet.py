"""What the log does not need: known remarks of other packages, and lines that name patients' files."""

import logging
import re
import warnings
from pathlib import Path

APP = Path(__file__).resolve().parents[2]

LOGGERS = {
    # One line per case, per label and per change that the folder watcher sees.
    "monailabel.datastore.local": logging.WARNING,
    # Parameters, file names and client ids of every request; /logs shows them to whoever asks.
    "monailabel.endpoints": logging.WARNING,
    "monailabel.tasks.infer": logging.WARNING,
    "monailabel.utils.sessions": logging.WARNING,
    # The whole command line with the request in it, and the search path twice.
    "monailabel.utils.async_tasks": logging.WARNING,
    # Names of the modules and classes that it finds.
    "monailabel.utils.others.class_utils": logging.WARNING,
    # One line per request to a PACS.
    "dicomweb_client": logging.WARNING,
    "watchdog": logging.WARNING,
}

WARNINGS = (
    # MONAI and torch name replacements for functions that we do not call.
    ("`torch.jit", Warning, ""),
    (".*torch.jit.*deprecated", Warning, ""),
    # setuptools is pinned below the version that removes pkg_resources.
    ("pkg_resources is deprecated", Warning, ""),
    ("Deprecated call to `pkg_resources", DeprecationWarning, ""),
    # MONAI Label's passlib and pydantic models, used as they are.
    ("'crypt' is deprecated", DeprecationWarning, ""),
    ("Field .* has conflict with protected namespace", UserWarning, "pydantic"),
)
"""Message (a regular expression), category, module of each warning that is known and of no use here."""


def silence() -> None:
    """Applies both tables; anything that is not in them is shown as before."""
    for name, level in LOGGERS.items():
        logging.getLogger(name).setLevel(level)
    # Timeloop sets its own level again when it starts, and then tells that it starts, twice.
    logging.getLogger("timeloop").addFilter(_matters)
    logging.getLogger("uvicorn.error").addFilter(_sentence_alone)
    for message, category, module in WARNINGS:
        warnings.filterwarnings("ignore", message=message, category=category, module=module)


def _sentence_alone(record: logging.LogRecord) -> bool:
    """Where the app refuses to start, its sentence stands in the log instead of a traceback."""
    text = str(record.msg)
    if record.levelno >= logging.ERROR and not record.args and text.startswith("Traceback"):
        _, refused, sentence = text.rpartition("\nValueError: ")
        frames = re.findall(r'^  File "(.+?)", line .*\n    (.*)', text, re.MULTILINE)
        # What a function of C raises has no frame of its own: only what our code raises is a refusal.
        if (
            refused
            and frames
            and Path(frames[-1][0]).is_relative_to(APP)
            and frames[-1][1].startswith("raise ")
        ):
            record.msg = f"The server does not start: {sentence.strip()}"
    return True


def _matters(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING
