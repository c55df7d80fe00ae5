"""What the code of a run was, so that files of former code are not taken for those of the present one."""

import hashlib
from functools import cache
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]

RUN = (
    "active",
    "metrics/froc.py",
    "metrics/matching.py",
    "simulation/arms.py",
    "simulation/cycle.py",
    "simulation/learners.py",
    "stage_two",
)
"""What chooses, answers, learns and judges where stage two alone learns."""
RUN_OF_BOTH = (*RUN, "simulation/both.py", "simulation/retrained.py", "simulation/reviews.py", "stage_one")
"""The same where both stages learn."""
TRAINING = ("learning", "networks", "stage_one")
"""What trains a network of stage one."""


@cache
def code_key(parts: tuple[str, ...]) -> str:
    """Of the source files of some parts of `osln`.

    Args:
        parts: Packages and files, as paths below the package.
    """
    digest = hashlib.sha256()
    for part in parts:
        path = _ROOT / part
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(str(file.relative_to(_ROOT)).encode() + file.read_bytes())
    return digest.hexdigest()[:16]
