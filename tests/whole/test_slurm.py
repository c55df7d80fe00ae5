"""A job array of a real Slurm detects what one process does."""

import gzip
import os
import sys
import tempfile
from pathlib import Path

import pytest

from osln.__main__ import main
from small import slurm

pytestmark = pytest.mark.slow
CASES = ("phantom-01", "phantom-02", "phantom-03")


def contents(folder: Path) -> dict[str, bytes]:
    """Every byte of the label maps; the header of gzip says when one was written."""
    return {path.name: gzip.decompress(path.read_bytes()) for path in folder.glob("*.nii.gz")}


def test_the_parts_of_a_job_array_are_the_whole(repository, tmp_path):
    if not slurm.is_installed():
        # Not even where all components must be there: a batch system wants a computer of its own.
        pytest.skip(f"Slurm is not on this computer: {slurm.INSTALL}")
    store = str(repository / "sample-datastore")
    given = ["--model", "ct", "--cases", *CASES]
    assert main(["detect", store, "-o", str(tmp_path / "alone"), *given]) == 0
    job = tmp_path / "job.sh"
    job.write_text(
        f"#!/bin/bash\n{sys.executable} -m osln detect {store} -o {tmp_path / 'array'} {' '.join(given)} "
        "--parts $SLURM_ARRAY_TASK_ID/2\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(repository / "apps" / "osln"), "OMP_NUM_THREADS": "1"}
    # The path of a socket has at most 107 characters.
    with tempfile.TemporaryDirectory() as folder, slurm.running(Path(folder), environment) as running:
        ended = running.submit("--array=1-2", str(job))
        said = running.said()

    assert ended.returncode == 0, ended.stderr + said
    alone, array = contents(tmp_path / "alone"), contents(tmp_path / "array")
    assert len(alone) == len(CASES) and array == alone
    # Each case was in one part: none was done before by the other one.
    assert said.count("0 done before") == 2
