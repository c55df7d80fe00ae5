"""`detect` and the server find the same, voxel by voxel, with the shipped weights on a sample case."""

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from lib.models import infers
from osln.__main__ import main
from osln.published import Published
from osln.rows.experiments import DEFAULT_ROW, ROWS
from osln.weights.model_store import ModelStore
from small.running_server import APP, RunningServer

CASE = "phantom-02"
OWN = ("case", "made_from", "files", "latencies")
"""What only the command says, and times."""


@pytest.fixture(scope="module")
def store(tmp_path_factory, repository):
    """A store with one of the sample cases."""
    store = tmp_path_factory.mktemp("store")
    for folder in (".", "pet", "labels/gtv"):
        (store / folder).mkdir(parents=True, exist_ok=True)
        name = f"{folder}/{CASE}.nii.gz"
        shutil.copy(repository / "sample-datastore" / name, store / name)
    return store


@pytest.fixture(scope="module")
def written(store, tmp_path_factory):
    """Voxels and JSON that the command writes."""
    out = tmp_path_factory.mktemp("out")
    # As in the server of the test: sums of several threads differ in the last digits.
    torch.set_num_threads(1)
    assert main(["detect", str(store), "-o", str(out), "--device", "cpu", "--show-rejected"]) == 0
    content = json.loads((out / f"{CASE}.json").read_text())
    return nib.load(out / f"{CASE}.nii.gz"), content


def check_same(written, label_map, params):
    image, content = written
    np.testing.assert_array_equal(np.asanyarray(image.dataobj), np.asanyarray(label_map.dataobj))
    np.testing.assert_array_equal(image.affine, label_map.affine)
    assert set(np.unique(np.asanyarray(image.dataobj))) == {0, 1, 2}
    assert {key: value for key, value in content.items() if key not in OWN} == {
        key: value for key, value in params.items() if key not in OWN
    }
    assert (
        len(params["candidates"]) > 5
        and params["models"][ROWS[DEFAULT_ROW].classifier]["trained_on"] == "phantom"
    )


@pytest.mark.slow
def test_the_command_writes_what_the_servers_task_replies(store, written):
    published = Published(ModelStore(APP / "model"))
    task = infers.build(published, ("cpu",))[DEFAULT_ROW]
    file, params = task({"image": str(store / f"{CASE}.nii.gz"), "show_rejected": True})
    try:
        check_same(written, nib.load(file), params)
    finally:
        Path(file).unlink()


@pytest.mark.server
def test_the_command_writes_what_a_running_server_replies(store, written, tmp_path):
    server = RunningServer(store, APP / "model", tmp_path / "server.log")
    try:
        file, params = server.client(tmp_path).infer(DEFAULT_ROW, CASE, {"show_rejected": True})
        check_same(written, nib.load(file), params)
    finally:
        server.stop()
