"""All approved cases in one ZIP file."""

import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from lib.errors import NotReadyError
from osln.files.images import split_suffix


def write_archive(cases: Mapping[str, Mapping[str, Path]], metadata: str) -> str:
    """Writes files of cases, named by their case whatever they are called, and the notes about them.

    Args:
        cases: By case, each of its files by its kind, which is the folder in the archive.
        metadata: JSON.

    Returns:
        Path of the archive, a temporary file.

    Raises:
        NotReadyError: If a file went away meanwhile.
    """
    with tempfile.NamedTemporaryFile(suffix=".zip", delete=False) as file:
        try:
            with zipfile.ZipFile(file, "w") as archive:
                for case, paths in cases.items():
                    for kind, path in paths.items():
                        archive.write(path, f"{kind}/{case}{split_suffix(path)[1]}")
                archive.writestr("metadata.json", metadata)
        except BaseException as error:
            Path(file.name).unlink()
            if isinstance(error, FileNotFoundError):
                raise NotReadyError(
                    f"the archive was not written, since {error.filename} of case {case} is not there; bring "
                    "it back, or wait until it is stored, and try again"
                ) from error
            raise
    return file.name
