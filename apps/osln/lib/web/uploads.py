"""What MONAI Label's routes save of a request goes with the request.

They remove it after a reply, and so never after a refusal.
"""

import shutil
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

_request = threading.local()


def keep_with_request(modules: Sequence[ModuleType]) -> None:
    """Has the modules take their temporary names from `request_folder`."""
    for module in modules:
        if getattr(module, "tempfile", None) is tempfile:
            module.tempfile = SimpleNamespace(NamedTemporaryFile=_named)


@contextmanager
def request_folder() -> Iterator[None]:
    """Inside, what this thread names lies in a folder that nobody else can read; afterwards it is gone."""
    _request.folder = ""
    try:
        yield
    finally:
        if _request.folder:
            shutil.rmtree(_request.folder, ignore_errors=True)
        _request.folder = None


def _named(suffix: str = "", **options: Any) -> Any:
    """Stands for `tempfile.NamedTemporaryFile`, of which the routes use the name alone."""
    if getattr(_request, "folder", None) is None:
        return tempfile.NamedTemporaryFile(suffix=suffix, **options)
    if not _request.folder:
        _request.folder, _request.number = tempfile.mkdtemp(prefix="osln-request-"), 0
    _request.number += 1
    return SimpleNamespace(name=str(Path(_request.folder, f"{_request.number}{suffix}")))
