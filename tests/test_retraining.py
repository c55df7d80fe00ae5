import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from osln import retraining
from osln.approved import approved_cases, load_columns
from osln.experiments import PRESETS, SEGMENTERS
from osln.retraining import retrain
from osln.weights import ModelStore
from small_columns import small_column, tiny_preset
from small_store import untrained

# Splits by the hash of the id: c and a validate, d, f and g train, b tests.
TRAIN, VALIDATION, TEST = ("d", "f", "g"), ("a", "c"), ("b",)


@pytest.fixture(autouse=True)
def tiny_networks(monkeypatch):
    monkeypatch.setitem(PRESETS, "demo", tiny_preset())


def write(path, array, affine):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)


def add_case(root, case, *, pet=True, approved=True, truth=False, nodes=4):
    column = small_column(ord(case), case=case, nodes=nodes)
    affine = column.grid.affine
    write(root / f"{case}.nii.gz", column.ct_hu, affine)
    if pet:
        write(root / "pet" / f"{case}.nii.gz", column.pet_suv.astype(np.float32), affine)
    tumor = (column.distance_mm <= 0).astype(np.uint8)
    write(root / "labels" / "gtv" / f"{case}.nii.gz", tumor, affine)
    if approved:
        write(root / "labels" / "final" / f"{case}.nii.gz", (column.nodes > 0).astype(np.uint8), affine)
    if truth:
        write(root / "truth" / f"{case}.nii.gz", column.nodes, affine)


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
        return replace(untrained(segmenter.name), trained_on=options["trained_on"], metadata={"new": True})

    def evaluate(checkpoint, columns, device):
        value = figures["new" if checkpoint.metadata.get("new") else "old"]
        return {"metric": value, "cases": {column.case: {"found": value} for column in columns}}

    monkeypatch.setattr(retraining, "train", train)
    monkeypatch.setattr(retraining, "evaluate", evaluate)
    return figures


def published(models, name="ct"):
    return models.publish(name, models.add(untrained(name)).name)


def test_approved_cases_are_those_with_a_final_label(root):
    add_case(root, "h", approved=False)
    (root / "labels" / "final" / ".d.tmp.nii.gz").write_bytes(b"")
    assert approved_cases(root) == ["a", "b", "c", "d", "f", "g"]


def test_the_components_of_an_approved_label_are_the_nodes(root):
    columns, skipped, synthetic = load_columns(root, ["d"], SEGMENTERS["ef"], PRESETS["demo"])
    assert np.unique(columns[0].nodes).tolist() == [0, 1, 2, 3, 4] and not skipped and not synthetic


def test_a_network_is_trained_stored_and_published_from_files(root, models):
    seen = []
    report = retrain(root, models, "ct", iterations=10, on_progress=seen.append)
    assert report.train_cases == ["d", "f", "g"] and report.validation_cases == ["a", "c"]
    assert report.published and models.published("ct").name == report.version
    assert 0 <= report.metric <= 1 and report.metric_before is None and report.version_before is None
    assert set(report.cases) == {"a", "c"} and report.cases["a"]["after"]["nodes"] == 4
    assert seen[-1].iteration == 10 and seen[-1].validation is not None
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


def test_an_equal_version_is_published(root, models, gate):
    published(models)
    gate["new"] = gate["old"]
    assert retrain(root, models, "ct").published


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
    report = retrain(root, models, "ct")
    assert not report.published and models.published("ct").name == former.name
    assert "no approved validation patient" in report.sentence
    assert f"scripts/models.py publish ct {report.version}" in report.next_step


def test_without_a_node_in_the_zone_of_any_validation_patient_nothing_is_published(root, models, gate):
    published(models)
    gate["new"] = gate["old"] = None
    report = retrain(root, models, "ct")
    assert not report.published and "no node in its zone" in report.sentence


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
    retrain(root, models, "ct")
    assert models.load("ct").trained_on == "3 approved patients"
    published(models, "ef")
    retrain(root, models, "ef")
    assert models.load("ef").trained_on == "phantom, then 3 approved patients"


def test_phantoms_among_the_cases_are_told_apart(tmp_path, models, gate):
    for case in TRAIN:
        add_case(tmp_path / "s", case, truth=case != "g")
    retrain(tmp_path / "s", models, "ct")
    assert gate["calls"][0][4]["trained_on"] == "1 approved patient and 2 phantoms"
