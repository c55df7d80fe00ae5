"""Maps are kept and fused as the networks gave them; displaced maps keep their spots."""

from pathlib import Path

import numpy as np
import pytest

from osln.files.arrays import write_arrays
from osln.metrics.matching import Scored
from osln.metrics.sweep import THRESHOLDS
from osln.reproduction import gallery
from osln.reproduction.artifacts import Artifacts
from osln.reproduction.figures import CandidateResult
from osln.reproduction.stage_one import KEPT, displaced, fused_case, read_counts, read_figures
from osln.rows.experiments import ROWS
from osln.stage_one.fusion import fused_map
from small.cohort import TinyCohort, make_plan

EVALUATED_CASES = ("validation-0", "validation-1", "test-0", "test-1", "test-2")


def keep(path: Path, prob: np.ndarray) -> None:
    index = np.flatnonzero(prob.ravel() >= KEPT).astype(np.uint32)
    write_arrays(path, {"index": index, "prob": prob.ravel()[index]})


@pytest.fixture
def artifacts(tmp_path):
    return Artifacts(make_plan(tmp_path))


def test_no_kept_voxel_is_below_a_threshold_of_the_sweep():
    assert KEPT <= THRESHOLDS[0]


def test_trainings_of_one_network_are_fused_by_their_maximum_and_zones_by_union(artifacts):
    column = artifacts.cohort.column("test-0")
    first, second = np.zeros((2, *column.ct_hu.shape), dtype=np.float32)
    first[1, 1, 1], second[1, 1, 1], second[2, 2, 2] = 0.2, 0.6, 0.4
    maps = artifacts.fused(ROWS["ct"].changed(copies=2), 0, "test-0")
    for (_, path), prob in zip(maps, (first, second), strict=True):
        keep(path, prob)
    fused = fused_case(ROWS["ct"].changed(copies=2), maps, column)
    assert fused[1, 1, 1] == pytest.approx(0.6) and fused[2, 2, 2] == pytest.approx(0.4) and fused.sum() < 1.1

    everywhere = np.full(column.ct_hu.shape, 0.5, dtype=np.float32)
    stratified = artifacts.fused(ROWS["ct-stratified"], 0, "test-0")
    for (_, path), factor in zip(stratified, (1.0, 0.5), strict=True):
        keep(path, everywhere * np.float32(factor))
    fused = fused_case(ROWS["ct-stratified"], stratified, column)
    near = column.distance_mm <= 70
    assert np.allclose(fused[near], 0.5) and np.allclose(fused[~near], 0.25)


def test_kept_maps_are_fused_to_what_the_server_fuses_whole_ones_to(artifacts):
    column, row = artifacts.cohort.column("test-0"), ROWS["lf-mean"]
    random = np.random.default_rng(0)
    # Half of the voxels say less than what is kept.
    whole = {
        name: np.float32(10) ** random.uniform(-6, -0.01, column.ct_hu.shape).astype(np.float32)
        for name in row.segmenters
    }
    maps = artifacts.fused(row, 0, "test-0")
    for name, path in maps:
        keep(path, whole[name])
    expected = fused_map(row, whole, column.distance_mm)
    np.testing.assert_array_equal(fused_case(row, maps, column), expected)
    assert 0 < (expected == 0).mean() < 1


def test_a_displaced_map_has_the_same_spots_half_the_field_away():
    prob = np.zeros((4, 6, 8), dtype=np.float32)
    prob[0, 1, 2] = 0.9
    moved = displaced(prob)
    assert moved[2, 4, 6] == np.float32(0.9) and moved.sum() == prob.sum()


def test_a_row_is_counted_on_both_splits_and_by_chance(artifacts):
    made = artifacts.counts(ROWS["ct"], 0)
    (maps,) = made.needs
    for case, path in zip(EVALUATED_CASES, maps.paths, strict=True):
        nodes = artifacts.cohort.column(case).nodes
        keep(path, np.where(nodes > 0, 0.7, 0).astype(np.float32))
    made.make()
    counts = {split: read_counts(made.path, split) for split in ("validation", "test", "chance")}
    assert [len(one.n_nodes) for one in counts.values()] == [2, 3, 3]
    assert counts["test"].hit_nodes[:, 0].tolist() == [4, 4, 4]
    assert counts["test"].false_predictions.sum() == 0
    # Displaced, the balls lie beside the nodes.
    assert counts["chance"].hit_nodes[:, 0].sum() < 3 and counts["chance"].false_predictions[:, 0].sum() > 9
    assert read_figures(made.path)["recall"] == 1.0


def test_a_cohort_without_a_node_is_refused(tmp_path):
    made = Artifacts(make_plan(tmp_path, cohort=TinyCohort(tmp_path, nodes=0))).counts(ROWS["ct"], 0)
    for path in made.needs[0].paths:
        keep(path, np.zeros((24, 24, 72), np.float32))
    with pytest.raises(ValueError, match="none of the 2 validation patients has a node"):
        made.make()


def test_patients_of_the_middle_and_the_lowest_share_are_drawn():
    def patient(found: int) -> Scored:
        return Scored(np.full(4, 0.9), np.arange(4) < found, 4)

    result = CandidateResult([[patient(4), patient(1), patient(2)]], [[patient(4)]])
    cases = ["test-0", "test-1", "test-2"]
    shown = gallery.shown_cases(cases, {gallery.SHOWN_ROW: result})
    assert shown == {"the middle share of nodes found": "test-2", "the lowest share of nodes found": "test-1"}
    assert gallery.shown_cases(cases, {}) == {"the first id": "test-0"}


def test_the_tumor_of_a_compact_column_is_where_the_distance_is_not_positive(tmp_path):
    column = TinyCohort(tmp_path).column("test-0")
    tumor = gallery.with_tumor(column).tumor
    assert column.tumor is None and tumor.sum() == 27 and tumor[10:13, 10:13, 2:5].all()
