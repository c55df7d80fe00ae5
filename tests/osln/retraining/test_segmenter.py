import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from osln.retraining import round as rounds
from osln.retraining import segmenter as retraining
from osln.retraining.segmenter import retrain
from osln.rows.experiments import DEFAULT_PRESET, PRESETS
from osln.store.splits import stored_splits
from osln.weights.model_store import ModelStore
from small import studies
from small.columns import tiny_preset
from small.parts import submit_in_part
from small.scored import finds, shares
from small.store import untrained
from small.studies import TEST, TRAIN, VALIDATION, add_case

BOX = [[0.0, 0.0, 0.0], [5.0, 5.0, 6.0]]


@pytest.fixture(autouse=True)
def tiny_networks(monkeypatch):
    monkeypatch.setitem(PRESETS, "demo", tiny_preset())


@pytest.fixture
def root(tmp_path):
    """A store with three training, two validation and one test patient, all approved."""
    for case in (*TRAIN, *VALIDATION, *TEST):
        add_case(tmp_path / "studies", case)
    return tmp_path / "studies"


@pytest.fixture
def models(tmp_path):
    return ModelStore(tmp_path / "models")


@pytest.fixture
def gate(monkeypatch):
    """Trainings that change nothing and figures to order; "calls" records what was trained."""
    figures = {"new": 0.6, "old": 0.5, "calls": []}

    def train(segmenter, preset, learned, compared, *, initial, iterations, **options):
        figures["calls"].append((preset, iterations, initial, [column.case for column in learned], options))
        made = untrained(segmenter.name, preset=preset.name)
        return replace(made, trained_on=options["trained_on"], metadata={"new": True})

    def sweeps(checkpoint, columns, device):
        return [finds(figures["new" if checkpoint.metadata.get("new") else "old"]) for _ in columns]

    monkeypatch.setattr(retraining, "train", train)
    monkeypatch.setattr(retraining, "sweeps", sweeps)
    monkeypatch.setattr(retraining.SegmenterRound, "figures", lambda self, *given: shares(*given))
    monkeypatch.setattr(rounds, "FEWEST_PATIENTS", 2)
    return figures


def published(models, name="ct"):
    return models.publish(name, models.add(untrained(name)).name)


def test_a_network_is_trained_stored_and_published_from_files(root, models):
    seen = []
    report = retrain(root, models, "ct", preset="demo", iterations=60, on_progress=seen.append)
    assert report.train_cases == ["d", "f", "g"] and report.validation_cases == ["a", "c"]
    assert report.published and models.published("ct").name == report.version
    assert 0 <= report.metric <= 1 and report.metric_before is None and report.version_before is None
    assert set(report.cases) == {"a", "c"} and report.cases["a"]["after"]["nodes"] == 4
    assert seen[-1].step == 60 and seen[-1].validation is not None
    assert models.load("ct").trained_on == "3 approved patients"
    assert not list((models.root / "training").glob("*"))
    json.dumps(report.to_json())


def test_test_patients_are_neither_learned_from_nor_compared_on(root, models, gate):
    report = retrain(root, models, "ct")
    assert "b" not in report.train_cases + report.validation_cases


def test_a_better_version_is_published_and_goes_on_from_the_former(root, models, gate):
    former = published(models)
    report = retrain(root, models, "ct")
    ((preset, iterations, initial, learned, _),) = gate["calls"]
    assert initial.name == "ct" and learned == ["d", "f", "g"]
    assert iterations == round(0.3 * preset.iterations)
    assert preset.learning_rate == pytest.approx(PRESETS["demo"].learning_rate / 4)
    assert report.published and models.published("ct").name == report.version
    assert (report.metric, report.metric_before, report.version_before) == (0.6, 0.5, former.name)
    assert report.cases["a"] == {"after": {"found": 0.6}, "before": {"found": 0.5}}
    assert "0.600" in report.sentence and "0.500" in report.sentence and "rollback ct" in report.next_step
    assert models.published("ct").metadata["base_version"] == former.name


def test_the_preset_is_that_of_the_weights_in_use_unless_another_is_named(root, models, gate):
    retrain(root, models, "ct", publish=False)
    models.publish("ct", models.add(untrained("ct", preset="wide")).name)
    retrain(root, models, "ct", publish=False)
    retrain(root, models, "ct", publish=False, preset="demo")
    first, goes_on, named = gate["calls"]
    assert (first[0].name, first[2]) == (DEFAULT_PRESET, None)
    assert (goes_on[0].name, goes_on[2].preset) == ("wide", "wide")
    assert (named[0].name, named[2]) == ("demo", None)


def test_points_follow_a_version_of_another_preset_with_the_same_voxels(root, models, gate, monkeypatch):
    monkeypatch.setitem(PRESETS, "wide", tiny_preset(name="wide"))
    monkeypatch.setattr(rounds, "FEWEST_PATIENTS", 10)
    asked = []
    monkeypatch.setattr(
        retraining,
        "match_operating_points",
        lambda *given: asked.append(given[2].preset) or ("moved", {"ct"}),
    )
    published(models)
    report = retrain(root, models, "ct", preset="wide", cross_fit=False)
    assert report.published and asked == ["demo"] and "moved" in report.sentence
    assert "trained from scratch, because the former weights are of the preset demo" in report.sentence


def test_a_first_version_that_finds_nothing_is_not_published(root, models, gate):
    gate["new"] = 0
    report = retrain(root, models, "ct")
    assert not report.published and "as it finds no node: mRecall 0.000" in report.sentence
    gate["new"] = 0.1
    report = retrain(root, models, "ct")
    assert report.published and "rollback" not in report.next_step, "there is nothing to go back to"


def test_a_label_without_a_ct_is_told_and_gets_no_split(root, models, gate):
    label = root / "labels" / "final"
    shutil.copy(label / f"{TRAIN[0]}.nii.gz", label / "lonely.nii.gz")
    report = retrain(root, models, "ct", publish=False)
    assert "no case 'lonely'" in report.skipped["lonely"] and "lonely" not in stored_splits(root)


def test_a_store_of_labels_alone_is_told_what_it_lacks(tmp_path, root, models):
    (tmp_path / "alone" / "labels").mkdir(parents=True)
    shutil.copytree(root / "labels" / "final", tmp_path / "alone" / "labels" / "final")
    with pytest.raises(ValueError, match=f"{VALIDATION[0]}: labels/final has a label of it, but no case"):
        retrain(tmp_path / "alone", models, "ct")


def test_the_tumor_is_no_node_to_learn_from(root, models, gate):
    shutil.copy(
        root / "labels" / "gtv" / f"{TRAIN[0]}.nii.gz", root / "labels" / "final" / f"{TRAIN[0]}.nii.gz"
    )
    report = retrain(root, models, "ct", publish=False)
    assert "is the contour of the primary tumor" in report.skipped[TRAIN[0]]


def test_an_equal_version_is_not_published_because_nothing_tells_it_apart(root, models, gate):
    former = published(models)
    gate["new"] = gate["old"]
    report = retrain(root, models, "ct")
    assert not report.published and models.published("ct").name == former.name
    assert "nothing tells it from what is in use" in report.sentence
    assert report.judgments["in use"]["risk"] == 0.5


def test_one_patient_with_nodes_cannot_tell(root, models, gate):
    published(models)
    (root / "labels" / "final" / f"{VALIDATION[0]}.nii.gz").unlink()
    report = retrain(root, models, "ct", cross_fit=False)
    assert not report.published and "one patient with nodes cannot tell" in report.sentence


def test_a_worse_version_is_stored_and_not_published(root, models, gate):
    former = published(models)
    gate["new"] = 0.4
    report = retrain(root, models, "ct")
    assert not report.published and models.published("ct").name == former.name
    assert report.version in [version.name for version in models.versions("ct")]
    assert "worse" in report.sentence and f"publish ct {report.version}" in report.next_step


def test_publishing_can_be_declined(root, models, gate):
    former = published(models)
    report = retrain(root, models, "ct", publish=False)
    assert not report.published and models.published("ct").name == former.name


def test_from_scratch_starts_without_weights_but_is_compared(root, models, gate):
    published(models)
    report = retrain(root, models, "ct", from_scratch=True)
    ((preset, iterations, initial, _, _),) = gate["calls"]
    assert initial is None and iterations == preset.iterations
    assert preset.learning_rate == PRESETS["demo"].learning_rate and report.metric_before == 0.5


def test_settings_of_the_user_win(root, models, gate):
    published(models)
    retrain(root, models.root, "ct", iterations=7, learning_rate=0.5, seed=3, device="cpu")
    ((preset, iterations, _, _, options),) = gate["calls"]
    assert iterations == 7 and preset.learning_rate == 0.5 and options["seed"] == 3


def test_without_a_validation_patient_nothing_is_published_and_the_way_is_told(root, models, gate):
    former = published(models)
    for case in VALIDATION:
        (root / "labels" / "final" / f"{case}.nii.gz").unlink()
    report = retrain(root, models, "ct", cross_fit=False)
    assert not report.published and models.published("ct").name == former.name
    assert "has a node in its zone to judge it by" in report.sentence
    assert f"./scripts/osln models publish ct {report.version}" in report.next_step


def test_without_a_node_in_the_zone_of_any_validation_patient_nothing_is_published(root, models, gate):
    published(models)
    gate["new"] = gate["old"] = None
    report = retrain(root, models, "ct", cross_fit=False)
    assert not report.published and "has a node in its zone to judge it by" in report.sentence


def test_cases_that_cannot_be_used_are_left_out_with_the_reason(root, models, gate):
    (root / "pet" / "d.nii.gz").unlink()
    (root / "labels" / "final" / "f.nii.gz").write_bytes(b"not an image")
    report = retrain(root, models, "ef")
    assert report.train_cases == ["g"]
    assert report.skipped["d"] == "no PET" and "f.nii.gz" in report.skipped["f"]


def test_without_anything_to_learn_from_the_error_says_what_to_do(tmp_path, models, gate):
    with pytest.raises(ValueError, match="review a case, submit it as final"):
        retrain(tmp_path, models, "ct")
    add_case(tmp_path, "d", pet=False)
    add_case(tmp_path, "b")
    with pytest.raises(
        ValueError, match="of 2, 1 are kept for validation and test, and left out were d: no PET"
    ):
        retrain(tmp_path, models, "ef")
    with pytest.raises(ValueError, match="unknown network 'pet'"):
        retrain(tmp_path, models, "pet")
    with pytest.raises(ValueError, match="learning rate must be above 0"):
        retrain(tmp_path, models, "ct", learning_rate=-1.0)


def test_weights_say_what_they_have_seen(root, models, gate):
    assert retrain(root, models, "ct").published
    assert models.load("ct").trained_on == "3 approved patients"
    again = retrain(root, models, "ct", publish=False)
    models.publish("ct", again.version)
    assert models.load("ct").trained_on == "3 approved patients"
    published(models, "ef")
    retrain(root, models, "ef")
    assert models.load("ef").trained_on == "phantom, then 3 approved patients"


def test_phantoms_among_the_cases_are_told_apart(tmp_path, models, gate):
    for case in TRAIN:
        add_case(tmp_path / "s", case, truth=case != "g")
    retrain(tmp_path / "s", models, "ct")
    assert gate["calls"][0][4]["trained_on"] == "1 approved patient and 2 phantoms"


def test_a_case_in_part_teaches_and_is_never_judged_on(root, models, gate, monkeypatch):
    studies.published(models, untrained("ct"))
    monkeypatch.setattr(rounds, "FEWEST_PATIENTS", 10)
    submit_in_part(root, "a", undecided=[BOX])
    submit_in_part(root, "f", undecided=[BOX])
    report = retrain(root, models, "ct")
    assert sorted(report.train_cases) == ["d", "f", "g"]
    assert "submitted in part, and only complete cases are judged on (validation)" in report.skipped["a"]
    # With few validation patients the complete training patients are judged on, each by a network without it.
    assert sorted(report.validation_cases) == ["c", "d", "g"]
    assert sorted(cases for _, _, _, cases, _ in gate["calls"]) == [["d", "f"], ["d", "f", "g"], ["f", "g"]]


def test_where_all_training_patients_are_in_part_nothing_is_cross_fitted(root, models, gate, monkeypatch):
    studies.published(models, untrained("ct"))
    monkeypatch.setattr(rounds, "FEWEST_PATIENTS", 10)
    for case in TRAIN:
        submit_in_part(root, case)
    report = retrain(root, models, "ct")
    assert sorted(report.validation_cases) == ["a", "c"] and len(gate["calls"]) == 1


def test_a_validation_patient_that_the_weights_in_use_have_seen_judges_nobody(root, models, gate):
    studies.of_patient(root, "P1", "c", "elsewhere")
    former = studies.published(models, untrained("ct"), train_cases=["elsewhere"])
    report = retrain(root, models, "ct", cross_fit=False)
    assert report.validation_cases == ["a"]
    assert report.skipped["c"].startswith(f"ct in use ({former.name}) has learned from this patient")


def test_a_validation_patient_with_the_ct_of_a_training_patient_judges_nobody(root, models, gate):
    shutil.copy(root / f"{TRAIN[0]}.nii.gz", root / f"{VALIDATION[0]}.nii.gz")
    report = retrain(root, models, "ct", cross_fit=False)
    assert report.validation_cases == [VALIDATION[1]]
    assert "(train) have the same CT" in report.skipped[VALIDATION[0]]


def test_training_patients_who_have_judged_many_rounds_are_told(root, models, gate, monkeypatch):
    studies.published(models, untrained("ct"))
    monkeypatch.setattr(rounds, "FEWEST_PATIENTS", 10)
    for case in VALIDATION:
        (root / "labels" / "final" / f"{case}.nii.gz").unlink()
    reports = [retrain(root, models, "ct", publish=False) for _ in range(6)]
    assert sorted(reports[-1].validation_cases) == sorted(TRAIN)
    assert ["rounds before" in one.sentence for one in reports] == [False] * 5 + [True]
    assert "; 5 rounds before were judged on most of these patients" in reports[-1].sentence


def test_all_cases_of_a_patient_are_left_out_together(root, models, gate, monkeypatch):
    studies.published(models, untrained("ct"))
    monkeypatch.setattr(rounds, "FEWEST_PATIENTS", 10)
    studies.of_patient(root, "P1", "d", "f")
    submit_in_part(root, "f", undecided=[BOX])
    retrain(root, models, "ct")
    # Without d, which is complete, also without f, which is in part and judges nobody.
    assert sorted(cases for _, _, _, cases, _ in gate["calls"]) == [["d", "f"], ["d", "f", "g"], ["g"]]


def test_a_rival_of_other_voxels_is_compared_on_the_nodes_that_were_read_for_both(
    root, models, gate, monkeypatch
):
    coarse = tiny_preset()
    monkeypatch.setitem(
        PRESETS,
        "fine",
        replace(coarse, name="fine", spacing_mm=tuple(0.8 * side for side in coarse.spacing_mm)),
    )
    published(models)
    asked, train = {}, retraining.train

    def sweeps(checkpoint, columns, device):
        asked[bool(checkpoint.metadata.get("new"))] = columns
        return [finds(0.5) for _ in columns]

    def meanwhile(*given, **options):
        add_case(root, "a", deleted=(1, 2, 3))
        (root / "c.nii.gz").unlink()
        return train(*given, **options)

    monkeypatch.setattr(retraining, "sweeps", sweeps)
    monkeypatch.setattr(retraining, "train", meanwhile)
    report = retrain(root, models, "ct", preset="fine", cross_fit=False, publish=False)
    assert report.validation_cases == ["a", "c"]
    for column, rivals in zip(asked[True], asked[False], strict=True):
        assert (column.case, len(np.unique(column.nodes))) == (rivals.case, 5)
        assert len(np.unique(rivals.nodes)) == 5 and column.grid.shape != rivals.grid.shape
