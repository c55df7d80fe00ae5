"""LesaNet has the published size and names, pools where it should and starts without propagation."""

import pytest
import torch

from osln.networks.lesanet import LesaNet

CONVOLUTIONS = "1_1 1_2 2_1 2_2 3_1 3_2 3_3 4_1 4_2 4_3 5_1 5_2 5_3".split()


def small() -> LesaNet:
    torch.manual_seed(0)
    return LesaNet(width=2, embedding=4).eval()


def pooled_parts(network: LesaNet, images: torch.Tensor, boxes: torch.Tensor) -> list[torch.Tensor]:
    """What the five blocks hand to their linear layers, (N, channels, 5, 5) each."""
    parts: list[torch.Tensor] = []
    for block in range(1, 6):
        layer = getattr(network, f"fc_pool{block}")
        layer.register_forward_pre_hook(lambda _, given: parts.append(given[0].unflatten(1, (-1, 5, 5))))
    with torch.inference_mode():
        network(images, boxes)
    return parts


def test_the_network_has_the_published_number_of_parameters():
    with torch.device("meta"):
        network = LesaNet()

    assert sum(p.numel() for p in network.parameters()) == 24_721_615


def test_the_parameters_have_the_published_names_and_shapes():
    with torch.device("meta"):
        state = LesaNet().state_dict()

    wanted = {f"conv{name}.{part}" for name in CONVOLUTIONS for part in ("weight", "bias")}
    kept = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    wanted |= {f"bn{name}.{part}" for name in CONVOLUTIONS for part in kept}
    heads = [*(f"fc_pool{block}" for block in range(1, 6)), "fc_emb", "class_scores1", "class_scores2"]
    wanted |= {f"{name}.{part}" for name in heads for part in ("weight", "bias")}
    assert state.keys() == wanted
    assert state["conv1_1.weight"].shape == (64, 3, 3, 3)
    assert state["conv5_3.weight"].shape == (512, 512, 3, 3)
    assert [state[f"fc_pool{block}.weight"].shape for block in range(1, 6)] == [
        (256, 1600),
        (256, 3200),
        (256, 6400),
        (256, 12800),
        (256, 12800),
    ]
    assert state["fc_emb.weight"].shape == (256, 1280)
    assert state["class_scores1.weight"].shape == (171, 1280)
    assert state["class_scores2.weight"].shape == (171, 171)


def test_a_narrow_network_scales_all_blocks_alike():
    state = LesaNet(width=2, embedding=4).state_dict()

    assert [state[f"conv{block}_1.weight"].shape[0] for block in range(1, 6)] == [2, 4, 8, 16, 16]
    assert state["fc_pool5.weight"].shape == (4, 16 * 25)
    assert state["class_scores1.weight"].shape == (171, 20)


def test_score_propagation_starts_as_identity_and_embeddings_have_length_one():
    with torch.inference_mode():
        result = small()(torch.randn(3, 3, 120, 120), torch.tensor([[40.0, 50.0, 60.0, 70.0]]).expand(3, 4))

    assert result.logits.shape == (3, 171)
    torch.testing.assert_close(result.propagated, result.logits)
    torch.testing.assert_close(result.embedding.norm(dim=1), torch.ones(3))


def test_propagation_mixes_the_scores_of_the_first_head():
    network = small()
    with torch.inference_mode():
        network.class_scores2.weight[7, 3] = 2.0
        network.class_scores2.bias[7] = 0.5
        result = network(torch.randn(1, 3, 120, 120), torch.tensor([[40.0, 50.0, 60.0, 70.0]]))

    torch.testing.assert_close(result.propagated[0, 7], result.logits[0, 7] + 2 * result.logits[0, 3] + 0.5)


def test_the_first_three_blocks_look_into_the_lesion_box_and_the_last_two_at_the_whole_patch():
    images = torch.randn(1, 3, 120, 120)
    one = pooled_parts(small(), images, torch.tensor([[40.0, 40.0, 60.0, 60.0]]))
    other = pooled_parts(small(), images, torch.tensor([[70.0, 20.0, 90.0, 50.0]]))

    same = [bool(torch.equal(a, b)) for a, b in zip(one, other, strict=True)]
    assert same == [False, False, False, True, True]


def test_pooling_takes_the_maximum_of_whole_pixels_with_the_last_one_included():
    # Identity layers hand the image itself to the first pooling: pixel value = column + 200 * row.
    network = small()
    for name in ("1_1", "1_2"):
        convolution, norm = getattr(network, f"conv{name}"), getattr(network, f"bn{name}")
        torch.nn.init.dirac_(convolution.weight)
        torch.nn.init.zeros_(convolution.bias)
        norm.eps = 0.0
    row, column = torch.meshgrid(torch.arange(120.0), torch.arange(120.0), indexing="ij")
    images = (column + 200 * row).expand(1, 3, 120, 120)

    # Columns 9.6 to 19.4 are pixels 10 to 19, two for each of the five parts; rows 29.5 to 39.4 are 30 to 39.
    part = pooled_parts(network, images, torch.tensor([[9.6, 29.5, 19.4, 39.4]]))[0]

    last_columns = torch.tensor([11.0, 13.0, 15.0, 17.0, 19.0])
    last_rows = torch.tensor([31.0, 33.0, 35.0, 37.0, 39.0])
    torch.testing.assert_close(part[0, 0], last_columns + 200 * last_rows[:, None])


def test_each_lesion_is_pooled_in_its_own_image():
    images = torch.randn(2, 3, 120, 120)
    boxes = torch.tensor([[40.0, 40.0, 60.0, 60.0], [10.0, 30.0, 35.0, 50.0]])
    network = small()

    with torch.inference_mode():
        together = network(images, boxes).logits
        apart = [network(images[i : i + 1], boxes[i : i + 1]).logits for i in range(2)]

    torch.testing.assert_close(together, torch.cat(apart))


@pytest.mark.parametrize("box", [[0.0, 0.0, 0.0, 0.0], [100.0, 100.0, 140.0, 150.0]])
def test_a_box_of_one_pixel_or_beyond_the_patch_gives_finite_scores(box):
    with torch.inference_mode():
        result = small()(torch.randn(1, 3, 120, 120), torch.tensor([box]))

    assert result.propagated.isfinite().all()


def test_scores_are_single_precision_under_autocast():
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        result = small()(torch.randn(1, 3, 120, 120), torch.tensor([[40.0, 50.0, 60.0, 70.0]]))

    assert {part.dtype for part in result} == {torch.float32}
