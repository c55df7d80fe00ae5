"""Reference data that is not part of the repository: its place comes from OSLN_REFERENCE_DATA."""

import os
from collections.abc import Callable
from pathlib import Path


def reference_folder(name: str, require: Callable[[str, str], None]) -> Path:
    """A sub-folder of OSLN_REFERENCE_DATA; the test is skipped where it is absent.

    Args:
        name: "icrp110", "lung1-001" or "ibsi-sts-petct".
        require: the fixture of that name.
    """
    root = os.environ.get("OSLN_REFERENCE_DATA", "")
    folder = Path(root) / name
    if not root or not folder.is_dir():
        require(f"reference data {name}", f"set OSLN_REFERENCE_DATA to the folder that contains {name}/")
    return folder
