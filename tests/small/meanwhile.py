"""What somebody else does in the middle of a call."""

from collections.abc import Callable
from types import ModuleType

import pytest


def meanwhile(
    monkeypatch: pytest.MonkeyPatch,
    module: ModuleType,
    name: str,
    happens: Callable[[], object],
    *,
    times: int = 1,
    error: Exception | None = None,
) -> list[object]:
    """Lets something happen before the first calls of a function of a module.

    Args:
        monkeypatch: Undoes it.
        module, name: The function.
        happens: What happens then.
        times: Before how many calls.
        error: Raised instead of these calls.

    Returns:
        A list that has as many items as there were calls.
    """
    real, calls = getattr(module, name), []

    def called(*args: object, **options: object) -> object:
        calls.append(None)
        if len(calls) <= times:
            happens()
            if error is not None:
                raise error
        return real(*args, **options)

    monkeypatch.setattr(module, name, called)
    return calls
