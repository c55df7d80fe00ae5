"""MONAI Label's wish for several GPUs in one training (`multi_gpu`, `gpus`), as far as there are any."""

from collections.abc import Mapping, Sequence
from typing import Any

ALL = "all"


def asked_for_several(request: Mapping[str, Any]) -> bool:
    """Whether a request wants a training to be shared: by `multi_gpu`, or by a list in `gpus` without it."""
    told = request.get("multi_gpu")
    return "," in _named(request) if told is None else str(told).lower() == "true"


def shared_gpus(request: Mapping[str, Any], devices: Sequence[str], most: int) -> tuple[str, ...]:
    """The GPUs that share a training.

    Args:
        request: With `multi_gpu` (true or false) and `gpus` ("all", or numbers from 0 as in "0,1").
        devices: What this server has: "cuda:N" are GPUs.
        most: So many at most; of more the first are taken.

    Returns:
        "cuda:N" of each; () where one device learns: nothing else is asked for, or there are not two.

    Raises:
        ValueError: `gpus` is neither "all" nor numbers, or names a GPU that is not beside the others.
    """
    there = sorted((name for name in devices if name.startswith("cuda:")), key=lambda name: int(name[5:]))
    numbers = [word.strip() for word in _named(request).split(",") if word.strip()]
    if numbers != [ALL] and not all(word.isdecimal() for word in numbers):
        raise ValueError(f'gpus is "all" or numbers of GPUs as text, such as "0,1", not {request["gpus"]!r}')
    listed = there if numbers == [ALL] else list(dict.fromkeys(f"cuda:{int(word)}" for word in numbers))
    if not asked_for_several(request) or len(there) < 2:
        return ()
    if missing := [name for name in listed if name not in there]:
        raise ValueError(f"gpus names {', '.join(missing)}: this server has {', '.join(there)}")
    return tuple(listed[:most]) if len(listed) > 1 else ()


def what_was_used(shared: Sequence[str], device: str) -> str:
    """What became of the wish, for the result of a training."""
    if shared:
        return f"{', '.join(shared)} shared each training"
    return f"several GPUs were asked for; one device was used ({device})"


def _named(request: Mapping[str, Any]) -> str:
    return str(request.get("gpus") or ALL)
