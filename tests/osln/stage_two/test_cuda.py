"""Stage two on a GPU gives the scores of the CPU."""

import numpy as np
import pytest
import torch

from osln.imaging.transforms import Scaling
from osln.networks.build import classifier_network
from osln.rows.experiments import CLASSIFIERS, PRESETS
from osln.stage_two.scoring import CandidateScorer
from osln.weights.checkpoint import Checkpoint
from small.candidates import small_patches, tiny_preset
from small.cuda import on_gpu


@on_gpu
@pytest.mark.parametrize("name", ["local-ct-pet", "set-glnet"])
@pytest.mark.parametrize(("numbers", "apart"), [("f32", 1e-4), ("f16", 0.01), ("bf16", 0.05)])
def test_a_gpu_gives_the_same_scores_up_to_its_numbers(monkeypatch, name, numbers, apart):
    monkeypatch.setitem(PRESETS, "tiny", tiny_preset())
    torch.manual_seed(0)
    network = classifier_network(CLASSIFIERS[name], PRESETS["tiny"])
    weights = Checkpoint(name, "tiny", Scaling(pet_mean=1.0), network.state_dict(), "nothing")
    patches = small_patches(np.arange(9) % 2 == 0)

    on_cpu = CandidateScorer(weights, "cpu", "f32").scores(patches)
    found = CandidateScorer(weights, "cuda", numbers).scores(patches)

    np.testing.assert_allclose(found, on_cpu, atol=apart)
