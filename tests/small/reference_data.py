"""Reference data that is not part of the repository: its place comes from OSLN_REFERENCE_DATA."""

import os
from pathlib import Path

import pytest


def reference_folder(name: str) -> Path:
    """A sub-folder of OSLN_REFERENCE_DATA; the test is skipped where it is absent.

    It never fails instead, not even where all components must be there: the data cannot be shipped.

    Args:
        name: "icrp110", "lung1-001" or "ibsi-sts-petct".
    """
    root = os.environ.get("OSLN_REFERENCE_DATA", "")
    folder = Path(root) / name
    if not root or not folder.is_dir():
        pytest.skip(f"no reference data {name}: OSLN_REFERENCE_DATA names the folder that contains {name}/")
    return folder
