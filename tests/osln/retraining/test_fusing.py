"""The learned fusion follows a newly published network, and its operating points with it."""

import numpy as np
import pytest

from osln.retraining import fusing
from osln.retraining import operating_points as operating
from osln.retraining.fusing import fit_fusion, fit_fusions
from osln.retraining.operating_points import renew_operating_points
from osln.rows.experiments import ROWS
from osln.weights.model_store import ModelStore
from small.columns import small_column
from small.store import untrained

ROW = ROWS["lf-learned"]


class Telling:
    """CT streams say .5 everywhere; early fusion says .9 in nodes and .1 elsewhere."""

    def __init__(self, checkpoint, device="cpu", number_format=None):
        self.tells = checkpoint.name.startswith("ef")

    def probability(self, column):
        return np.where(self.tells, np.where(column.nodes > 0, 0.9, 0.1), 0.5).astype(np.float32)


@pytest.fixture(autouse=True)
def telling(monkeypatch):
    for module in (fusing, operating):
        monkeypatch.setattr(module, "Predictor", Telling)


@pytest.fixture
def models(tmp_path):
    store = ModelStore(tmp_path)
    for name in ROW.segmenters:
        store.publish(name, store.add(untrained(name)).name)
    return store


COLUMNS = [small_column(seed) for seed in range(10)]


def test_the_stream_that_tells_is_listened_to():
    fusion = fit_fusion(ROW, {name: untrained(name) for name in ROW.segmenters}, COLUMNS)
    fused = fusion({name: Telling(untrained(name)).probability(COLUMNS[0]) for name in ROW.segmenters},
                   COLUMNS[0].distance_mm.astype(np.float32))  # fmt: skip
    nodes = COLUMNS[0].nodes > 0
    assert fused[nodes].min() > 0.9 and fused[~nodes].max() < 0.1
    for zone, fit in fusion.zones.items():
        assert fit.streams[f"ef-{zone}"] > 1 and fit.streams[f"ct-{zone}"] == pytest.approx(0, abs=1e-6)


@pytest.mark.slow
def test_publishing_a_network_fits_its_fusion_and_sets_the_points_of_the_row(models):
    said, few = renew_operating_points(models, "ef-distal", COLUMNS)
    assert few == {} and said.startswith("operating points of ")
    assert "lf-learned were set on 10 validation patients with nodes; " in said
    assert said.endswith("operating points of ef-distal were set on 10 validation patients with distal nodes")
    stored = models.fusion("lf-learned")
    assert stored["weights"] == {name: models.published(name).sha256 for name in ROW.segmenters}
    assert 0.1 < models.thresholds("lf-learned")["0.15"] <= 1


def test_patients_without_enough_nodes_keep_the_former_fusion(models):
    fitted, told = fit_fusions(models, "ef-distal", [small_column(0, nodes=0)] * 10)
    assert fitted == {} and "the fusion of lf-learned is kept: the proximal zone" in told[0]


def test_a_network_that_no_such_row_asks_changes_nothing(models):
    assert fit_fusions(models, "ct", COLUMNS) == ({}, []) and models.fusion("lf-learned") == {}
