"""Maps are kept and fused as the networks gave them; displaced maps keep their spots."""

import numpy as np
import pytest

from osln.files.arrays import write_arrays
from osln.metrics.matching import Scored
from osln.metrics.sweep import THRESHOLDS
from osln.reproduction import gallery
from osln.reproduction.figures import CandidateResult
from osln.reproduction.plan import Network
from osln.reproduction.stage_one import KEPT, count_row, displaced, fused_map, row_counts, row_figures
from osln.rows.lines import Row
from small.cohort import TinyCohort, make_plan


def keep(plan, network: Network, case: str, prob: np.ndarray) -> None:
    index = np.flatnonzero(prob.ravel() >= KEPT).astype(np.uint32)
    write_arrays(plan.map_path(network, case), {"index": index, "prob": prob.ravel()[index]})


@pytest.fixture
def plan(tmp_path):
    return make_plan(tmp_path)


def test_no_kept_voxel_is_below_a_threshold_of_the_sweep():
    assert KEPT <= THRESHOLDS[0]


def test_trainings_of_one_network_are_fused_by_their_maximum_and_zones_by_union(plan):
    case = plan.cohort.cases("test")[0]
    column = plan.cohort.column(case)
    first, second = np.zeros((2, *column.ct_hu.shape), dtype=np.float32)
    first[1, 1, 1], second[1, 1, 1], second[2, 2, 2] = 0.2, 0.6, 0.4
    networks = plan.networks(Row("ct", copies=2), 0)
    for network, prob in zip(networks, (first, second), strict=True):
        keep(plan, network, case, prob)
    fused = fused_map(plan, networks, column, 1)
    assert fused[1, 1, 1] == pytest.approx(0.6) and fused[2, 2, 2] == pytest.approx(0.4) and fused.sum() < 1.1

    everywhere = np.full(column.ct_hu.shape, 0.5, dtype=np.float32)
    stratified = plan.networks(Row("ct-stratified"), 0)
    for network, factor in zip(stratified, (1.0, 0.5), strict=True):
        keep(plan, network, case, everywhere * np.float32(factor))
    fused = fused_map(plan, stratified, column, 1)
    near = column.distance_mm <= 70
    assert np.allclose(fused[near], 0.5) and np.allclose(fused[~near], 0.25)


def test_a_displaced_map_has_the_same_spots_half_the_field_away():
    prob = np.zeros((4, 6, 8), dtype=np.float32)
    prob[0, 1, 2] = 0.9
    moved = displaced(prob)
    assert moved[2, 4, 6] == np.float32(0.9) and moved.sum() == prob.sum()


def test_a_row_is_counted_on_both_splits_and_by_chance(plan):
    row = Row("ct")
    for split in ("validation", "test"):
        for case in plan.cohort.cases(split):
            nodes = plan.cohort.column(case).nodes
            keep(plan, plan.networks(row, 0)[0], case, np.where(nodes > 0, 0.7, 0).astype(np.float32))
    count_row(plan, "counts", row, 0)
    counts = {split: row_counts(plan, row, 0, split) for split in ("validation", "test", "chance")}
    assert [len(one.n_nodes) for one in counts.values()] == [2, 3, 3]
    assert counts["test"].hit_nodes[:, 0].tolist() == [4, 4, 4]
    assert counts["test"].false_predictions.sum() == 0
    # Displaced, the balls lie beside the nodes.
    assert counts["chance"].hit_nodes[:, 0].sum() < 3 and counts["chance"].false_predictions[:, 0].sum() > 9
    assert row_figures(plan, row, 0)["recall"] == 1.0


def test_a_cohort_without_a_node_is_refused(tmp_path):
    plan = make_plan(tmp_path, cohort=TinyCohort(tmp_path, nodes=0))
    for split in ("validation", "test"):
        for case in plan.cohort.cases(split):
            keep(plan, plan.networks(Row("ct"), 0)[0], case, np.zeros((24, 24, 72), np.float32))
    with pytest.raises(ValueError, match="none of the 2 validation patients has a node"):
        count_row(plan, "counts", Row("ct"), 0)


def test_patients_of_the_middle_and_the_lowest_share_are_drawn(plan):
    def patient(found: int) -> Scored:
        return Scored(np.full(4, 0.9), np.arange(4) < found, 4)

    result = CandidateResult([[patient(4), patient(1), patient(2)]], [[patient(4)]])
    shown = gallery.shown_cases(plan, {gallery.SHOWN_ROW: result})
    assert shown == {"the middle share of nodes found": "test-2", "the lowest share of nodes found": "test-1"}
    assert gallery.shown_cases(plan, {}) == {"the first id": "test-0"}


def test_the_tumor_of_a_compact_column_is_where_the_distance_is_not_positive(plan):
    column = plan.cohort.column("test-0")
    tumor = gallery.with_tumor(column).tumor
    assert column.tumor is None and tumor.sum() == 27 and tumor[10:13, 10:13, 2:5].all()
