"""Archives of reference data."""

import tarfile
from pathlib import Path


def unpack(archive: Path, folder: str | Path) -> None:
    """Unpacks a tar archive, in whatever way it is compressed.

    Python before 3.10.12 and 3.11.4 (Debian 12's, for one) has no filter against files beside the folder.

    Args:
        archive: Its file.
        folder: Where to.
    """
    safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    with tarfile.open(archive) as packed:
        packed.extractall(folder, **safe)
