from dataclasses import replace

import numpy as np
import pytest

from osln.cohorts.phantoms import (
    KINDS,
    Background,
    Patient,
    PhantomCohort,
    cohort_key,
    make_patient,
    split_seeds,
)
from osln.imaging.column_file import save_column
from osln.imaging.grid import Grid, write_volume
from osln.imaging.lung_column import reason_not_usable
from osln.imaging.resampling import resample
from osln.phantom import PhantomParameters, RealisticParameters
from osln.phantom.patient.plan import plan_patient
from osln.rows.experiments import PRESETS, SEGMENTERS
from osln.rows.paper import COHORT_KINDS
from small.planting import given_ct

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


def test_a_stored_patient_is_read_as_it_was_made(patient, tmp_path, monkeypatch):
    cohort = PhantomCohort(tmp_path, PRESET)
    monkeypatch.setattr("osln.cohorts.phantoms.make_patient", lambda *_: patient)
    cohort.patient(100_000)
    monkeypatch.setattr("osln.cohorts.phantoms.make_patient", None)
    again = cohort.patient(100_000)
    for name in ("ct_hu", "pet_suv", "distance_mm", "nodes", "body"):
        ours, theirs = getattr(again.column, name), getattr(patient.column, name)
        assert ours.dtype == theirs.dtype and np.array_equal(ours, theirs)
    assert again.column.grid.matches(patient.column.grid)
    assert again.findings == patient.findings and {"node", "vessel stub"} <= {
        f["kind"] for f in again.findings
    }


def test_a_patient_of_former_tags_is_made_anew_where_they_are_asked_for(patient, tmp_path, monkeypatch):
    cohort = PhantomCohort(tmp_path, PRESET)
    made = []
    monkeypatch.setattr("osln.cohorts.phantoms.make_patient", lambda *given: made.append(given) or patient)
    path = cohort.path("phantom-3")
    save_column(path, patient.column, {"findings": [{"tags": ["neck"]}]})

    np.testing.assert_array_equal(cohort.column("phantom-3").ct_hu, patient.column.ct_hu)
    assert not made
    assert len(cohort.findings("phantom-3")) == len(patient.findings)
    assert len(cohort.findings("phantom-3")) == len(patient.findings)
    assert len(made) == 1


def test_other_parameters_or_another_grid_are_another_folder():
    keys = {
        cohort_key(PRESET, PhantomParameters()),
        cohort_key(PRESET, PhantomParameters(node_mean=31.0)),
        cohort_key(replace(PRESET, spacing_mm=(2.0, 2.0, 3.0)), PhantomParameters()),
        cohort_key(PRESET, RealisticParameters()),
    }
    assert len(keys) == 4
    named = {cohort_key(PRESET, kind) for kinds in KINDS.values() for kind in kinds}
    assert len(named) == 4


def test_the_key_of_the_columns_that_the_shipped_weights_saw_does_not_know_realistic_phantoms():
    assert cohort_key(PRESET, PhantomParameters()) == "000b11d59100"


@pytest.mark.slow
def test_a_realistic_phantom_is_a_column_for_every_network(patient):
    column = make_patient(100_000, PRESET, RealisticParameters()).column
    assert column.ct_hu.shape == patient.column.ct_hu.shape
    assert all(reason_not_usable(column, segmenter) is None for segmenter in SEGMENTERS.values())
    assert (column.ct_hu != patient.column.ct_hu).mean() > 0.5


def test_patients_of_several_kinds_take_turns_and_lie_with_their_kind(tmp_path, monkeypatch):
    made = []

    def make(seed, _, kind, every_node):
        assert not every_node
        made.append((seed, kind))
        return Patient(None)

    monkeypatch.setattr("osln.cohorts.phantoms.make_patient", make)
    monkeypatch.setattr("osln.cohorts.phantoms.save_column", lambda *_: None)
    mixed = PhantomCohort(tmp_path, PRESET, KINDS["mixed"])
    for seed in (300_000, 300_001):
        mixed.patient(seed)
    assert made == [(300_000, PhantomParameters()), (300_001, RealisticParameters())]
    cases = ("phantom-300000", "phantom-300001")
    apart = [PhantomCohort(tmp_path, PRESET, KINDS[name]) for name in ("default", "realistic")]
    assert [mixed.path(case) for case in cases] == [
        one.path(case) for one, case in zip(apart, cases, strict=True)
    ]
    assert [mixed.fingerprint(case) for case in cases] == [
        one.fingerprint(case) for one, case in zip(apart, cases, strict=True)
    ]
    assert apart[0].path(cases[1]) != apart[1].path(cases[1])


def test_kinds_are_those_of_the_command_line_and_there_is_at_least_one(tmp_path):
    assert tuple(KINDS) == COHORT_KINDS
    assert [PhantomCohort(tmp_path, PRESET, kinds).name for kinds in KINDS.values()] == [*KINDS]
    assert PhantomCohort(tmp_path, PRESET, (PhantomParameters(node_mean=31.0),)).name == "other"
    with pytest.raises(ValueError, match="at least one kind"):
        PhantomCohort(tmp_path, PRESET, ())


def test_a_rule_blind_to_distance_changes_what_counts_and_nothing_that_is_seen():
    (blind,) = KINDS["blind"]
    plans = [plan_patient(300_000, one) for one in (PhantomParameters(), blind)]
    seen = [[(*one.center_mm, one.short_axis_mm, one.avid) for one in plan.nodes] for plan in plans]
    assert seen[0] == seen[1] and len(seen[0]) > 5
    counting, blindly = ([one.osln for one in plan.nodes] for plan in plans)
    assert counting != blindly
    # Label noise apart, a node counts by size and uptake.
    told = [one.avid or one.short_axis_mm >= 8.0 for one in plans[1].nodes]
    assert np.mean(np.equal(told, blindly)) > 0.9


def test_splits_never_share_a_seed():
    seeds = [seed for split in ("train", "validation", "test") for seed in split_seeds(split, 1000)]
    assert len(set(seeds)) == 3000


def test_a_cohort_of_given_sizes_names_its_cases_by_split(tmp_path):
    cohort = PhantomCohort(tmp_path, PRESET, sizes={"train": 2, "stage two": 1})
    assert cohort.cases("train") == ("phantom-100000", "phantom-100001")
    assert cohort.cases("stage two") == ("phantom-400000",) and cohort.cases("test") == ()
    # Nobody of stage two is seen by a network of stage one.
    assert cohort.unseen_part("phantom-400000") == () and cohort.trained_on == "phantom"
    prints = {cohort.fingerprint(case) for case in cohort.cases("train")}
    other = PhantomCohort(tmp_path, PRESET, (PhantomParameters(node_mean=31.0),))
    assert len(prints) == 2 and other.fingerprint("phantom-100000") not in prints


def test_a_case_is_the_patient_of_its_seed(patient, tmp_path, monkeypatch):
    monkeypatch.setattr("osln.cohorts.phantoms.make_patient", lambda seed, *_: patient)
    cohort = PhantomCohort(tmp_path, PRESET)
    assert not cohort.path("phantom-100000").exists()
    column = cohort.column("phantom-100000")
    assert cohort.path("phantom-100000").is_file() and column.case == "phantom-100000"
    ct = cohort.ct("phantom-100000")
    assert np.array_equal(ct.array, column.ct_hu) and ct.grid.matches(column.grid)
    assert cohort.ct_mark == ""


def test_the_taggers_ct_is_the_same_patient_in_other_voxels(patient, tmp_path):
    column = patient.column
    same, fine = (
        PhantomCohort(tmp_path, PRESET, ct_spacing_mm=spacing)
        for spacing in (PRESET.spacing_mm, (2.0, 2.0, 6.0))
    )
    ct = same.ct("phantom-100000")
    assert ct.grid.matches(column.grid) and np.array_equal(ct.array, column.ct_hu)
    other = fine.ct("phantom-100000")
    assert other.grid.spacing_mm == pytest.approx((2, 2, 6)) and fine.ct_mark == "2x2x6"
    shared = resample(other.array.astype(np.float32), other.grid, column.grid, fill=-1000.0)
    inside = (slice(4, -4), slice(4, -4), slice(4, -4))
    assert np.corrcoef(shared[inside].ravel(), column.ct_hu[inside].ravel())[0, 1] > 0.97


def test_each_fourth_training_patient_is_planted_into_real_cts_by_turns(tmp_path):
    first, second = (Background(_file(tmp_path / name, name)) for name in ("a.nii.gz", "b.nii.gz"))
    cohort = PhantomCohort(tmp_path, PRESET, KINDS["mixed"], backgrounds=(first, second))
    found = [cohort.background(seed) for seed in range(100_000, 100_009)]
    assert found == [first, None, None, None, second, None, None, None, first]
    assert cohort.background(400_004) == second
    for split in ("validation", "test", "tagger", "clicks"):
        assert not any(map(cohort.background, split_seeds(split, 8)))


def test_of_mixed_kinds_planted_patients_take_the_place_of_default_ones_alone(tmp_path):
    sizes = {"train": 240, "stage two": 240, "test": 96}
    real = (Background(_file(tmp_path / "a.nii.gz", "one CT")),)
    cohort = PhantomCohort(tmp_path, PRESET, KINDS["mixed"], sizes, real)
    for split in ("train", "stage two"):
        assert cohort.parts(split) == {"default": 60, "realistic": 120, "planted": 60}
    assert cohort.parts("test") == {"default": 48, "realistic": 48}
    assert replace(cohort, planted_every=2).parts("train") == {"realistic": 120, "planted": 120}


def test_nodes_that_do_not_count_are_labelled_on_demand_in_the_same_images(patient):
    every = make_patient(100_000, PRESET, every_node=True).column
    for name in ("ct_hu", "pet_suv", "distance_mm"):
        assert np.array_equal(getattr(every, name), getattr(patient.column, name))
    counting = patient.column.nodes > 0
    assert (every.nodes[counting] > 0).all()
    labels = np.unique(every.nodes[every.nodes > 0])
    placed = sum(finding["kind"] == "node" for finding in patient.findings)
    # A node whose middle no voxel holds has none.
    assert len(np.unique(patient.column.nodes)) - 1 < placed // 2 < len(labels) <= placed
    # Each benign node is one label more, at its place.
    for finding in patient.findings:
        if finding["kind"] == "node":
            middle = np.round(patient.column.grid.mm_to_index(np.array(finding["center_mm"]))).astype(int)
            around = tuple(slice(max(at - 1, 0), at + 2) for at in middle)
            assert every.nodes[around].any()


def test_patients_with_every_node_lie_apart_and_are_taught_on_demand(tmp_path):
    real = (Background(_file(tmp_path / "a.nii.gz", "one CT")),)
    plain = PhantomCohort(tmp_path, PRESET, KINDS["mixed"], backgrounds=real)
    every = plain.taught(True)
    assert every != plain == plain.taught(False) == every.taught(False)
    for case in (f"phantom-{seed}" for seed in range(100_000, 100_003)):
        assert every.path(case).parent.name == plain.path(case).parent.name + "-every-node"
        assert every.fingerprint(case) != plain.fingerprint(case)


def test_planted_patients_have_folders_of_their_own_and_the_others_keep_theirs(tmp_path):
    plain = PhantomCohort(tmp_path, PRESET, KINDS["mixed"])
    given = _file(tmp_path / "a.nii.gz", "one CT")
    with_one = PhantomCohort(tmp_path, PRESET, KINDS["mixed"], backgrounds=(Background(given),))
    cases = [f"phantom-{seed}" for seed in range(100_000, 100_004)]
    differing = [case for case in cases if plain.path(case) != with_one.path(case)]
    assert differing == cases[:1]
    before = with_one.path(cases[0])
    other = Background(_file(tmp_path / "moved.nii.gz", "one CT"))
    assert replace(with_one, backgrounds=(other,)).path(cases[0]) == before
    other = Background(_file(tmp_path / "other.nii.gz", "another CT"))
    assert replace(with_one, backgrounds=(other,)).path(cases[0]) != before


@pytest.mark.slow
def test_a_planted_patient_has_the_real_cts_tissue_and_the_planted_nodes(tmp_path):
    volume, ct = given_ct(), tmp_path / "ct.nii.gz"
    write_volume(ct, volume.array, volume.grid)
    cohort = PhantomCohort(tmp_path, PRESET, backgrounds=(Background(ct),))
    patient = cohort.patient(100_000)
    column = patient.column
    assert column.case == "phantom-100000" and column.nodes.max() >= 1 and column.distance_mm.min() <= 0
    assert {"node"} <= {finding["kind"] for finding in patient.findings}
    every = Background(ct).phantom(100_000, every_node=True)
    assert sum(finding.label > 0 for finding in every.findings) > column.nodes.max()
    # Most of what it shows is the CT that was given.
    given = resample(volume.array, volume.grid, column.grid, fill=-1000.0)
    assert np.mean(np.abs(given - column.ct_hu) < 1) > 0.8


def test_a_ct_without_lungs_is_refused_by_name(tmp_path):
    path = tmp_path / "leg.nii.gz"
    array = np.full((20, 20, 20), 40, np.int16)
    write_volume(path, array, Grid(array.shape, np.diag([3.0, 3.0, 3.0, 1.0])))
    with pytest.raises(ValueError, match=r"leg\.nii\.gz cannot be planted into: no lungs found"):
        Background(path).phantom(1)


def _file(path, text):
    path.write_text(text)
    return path
