"""How many cores there are to compute on."""

import os

FEEDING_CORES = 4
"""Make batches beside a GPU, at most; a CPU has its cores at work already."""


def usable_cores() -> int:
    """Cores that this process may use, which a job of a cluster or a container may limit."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
