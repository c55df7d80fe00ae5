"""A trained network gives the same probabilities on every runtime, and none where it has nothing to say."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from osln.imaging.grid import Grid
from osln.imaging.lung_column import LungColumn
from osln.imaging.transforms import Scaling, network_input
from osln.networks.unet3d import UNet3D
from osln.rows.experiments import PRESETS, SEGMENTERS
from osln.stage_one.inference import Predictor
from osln.weights import devices
from osln.weights.checkpoint import Checkpoint

SHAPE = (12, 16, 100)
"""Windows of 16 x 16 x 64 at z = 0 and 36."""


def checkpoint(name: str) -> Checkpoint:
    """Random weights whose probabilities spread over (0, 1)."""
    torch.manual_seed(3)
    network = UNet3D(len(SEGMENTERS[name].inputs), PRESETS["demo"].widths)
    with torch.no_grad():
        network.output.weight *= 40
    return Checkpoint(name, "demo", Scaling(pet_mean=1.0), network.state_dict(), "nothing")


def column(*, distal_from_z=50, body=True) -> LungColumn:
    rng = np.random.default_rng(0)
    distance = np.full(SHAPE, 20.0, np.float32)
    distance[:, :, distal_from_z:] = 90.0
    ct = rng.normal(0, 100, SHAPE).astype(np.float32)
    pet = rng.gamma(1, 2, SHAPE).astype(np.float32)
    inside = np.full(SHAPE, body)
    return LungColumn("p1", Grid(SHAPE, np.diag([2.5, 2.5, 3, 1])), ct, pet, distance, None, None, inside)


def test_openvino_and_torch_give_the_same_probabilities(require):
    if not devices.HAS_OPENVINO:
        require("openvino", "install requirements.txt")
    patient = column()

    with_torch = Predictor(checkpoint("ef"), runtime="torch").probability(patient)
    with_openvino = Predictor(checkpoint("ef"), runtime="openvino", number_format="f32").probability(patient)

    assert with_torch.std() > 0.05
    assert with_openvino.dtype == with_torch.dtype == np.float32
    np.testing.assert_allclose(with_openvino, with_torch, atol=1e-4)


def test_bfloat16_changes_probabilities_by_hundredths_only(require):
    if not devices.HAS_OPENVINO:
        require("openvino", "install requirements.txt")
    patient = column()

    exact = Predictor(checkpoint("ef"), runtime="openvino", number_format="f32").probability(patient)
    fast = Predictor(checkpoint("ef"), runtime="openvino", number_format="bf16").probability(patient)

    assert fast.dtype == np.float32
    np.testing.assert_allclose(fast, exact, atol=0.05)
    assert np.abs(fast - exact).mean() < 0.01


def test_an_unknown_number_format_is_refused():
    with pytest.raises(ValueError, match="f32 or bf16"):
        Predictor(checkpoint("ct"), number_format="int8")


def test_probabilities_are_those_of_the_network_itself():
    patient = column()
    patient = LungColumn(**{**vars(patient), **{k: vars(patient)[k][:, :, :64] for k in ("ct_hu", "body")}})
    trained = checkpoint("ct")

    result = Predictor(trained, runtime="torch").probability(patient)

    images = np.pad(
        network_input({"ct": patient.ct_hu}, ("ct",), trained.scaling),
        ((0, 0), (0, 4), (0, 0), (0, 0)),
        mode="edge",
    )
    with torch.inference_mode():
        expected = torch.sigmoid(trained.network()(torch.from_numpy(images[None])))[0, 0, :12].numpy()
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_what_lies_between_the_layers_is_given_back_behind_each_patient(require, monkeypatch):
    if not devices.HAS_OPENVINO:
        require("openvino", "install requirements.txt")
    import openvino as ov

    held: list[str] = []
    compile_model = ov.Core.compile_model

    class Watched:
        def __init__(self, compiled):
            self.compiled = compiled

        def __call__(self, images):
            held.append("filled")
            return self.compiled(images)

        def release_memory(self):
            held.append("given back")
            self.compiled.release_memory()

    monkeypatch.setattr(ov.Core, "compile_model", lambda *given: Watched(compile_model(*given)))
    network = Predictor(checkpoint("ct"))
    first, again = network.probability(column()), network.probability(column())
    assert held == ["filled", "filled", "given back"] * 2
    np.testing.assert_array_equal(first, again)


def test_a_window_without_a_voxel_of_the_networks_zone_is_zero():
    near = Predictor(checkpoint("ct-proximal"), runtime="torch").probability(column(distal_from_z=30))
    far = Predictor(checkpoint("ct-distal"), runtime="torch").probability(column(distal_from_z=70))
    none = Predictor(checkpoint("ct-distal"), runtime="torch").probability(column(distal_from_z=100))

    # The window at z = 36 holds no proximal voxel, that at z = 0 no distal one.
    assert (near[:, :, 64:] == 0).all() and (near[:, :, :64] > 0).any()
    assert (far[:, :, :36] == 0).all() and (far[:, :, 36:] > 0).any()
    assert none.shape == SHAPE and not none.any()


def test_a_patient_without_tissue_is_zero():
    assert not Predictor(checkpoint("ct"), runtime="torch").probability(column(body=False)).any()


def test_missing_inputs_are_told():
    patient = vars(column())

    with pytest.raises(ValueError, match="needs ct, pet, distance; this patient has no pet"):
        Predictor(checkpoint("ef"), runtime="torch").probability(LungColumn(**{**patient, "pet_suv": None}))
    with pytest.raises(ValueError, match="network ct-distal needs the primary tumor: contour it first"):
        Predictor(checkpoint("ct-distal"), runtime="torch").probability(
            LungColumn(**{**patient, "distance_mm": None})
        )


@pytest.mark.parametrize("device", ["cuda:99", "cudax", "tpu", "", "CPU"])
def test_devices_that_are_not_there_are_refused(device):
    with pytest.raises(ValueError, match=f"device '{device}' is not available here: expected cpu"):
        Predictor(checkpoint("ct"), device)


def test_without_openvino_torch_serves_and_openvino_is_refused(monkeypatch):
    monkeypatch.setattr(devices, "HAS_OPENVINO", False)

    assert Predictor(checkpoint("ct")).engine.runtime == "torch"
    with pytest.raises(ValueError, match="needs the package openvino"):
        Predictor(checkpoint("ct"), runtime="openvino")


def test_weights_of_another_network_are_refused():
    wrong = checkpoint("ef")

    with pytest.raises(ValueError, match="not weights of ct"):
        Predictor(Checkpoint("ct", "demo", wrong.scaling, wrong.state_dict, "nothing"))


def test_requests_at_the_same_time_get_their_own_results():
    patients = [column(), column(body=False), column()]
    predictor = Predictor(checkpoint("ct"), runtime="torch")
    results: dict[int, np.ndarray] = {}

    def ask(index: int) -> None:
        results[index] = predictor.probability(patients[index])

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    np.testing.assert_array_equal(results[0], results[2])
    assert results[0].any() and not results[1].any()


def test_a_network_sees_only_columns_that_were_resampled_like_those_it_learned_from():
    plain, given = Predictor(checkpoint("ct"), runtime="torch"), column()
    assert plain.preset == PRESETS["demo"]
    with pytest.raises(ValueError, match="resampled without a prefilter, case p1 was resampled with one"):
        plain.probability(replace(given, prefiltered=True))
    other = checkpoint("ct")
    filtered = Predictor(replace(other, scaling=replace(other.scaling, prefilter=True)), runtime="torch")
    assert filtered.preset == replace(PRESETS["demo"], prefilter=True)
    with pytest.raises(ValueError, match="resampled with a prefilter, case p1 was resampled without one"):
        filtered.probability(given)
    np.testing.assert_array_equal(
        filtered.probability(replace(given, prefiltered=True)), plain.probability(given)
    )


@pytest.mark.parametrize("runtime", ["torch", "openvino"])
def test_a_map_that_is_no_number_is_an_error_instead_of_no_node(runtime, require):
    if runtime == "openvino" and not devices.HAS_OPENVINO:
        require("openvino", "install requirements.txt")
    made = checkpoint("ct")
    # Finite by itself, and larger than what the last layer can add up.
    weights = {name: one * 1e38 if one.ndim > 2 else one for name, one in made.state_dict.items()}
    broken = Predictor(replace(made, state_dict=weights), runtime=runtime, number_format="f32")
    with pytest.raises(
        ValueError, match=r"network ct answers with values that are no numbers: .*rollback ct\)"
    ):
        broken.probability(column())
