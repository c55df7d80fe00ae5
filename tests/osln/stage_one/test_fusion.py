"""Late fusion: the largest stream inside each zone, nothing of a network outside its zone."""

from dataclasses import replace

import numpy as np
import pytest

from osln.imaging.grid import Grid
from osln.imaging.lung_column import LungColumn
from osln.stage_one.candidates import find_candidates
from osln.stage_one.fusion import late_fusion, stream_means

DISTANCE = np.array([-5.0, 10.0, 70.0, 70.1, 100.0], dtype=np.float32).reshape(5, 1, 1)


def line(*values):
    return np.array(values, dtype=np.float32).reshape(5, 1, 1)


def test_four_networks_by_hand():
    maps = {
        "ct-proximal": line(0.1, 0.6, 0.2, 0.9, 0.9),
        "ef-proximal": line(0.3, 0.4, 0.5, 0.8, 0.8),
        "ct-distal": line(0.7, 0.7, 0.7, 0.2, 0.6),
        "ef-distal": line(0.7, 0.7, 0.7, 0.3, 0.1),
    }

    fused = late_fusion(maps, DISTANCE)

    np.testing.assert_allclose(fused.ravel(), [0.3, 0.6, 0.5, 0.3, 0.6], rtol=1e-6)
    assert fused.dtype == np.float32


def test_unstratified_streams_are_fused_everywhere_and_need_no_tumor():
    maps = {"ct": line(0.1, 0.6, 0.2, 0.9, 0.0), "ef": line(0.3, 0.4, 0.5, 0.8, 0.0)}

    np.testing.assert_allclose(late_fusion(maps, None).ravel(), [0.3, 0.6, 0.5, 0.9, 0.0], rtol=1e-6)


def test_one_zone_alone_leaves_the_other_at_zero():
    fused = late_fusion({"ct-distal": line(0.7, 0.7, 0.7, 0.2, 0.6)}, DISTANCE)

    np.testing.assert_allclose(fused.ravel(), [0, 0, 0, 0.2, 0.6], rtol=1e-6)


def test_the_maps_of_the_networks_are_not_changed():
    ct = line(0.1, 0.6, 0.2, 0.9, 0.0)

    late_fusion({"ct": ct, "ct-proximal": line(1, 1, 1, 1, 1)}, DISTANCE)

    np.testing.assert_array_equal(ct, line(0.1, 0.6, 0.2, 0.9, 0.0))


def test_a_zone_without_a_tumor_and_no_map_at_all_are_refused():
    with pytest.raises(ValueError, match="network ct-distal needs the distance to the tumor: contour"):
        late_fusion({"ct-distal": line(0, 0, 0, 0, 0)}, None)
    with pytest.raises(ValueError, match="at least one network"):
        late_fusion({}, DISTANCE)


def test_each_network_is_asked_about_the_voxels_of_its_own_zone():
    maps = {
        "ct-proximal": line(0.1, 0.6, 0.2, 0.9, 0.9),
        "ct-distal": line(0.7, 0.7, 0.7, 0.2, 0.6),
        "ct": line(0.0, 0.5, 0.6, 0.7, 0.8),
    }
    labels = line(0, 1, 1, 1, 2).astype(np.int32)
    column = LungColumn("p1", Grid((5, 1, 1), np.eye(4)), maps["ct"], None, DISTANCE, None, None, labels > 0)
    candidates = [replace(find_candidates(line(0, 1, 1, 1, 0), 0.5, column)[0][0], id=1)]
    candidates.append(replace(candidates[0], id=2, box=((4, 5), (0, 1), (0, 1))))

    first, second = stream_means(maps, DISTANCE, candidates, labels)

    # Voxels at 10 and 70 mm are proximal, that at 70.1 mm is distal.
    assert first == pytest.approx({"ct-proximal": 0.4, "ct-distal": 0.2, "ct": 0.6})
    assert second == pytest.approx({"ct-distal": 0.6, "ct": 0.8})
