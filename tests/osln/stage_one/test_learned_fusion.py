"""Fusion by weights: log odds added by hand, weights found where they are known, refusals in words."""

import numpy as np
import pytest

from osln.rows.experiments import GATED, LATE_FUSION, ROWS, Row
from osln.stage_one.fusion import fused_map
from osln.stage_one.learned_fusion import (
    LEAST,
    FusionLesson,
    LearnedFusion,
    ZoneFusion,
    log_odds,
    mean_fusion,
)

DISTANCE = np.array([0.0, 50.0, 100.0], dtype=np.float32).reshape(3, 1, 1)
"""Two proximal voxels and a distal one."""


def line(*values):
    return np.array(values, dtype=np.float32).reshape(3, 1, 1)


MAPS = {
    # Log odds log(3), 0, log(3) and -log(3), log(9), 0.
    "ct-proximal": line(0.75, 0.5, 0.9),
    "ef-proximal": line(0.25, 0.9, 0.9),
    "ct-distal": line(0.9, 0.9, 0.75),
    "ef-distal": line(0.9, 0.9, 0.5),
}
LEARNED = LearnedFusion(
    {
        "proximal": ZoneFusion(-np.log(2.0), {"ct-proximal": 1.0, "ef-proximal": 0.5}, 2 * np.log(2.0)),
        "distal": ZoneFusion(0.0, {"ct-distal": 0.0, "ef-distal": 1.0}, np.log(4.0)),
    }
)


def test_learned_weights_by_hand():
    fused = LEARNED(MAPS, DISTANCE)

    # log 3 - log 3 / 2 - log 2: odds sqrt(3) / 2. Then log 9 / 2 - log 2 + log 2: odds 3. Then log 4: odds 4.
    odds = np.array([np.sqrt(3) / 2, 3, 4])
    np.testing.assert_allclose(fused.ravel(), odds / (1 + odds), rtol=1e-5)
    assert fused.dtype == np.float32


def test_the_mean_of_the_log_odds_by_hand():
    fused = fused_map(ROWS["lf-mean"], MAPS, DISTANCE)

    # Odds: geometric mean of 3 and 1/3, of 1 and 9, and of 3 and 1.
    odds = np.array([1, 3, np.sqrt(3)])
    np.testing.assert_allclose(fused.ravel(), odds / (1 + odds), rtol=1e-5)


def test_a_network_without_a_zone_is_one_more_voice_in_each():
    row = Row("", "", (*LATE_FUSION, "ef"), fusion="mean")
    fused = fused_map(row, MAPS | {"ef": line(0.5, 0.9, 0.25)}, DISTANCE)

    # The third odds: 1, 9 and 1/3.
    odds = np.array([1, 1 * 9 * 9, 3 * 1 / 3]) ** (1 / 3)
    np.testing.assert_allclose(fused.ravel(), odds / (1 + odds), rtol=1e-5)


def test_networks_without_zones_are_fused_everywhere_alike():
    maps = dict(zip(GATED, (line(0.5, 0.9, 0.25), line(0.75, 0.5, 0), line(0.5, 0.5, 0)), strict=True))
    fused = fused_map(ROWS["gated-mean"], maps, DISTANCE)

    # Odds of 1, 3 and 1; of 9, 1 and 1; of 1/3 and twice of .0009 to .9991, as silent as can be.
    odds = np.array([3, 9, 1 / 3 * (0.0009 / 0.9991) ** 2]) ** (1 / 3)
    np.testing.assert_allclose(fused.ravel(), odds / (1 + odds), rtol=1e-5)


def test_where_no_network_of_the_zone_says_anything_the_map_is_zero():
    silent = MAPS | {"ct-proximal": line(0.0, 0.5, 0), "ef-proximal": line(0.0005, 0.9, 0)}
    assert LEARNED(silent, DISTANCE)[0, 0, 0] == 0 < LEARNED(silent, DISTANCE)[1, 0, 0]


def test_certainty_ends_at_ten_log_odds():
    assert log_odds(np.array([0.0, 0.5, 1.0])).tolist() == pytest.approx([-10, 0, 10], abs=1e-2)


def test_to_the_mean_all_that_no_table_keeps_is_alike():
    maps = MAPS | {"ct-proximal": line(0.0, 0.5, 0), "ef-proximal": line(0.5, 0.9, 0)}
    odds = np.sqrt(LEAST / (1 - LEAST))
    for least in (0.0, 0.0005, LEAST):
        maps["ct-proximal"][0, 0, 0] = least
        told = fused_map(ROWS["lf-mean"], maps, DISTANCE)[0, 0, 0]
        assert told == pytest.approx(odds / (1 + odds), rel=1e-4)


def lesson(noise=0.0):
    """Log odds of the truth are those of ct; ef says the opposite (noise 1) or nothing."""
    taught = FusionLesson(("ct-proximal", "ef-proximal"))
    says = np.repeat([0.2, 0.8], 500).astype(np.float32).reshape(-1, 1, 1)
    # One in five of the first half is node, four in five of the second.
    nodes = np.tile([1, 0, 0, 0, 0], 100).tolist() + np.tile([1, 1, 1, 1, 0], 100).tolist()
    maps = {"ct-proximal": says, "ef-proximal": np.where(noise, 1 - says, np.float32(0.5))}
    # The other zone has a voxel that must not count.
    distance = np.full(says.shape, 10, np.float32)
    taught.look(maps, distance, np.array(nodes).reshape(says.shape))
    return taught


def test_a_calibrated_stream_keeps_its_log_odds_and_a_constant_one_adds_nothing():
    fit = lesson().fit().zones["proximal"]
    assert fit.streams["ct-proximal"] == pytest.approx(1, abs=1e-2)
    fused = LearnedFusion({"proximal": fit})(
        {"ct-proximal": line(0.2, 0.8, 0), "ef-proximal": line(0.5, 0.5, 0)}, np.full((3, 1, 1), 10.0)
    )
    np.testing.assert_allclose(fused.ravel(), [0.2, 0.8, 0.0], atol=2e-3)


def test_no_weight_is_negative():
    fit = lesson(noise=1.0).fit().zones["proximal"]
    assert fit.streams["ef-proximal"] == 0 < fit.streams["ct-proximal"]


def test_what_is_fitted_survives_json():
    assert LearnedFusion.from_json(LEARNED.to_json()) == LEARNED
    assert LEARNED.sha256 == LearnedFusion.from_json(LEARNED.to_json()).sha256
    assert LEARNED.sha256 != mean_fusion(ROWS["lf-mean"].segmenters).sha256


def test_what_cannot_be_fused_is_told():
    with pytest.raises(ValueError, match=r"fitted to ct-distal, .* the maps are of ct-distal: fit it again"):
        LEARNED({"ct-distal": MAPS["ct-distal"]}, DISTANCE)
    with pytest.raises(ValueError, match="no fusion was fitted for lf-learned"):
        fused_map(ROWS["lf-learned"], MAPS, DISTANCE)
    with pytest.raises(ValueError, match="needs the primary tumor"):
        fused_map(ROWS["lf-mean"], MAPS, None)
    with pytest.raises(ValueError, match=r"the proximal zone .* 0 node voxels .* at least 100"):
        FusionLesson(("ct-proximal",)).fit()
