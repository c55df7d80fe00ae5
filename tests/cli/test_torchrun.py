"""`train` in torchrun's processes: one result, that of one process, and an end when one fails."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from osln.weights.checkpoint import load_checkpoint
from small import cohort as small_cohort

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(ROOT / "apps" / "osln"),
    "OMP_NUM_THREADS": "1",
    # Single precision: the rounding of bfloat16 depends on the size of a batch's part.
    "ONEDNN_MAX_CPU_ISA": "AVX512_CORE",
}
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]

pytestmark = pytest.mark.slow


def train(store: Path, models: Path, *started: str, model: str = "ct-hrnet") -> subprocess.CompletedProcess:
    options = ["--store", store, "--models", models, "--model", model, "--iterations", "4"]
    command = [sys.executable, *started, "-m", "osln", "train", *map(str, options)]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=500)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("torchrun") / "store"
    small_cohort.make_store(folder, {"train": 2, "validation": 1})
    return folder


def test_two_processes_train_one_network_with_the_losses_of_one(store, tmp_path):
    shutil.copytree(store, tmp_path / "store")
    alone, shared = tmp_path / "alone", tmp_path / "shared"

    assert train(store, alone).returncode == 0
    ended = train(tmp_path / "store", shared, *TORCHRUN)

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("ct-hrnet:") == 1
    one, two = (load_checkpoint(*folder.rglob("*.pt")) for folder in (alone, shared))
    assert two.metadata["processes"] == 2 and "processes" not in one.metadata
    # Four steps; sums of parts are rounded in another order, 3e-5 here.
    np.testing.assert_allclose(two.metadata["losses"], one.metadata["losses"], rtol=1e-4)
    assert not list(shared.rglob("*.resume"))


def test_what_cannot_be_learned_is_told_once_and_the_others_end(tmp_path):
    ended = train(tmp_path, tmp_path / "models", *TORCHRUN)

    assert ended.returncode != 0
    assert ended.stderr.count("ct-hrnet: no approved label") == 1
