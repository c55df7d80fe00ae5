"""Label maps on their way to a client: temporary files that MONAI Label deletes after the reply."""

import atexit
import os
import shutil
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np

from osln.imaging.grid import Grid
from osln.output import label_maps


def write_label_map(
    labels: np.ndarray,
    grid: Grid,
    file_grid: Grid,
    names: Mapping[str, int],
    *,
    extension: str = ".nii.gz",
    dtype: str = "uint8",
    compress: bool = True,
) -> Path:
    """Writes a temporary file; arguments as `osln.output.label_maps.write_label_map`.

    Returns:
        The path of the file, which nobody else could have created before.
    """
    handle, name = tempfile.mkstemp(prefix="osln-", suffix=extension, dir=_folder())
    os.close(handle)
    path = Path(name)
    try:
        label_maps.write_label_map(path, labels, grid, file_grid, names, dtype=dtype, compress=compress)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path


@cache
def _folder() -> str:
    """A folder of this process for results on their way.

    MONAI Label's client saves a result under the server's file name, by default in the temporary folder.
    Were the server's own file there too, a client on the same computer would lose its copy when the
    server removes that file after sending it.
    """
    path = tempfile.mkdtemp(prefix="osln-results-")
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path
