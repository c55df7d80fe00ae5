"""The trunk has the published sizes, fuses slices where it should and shares images between key slices."""

import torch

from osln.networks.mulan_trunk import SliceFusion, Trunk


def small() -> Trunk:
    torch.manual_seed(0)
    return Trunk(3, first=8, growth=4, blocks=(1, 1, 1), channels=6).eval()


def test_fusion_starts_as_the_map_of_the_key_image():
    below, key, above = torch.randn(3, 2, 5, 4, 4)

    torch.testing.assert_close(SliceFusion(5)(below, key, above), key)


def test_fusion_adds_what_its_weights_take_from_the_neighbors():
    fusion = SliceFusion(2)
    with torch.no_grad():
        fusion.conv.weight[0, 1] = 3.0  # channel 1 of the image below
        fusion.conv.weight[1, 4] = -1.0  # channel 0 of the image above
    below, key, above = (torch.full((1, 2, 1, 1), value) for value in (1.0, 10.0, 100.0))

    assert fusion(below, key, above).detach().flatten().tolist() == [10 + 3 * 1, 10 - 100]


def test_the_blocks_have_the_channels_of_densenet_121():
    with torch.device("meta"):
        trunk = Trunk(3, first=64, growth=32, blocks=(6, 12, 24), channels=512)

    assert trunk.stem[0].weight.shape == (64, 3, 7, 7)
    assert [lateral.weight.shape for lateral in trunk.lateral] == [
        (512, 256, 1, 1),
        (512, 512, 1, 1),
        (512, 1024, 1, 1),
    ]
    assert trunk.inner_fusion.conv.weight.shape == (256, 3 * 256, 1, 1)
    assert trunk.final_fusion.conv.weight.shape == (512, 3 * 512, 1, 1)


def test_the_map_has_a_quarter_of_the_resolution():
    with torch.inference_mode():
        maps = small()(torch.randn(3, 3, 48, 32), torch.tensor([[0, 1, 2]]))

    assert maps.shape == (1, 6, 12, 8)


def test_neighbors_change_nothing_before_the_fusions_have_learned():
    trunk, images = small(), torch.randn(5, 3, 32, 32)
    with torch.inference_mode():
        one = trunk(images, torch.tensor([[0, 1, 2]]))
        other = trunk(images, torch.tensor([[3, 1, 4]]))

    torch.testing.assert_close(one, other)


def test_neighbors_count_from_both_sides_after_they_have_learned():
    trunk, images = small(), torch.randn(5, 3, 32, 32)
    torch.nn.init.normal_(trunk.inner_fusion.conv.weight)
    torch.nn.init.normal_(trunk.final_fusion.conv.weight)
    with torch.inference_mode():
        one = trunk(images, torch.tensor([[0, 1, 2]]))
        others = [trunk(images, torch.tensor([triple])) for triple in ([3, 1, 2], [0, 1, 3], [2, 1, 0])]

    assert not any(torch.allclose(one, other) for other in others)


def test_key_slices_that_share_images_get_the_maps_they_get_alone():
    trunk, images = small(), torch.randn(4, 3, 32, 32)
    torch.nn.init.normal_(trunk.inner_fusion.conv.weight)
    torch.nn.init.normal_(trunk.final_fusion.conv.weight)
    triples = torch.tensor([[0, 1, 2], [1, 2, 3], [0, 0, 1]])
    with torch.inference_mode():
        together = trunk(images, triples)
        alone = [trunk(images[triple], torch.tensor([[0, 1, 2]])) for triple in triples]

    torch.testing.assert_close(together, torch.cat(alone))


def test_the_three_levels_are_added_from_coarse_to_fine():
    trunk = small()
    levels = [torch.zeros(1, n, side, side) for n, side in ((12, 4), (10, 2), (9, 1))]
    with torch.no_grad():
        for k, lateral in enumerate(trunk.lateral):
            torch.nn.init.zeros_(lateral.weight)
            lateral.bias.fill_(10.0**k)
        total = trunk._top_down(levels)

    assert total.shape == (1, 6, 4, 4) and (total == 111).all()
