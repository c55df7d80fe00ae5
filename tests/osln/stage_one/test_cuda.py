"""Stage one on a GPU: the probabilities of the CPU, and a training that goes the same way."""

import numpy as np
import pytest
import torch

from osln.imaging.transforms import Scaling
from osln.networks.unet3d import UNet3D
from osln.rows.experiments import PRESETS, SEGMENTERS
from osln.stage_one.inference import Predictor
from osln.stage_one.training import SegmenterLesson, train
from osln.weights.checkpoint import Checkpoint
from small.columns import small_column, tiny_preset
from small.cuda import on_gpu


def checkpoint() -> Checkpoint:
    """Random weights whose probabilities spread over (0, 1)."""
    torch.manual_seed(3)
    network = UNet3D(len(SEGMENTERS["ef"].inputs), PRESETS["demo"].widths)
    with torch.no_grad():
        network.output.weight *= 200
    return Checkpoint("ef", "demo", Scaling(pet_mean=1.0), network.state_dict(), "nothing")


@on_gpu
@pytest.mark.parametrize(("numbers", "apart"), [("f32", 1e-4), ("f16", 0.02), ("bf16", 0.05)])
def test_a_gpu_gives_the_same_probabilities_up_to_its_numbers(numbers, apart):
    patient = small_column(0)

    on_cpu = Predictor(checkpoint(), runtime="torch").probability(patient)
    found = Predictor(checkpoint(), "cuda:0", number_format=numbers).probability(patient)

    assert found.dtype == np.float32 and on_cpu.std() > 0.05
    np.testing.assert_allclose(found, on_cpu, atol=apart)


@on_gpu
def test_batches_wait_in_pinned_memory(monkeypatch):
    seen = []
    made = SegmenterLesson._batch
    monkeypatch.setattr(SegmenterLesson, "_batch", lambda *given: seen.append(made(*given)) or seen[-1])

    train(SEGMENTERS["ef"], tiny_preset(), [small_column(0)], iterations=2, device="cuda")

    assert len(seen) == 2 and all(one.is_pinned() for batch in seen for one in batch)


@on_gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_two_gpus_have_the_losses_of_one():
    columns = [small_column(seed) for seed in range(2)]
    given = (SEGMENTERS["ef"], tiny_preset(), columns)
    one, two = (
        train(*given, iterations=3, device="cuda:0", devices=devices)
        for devices in ((), ("cuda:0", "cuda:1"))
    )
    losses = [np.array(each.metadata["losses"])[:, 1:] for each in (one, two)]
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.02)


@on_gpu
def test_a_training_has_the_losses_of_the_cpu_and_its_state_is_read_again(tmp_path, monkeypatch):
    monkeypatch.setitem(PRESETS, "demo", tiny_preset())
    columns = [small_column(seed) for seed in range(2)]

    def losses(device: str, **options) -> np.ndarray:
        trained = train(SEGMENTERS["ef"], tiny_preset(), columns, iterations=3, device=device, **options)
        assert all(one.device.type == "cpu" for one in trained.state_dict.values())
        return np.array(trained.metadata["losses"])[:, 1:]

    kept = tmp_path / "training.resume"
    first = losses("cuda", resume_path=kept)

    np.testing.assert_allclose(first, losses("cpu"), rtol=0.05)
    np.testing.assert_array_equal(first, losses("cuda", resume_path=kept))
