"""State of a training on disk, so that an interrupted one goes on with the same result."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch


def save_state(path: Path, key: str, state: dict[str, Any]) -> None:
    """Writes the state of the training that `key` identifies, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    torch.save({"key": key, **state}, temporary)
    temporary.replace(path)


def load_state(path: Path, key: str, device: torch.device) -> dict[str, Any] | None:
    """The state to go on from; None if there is none or it is of another training.

    Raises:
        ValueError: The file cannot be read.
    """
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise ValueError(f"{path} cannot be read ({reason}): delete it to train from the start") from error
    return state if state["key"] == key else None


@contextmanager
def cpu_threads(threads: int | None) -> Iterator[None]:
    """CPU threads of torch for a while; None leaves them."""
    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
