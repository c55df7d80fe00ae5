"""Windows cover what is needed, skip what is not, and blend without a trace."""

import numpy as np
import pytest

from osln.stage_one.windows import fit_window, plan_windows, predict_windows


def test_starts_along_a_column_overlap_by_a_quarter_at_least_and_end_with_the_field():
    needed = np.ones((4, 4, 125), dtype=bool)

    assert plan_windows(needed, (4, 4, 64)) == [(0, 0, 0), (0, 0, 48), (0, 0, 61)]


@pytest.mark.parametrize(
    ("field", "window", "starts"),
    [
        (64, 64, [0]),
        (40, 64, [0]),
        (65, 64, [0, 1]),
        (112, 64, [0, 48]),
        (113, 64, [0, 48, 49]),
        (3, 1, [0, 1, 2]),
    ],
)
def test_starts_by_hand(field, window, starts):
    planned = plan_windows(np.ones((1, field, 1), dtype=bool), (1, window, 1))

    assert [y for _, y, _ in planned] == starts


def test_every_needed_voxel_is_in_a_window_whatever_the_field():
    for field in range(1, 60):
        covered = np.zeros(field, dtype=bool)
        for _, _, start in plan_windows(np.ones((1, 1, field), dtype=bool), (1, 1, 16)):
            assert start == 0 or start + 16 <= field
            covered[start : start + 16] = True
        assert covered.all()


def test_windows_without_a_needed_voxel_are_not_planned():
    needed = np.zeros((10, 4, 125), dtype=bool)
    needed[9, 0, 47] = True

    assert plan_windows(needed, (8, 4, 64)) == [(2, 0, 0)]
    needed[9, 0, 47], needed[0, 3, 112] = False, True
    assert plan_windows(needed, (8, 4, 64)) == [(0, 0, 61)]
    assert plan_windows(np.zeros((10, 4, 125), dtype=bool), (8, 4, 64)) == []


def test_windows_are_no_larger_than_the_field_rounded_up_to_the_networks_stride():
    assert fit_window((220, 50, 33), (224, 88, 64), 8) == (224, 56, 40)
    assert fit_window((500, 88, 64), (224, 88, 64), 8) == (224, 88, 64)


def test_a_constant_network_gives_a_constant_map():
    images = np.zeros((2, 20, 18, 30), dtype=np.float32)

    result = predict_windows(
        lambda x: np.full(x.shape[1:], 0.7, np.float32), images, np.ones((20, 18, 30), bool), (16, 16, 16)
    )

    assert result.shape == (20, 18, 30) and result.dtype == np.float32
    np.testing.assert_allclose(result, 0.7, rtol=1e-6)


@pytest.mark.parametrize("shape", [(20, 18, 30), (16, 16, 16), (9, 20, 5), (7, 7, 7)])
def test_a_network_that_returns_its_input_gives_the_input_back(shape):
    images = np.random.default_rng(0).random((3, *shape), dtype=np.float32)
    seen = []

    def second_channel(x):
        seen.append(x)
        return x[1]

    result = predict_windows(second_channel, images, np.ones(shape, bool), (16, 16, 16))

    np.testing.assert_allclose(result, images[1], rtol=1e-6)
    assert {x.shape for x in seen} == {(3, 16, 16, 16)}
    assert all(x.flags.c_contiguous and x.dtype == np.float32 for x in seen)


def test_small_fields_are_padded_with_their_edge_values():
    images = np.arange(6, dtype=np.float32).reshape(1, 3, 2, 1)
    seen = []

    def keep(x):
        seen.append(x.copy())
        return x[0]

    predict_windows(keep, images, np.ones((3, 2, 1), bool), (4, 4, 2))

    np.testing.assert_array_equal(
        seen[0][0, :, :, 1], [[0, 1, 1, 1], [2, 3, 3, 3], [4, 5, 5, 5], [4, 5, 5, 5]]
    )


def test_a_field_smaller_than_the_window_without_a_needed_voxel_asks_nothing():
    def never(_):
        raise AssertionError("no window holds a needed voxel")

    result = predict_windows(never, np.ones((1, 5, 6, 7), np.float32), np.zeros((5, 6, 7), bool), (8, 8, 8))

    assert result.shape == (5, 6, 7) and not result.any()


def test_what_no_window_has_seen_is_zero():
    needed = np.zeros((4, 4, 40), dtype=bool)
    needed[:, :, 0] = True

    result = predict_windows(
        lambda x: np.ones(x.shape[1:], np.float32), np.zeros((1, 4, 4, 40), np.float32), needed, (4, 4, 16)
    )

    assert (result[:, :, :16] == 1).all() and (result[:, :, 16:] == 0).all()


def test_a_voxel_believes_the_window_that_it_is_nearer_to_the_center_of():
    answers = iter([0.0, 1.0])

    result = predict_windows(
        lambda x: np.full(x.shape[1:], next(answers), np.float32),
        np.zeros((1, 1, 1, 28), np.float32),
        np.ones((1, 1, 28), bool),
        (1, 1, 16),
    )[0, 0]

    # Windows 0-15 and 12-27, centers 7.5 and 19.5: the mean is between 13 and 14.
    assert (result[:12] == 0).all() and (result[16:] == 1).all()
    assert 0 < result[12] < result[13] < 0.5 < result[14] < result[15] < 1
    # SD is 16 / 8 = 2 voxels: at 13, 5.5 and 6.5 voxels away.
    near, far = np.exp(-0.5 * (5.5 / 2) ** 2), np.exp(-0.5 * (6.5 / 2) ** 2)
    assert result[13] == pytest.approx(far / (near + far), rel=1e-4)
