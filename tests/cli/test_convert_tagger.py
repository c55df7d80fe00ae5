"""The public LesaNet checkpoint becomes weights of ours, and anything else is refused in words."""

import collections
import hashlib
import os
import sys
import types

import numpy as np
import pytest
import torch

from osln.__main__ import main
from osln.networks.lesanet import LesaNet
from osln.tagging.tagger import Tagger
from osln.weights.model_store import ModelStore

BATCH_NORMS = "1_1 1_2 2_1 2_2 3_1 3_2 3_3 4_1 4_2 4_3 5_1 5_2 5_3".split()


class EasyDict(dict):
    """The class of the published training script's settings, which the reader does not have."""

    __module__ = "easydict"


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes a state dict as the published training script does, in the format of torch before 1.6."""
    module = types.ModuleType("easydict")
    module.EasyDict = EasyDict
    monkeypatch.setitem(sys.modules, "easydict", module)

    def written(state, **more):
        settings = EasyDict(PIXEL_MEANS=np.array([50.0]), GPU="0")
        content = {"epoch": 15, "default_arg": settings, "config": settings, "state_dict": state, **more}
        content["optimizer"] = {"state": {}, "param_groups": [{"lr": 0.001, "params": [1, 2]}]}
        path = tmp_path / "LesaNet_epoch_15.pth.tar"
        torch.save(content, path, _use_new_zipfile_serialization=False)
        return path

    return written


def published_state(**changes: torch.Tensor) -> collections.OrderedDict:
    """Names and shapes of the published network, each tensor with other values."""
    with torch.device("meta"):
        shapes = LesaNet().state_dict()
    # Tensors are parts of one storage, each a little further on: the file stays small.
    pool = torch.rand(256 * 12800 + len(shapes), generator=torch.Generator().manual_seed(0)) / 100
    state = {
        name: torch.tensor(3)
        if tensor.dtype == torch.int64
        else pool[k : k + tensor.numel()].view(tensor.shape)
        for k, (name, tensor) in enumerate(shapes.items())
    }
    return collections.OrderedDict(state | changes)


@pytest.mark.slow
def test_the_public_checkpoint_becomes_a_tagger(tmp_path, write, capsys):
    state = published_state()
    path = write(collections.OrderedDict((f"module.{name}", tensor) for name, tensor in state.items()))
    out = tmp_path / "lesanet.safetensors"

    assert main(["convert-tagger", str(path), "--out", str(out)]) == 0

    sha256 = hashlib.sha256(out.read_bytes()).hexdigest()
    assert f"public LesaNet written to {out}, sha256 {sha256}" in capsys.readouterr().out
    tagger = Tagger.load(out, number_format="f32")
    assert tagger.describe() == {
        "name": "LesaNet",
        "origin": "public LesaNet",
        "sha256": sha256,
        "width": 64,
        "trained_on": "DeepLesion",
    }
    assert tagger.metadata["checkpoint_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    network = tagger._network.state_dict()
    assert len(network) == 94 + 13
    different = [name for name, tensor in network.items() if not torch.equal(tensor, state[name])]
    assert different == [f"bn{name}.num_batches_tracked" for name in BATCH_NORMS]


@pytest.mark.slow
def test_the_public_checkpoint_is_published_as_a_version(tmp_path, write, capsys):
    models = tmp_path / "models"
    assert main(["convert-tagger", str(write(published_state())), "--publish", "--models", str(models)]) == 0

    version = ModelStore(models).published("lesanet")
    assert (version.trained_on, version.metadata["origin"]) == ("DeepLesion", "public LesaNet")
    said = capsys.readouterr().out
    assert f"public LesaNet written to lesanet {version.name}, sha256 {version.sha256}" in said
    assert Tagger.load(version.path).sha256 == version.sha256


def test_a_file_or_publishing_is_asked_for(capsys):
    assert main(["convert-tagger", "checkpoint"]) == 1
    assert "name a file to write (--out FILE) or give --publish" in capsys.readouterr().err


def test_weights_of_another_network_are_refused_with_the_difference(tmp_path, write, capsys):
    state = published_state(**{"class_scores1.weight": torch.zeros(80, 1280), "extra.weight": torch.zeros(2)})
    del state["fc_pool3.bias"]
    out = tmp_path / "lesanet.safetensors"

    assert main(["convert-tagger", str(write(state)), "--out", str(out)]) == 1

    said = capsys.readouterr().err
    assert said.startswith("LesaNet_epoch_15.pth.tar: these are not weights of LesaNet")
    assert "3 of 94 tensors differ" in said
    assert "class_scores1.weight: (80, 1280) instead of (171, 1280)" in said
    assert "extra.weight: (2,) instead of nothing" in said
    assert "fc_pool3.bias: missing instead of (256,)" in said
    assert not out.exists()


def test_a_checkpoint_that_asks_for_a_call_is_refused(tmp_path, write, capsys):
    witness = tmp_path / "witness"

    class Hostile:
        def __reduce__(self):
            return os.system, (f"touch {witness}",)

    path = write({"conv1_1.weight": torch.zeros(1)}, notes=Hostile())
    assert main(["convert-tagger", str(path), "--out", str(tmp_path / "out")]) == 1
    assert f"it calls {os.name}.system, which weights do not need" in capsys.readouterr().err
    assert not witness.exists()


def test_a_missing_checkpoint_and_a_missing_folder_are_said(tmp_path, write, capsys):
    assert main(["convert-tagger", str(tmp_path / "none"), "-o", str(tmp_path / "out")]) == 1
    assert "no checkpoint at" in capsys.readouterr().err

    assert (
        main(["convert-tagger", str(write(published_state())), "-o", str(tmp_path / "nowhere" / "out")]) == 1
    )
    assert "nowhere" in capsys.readouterr().err
