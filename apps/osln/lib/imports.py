"""A quicker start: MONAI does without what this server never asks of it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

UNUSED = (
    "gdown",
    "ignite",
    "matplotlib",
    "mlflow",
    "pandas",
    "scipy.signal",
    "skimage",
    "tensorboard",
    "torchvision",
)
"""Packages that MONAI imports if they are there: for its own trainers, networks, downloads and pictures."""


@contextmanager
def without(names: tuple[str, ...] = UNUSED) -> Iterator[None]:
    """Inside, these packages cannot be imported, as if they were not installed; afterwards they can.

    What was imported before stays. MONAI marks what it did not find as missing, and goes on.
    """
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)
