import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from osln.retraining import classifier as classifier_retraining
from osln.retraining import round as rounds
from osln.retraining.candidate_cache import Asked, CandidateCache
from osln.retraining.classifier import retrain_classifier
from osln.rows.experiments import LATE_FUSION, PRESETS
from osln.stage_two.scoring import CandidateScorer
from osln.weights.model_store import ModelStore
from small.scored import finds, shares
from small.store import untrained
from small.studies import (
    TEST,
    TRAIN,
    VALIDATION,
    BrightnessTags,
    FindsBright,
    add_case,
    publish_stage_one,
    published,
    use_tiny_networks,
)

TAGGER = BrightnessTags()
OTHER = BrightnessTags("e" * 64)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    use_tiny_networks(monkeypatch)
    monkeypatch.setattr(
        classifier_retraining.Tagger, "load", lambda path, device: {"t": TAGGER, "o": OTHER}[path]
    )


@pytest.fixture
def models(tmp_path):
    store = ModelStore(tmp_path / "models")
    publish_stage_one(store)
    return store


@pytest.fixture
def root(tmp_path):
    """Six approved patients with four bright balls each, of which the annotator has deleted the second."""
    for case in (*TRAIN, *VALIDATION, *TEST):
        add_case(tmp_path / "studies", case, deleted=(2,))
    return tmp_path / "studies"


@pytest.fixture
def gate(monkeypatch):
    """Trainings that change nothing and figures to order; "calls" records what was trained."""
    figures = {"new": 0.6, "glnet": 0.5, "local-ct-pet": 0.4, "stage one": 0.2, "calls": []}

    def train(classifier, preset, sets, tags, validation, **options):
        figures["calls"].append(
            {"preset": preset, "sets": sets, "tags": tags, "validation": validation} | options
        )
        metadata = {"new": True, "preset": preset.name, "tagger": options["tagger"]}
        return replace(untrained(classifier.name), trained_on=options["trained_on"], metadata=metadata)

    def scored_patients(checkpoint, sets, tags, *, device):
        return [finds(figures["new" if checkpoint.metadata.get("new") else checkpoint.name]) for _ in sets]

    monkeypatch.setattr(classifier_retraining, "train_classifier", train)
    monkeypatch.setattr(classifier_retraining, "scored_patients", scored_patients)
    round_of_two = classifier_retraining._ClassifierRound
    monkeypatch.setattr(round_of_two, "figures", lambda self, *given: shares(*given))
    monkeypatch.setattr(
        round_of_two, "without", lambda self, compared: [finds(figures["stage one"]) for _ in compared]
    )
    monkeypatch.setattr(rounds, "FEWEST_PATIENTS", 2)
    return figures


def former(models, name="glnet", tagger=TAGGER, seed=0):
    """Publishes a classifier that learned from the tags of a tagger."""
    told = tagger.describe() if name in ("glnet", "tag") else None
    return published(models, untrained(name, seed=seed), tagger=told)


def test_a_network_that_predicts_overlaps_is_given_those_of_the_training_patients(root, models, gate):
    retrain_classifier(root, models, "local-quality", cross_fit=False, publish=False)

    (call,) = gate["calls"]
    assert [one.iou.tolist() for one in call["sets"]] == [[1, 1, 0, 1, 1, 1, 1]] * len(call["sets"])


def test_a_network_is_trained_stored_and_published_from_files(root, models):
    seen, said = [], []
    report = retrain_classifier(
        root, models, "glnet", tagger_path="t", epochs=2, on_progress=seen.append, on_step=said.append
    )
    assert sorted(report.train_cases) == ["d", "f", "g"] and sorted(report.validation_cases) == ["a", "c"]
    assert report.network == "glnet" and report.metric_name == "mFROC" and 0 <= report.metric <= 1
    assert report.published and models.published("glnet").name == report.version
    assert set(report.cases) == {"a", "c"} and report.cases["a"]["after"]["nodes"] == 3
    assert seen[-1].epoch == 2 and seen[-1].validation["false_positives"] == 3.0
    assert said[0] == "looking for the candidates of d (1 of 3)" and len(said) == 5
    version = models.published("glnet")
    assert version.trained_on == "3 approved patients" and version.metadata["tagger"]["sha256"] == "f" * 64
    assert version.metadata["candidates_of"]["d"]["ct-distal"] == models.published("ct-distal").name
    assert set(models.thresholds("glnet")) == {"0.5", "1", "2", "3", "4", "6"}
    assert "score thresholds of glnet were set on 2 validation patients" in report.sentence
    assert not list((models.root / "training").glob("*.resume"))
    json.dumps(report.to_json())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["local-ct-pet", "set-glnet"])
def test_a_candidate_that_was_deleted_scores_lower_after_the_training(root, models, name):
    for case in TRAIN:
        # The deleted balls take up nothing, so that they can be told from nodes.
        path = root / "pet" / f"{case}.nii.gz"
        image = nib.load(path)
        suv = np.asanyarray(image.dataobj).copy()
        approved = np.asanyarray(nib.load(root / "labels" / "final" / f"{case}.nii.gz").dataobj)
        suv[approved == 0] = np.minimum(suv[approved == 0], 1.0)
        nib.save(nib.Nifti1Image(suv, image.affine), path)
    first = retrain_classifier(root, models, name, epochs=1, learning_rate=1e-6)
    models.publish(name, first.version)
    cache = CandidateCache(root, models, "lf-stratified", PRESETS["demo"])
    content, _ = cache.get("d", Asked(cache.in_use(), add_nodes=False))
    deleted = int(np.flatnonzero(content.truth == 0)[0])

    def score() -> float:
        return float(CandidateScorer(models.load(name)).scores(content.patches)[deleted])

    before = score()
    second = retrain_classifier(root, models, name, epochs=15, learning_rate=3e-3)
    models.publish(name, second.version)
    assert score() < before - 0.1


def test_the_regression_of_a_young_cohort_is_solved_anew_each_time_and_judged_as_the_others(root, models):
    seen = []
    first = retrain_classifier(root, models, "numbers", on_progress=seen.append)
    assert first.metric_name == "mFROC" and sorted(first.train_cases) == ["d", "f", "g"]
    assert [one.share for one in seen][-1] == 1 and seen[-1].validation["patients"] == 2
    models.publish("numbers", first.version)
    again = retrain_classifier(root, models, "numbers", epochs=9, learning_rate=1.0, seed=3)
    former, new = (models.load("numbers", version(models, one)) for one in (first, again))
    assert all((former.state_dict[name] == one).all() for name, one in new.state_dict.items())
    assert not again.published and "tells" in again.sentence
    assert new.trained_on == "3 approved patients" and new.metadata.get("base_version") is None
    assert set(models.thresholds("numbers")) == {"0.5", "1", "2", "3", "4", "6"}


def test_a_part_without_which_nothing_is_left_to_learn_judges_nobody(root, models, monkeypatch):
    first = models.load("numbers", version(models, retrain_classifier(root, models, "numbers")))
    elsewhere = models.add(replace(first, metadata={**first.metadata, "train_cases": ["x"]}))
    models.publish("numbers", elsewhere.name)
    real, said = classifier_retraining.train_classifier, []

    def train(classifier, recipe, sets, *rest, **given):
        if "d" not in [one.case for one in sets]:
            sets = [replace(one, truth=np.zeros_like(one.truth)) for one in sets]
        return real(classifier, recipe, sets, *rest, **given)

    monkeypatch.setattr(classifier_retraining, "train_classifier", train)
    report = retrain_classifier(root, models, "numbers", on_step=said.append)
    assert [one for one in said if "d cannot be judged on: without them numbers needs nodes" in one]
    assert {"a", "c"} <= set(report.cases) and "d" not in report.cases


def version(models, report):
    return next(one for one in models.versions("numbers") if one.name == report.version)


def test_a_better_version_is_published_and_goes_on_from_the_former(root, models, gate):
    before = former(models)
    report = retrain_classifier(root, models, "glnet", tagger_path="t")
    (call,) = gate["calls"]
    preset = PRESETS["demo"].stage_two
    assert call["initial"].name == "glnet" and call["epochs"] == preset.epochs / 2
    assert call["preset"].stage_two.learning_rate == pytest.approx(preset.learning_rate / 4)
    assert [one.case for one in call["validation"][0]] == ["a", "c"] and len(call["tags"]) == 3
    assert report.published and (report.metric, report.metric_before) == (0.6, 0.5)
    assert report.cases["a"] == {"after": {"found": 0.6}, "before": {"found": 0.5}}
    assert f"mFROC 0.600, {before.name} has 0.500 on 2 patients with 20 nodes" in report.sentence
    assert "difference +0.100 [+0.100, +0.100]; +0.400 against stage one alone" in report.sentence
    assert models.published("glnet").metadata["base_version"] == before.name
    assert models.load("glnet").trained_on == "phantom, then 3 approved patients"


def test_patients_who_have_judged_many_rounds_are_told(root, models, gate):
    former(models)
    for number in range(5):
        judged_on = {"validation_cases": ["a"] if number else ["a", "c", "x"]}
        models.add(replace(untrained("glnet"), metadata=judged_on))
        models.add(replace(untrained("glnet"), metadata=judged_on | {"stands_for": "another"}))
    models.add(replace(untrained("glnet"), metadata={"validation_cases": ["x", "y"]}))
    report = retrain_classifier(root, models, "glnet", tagger_path="t")
    assert (
        "; 5 rounds before were judged on most of these patients, so whatever passed fits" in report.sentence
    )


def test_what_somebody_put_to_use_during_the_training_stays(root, models, gate, monkeypatch):
    first, second = former(models), former(models, seed=1)
    gate["stage one"] = 0.7
    real = classifier_retraining.train_classifier

    def train(*given, **options):
        models.publish("glnet", first.name)
        return real(*given, **options)

    monkeypatch.setattr(classifier_retraining, "train_classifier", train)
    report = retrain_classifier(root, models, "glnet", tagger_path="t")

    assert not report.published and models.published("glnet").name == first.name
    assert (
        f"not published: meanwhile {first.name} was put to use, which it was not compared" in report.sentence
    )
    assert f"{second.name} has 0.500" in report.sentence
    # The figures are of the other one.
    assert models.worse_than_none("glnet") is None


@pytest.mark.parametrize("better", [True, False])
def test_on_candidates_of_a_stage_one_that_is_not_there_any_more_nothing_is_decided(
    root, models, gate, monkeypatch, better
):
    before = former(models)
    gate["stage one"] = 0.2 if better else 0.7
    real = classifier_retraining.train_classifier

    def train(*given, **options):
        published(models, untrained("ct-distal", seed=1))
        return real(*given, **options)

    monkeypatch.setattr(classifier_retraining, "train_classifier", train)
    report = retrain_classifier(root, models, "glnet", tagger_path="t", cross_fit=False)

    assert not report.published and models.published("glnet").name == before.name
    assert "not published: stage one was replaced meanwhile" in report.sentence
    assert models.worse_than_none("glnet") is None and not models.is_measured("glnet")


def test_a_stage_one_that_is_replaced_while_points_are_measured_keeps_the_version_out_of_use(
    root, models, gate, monkeypatch
):
    former(models)
    used = models.weights_of("glnet")
    made = classifier_retraining._ClassifierRound.renew

    def renew(self, store, checkpoint, compared):
        models.set_thresholds("lf-stratified", {"0.15": 0.5})
        return made(self, store, checkpoint, compared)

    monkeypatch.setattr(classifier_retraining._ClassifierRound, "renew", renew)
    report = retrain_classifier(root, models, "glnet", tagger_path="t", cross_fit=False)

    assert not report.published and "stage one was replaced meanwhile" in report.sentence
    kept = json.loads((models.root / "published.json").read_text())["measured"]["glnet"]
    # Filed under where stage one handed over when the candidates were made.
    new = next(one for one in models.versions("glnet") if one.name == report.version)
    assert [one["weights"] for one in kept] == [used | {"glnet": new.sha256}]


def test_a_worse_version_is_stored_and_not_published(root, models, gate):
    before = former(models)
    gate["new"] = 0.4
    report = retrain_classifier(root, models, "glnet", tagger_path="t")
    assert not report.published and models.published("glnet").name == before.name
    assert "worse" in report.sentence and f"publish glnet {report.version}" in report.next_step


def test_what_finds_less_than_stage_one_alone_is_not_published(root, models, gate):
    former(models)
    gate["stage one"] = 0.7
    report = retrain_classifier(root, models, "glnet", tagger_path="t")
    assert not report.published and "stage one alone finds more" in report.sentence
    assert report.judgments["stage one alone"]["difference"] == pytest.approx(-0.1)


def test_what_is_in_use_and_worse_than_stage_one_alone_does_not_answer_until_something_better_does(
    root, models, gate
):
    before = former(models)
    gate["stage one"] = 0.7
    asked = {"tagger_path": "t"}
    assert not retrain_classifier(root, models, "glnet", **asked, publish=False).published
    assert models.worse_than_none("glnet") is None, "nothing is changed where nothing is to be published"

    report = retrain_classifier(root, models, "glnet", **asked)

    why = f"stage one alone finds more than glnet ({before.name}: -0.200 mFROC on 2 patients)"
    assert models.worse_than_none("glnet") == why and models.published("glnet").name == before.name
    assert report.sentence.endswith(f"; {why}, so the candidates keep stage one's own score")
    # The next round finds that it is not, though the new one is no better than what is in use.
    gate.update({"stage one": 0.3, "new": 0.4})
    report = retrain_classifier(root, models, "glnet", **asked)
    assert not report.published and models.worse_than_none("glnet") is None
    gate.update({"stage one": 0.55, "new": 0.4})
    retrain_classifier(root, models, "glnet", **asked)
    assert models.worse_than_none("glnet") is not None
    gate["new"] = 0.6
    assert retrain_classifier(root, models, "glnet", **asked).published
    assert models.worse_than_none("glnet") is None


def test_one_patient_does_not_take_a_network_out_of_use(root, models, gate):
    former(models)
    gate["stage one"] = 0.7
    (root / "labels" / "final" / "a.nii.gz").unlink()
    assert not retrain_classifier(root, models, "glnet", tagger_path="t", cross_fit=False).published
    assert models.worse_than_none("glnet") is None


def test_what_stands_in_is_marked_by_its_own_name(root, models, gate):
    former(models, tagger=OTHER)
    stand_in = former(models, "local-ct-pet")
    gate["stage one"] = 0.7
    retrain_classifier(root, models, "glnet", tagger_path="t")
    assert models.worse_than_none("glnet") is None
    assert stand_in.name in models.worse_than_none("local-ct-pet")


def test_with_another_tagger_it_starts_anew_and_competes_with_what_scores_meanwhile(root, models, gate):
    former(models, tagger=OTHER)
    former(models, "local-ct-pet")
    report = retrain_classifier(root, models, "glnet", tagger_path="t")
    (call,) = gate["calls"]
    assert call["initial"] is None and call["epochs"] == PRESETS["demo"].stage_two.epochs
    assert report.sentence.startswith(
        "trained from scratch, because glnet had learned from the tags of another"
    )
    assert report.published and report.metric_before == 0.4 and "local-ct-pet has 0.400" in report.sentence
    assert models.published("glnet").metadata["base_version"] is None


def test_a_first_version_has_to_beat_what_scores_meanwhile(root, models, gate):
    former(models, "local-ct-pet")
    gate["new"] = 0.3
    report = retrain_classifier(root, models, "glnet", tagger_path="t")
    assert not report.published and "local-ct-pet has 0.400" in report.sentence


def test_a_network_without_tags_needs_no_tagger(root, models, gate):
    before = former(models, "local-ct-pet")
    report = retrain_classifier(root, models, "local-ct-pet")
    assert report.published and report.version_before == before.name
    assert gate["calls"][0]["tags"] is None and gate["calls"][0]["tagger"] is None


def test_without_a_tagger_the_way_is_told(root, models):
    with pytest.raises(ValueError, match=r"glnet reads tags and there is no tagger: .* or train local"):
        retrain_classifier(root, models, "glnet")


def test_candidates_come_from_versions_that_have_not_seen_the_patient(root, models, gate):
    first = models.published("ct-distal")
    published(models, untrained("ct-distal", seed=1), train_cases=["d"], base_version=first.name)
    second = models.published("ct-distal")
    retrain_classifier(root, models, "glnet", tagger_path="t")
    asked = models.published("glnet").metadata["candidates_of"]
    assert asked["d"]["ct-distal"] == first.name and asked["f"]["ct-distal"] == second.name
    assert set(asked["d"]) == set(LATE_FUSION)


def test_candidates_are_made_once_for_all_networks(root, models, gate):
    retrain_classifier(root, models, "glnet", tagger_path="t")
    asked = len(FindsBright.asked)
    assert asked == 5 * len(LATE_FUSION)
    retrain_classifier(root, models, "local-ct-pet")
    retrain_classifier(root, models, "glnet", tagger_path="t")
    assert len(FindsBright.asked) == asked


def test_test_patients_are_not_looked_at(root, models, gate):
    retrain_classifier(root, models, "glnet", tagger_path="t")
    assert "b" not in {case for case, _ in FindsBright.asked}


def test_settings_of_the_user_win(root, models, gate):
    former(models)
    retrain_classifier(
        root, models.root, "glnet", tagger_path="t", epochs=7, learning_rate=0.5, seed=3, publish=False
    )
    (call,) = gate["calls"]
    assert call["epochs"] == 7 and call["preset"].stage_two.learning_rate == 0.5 and call["seed"] == 3
    gate["calls"].clear()
    report = retrain_classifier(root, models, "glnet", tagger_path="t", from_scratch=True, publish=False)
    assert gate["calls"][0]["initial"] is None and not report.published and report.metric_before == 0.5


def test_cases_that_cannot_be_used_are_left_out_with_the_reason(root, models, gate):
    (root / "pet" / "d.nii.gz").unlink()
    (root / "pet" / "a.nii.gz").unlink()
    report = retrain_classifier(root, models, "glnet", tagger_path="t")
    assert sorted(report.train_cases) == ["f", "g"] and report.validation_cases == ["c"]
    assert "no PET" in report.skipped["d"] and "no PET" in report.skipped["a"]


def test_without_a_validation_patient_nothing_is_published(root, models, gate):
    for case in VALIDATION:
        (root / "labels" / "final" / f"{case}.nii.gz").unlink()
    report = retrain_classifier(root, models, "glnet", tagger_path="t")
    assert not report.published and "has a node to judge it by" in report.sentence


def test_stage_two_goes_on_beside_a_stage_one_of_other_widths(root, models, gate):
    for name in LATE_FUSION:
        published(models, untrained(name, preset="wide"))
    former(models)

    report = retrain_classifier(root, models, "glnet", tagger_path="t", cross_fit=False)

    (call,) = gate["calls"]
    assert call["preset"].name == "demo" and call["initial"].name == "glnet"
    assert report.metric_before == 0.5


@pytest.mark.parametrize("name", ["set-glnet", "glnet"])
def test_what_begins_anew_in_another_preset_of_the_same_voxels_has_to_match_what_is_in_use(
    root, models, gate, name
):
    former(models, name)
    gate[name] = 0.9
    report = retrain_classifier(root, models, name, preset="wide", tagger_path="t", cross_fit=False)
    assert gate["calls"][0]["initial"] is None and report.metric_before == 0.9
    assert not report.published and "former weights are of the preset demo" in report.sentence


def test_without_weights_of_its_own_stage_two_has_the_preset_of_stage_one(root, models, gate):
    for name in LATE_FUSION:
        published(models, untrained(name, preset="wide"))

    retrain_classifier(root, models, "local-ct", cross_fit=False)

    assert gate["calls"][0]["preset"].name == "wide"


def test_what_makes_a_training_impossible_is_said(tmp_path, root, models, gate):
    with pytest.raises(ValueError, match="there is no folder"):
        retrain_classifier(tmp_path / "empty", models, "local-ct")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="review a case, submit it as final"):
        retrain_classifier(tmp_path / "empty", models, "local-ct")
    with pytest.raises(ValueError, match="unknown network 'ct'"):
        retrain_classifier(root, models, "ct")
    with pytest.raises(ValueError, match="learning rate must be above 0"):
        retrain_classifier(root, models, "local-ct", learning_rate=-1.0)
    with pytest.raises(ValueError, match="no weights for ct-proximal"):
        retrain_classifier(root, tmp_path / "none", "local-ct")
    with pytest.raises(ValueError, match="have others than the preset paper"):
        retrain_classifier(root, models, "local-ct", preset="paper")
