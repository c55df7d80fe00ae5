"""Parts of a batch in several processes give the loss, gradients and statistics of the whole batch."""

from itertools import chain

import pytest
import torch
from torch import nn

from osln.learning.team import ALONE, Team, TeamNorm, normalize_together
from small.lessons import in_processes
from small.parted import handed, learned


@pytest.mark.parametrize(("count", "size"), [(8, 2), (8, 3), (5, 5), (8, 1), (3, 4)])
def test_the_parts_are_the_whole_in_order_and_differ_by_one_at_most(count, size):
    parts = [list(range(count))[Team(rank, size).part(count)] for rank in range(size)]

    assert [*chain.from_iterable(parts)] == list(range(count))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_one_process_alone_changes_nothing():
    parameter = nn.Parameter(torch.ones(2))
    parameter.grad = torch.tensor([1.0, 2.0])
    values = torch.ones(3)

    ALONE.mean_gradients([parameter])

    assert ALONE.summed(values) is values and ALONE.handed(values) is values
    assert parameter.grad.tolist() == [1.0, 2.0]


def test_normalization_keeps_names_weights_and_what_it_does_alone():
    usual, changed = (nn.Sequential(nn.Conv3d(1, 2, 1), nn.BatchNorm3d(2)) for _ in range(2))
    changed.load_state_dict(usual.state_dict())
    normalize_together(changed, ALONE)
    x = torch.randn(2, 1, 3, 3, 3)

    assert isinstance(changed[1], TeamNorm) and changed.state_dict().keys() == usual.state_dict().keys()
    assert torch.equal(changed(x), usual(x))
    assert torch.equal(changed.eval()(x), usual.eval()(x))


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 3])
def test_parts_of_a_batch_give_what_the_whole_batch_gives(tmp_path, processes):
    whole = learned()
    found = in_processes(processes, learned, tmp_path)

    for one in found:
        assert one.keys() == whole.keys()
        for name, value in whole.items():
            torch.testing.assert_close(one[name], value, rtol=1e-9, atol=1e-12, msg=name)
    # Every process has the same bits, else their weights would part.
    assert all(torch.equal(one[name], found[0][name]) for one in found[1:] for name in whole)


@pytest.mark.slow
def test_what_the_first_one_hands_out_all_have(tmp_path):
    first, second = in_processes(2, handed, tmp_path)

    assert first["of"] == second["of"] == 0 and second["numbers"].tolist() == [0, 1, 2]
