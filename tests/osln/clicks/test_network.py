import numpy as np
import pytest
import safetensors.torch
import torch

from osln.clicks.answering import Answerer, InUse
from osln.clicks.clicks import Clicks
from osln.clicks.network import FILE, ClickNetwork, empty_network, save_network
from osln.clicks.patch import COARSE_MM, FINE_MM, SIZE, box_around, channels, click_map, cut
from osln.imaging.grid import Grid, Volume
from osln.learning.fit import weights_of
from osln.weights.shipped import ship_click
from small.clicks import CENTER, RADIUS_MM, Bright, ball, beside, clicks, ct, in_canonical_order, mm


@pytest.fixture
def file(tmp_path):
    torch.manual_seed(0)
    save_network(tmp_path / FILE, weights_of(empty_network()), {"trained_on": "phantom"})
    return tmp_path / FILE


def test_the_box_has_the_click_in_its_middle_and_the_axes_of_the_ct():
    grid = box_around(np.array([10.0, 20.0, 30.0]), np.eye(3), 1.5, 4)
    np.testing.assert_allclose(grid.index_to_mm(np.full(3, 1.5)), [10.0, 20.0, 30.0])
    assert grid.spacing_mm.tolist() == [1.5, 1.5, 1.5] and COARSE_MM == 2 * FINE_MM


def test_a_click_is_one_at_its_place_and_falls_with_the_distance():
    grid = Grid((9, 9, 9), np.diag([2.5, 2.5, 2.5, 1.0]))
    there = click_map(np.array([[10.0, 10.0, 10.0]]), grid)
    assert there[4, 4, 4] == 1.0 and there[6, 4, 4] == pytest.approx(np.exp(-1))
    two = click_map(np.array([[10.0, 10.0, 10.0], [0.0, 0.0, 0.0]]), grid)
    assert two[0, 0, 0] == two[4, 4, 4] == 1.0
    assert not click_map(np.zeros((0, 3)), grid).any()


def test_what_lies_beyond_the_ct_is_air_and_told_so():
    patch = cut(ct(), None, box_around(mm([0, 20, 10]), np.eye(3), 2.0, 20))
    assert patch.inside.any() and not patch.inside.all() and patch.pet_suv is None
    assert (patch.ct_hu[~patch.inside] < -900).all()
    assert (patch.ct_hu[patch.inside] > -400).all()


def test_the_channels_say_whether_there_is_a_pet():
    grid = box_around(mm(CENTER), np.eye(3), 2.0, 8)
    pet = Volume(np.full(ct().grid.shape, 3.0, np.float32), ct().grid, ct().file_grid)
    given = clicks([CENTER], [beside(1, 0, 0)])
    with_pet, without = (channels(cut(ct(), one, grid), given) for one in (pet, None))
    # SUV 3 is (3 - 1) / 2.
    assert (with_pet[1] == 1.0).all() and (with_pet[2] == 1.0).all()
    assert not without[1:3].any()
    np.testing.assert_array_equal(with_pet[[0, 3, 4]], without[[0, 3, 4]])


def test_a_stored_network_answers_as_the_trained_one_does(file):
    network = ClickNetwork.load(file, threads=1)
    given = clicks([CENTER])
    patch = cut(ct(), None, box_around(given.center_mm, np.eye(3), FINE_MM))
    torch.manual_seed(0)
    with torch.inference_mode():
        logits = empty_network().eval()(torch.from_numpy(channels(patch, given)[None]))
    answer = network(patch, given)
    assert answer.shape == (SIZE, SIZE, SIZE)
    np.testing.assert_allclose(answer, torch.sigmoid(logits)[0, 0].numpy(), atol=5e-3)
    assert file.stat().st_size < 600_000 and network.metadata["trained_on"] == "phantom"


def test_other_files_are_refused_in_words(file, tmp_path):
    with pytest.raises(ValueError, match="no weights of the click network"):
        ClickNetwork.load(tmp_path / "none.safetensors")
    (tmp_path / "text").write_text("text")
    with pytest.raises(ValueError, match="is no safetensors file"):
        ClickNetwork.load(tmp_path / "text")
    other = tmp_path / "other.safetensors"
    other.write_bytes(safetensors.torch.save({"a": torch.zeros(1)}))
    with pytest.raises(ValueError, match="holds no click network"):
        ClickNetwork.load(other)
    save_network(other, {"a": torch.zeros(1)}, {})
    with pytest.raises(ValueError, match="tensors differ"):
        ClickNetwork.load(other)
    weights = weights_of(empty_network())
    weights[next(name for name in weights if name.endswith("running_var"))][0] = -1.0
    save_network(other, weights, {"trained_on": "phantom"})
    with pytest.raises(ValueError, match=r"of the click network is negative: \./scripts/osln train-click"):
        ClickNetwork.load(other)
    with pytest.raises(ValueError, match="not finite"):
        save_network(other, {"a": torch.full((2, 2), 1e6)}, {})


def test_the_shipped_network_answers_if_it_is_the_one_that_was_shipped(file, tmp_path):
    assert InUse(tmp_path / "nowhere")().network is None
    ship_click(file, "phantom", "a command")
    in_use = InUse(tmp_path)
    assert in_use().network is not None and in_use() is in_use()
    save_network(file, weights_of(empty_network()), {"trained_on": "phantom"})
    with pytest.raises(ValueError, match=r"are not those that manifest\.json names"):
        InUse(tmp_path)()


@pytest.mark.parametrize(("radius_mm", "whose"), [(7.0, "network"), (11.0, "classical")])
def test_large_nodes_are_the_classical_ways(radius_mm, whose):
    image = Volume(in_canonical_order(np.where(ball(CENTER, radius_mm), 40, -100)), ct().grid, ct().file_grid)
    # One that finds nothing but the click, so that it is told whose answer came.
    answer = Answerer(Bright(500.0), Bright())
    found, told = answer(image, None, clicks([CENTER]))
    assert told == whose and (found.node.sum() == 1) == (whose == "network")
    grown, told = answer(image, None, clicks([CENTER]), 9.0)
    assert told == whose and grown.radius_mm == pytest.approx(9.0, rel=0.06)


def test_without_weights_all_is_the_classical_ways():
    found, told = Answerer(None, Bright())(ct(), None, clicks([CENTER]))
    assert told == "classical" and found.radius_mm == pytest.approx(RADIUS_MM, rel=0.06)


def test_clicks_far_outside_the_box_do_no_harm(file):
    network = ClickNetwork.load(file, threads=1)
    far = Clicks(mm(CENTER)[None], mm(CENTER)[None] + 500.0)
    patch = cut(ct(), None, box_around(far.center_mm, np.eye(3), FINE_MM))
    assert np.isfinite(network(patch, far)).all()


def test_a_correction_is_answered_by_whom_the_first_click_chose():
    class Small(Bright):
        """Sees a large node at the first click alone."""

        def __call__(self, patch, clicks):
            first = len(clicks.foreground) == 1 and not len(clicks.background)
            return super().__call__(patch, clicks) if first else np.zeros(patch.grid.shape, np.float32)

    image = Volume(in_canonical_order(np.where(ball(CENTER, 11.0), 40, -100)), ct().grid, ct().file_grid)
    answer = Answerer(Bright(), Small())
    given = clicks([CENTER, beside(1, 0, 0)], [beside(8, 0, 0)])
    found, told = answer(image, None, given)
    assert told == "classical" and found.radius_mm < 4.0
