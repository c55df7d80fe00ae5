"""Random views: three planes through a candidate, from the sides that are asked for."""

import pytest
import torch

from osln.networks.random_views import (
    DropConnect,
    LocallyConnected,
    RandomViewNet,
    all_views,
    cut_views,
    drawn_views,
)
from osln.rows.experiments import PRESETS
from osln.rows.presets import RandomViews

SMALL = RandomViews(8, (12.0, 16.0), 3, 2.0, 2, 2, (2, 3, 4, 5), 6)
ONE_MM = (1.0, 1.0, 1.0)


def place(shift=(0.0, 0.0, 0.0), edge=4.0, rotation=None) -> tuple:
    turn = torch.eye(3) if rotation is None else torch.tensor(rotation)
    return torch.tensor([[edge]]), torch.tensor([[shift]]), turn[None, None]


def axis_values(axis: int, size: int = 8) -> torch.Tensor:
    """(1, 1, 8, 8, 8): each voxel holds its center in mm along an axis, seen from the middle."""
    values = torch.arange(size) + 0.5 - size / 2
    shape = [1, 1, 1]
    shape[axis] = size
    return values.reshape(shape).expand(size, size, size)[None, None].contiguous()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_planes_through_the_center_are_axial_coronal_and_sagittal(axis):
    views = cut_views(axis_values(axis), ONE_MM, 4, *place())[0, 0]

    pixels = torch.tensor([-1.5, -0.5, 0.5, 1.5])
    down, across = pixels[:, None].expand(4, 4), pixels.expand(4, 4)
    expected = [
        {0: down, 1: across}.get(axis, torch.zeros(4, 4)),
        {0: down, 2: across}.get(axis, torch.zeros(4, 4)),
        {1: down, 2: across}.get(axis, torch.zeros(4, 4)),
    ]
    torch.testing.assert_close(views, torch.stack(expected))


def test_a_shift_moves_and_a_wider_view_shows_more():
    moved = cut_views(axis_values(2), ONE_MM, 4, *place(shift=(0.0, 0.0, 1.0)))[0, 0, 0]
    wider = cut_views(axis_values(0), ONE_MM, 4, *place(edge=6.0))[0, 0, 0]

    torch.testing.assert_close(moved, torch.ones(4, 4))
    torch.testing.assert_close(wider[:, 0], torch.tensor([-2.25, -0.75, 0.75, 2.25]))


def test_a_quarter_turn_about_z_takes_x_to_y():
    turn = [[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]

    turned = cut_views(axis_values(1), ONE_MM, 4, *place(rotation=turn))[0, 0, 0]

    torch.testing.assert_close(turned[:, 0], torch.tensor([-1.5, -0.5, 0.5, 1.5]))


def test_a_view_is_measured_in_millimeters_and_repeats_the_patchs_border():
    flat = cut_views(axis_values(2), (1.0, 1.0, 3.0), 4, *place(edge=12.0))[0, 0, 1, 0]
    beyond = cut_views(axis_values(2), ONE_MM, 4, *place(edge=40.0))[0, 0, 1, 0]

    torch.testing.assert_close(flat, torch.tensor([-1.5, -0.5, 0.5, 1.5]))
    torch.testing.assert_close(beyond, torch.tensor([-3.5, -3.5, 3.5, 3.5]))


def test_the_papers_preset_looks_from_a_hundred_sides_first_along_the_axes():
    edges, shifts, turns = all_views(PRESETS["paper"].stage_two.views)

    assert edges.shape == (1, 100) and sorted(set(edges[0].tolist())) == [30, 35, 40, 45]
    assert (shifts[0, 0] == 0).all() and torch.equal(turns[0, 0], torch.eye(3))
    assert shifts.norm(dim=-1).max() <= 3.0 and len(torch.unique(shifts[0], dim=0)) == 5
    torch.testing.assert_close(turns @ turns.transpose(-1, -2), torch.eye(3).expand(1, 100, 3, 3))
    assert turns.det().min() > 0.999
    assert all(
        torch.equal(a, b)
        for a, b in zip((edges, shifts, turns), all_views(PRESETS["paper"].stage_two.views), strict=True)
    )


def test_drawn_views_are_of_the_same_kind():
    torch.manual_seed(0)
    edges, shifts, turns = drawn_views(SMALL, 300)

    assert (
        edges.shape == (300, 2)
        and set(edges.flatten().tolist()) == {12, 16}
        and shifts.norm(dim=-1).max() <= 2.0
    )
    centered = (shifts == 0).all(dim=-1).float().mean().item()
    straight = (turns == torch.eye(3)).flatten(2).all(dim=2).float().mean().item()
    assert centered == pytest.approx(1 / 3, abs=0.06) and straight == pytest.approx(1 / 2, abs=0.06)


def test_at_test_the_probability_is_the_mean_over_all_views():
    torch.manual_seed(1)
    network = RandomViewNet(1, SMALL, ONE_MM).eval()
    patches = 5 * torch.randn(5, 1, 16, 16, 16)

    with torch.inference_mode():
        found = torch.sigmoid(network(patches, None, None))
        placed = tuple(part.expand(5, *part.shape[1:]) for part in all_views(SMALL))
        views = cut_views(patches, ONE_MM, 8, *placed)
        each = torch.sigmoid(network.layers(views.flatten(0, 1))).reshape(5, SMALL.count)

    assert each.std(dim=1).min() > 1e-5
    torch.testing.assert_close(found, each.mean(dim=1))


def test_a_locally_connected_layer_with_equal_weights_is_a_convolution():
    torch.manual_seed(0)
    layer, images = LocallyConnected(2, 3, 4), torch.randn(5, 2, 4, 4)
    weight = torch.randn(3, 2, 3, 3)
    with torch.no_grad():
        layer.weight[:] = weight.reshape(3, 18).T

    torch.testing.assert_close(layer(images), torch.nn.functional.conv2d(images, weight, padding=1))


def test_dropconnect_leaves_out_half_of_the_weights_in_training_only():
    torch.manual_seed(0)
    layer = DropConnect(1000, 1, bias=False)
    torch.nn.init.ones_(layer.weight)
    one_each = torch.eye(1000)

    dropped = (layer.train()(one_each) == 0).float().mean().item()

    assert dropped == pytest.approx(0.5, abs=0.06)
    assert (layer.eval()(one_each) == 1).all()


def test_number_of_weights_by_hand():
    network = RandomViewNet(1, SMALL, ONE_MM)

    convolutions = (25 * 3 * 2 + 2) + (25 * 2 * 3 + 3)
    # 8 pixels pooled twice are 2 x 2 cells.
    local = (4 * 9 * 3 * 4 + 4 * 4) + (4 * 9 * 4 * 5 + 4 * 5)
    full = (4 * 5 * 6 + 6) + (6 + 1)
    assert sum(weight.numel() for weight in network.parameters()) == convolutions + local + full


def test_pet_has_no_place_in_a_view():
    with pytest.raises(ValueError, match="the planes of the CT are the channels of a view; 2 images do not"):
        RandomViewNet(2, SMALL, ONE_MM)
