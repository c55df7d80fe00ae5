"""Feeding by the product and by its peers: the same kind of batches, and a report of their rates."""

import numpy as np
import pytest
import torch

from benchmarks import training_speed
from benchmarks.training_peers import monai_batches, nnunet_batches
from benchmarks.training_speed import MONAI, NNUNET, PRODUCT, made, rate, report
from osln.rows.experiments import SEGMENTERS
from osln.stage_one.training import fit_scaling
from small.columns import small_column, tiny_preset

PRESET = tiny_preset()
EF = SEGMENTERS["ef"]


def test_all_sides_give_batches_of_one_kind_and_learn_from_them(tmp_path):
    columns = [small_column(seed) for seed in range(2)]
    sides = made(columns, EF, PRESET, tmp_path)
    assert {PRODUCT, MONAI} <= set(sides)
    for batches, learn in sides.values():
        inputs, target, mask = batch = next(batches)
        assert inputs.shape == (PRESET.batch, 3, *PRESET.patch)
        assert target.shape == mask.shape == (PRESET.batch, 1, *PRESET.patch)
        assert {one.dtype for one in batch} == {torch.float32}
        assert set(np.unique(target)) | set(np.unique(mask)) <= {0.0, 1.0}
        learn(*batch)


def test_half_of_the_peers_patches_hold_a_node(tmp_path):
    columns = [small_column(seed, nodes=1) for seed in range(2)]
    given = (columns, EF, PRESET, fit_scaling(EF, columns))
    peers = [monai_batches(*given)]
    try:
        nnunet = nnunet_batches(*given, tmp_path)
        next(nnunet)
        peers.append(nnunet)
    except ImportError:
        pass
    for peer in peers:
        held = [float(next(peer)[1].amax(dim=(1, 2, 3, 4)).mean()) for _ in range(30)]
        assert np.mean(held) >= 0.4


def test_the_report_compares_rates_of_the_same_rounds(monkeypatch):
    text = report({PRODUCT: [4.0, 6.0, 5.0], MONAI: [2.0, 2.0, 5.0]})
    assert "| product | 5.00 | 4.00 to 6.00 |  |" in text
    assert "| MONAI CacheDataset | 2.00 | 2.00 to 5.00 | 2.00 (1.00 to 3.00) |" in text
    clock = iter([0.0, 4.0])
    monkeypatch.setattr(training_speed.time, "perf_counter", lambda: next(clock))
    called = []
    assert rate(lambda: called.append(1), 8) == 2.0 and len(called) == 8 + training_speed.WARM


@pytest.mark.slow
def test_the_command_times_every_side_that_is_there(capsys):
    given = ["--patients", "1", "--rounds", "1", "--steps", "1", "--threads", "1"]
    assert training_speed.main(given) == 0
    said = capsys.readouterr().out
    assert "| MONAI CacheDataset |" in said and ("| nnU-Net" in said or "pip install nnunetv2" in said)
    assert NNUNET.startswith("nnU-Net")
