"""bfloat16 is used where the device multiplies in it and the network learns in it as it should."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from osln.weights import devices
from osln.weights.devices import bf16_is_fast, bf16_is_sound


def test_bf16_is_used_only_on_devices_that_have_it():
    assert bf16_is_fast(torch.device("meta")) is False
    assert isinstance(bf16_is_fast(torch.device("cpu")), bool)


@pytest.mark.parametrize(
    ("gpu", "major", "fast"), [("Volta", 7, False), ("Turing", 7, False), ("Ampere", 8, True)]
)
def test_a_gpu_that_only_emulates_bf16_does_not_use_it(monkeypatch, gpu, major, fast):
    asked = []

    def properties(device):
        return SimpleNamespace(name=gpu, major=major)

    def device(chosen):
        asked.append(str(chosen))
        return nullcontext()

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", properties)
    monkeypatch.setattr(torch.cuda, "_check_bf16_tensor_supported", lambda device: True)
    monkeypatch.setattr(torch.cuda, "device", device)

    assert bf16_is_fast(torch.device("cuda:1")) is fast and asked == ["cuda:1"]
    assert torch.cuda.is_bf16_supported(), "emulation counts where one does not ask for the real thing"


class Halvings(nn.Module):
    """So many halvings of a map, then a convolution."""

    def __init__(self, halvings: int) -> None:
        super().__init__()
        self.pools = nn.ModuleList(nn.MaxPool3d(2) for _ in range(halvings))
        self.conv = nn.Conv3d(1, 1, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for pool in self.pools:
            x = pool(x)
        return self.conv(x)


def test_a_network_of_maps_two_voxels_wide_learns_in_single_precision_on_a_cpu(monkeypatch):
    x, cpu = torch.zeros(1, 1, 16, 16, 16), torch.device("cpu")
    monkeypatch.setattr(devices, "bf16_is_fast", lambda device: True)
    sound = {}
    for halvings in (2, 3, 4):
        network = Halvings(halvings).train()
        sound[halvings] = bf16_is_sound(cpu, network, lambda network=network: network(x))
        assert network.training and not network.conv._forward_pre_hooks
    # Maps of 4, 2 and 1 voxels.
    assert sound == {2: True, 3: False, 4: True}
    monkeypatch.setattr(devices, "bf16_is_fast", lambda device: False)
    assert not bf16_is_sound(cpu, Halvings(2), lambda: None)
