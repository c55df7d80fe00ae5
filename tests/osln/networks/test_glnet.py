"""The stage-two network: its size, its averages inside boxes, and that candidates do not see each other."""

import pytest
import torch

from osln.networks.glnet import GLNet, roi_average
from osln.rows.experiments import CLASSIFIERS, PRESETS

PAPER = PRESETS["paper"].stage_two


def weights_of(network: GLNet) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def block(inputs: int, width: int) -> int:
    """Two 3 x 3 x 3 convolutions and the shortcut, each with scale and offset of its normalization."""
    return 27 * inputs * width + 27 * width * width + inputs * width + 3 * 2 * width


def test_the_papers_size_is_that_of_four_blocks_of_256_features_and_171_tags():
    blocks = block(2, 32) + block(32, 64) + block(64, 128) + block(128, 256)
    features = sum((width + 1) * 256 for width in (32, 64, 128, 256))
    network = GLNet.of(CLASSIFIERS["glnet"], PAPER)

    assert network.score.in_features == 1024 + 171 and network.score.out_features == 1
    assert weights_of(network) == blocks + features + 1024 + 171 + 1 == 3_684_076


@pytest.mark.parametrize(
    ("name", "channels", "inputs"),
    [("glnet", 2, 1195), ("local-ct-pet", 2, 1024), ("local-ct", 1, 1024), ("tag", None, 171)],
)
def test_each_row_has_its_own_inputs(name, channels, inputs):
    network = GLNet.of(CLASSIFIERS[name], PAPER)

    assert network.score.in_features == inputs
    assert len(network.blocks) == (0 if channels is None else 4)
    if channels:
        assert network.blocks[0].first.in_channels == channels


def test_each_block_but_the_first_halves_the_resolution():
    network = GLNet.of(CLASSIFIERS["local-ct"], PRESETS["demo"].stage_two).eval()
    x = torch.zeros(1, 1, 20, 20, 16)
    shapes = []
    for layer in network.blocks:
        x = layer(x)
        shapes.append(tuple(x.shape[1:]))
    assert shapes == [(8, 20, 20, 16), (16, 10, 10, 8), (32, 5, 5, 4), (64, 3, 3, 2)]


def test_the_tags_alone_are_a_logistic_regression():
    network = GLNet.of(CLASSIFIERS["tag"], PAPER)
    with torch.no_grad():
        network.score.weight.zero_()
        network.score.weight[0, 3], network.score.weight[0, 170], network.score.bias[0] = 2.0, -1.0, 0.5
    tags = torch.zeros(2, 171)
    tags[0, 3], tags[1, 170] = 0.25, 0.5
    assert network(None, None, tags).tolist() == pytest.approx([1.0, 0.0])


def boxes(*faces) -> torch.Tensor:
    return torch.tensor(faces, dtype=torch.float32)


def ramp(cells: int) -> torch.Tensor:
    """(1, 1, cells, 1, 1) map 0, 1, 2, ..."""
    return torch.arange(float(cells)).reshape(1, 1, cells, 1, 1)


ALL = [0.0, 1.0]


def test_at_full_resolution_the_average_is_that_of_the_boxs_voxels():
    features = torch.arange(2 * 4 * 3 * 2.0).reshape(1, 2, 4, 3, 2)
    found = roi_average(features, boxes([[1, 3], [0, 2], [1, 2]]), 1)
    wanted = features[0, :, 1:3, 0:2, 1:2].mean(dim=(1, 2, 3))
    assert found[0].tolist() == pytest.approx(wanted.tolist())


@pytest.mark.parametrize(
    ("stride", "faces", "average"),
    [
        (2, [2, 6], 1.5),  # cells 1 and 2, whole
        (2, [3, 6], (1 * 1 + 2 * 2) / 3),  # half of cell 1, all of cell 2
        (8, [9, 10], 1.0),  # a voxel inside cell 1
        (8, [7, 10], (1 * 0 + 2 * 1) / 3),  # a voxel of cell 0, two of cell 1
        (8, [7.5, 8.25], (0.5 * 0 + 0.25 * 1) / 0.75),  # a candidate that was resampled
        (8, [17, 20], 2.0),  # in the last cell, of which the patch of 20 fills one half
        (4, [-3, 6], (4 * 0 + 2 * 1) / 6),  # beyond the patch nothing is averaged
    ],
)
def test_cells_count_by_their_covered_share(stride, faces, average):
    found = roi_average(ramp(3), boxes([faces, [0, stride], [0, stride]]), stride)
    assert found.tolist() == [[pytest.approx(average)]]


def test_each_candidate_has_its_own_box():
    features = ramp(3).expand(2, 1, 3, 1, 1)
    found = roi_average(features, boxes([[0, 1], ALL, ALL], [[1, 3], ALL, ALL]), 1)
    assert found[:, 0].tolist() == pytest.approx([0.0, 1.5])


def test_no_candidate_has_no_average():
    assert roi_average(torch.zeros(0, 5, 3, 3, 3), torch.zeros(0, 3, 2), 2).shape == (0, 5)


def test_a_score_does_not_depend_on_the_other_candidates():
    torch.manual_seed(1)
    network = GLNet(2, (4, 4, 8, 8), 8, 171, dropout=0.3).eval()
    patches, tags = torch.randn(5, 2, 12, 12, 8), torch.rand(5, 171)
    places = boxes(*[[[4, 4 + n], [3, 7], [2, 5]] for n in range(1, 6)])
    with torch.inference_mode():
        together = network(patches, places, tags)
        alone = [network(patches[n : n + 1], places[n : n + 1], tags[n : n + 1])[0] for n in range(5)]
        changed = patches.clone()
        changed[1:] *= 3
        beside_others = network(changed, places, tags)[0]
    assert together.tolist() == pytest.approx([float(x) for x in alone], abs=1e-5)
    assert float(beside_others) == pytest.approx(float(together[0]), abs=1e-5)
    assert len(set(together.tolist())) == 5


def test_only_training_leaves_out_features():
    network = GLNet(1, (4, 4, 4, 4), 64, 0, dropout=0.5)
    x, place = torch.randn(4, 1, 8, 8, 8), boxes(*[[[2, 6]] * 3] * 4)
    torch.manual_seed(0)
    first, second = network(x, place, None), network(x, place, None)
    assert not torch.equal(first, second)
    network.eval()
    assert torch.equal(network(x, place, None), network(x, place, None))


def test_a_network_that_sees_nothing_is_refused():
    with pytest.raises(ValueError, match="needs a local patch, tags or both"):
        GLNet(0, (4, 4, 4, 4), 8, 0)
