from dataclasses import replace

import numpy as np
import pytest

from osln.cohort import PhantomCohort, cohort_key, count_patients, make_patient, split_seeds
from osln.experiments import PRESETS, SEGMENTERS
from osln.phantom import PhantomParameters
from osln.sampling import reason_not_usable

PRESET = PRESETS["demo"]


@pytest.fixture(scope="module")
def patient():
    return make_patient(100_000, PRESET)


def test_a_phantom_is_prepared_like_a_patient(patient):
    column = patient.column
    assert column.case == "phantom-100000" and column.ct_hu.shape == (88, 88, 104)
    assert column.grid.spacing_mm == pytest.approx(PRESET.spacing_mm)
    assert all(reason_not_usable(column, segmenter) is None for segmenter in SEGMENTERS.values())
    assert column.pet_suv.max() > 3 and column.distance_mm.min() <= 0


def test_every_labeled_node_has_its_truth(patient):
    labels = np.unique(patient.column.nodes[patient.column.nodes > 0])
    assert set(labels) <= set(patient.truth)
    for entry in patient.truth.values():
        assert entry["zone"] in ("proximal", "distal") and entry["avid"] in (True, False)
        assert 3 < entry["short_axis_mm"] < 30


def test_the_zone_of_a_node_is_that_of_the_distance_map(patient):
    for label, entry in patient.truth.items():
        inside = patient.column.nodes == label
        if not inside.any():
            continue
        distance = patient.column.distance_mm[inside].astype(float).mean()
        if abs(distance - 70) > 5:
            assert entry["zone"] == ("proximal" if distance <= 70 else "distal")


def test_a_stored_patient_is_read_as_it_was_made(patient, tmp_path, monkeypatch):
    cohort = PhantomCohort(tmp_path, PRESET)
    monkeypatch.setattr("osln.cohort.make_patient", lambda *_: patient)
    cohort.patient(100_000)
    monkeypatch.setattr("osln.cohort.make_patient", None)
    again = cohort.patient(100_000)
    for name in ("ct_hu", "pet_suv", "distance_mm", "nodes", "body"):
        ours, theirs = getattr(again.column, name), getattr(patient.column, name)
        assert ours.dtype == theirs.dtype and np.array_equal(ours, theirs)
    assert again.column.grid.matches(patient.column.grid)
    assert again.truth == patient.truth and again.others == patient.others
    assert again.findings == patient.findings and {"node", "vessel stub"} <= {
        f["kind"] for f in again.findings
    }


def test_other_parameters_or_another_grid_are_another_folder():
    keys = {
        cohort_key(PRESET, PhantomParameters()),
        cohort_key(PRESET, PhantomParameters(node_mean=31.0)),
        cohort_key(replace(PRESET, spacing_mm=(2.0, 2.0, 3.0)), PhantomParameters()),
    }
    assert len(keys) == 3


def test_splits_never_share_a_seed():
    seeds = [seed for split in ("train", "validation", "test") for seed in split_seeds(split, 1000)]
    assert len(set(seeds)) == 3000


def test_counts_are_means_per_patient(patient):
    counts = count_patients([patient, patient])
    assert counts["patients"] == 2 and counts["nodes"] == len(patient.truth)
    classes = [name for name in counts if name.startswith("nodes ")]
    assert sum(counts[name] for name in classes) == pytest.approx(len(patient.truth))
    assert count_patients([])["nodes"] == 0


def test_a_detector_of_all_nodes_has_the_precision_of_their_shares(patient):
    few = replace(patient, truth={1: patient.truth[1]}, others={"proximal": 1, "distal": 2})
    most = replace(patient, truth={1: patient.truth[1]}, others={"proximal": 0, "distal": 1})
    assert count_patients([few, most])["precision of finding every node"] == pytest.approx(0.375)
