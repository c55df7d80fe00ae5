"""Tests that need a GPU: marked, so that `./benchmarks/run gpu` finds them, and skipped where there is none.

They lie in files named `test_*cuda.py`, which import nothing that a bare computer with PyTorch lacks.
"""

from collections.abc import Callable
from typing import TypeVar

import pytest
import torch

F = TypeVar("F", bound=Callable[..., object])


def on_gpu(test: F) -> F:
    """Marks a test `cuda`."""
    absent = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this computer")
    return pytest.mark.cuda(absent(test))
