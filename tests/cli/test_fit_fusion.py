"""./scripts/osln fit-fusion keeps what was fitted and says it."""

from argparse import Namespace

import numpy as np
import pytest

from osln.__main__ import main
from osln.cli import fit_fusion
from osln.retraining import eligible, fusing, operating_points
from osln.rows.experiments import PRESETS, ROWS
from osln.store.splits import assign
from osln.weights.model_store import ModelStore
from small.columns import small_column
from small.parts import submit_in_part
from small.store import untrained
from small.studies import add_case, publish_stage_one, published, use_tiny_networks


class Telling:
    def __init__(self, checkpoint, device="cpu", number_format=None):
        self.tells = checkpoint.name.startswith("ef")

    def probability(self, column):
        return np.where(self.tells, np.where(column.nodes > 0, 0.9, 0.1), 0.5).astype(np.float32)


@pytest.mark.slow
def test_it_is_kept_with_the_weights_and_told(tmp_path, monkeypatch, capsys):
    store = ModelStore(tmp_path)
    for name in ROWS["lf-learned"].segmenters:
        store.publish(name, store.add(untrained(name)).name)
    for module in (fusing, operating_points):
        monkeypatch.setattr(module, "Predictor", Telling)
    whose = [f"p{number}" for number in range(10)]
    monkeypatch.setattr(
        fit_fusion, "patients", lambda *_: ([small_column(seed) for seed in range(10)], whose)
    )

    assert main(["fit-fusion", "--models", str(tmp_path)]) == 0

    said = capsys.readouterr().out
    assert "lf-learned, proximal: ct-proximal 0.000, ef-proximal" in said
    assert "fitted on 10 validation patients" in said
    assert set(store.fusion("lf-learned")["zones"]) == {"proximal", "distal"}
    assert "0.15" in store.thresholds("lf-learned")
    # Nothing of rows that others answer by: these were not asked for.
    assert store.thresholds("lf-mean") == store.thresholds("lf-stratified") == {}

    # The last two are one patient's.
    whose[-1] = whose[-2]
    assert main(["fit-fusion", "--models", str(tmp_path)]) == 1
    assert "9 validation patients have a node" in capsys.readouterr().err


def test_stores_without_weights_are_refused(tmp_path, capsys):
    assert main(["fit-fusion", "--models", str(tmp_path)]) == 1
    assert "no weights for ct-proximal" in capsys.readouterr().err


def test_it_is_fitted_on_complete_patients_whom_the_networks_have_not_learned_from(
    tmp_path, monkeypatch, capsys
):
    use_tiny_networks(monkeypatch)
    root, store = tmp_path / "studies", ModelStore(tmp_path / "models")
    for case in "dfgach":
        add_case(root, case)
    assign(root, "h", wanted={"h": "validation"})
    submit_in_part(root, "a")
    networks = publish_stage_one(store)
    published(store, untrained("ef-distal"), train_cases=["c"])
    options = Namespace(store=root, phantoms=None)

    columns, whose = fit_fusion.patients(options, PRESETS["demo"], store, networks)

    assert [column.case for column in columns] == whose == ["h"]
    told = capsys.readouterr().err
    assert "left out a: submitted in part" in told
    assert "left out c: ef-distal in use" in told and "has learned from this patient" in told
    # Submitted in part while the cases are read.
    monkeypatch.setattr(eligible, "partial_cases", lambda *_: [])
    assert fit_fusion.patients(options, PRESETS["demo"], store, networks)[1] == ["h"]
    published(store, untrained("ct-distal"), train_cases=["h"])
    with pytest.raises(ValueError, match=r"no complete validation patient .* have not learned from"):
        fit_fusion.patients(options, PRESETS["demo"], store, networks)
