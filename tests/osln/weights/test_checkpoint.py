"""A checkpoint is tensors and plain values: it comes back as it was, and nothing in it is ever executed."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from osln.imaging.transforms import Scaling
from osln.networks.build import classifier_network
from osln.networks.unet3d import UNet3D
from osln.rows.experiments import CLASSIFIERS, PRESETS, SEGMENTERS
from osln.weights.checkpoint import FORMAT, Checkpoint, load_checkpoint, save_checkpoint
from osln.weights.tensors import VARIANCE

ROOT = Path(__file__).resolve().parents[3]


def checkpoint(name="ct-distal", **changed) -> Checkpoint:
    torch.manual_seed(1)
    state = UNet3D(len(SEGMENTERS[name].inputs), PRESETS["demo"].widths).state_dict()
    return replace(
        Checkpoint(
            name, "demo", Scaling(0.7, 1.9), state, "phantom", {"seed": 3, "metrics": {"mrecall": 0.4}}
        ),
        **changed,
    )


def classifier(name) -> Checkpoint:
    torch.manual_seed(1)
    state = classifier_network(CLASSIFIERS[name], PRESETS["demo"]).state_dict()
    return Checkpoint(name, "demo", Scaling(0.7, 1.9), state, "phantom", {"tagger": {"sha256": "ab"}})


def test_what_is_saved_is_loaded(tmp_path):
    saved = checkpoint()
    save_checkpoint(tmp_path / "a.pt", saved)

    loaded = load_checkpoint(tmp_path / "a.pt")

    assert replace(loaded, state_dict={}) == replace(saved, state_dict={})
    assert list(loaded.state_dict) == list(saved.state_dict)
    for name, tensor in saved.state_dict.items():
        assert torch.equal(loaded.state_dict[name], tensor)


def test_the_network_has_the_weights_and_does_not_share_them():
    trained = checkpoint()
    before = {name: tensor.clone() for name, tensor in trained.state_dict.items()}

    network = trained.network()

    assert not network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    network.train()(torch.randn(2, 1, 8, 8, 8))
    with torch.no_grad():
        network.output.weight += 1
    assert all(torch.equal(tensor, before[name]) for name, tensor in trained.state_dict.items())


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_is_saved_and_loaded_like_a_segmenter(name, tmp_path):
    save_checkpoint(tmp_path / "a.pt", classifier(name))

    loaded = load_checkpoint(tmp_path / "a.pt")

    network = loaded.network()
    assert not network.training
    assert loaded.metadata["tagger"] == {"sha256": "ab"}
    for key, tensor in classifier(name).state_dict.items():
        assert torch.equal(network.state_dict()[key], tensor)


def test_weights_of_another_classifier_are_refused_with_the_tensors_that_differ():
    with pytest.raises(
        ValueError,
        match=r"not weights of local-ct-pet \(demo\): 1 tensors differ, first score.weight: "
        r"\(1, 1195\) instead of \(1, 1024\)",
    ):
        replace(classifier("glnet"), name="local-ct-pet").check()


def test_building_the_network_draws_no_random_number():
    trained = checkpoint()
    torch.manual_seed(5)
    expected = torch.rand(1)

    torch.manual_seed(5)
    trained.network()

    assert torch.equal(torch.rand(1), expected)


def test_metadata_is_stored_as_plain_values(tmp_path):
    metadata = {"metric": np.float64(0.25), "cases": ("a", "b"), "n": np.int64(3), "froc": float("nan")}

    save_checkpoint(
        tmp_path / "a.pt", checkpoint(metadata=metadata, scaling=Scaling(np.float64(0.5), np.float32(2)))
    )

    loaded = load_checkpoint(tmp_path / "a.pt")
    assert loaded.metadata == {"metric": 0.25, "cases": ["a", "b"], "n": 3, "froc": None}
    assert loaded.scaling == Scaling(0.5, 2.0)
    json.dumps(loaded.metadata, allow_nan=False)


def test_metadata_that_has_no_plain_form_is_refused_when_it_is_saved(tmp_path):
    with pytest.raises(ValueError, match="a set cannot be said in JSON"):
        save_checkpoint(tmp_path / "a.pt", checkpoint(metadata={"cases": {"a"}}))
    assert not list(tmp_path.iterdir())


class Trap:
    """Unpickling it would create a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_foreign_objects_are_refused_and_never_executed(tmp_path):
    trap = tmp_path / "executed"
    whole = {"format": FORMAT, "name": "ct", "preset": "demo", "metadata": Trap(trap)}
    for content in (Trap(trap), whole):
        torch.save(content, tmp_path / "a.pt")
        with pytest.raises(ValueError, match=r"a\.pt cannot be read as weights \(damaged, or not written by"):
            load_checkpoint(tmp_path / "a.pt")

    assert not trap.exists()


def test_damaged_and_missing_files_are_refused(tmp_path):
    save_checkpoint(tmp_path / "a.pt", checkpoint())
    whole = (tmp_path / "a.pt").read_bytes()

    with pytest.raises(ValueError, match=r"no weights at .*none"):
        load_checkpoint(tmp_path / "none.pt")
    for damaged in (whole[: len(whole) // 2], b"", b"weights"):
        (tmp_path / "a.pt").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"a\.pt cannot be read as weights"):
            load_checkpoint(tmp_path / "a.pt")


def content_of(tmp_path) -> dict:
    save_checkpoint(tmp_path / "whole.pt", checkpoint())
    return torch.load(tmp_path / "whole.pt", weights_only=True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "other"}, "holds no weights of this software"),
        ({"name": "mr"}, "is for 'mr', 'demo': both unknown here"),
        ({"preset": None}, "is for 'ct-distal', None"),
        ({"preset": ["demo"]}, r"is for 'ct-distal', \['demo'\]"),
        ({"scaling": None}, "is incomplete: it has no scaling"),
        ({"metadata": 3, "trained_on": None}, "is incomplete: it has no trained_on, metadata"),
        ({"scaling": {"x": 1.0}}, "not preprocessing numbers"),
        ({"scaling": {"pet_sd": float("nan")}}, "pet_sd is nan, expected something like 1.0"),
        ({"scaling": {"ct_gain": "5"}}, "ct_gain is '5'"),
        ({"scaling": {"ct_window_hu": [0.0]}}, r"ct_window_hu is \(0.0,\)"),
        ({"state_dict": {"a": 1}}, "weights that are not tensors"),
    ],
)
def test_files_of_another_kind_are_refused_in_words(tmp_path, change, words):
    torch.save(content_of(tmp_path) | change, tmp_path / "a.pt")

    with pytest.raises(ValueError, match=words):
        load_checkpoint(tmp_path / "a.pt")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda one: one * float("nan"), "not finite numbers"),
        (lambda one: one.to(torch.complex64), "no plain array"),
        (lambda one: one.to(torch.int8), "no plain array"),
        (lambda one: one.to_sparse(), "no plain array"),
        (lambda one: one.to("meta"), "no plain array"),
    ],
)
def test_weights_that_are_no_numbers_of_the_network_are_refused(change, words):
    made = checkpoint()
    name = next(name for name, one in made.state_dict.items() if one.ndim > 2)
    with pytest.raises(ValueError, match=f"the weights {name} of ct-distal .*{words}"):
        replace(made, state_dict={**made.state_dict, name: change(made.state_dict[name])}).check()


def test_a_negative_variance_is_refused_by_the_name_of_its_network():
    made = checkpoint()
    name = next(name for name in made.state_dict if name.endswith(VARIANCE))
    broken = {**made.state_dict, name: -made.state_dict[name]}
    with pytest.raises(ValueError, match=f"the variance {name} of ct-distal is negative: train again"):
        replace(made, state_dict=broken).check()


def test_a_list_of_tensors_is_no_checkpoint(tmp_path):
    torch.save([torch.zeros(2)], tmp_path / "a.pt")

    with pytest.raises(ValueError, match="holds no weights of this software"):
        load_checkpoint(tmp_path / "a.pt")


def test_weights_of_another_architecture_are_refused_with_the_tensors_that_differ(tmp_path):
    state = dict(checkpoint("ef").state_dict)
    save_checkpoint(tmp_path / "a.pt", checkpoint(state_dict=state))

    with pytest.raises(
        ValueError,
        match=r"not weights of ct-distal \(demo\): 1 tensors differ, first encoder.0.0.weight: "
        r"\(8, 3, 3, 3, 3\) instead of \(8, 1, 3, 3, 3\)",
    ):
        load_checkpoint(tmp_path / "a.pt")
    del state["output.bias"]
    with pytest.raises(ValueError, match=r"2 tensors differ, .*output.bias: missing instead of"):
        checkpoint(state_dict=state).network()


@pytest.mark.slow
def test_reading_weights_imports_neither_the_compiler_nor_symbolic_shapes():
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from osln.tagging.tagger import Tagger\n"
        "from osln.weights.model_store import ModelStore\n"
        f"models = Path({str(ROOT / 'apps' / 'osln' / 'model')!r})\n"
        "Tagger.load(models / 'shipped' / 'lesanet.safetensors')\n"
        "ModelStore(models).load('ef').network()\n"
        "print({'torch._dynamo', 'sympy'} & set(sys.modules))\n"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout == "set()\n"
