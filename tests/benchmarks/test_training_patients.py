"""The experiment on training patients: who learns from whom, and where it is kept."""

from argparse import Namespace

import numpy as np
import pytest

from benchmarks.training_patients import (
    OWN,
    PHANTOM_KINDS,
    WITH_MORE,
    WITH_REAL,
    Together,
    main,
    sizes_of,
    trainings_of,
)
from osln.cohorts.phantoms import Background
from osln.stage_one.inference import Predictor
from small.store import untrained


def test_each_kind_is_learned_from_alike(tmp_path):
    trainings = trainings_of(_options(tmp_path, seeds=2))
    assert list(trainings) == [(kind, seed) for kind in PHANTOM_KINDS for seed in (0, 1)]
    assert {(one.network, one.steps) for one in trainings.values()} == {("ef", 7)}
    assert all(len(one.cohort.cases("train")) == 8 for one in trainings.values())
    assert len({one.path for one in trainings.values()}) == len(trainings)


def test_real_cts_stand_behind_a_part_of_the_mixed_ones(tmp_path):
    ct = tmp_path / "ct.nii.gz"
    ct.write_bytes(b"one CT")
    trainings = trainings_of(_options(tmp_path, background=[ct]))
    mixed, real = trainings["mixed", 0].cohort, trainings[WITH_REAL, 0].cohort
    differing = [mixed.path(case) != real.path(case) for case in real.cases("train")]
    assert np.flatnonzero(differing).tolist() == [0, 4]
    assert all(mixed.path(case) == real.path(case) for case in real.cases("validation"))


def test_a_network_is_kept_by_its_patients_and_its_recipe(tmp_path):
    first = trainings_of(_options(tmp_path))["default", 0]
    again = trainings_of(_options(tmp_path))["default", 0]
    fewer = trainings_of(_options(tmp_path, train=7))["default", 0]
    longer = trainings_of(_options(tmp_path, steps=8))["default", 0]
    assert first.path == again.path
    assert len({one.path for one in (first, fewer, longer)}) == 3


def test_with_the_filter_networks_and_patients_are_kept_apart_from_those_without(tmp_path):
    options = _options(tmp_path)
    plain = trainings_of(options)["default", 0]
    options.prefilter = True
    filtered = trainings_of(options)["default", 0]
    assert filtered.preset.prefilter and not plain.preset.prefilter
    assert filtered.cohort.folders != plain.cohort.folders and filtered.path != plain.path


def test_candidates_begin_at_a_probability(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["--data", str(tmp_path), "--at", "1"])
    assert "--at is a probability: expected more than 0 and less than 1" in capsys.readouterr().err


def test_only_the_kinds_asked_for_are_learned_from(tmp_path):
    ct = tmp_path / "ct.nii.gz"
    ct.write_bytes(b"one CT")
    asked = _options(tmp_path, background=[ct], kinds=["default", WITH_REAL])
    assert list(trainings_of(asked)) == [("default", 0), (WITH_REAL, 0)]


def test_further_real_cts_are_a_kind_of_their_own(tmp_path):
    cts = [tmp_path / f"{name}.nii.gz" for name in ("liver", "chest")]
    for path in cts:
        path.write_bytes(path.name.encode())
    trainings = trainings_of(_options(tmp_path, background=cts[:1], also=cts[1:]))
    real, more = (trainings[kind, 0].cohort for kind in (WITH_REAL, WITH_MORE))
    assert len(real.backgrounds) == 1 and more.backgrounds[0] == real.backgrounds[0]
    assert [one.path.name for one in more.backgrounds] == ["liver.nii.gz", "chest.nii.gz"]


def test_as_a_control_all_patients_are_planted_into_the_ct_of_the_test(tmp_path):
    (tmp_path / "lung1-001.nii.gz").write_bytes(b"the CT")
    trainings = trainings_of(_options(tmp_path, kinds=["default", OWN]))
    plain, own = trainings["default", 0].cohort, trainings[OWN, 0].cohort
    assert [own.background(seed) for seed in (100_000, 100_001)] == [
        Background(tmp_path / "lung1-001.nii.gz")
    ] * 2
    assert all(plain.path(case) != own.path(case) for case in own.cases("train"))
    assert all(plain.path(case) == own.path(case) for case in own.cases("validation"))


def test_trainings_are_asked_together_by_the_mean_of_their_log_odds(monkeypatch):
    said = iter([0.5, 0.9, 0.9])
    monkeypatch.setattr(
        Predictor, "__init__", lambda self, *_, **__: vars(self).update(says=np.float32(next(said)))
    )
    monkeypatch.setattr(Predictor, "probability", lambda self, column: np.full((1, 1, 1), self.says))
    network = untrained("ef")
    # Odds 1 and 9: their geometric mean is 3.
    assert Together([network, network]).probability(None).item() == pytest.approx(0.75)
    assert Together([network]).probability(None).item() == np.float32(0.9)


def _options(folder, *, train=8, steps=7, seeds=1, background=(), also=(), kinds=None):
    options = Namespace(
        work=folder,
        data=None,
        preset="demo",
        prefilter=False,
        network="ef",
        train=train,
        validation=2,
        test=2,
    )
    vars(options).update(steps=steps, seeds=seeds, background=background, also=also, kinds=kinds)
    assert sizes_of(options) == {"train": train, "validation": 2, "test": 2}
    return options
