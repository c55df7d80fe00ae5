"""Every row of the tables has a network, of known size, in each preset."""

from dataclasses import replace

import pytest
import torch

from osln.networks.build import segmenter_network
from osln.rows.experiments import PRESETS, SEGMENTERS

SIZES = {
    # Convolutions, normalization and all: weights of the row with the CT alone.
    ("ct", "paper"): 19_072_769,
    ("ct", "standard"): 1_633_025,
    ("ct", "demo"): 408_897,
    ("ct-se-unet", "paper"): 19_128_537,
    ("ct-se-unet", "demo"): 410_049,
    ("ct-hrnet", "paper"): 21_553_953,
    ("ct-hrnet", "demo"): 204_577,
    ("ct-psnn", "paper"): 7_028_740,
    ("ct-psnn", "demo"): 220_516,
    # Two heads of 27 w w + w + 2 w + w + 1 instead of w + 1, with w = 64 and 8; a width.
    ("ef", "paper"): 19_074_497,
    ("gated-hard", "paper"): 19_074_497 - 65 + 2 * (27 * 64 * 64 + 4 * 64 + 1),
    ("gated-soft", "demo"): 409_329 - 9 + 2 * (27 * 8 * 8 + 4 * 8 + 1) + 1,
    # Four heads; three borders with a width and a place each.
    ("gated-strata", "demo"): 409_329 - 9 + 4 * (27 * 8 * 8 + 4 * 8 + 1) + 3 * 2,
}


def built(name: str, preset: str = "demo") -> torch.nn.Module:
    torch.manual_seed(0)
    return segmenter_network(SEGMENTERS[name], PRESETS[preset])


@pytest.mark.parametrize(("name", "preset"), SIZES)
def test_number_of_weights(name, preset):
    with torch.device("meta"):
        network = built(name, preset)

    assert sum(weight.numel() for weight in network.parameters()) == SIZES[name, preset]


@pytest.mark.parametrize("name", SEGMENTERS)
def test_each_row_reads_its_inputs_and_gives_one_map_of_the_images_size(name):
    segmenter = SEGMENTERS[name]
    network = built(name).eval()

    with torch.inference_mode():
        found = network(torch.zeros(2, len(segmenter.inputs), 16, 24, 8))

    assert found.shape == (2, 1, 16, 24, 8)
    for preset in PRESETS.values():
        assert all(size % network.stride == 0 for size in preset.window + preset.patch)


@pytest.mark.parametrize("name", SEGMENTERS)
def test_at_the_start_a_node_is_as_rare_as_the_preset_says(name):
    network = built(name).eval()

    with torch.inference_mode():
        found = network(torch.zeros(1, len(SEGMENTERS[name].inputs), 16, 16, 16))

    assert PRESETS["demo"].output_bias == -4
    assert found.mean().item() == pytest.approx(-4, abs=1.0)


@pytest.mark.slow
@pytest.mark.parametrize("name", SEGMENTERS)
def test_every_weight_takes_part(name):
    network = built(name)

    network(torch.randn(2, len(SEGMENTERS[name].inputs), 16, 16, 16)).square().sum().backward()

    assert all(weight.grad is not None for weight in network.parameters())


def test_an_unknown_backbone_is_refused():
    with pytest.raises(ValueError, match="unknown backbone 'vit' of ct: expected unet, se-unet, hrnet"):
        segmenter_network(replace(SEGMENTERS["ct"], backbone="vit"), PRESETS["demo"])
