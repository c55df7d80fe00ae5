"""The steps that retrainings of both stages share, on a stage that learns nothing."""

from dataclasses import dataclass, replace

import pytest

from osln.retraining import round as rounds
from osln.retraining.eligible import Eligible
from osln.retraining.round import Round
from osln.retraining.seen import cases_seen
from osln.retraining.settings import Settings
from osln.rows.experiments import PRESETS, SEGMENTERS
from osln.weights.model_store import ModelStore
from small.scored import finds, shares
from small.store import untrained
from small.studies import of_patient, published


@dataclass(frozen=True)
class Named:
    case: str
    partial: bool = False


class Idle(Round):
    """Learns from every approved case of its split, is as good as it is told, and remembers its options."""

    known = SEGMENTERS
    tuning_length = 0.3
    metrics = (0.5, 0.6)
    interrupted = False

    def recipe(self):
        return replace(PRESETS["demo"], learning_rate=self.rate(0.4))

    def gather(self, recipe, splits):
        learned = [Named(case) for case, split in splits.items() if split == "train"]
        return learned, [Named(case) for case, split in splits.items() if split == "validation"], {}

    def train(self, recipe, learned, compared, **options):
        self.given = options | {"rate": recipe.learning_rate, "length": self.length(10)}
        self.went_on = options["resume_path"].is_file()
        options["resume_path"].parent.mkdir(parents=True, exist_ok=True)
        options["resume_path"].write_text("state")
        self.trainings = [
            *getattr(self, "trainings", []),
            ([one.case for one in learned], options["initial"]),
        ]
        if self.interrupted:
            raise KeyboardInterrupt
        made = untrained(self.name, seed=1)
        metadata = {**made.metadata, "train_cases": [one.case for one in learned]}
        return replace(made, trained_on=options["trained_on"], metadata=metadata)

    def found(self, checkpoint, compared):
        return [finds(self.metrics[checkpoint.metadata["seed"]]) for _ in compared]

    def figures(self, compared, found):
        return shares(compared, found)

    def renew(self, store, checkpoint, compared):
        # What is measured before it is published is measured with it.
        in_use = store.load(self.name).metadata["seed"] == checkpoint.metadata["seed"]
        return "renewed" if in_use else "renewed too early"


@pytest.fixture
def models(tmp_path):
    return ModelStore(tmp_path / "models")


@pytest.fixture
def idle(tmp_path, models, monkeypatch):
    """Makes a round over five approved cases, three of them to learn from."""
    splits = {"a": "validation", "b": "test", "d": "train", "f": "train", "g": "train"}
    monkeypatch.setattr(rounds, "eligible", lambda root, store, judges: Eligible(splits, {}))
    monkeypatch.setattr(rounds, "phantoms", lambda root, cases: {"g"} & set(cases))
    monkeypatch.setattr(rounds, "FEWEST_PATIENTS", 1)

    def make(**settings):
        made = Idle(tmp_path, models, "ct", Settings(**settings))
        made.trainings = []
        return made

    return make


def test_a_first_round_has_the_preset_s_rate_and_length_and_no_rival(idle, models):
    first = idle()
    report = first.run()
    assert (first.given["rate"], first.given["length"], first.given["initial"]) == (0.4, 10, None)
    assert first.given["trained_on"] == "2 approved patients and 1 phantom"
    assert report.published and report.metric_before is None and report.sentence.endswith("; renewed")
    assert report.train_cases == ["d", "f", "g"] and report.validation_cases == ["a"]


def test_weights_whose_operating_points_cannot_be_measured_do_not_come_into_use(idle, models, monkeypatch):
    def fails(store, checkpoint, compared):
        raise OSError(28, "No space left on device")

    first = idle()
    monkeypatch.setattr(first, "renew", fails)
    report = first.run()
    assert not report.published and "points cannot be measured: [Errno 28] No space" in report.sentence
    assert models.published("ct") is None and [one.name for one in models.versions("ct")] == [report.version]
    assert report.version in report.next_step


def test_who_publishes_while_the_points_are_measured_has_decided(idle, models, monkeypatch):
    first = idle()
    other = models.add(untrained("ct", seed=5)).name

    def meanwhile(store, checkpoint, compared):
        models.publish("ct", other)
        return "renewed"

    monkeypatch.setattr(first, "renew", meanwhile)
    report = first.run()
    assert not report.published and f"meanwhile {other} was put to use" in report.sentence
    assert models.published("ct").name == other


def test_points_are_measured_again_if_a_network_beside_was_replaced_meanwhile(idle, models, monkeypatch):
    first, measured = idle(), []

    def renew(store, checkpoint, compared):
        if not measured:
            models.publish("ef", models.add(untrained("ef")).name)
        measured.append(store.checksum("ef"))
        return "renewed"

    monkeypatch.setattr(first, "renew", renew)
    assert first.run().published
    assert len(measured) == 2 and measured[1] == models.checksum("ef")


def test_a_round_that_goes_on_has_a_fourth_of_the_rate_and_its_share_of_the_length(idle, models):
    models.publish("ct", models.add(untrained("ct")).name)
    further = idle()
    report = further.run()
    assert (further.given["rate"], further.given["length"]) == (pytest.approx(0.1), 3)
    assert further.given["initial"].name == "ct" and (report.metric, report.metric_before) == (0.6, 0.5)
    assert idle(from_scratch=True).length(10) == 10 and idle(length=7, learning_rate=0.2).length(10) == 7
    assert idle(learning_rate=0.2).rate(0.4) == 0.2 and idle().length(1) == 1


def test_an_interrupted_round_leaves_its_state_and_a_finished_one_none(idle, models):
    path = models.root / "training" / "ct.resume"
    broken = idle()
    broken.interrupted = True
    with pytest.raises(KeyboardInterrupt):
        broken.run()
    assert path.is_file()
    further = idle()
    further.run()
    assert further.went_on and not path.exists()
    path.write_text("state")
    anew = idle(resume=False)
    anew.run()
    assert not anew.went_on and not path.exists()


def test_what_is_worse_is_stored_and_nothing_is_renewed(idle, models):
    before = models.publish("ct", models.add(untrained("ct")).name)
    worse = idle()
    worse.metrics = (0.5, 0.4)
    report = worse.run()
    assert not report.published and models.published("ct").name == before.name
    assert "renewed" not in report.sentence and len(models.versions("ct")) == 2


@pytest.mark.parametrize("gone", [".pt", ".json"])
def test_a_version_in_use_that_is_lost_is_not_as_if_there_were_none(idle, models, gone):
    before = published(models, untrained("ct"), seed=0)
    before.path.with_suffix(gone).unlink()
    with pytest.raises(
        ValueError, match=f"{before.name}.* of ct .*; restore its files, or train from scratch"
    ):
        idle()


@pytest.mark.parametrize("gone", [".pt", ".json"])
def test_from_scratch_a_lost_version_is_compared_with_nothing_and_not_replaced(idle, models, gone):
    before = published(models, untrained("ct"), seed=0)
    before.path.with_suffix(gone).unlink()
    # A whole folder may be lost, and each network is trained while the others are missing.
    published(models, untrained("ef")).path.unlink()
    told = []
    scratch = idle(from_scratch=True, on_step=told.append)
    report = scratch.run()
    assert scratch.given["initial"] is None and scratch.preset.name == "demo"
    assert told[0].startswith("ct is trained from scratch and compared with nothing: the ")
    assert not report.published and report.metric_before is None and report.version_before is None
    assert "not published, because nothing can be compared with what is in use: the " in report.sentence
    assert before.name in report.sentence and report.sentence.endswith(": mRecall 0.600")
    by_hand = f"./scripts/osln models publish ct {report.version}"
    assert report.next_step.startswith(f"publish by hand: {by_hand}, or restore that version")
    models.publish("ct", report.version)
    assert idle().run().version_before == report.version


def test_who_publishes_just_before_the_new_one_comes_into_use_has_decided(idle, models, monkeypatch):
    other = models.add(untrained("ct", seed=5)).name
    publish = models.publish

    def meanwhile(network, name, unless=str):
        # Between the last look and the lock lies the reading of the weights.
        ModelStore(models.root).publish(network, other)
        return publish(network, name, unless)

    first = idle()
    monkeypatch.setattr(models, "publish", meanwhile)
    report = first.run()
    assert not report.published and f"meanwhile {other} was put to use" in report.sentence
    assert models.published("ct").name == other


def seen_by(checkpoint):
    return set(checkpoint.metadata["train_cases"])


@pytest.fixture
def few(monkeypatch):
    """One validation patient is too few, so that the training patients are judged on as well."""
    monkeypatch.setattr(rounds, "FEWEST_PATIENTS", 10)


def shipped(models):
    """Weights in use that have seen no approved case."""
    made = untrained("ct")
    made = replace(made, metadata={**made.metadata, "train_cases": []})
    return models.publish("ct", models.add(made).name)


def test_with_few_validation_patients_the_training_patients_are_judged_on_by_networks_without_them(
    idle, models, few
):
    before = shipped(models)
    first = idle()
    report = first.run()
    assert first.trainings[0][0] == ["d", "f", "g"]
    left_out = [{"d", "f", "g"} - set(cases) for cases, _ in first.trainings[1:]]
    assert sorted(map(sorted, left_out)) == [["d"], ["f"], ["g"]]
    assert sorted(report.validation_cases) == ["a", "d", "f", "g"] and report.published
    assert report.judgments["in use"]["patients"] == 4 and report.judgments["in use"]["nodes"] == 40
    stands = [one for one in models.versions("ct") if one.metadata.get("stands_for")]
    assert {one.metadata["stands_for"] for one in stands} == {report.version}
    assert sorted(case for one in stands for case in one.metadata["left_out"]) == ["d", "f", "g"]
    assert models.published("ct").name == report.version != before.name
    assert not list((models.root / "training").glob("*.resume"))


def test_in_the_next_round_what_left_a_patient_out_stands_for_the_version_in_use(idle, models, few):
    shipped(models)
    idle().run()
    second = idle()
    asked = []
    second.found = lambda checkpoint, compared: [
        asked.append((checkpoint, one.case)) or finds(0.5 + 0.01 * len(asked)) for one in compared
    ]
    report = second.run()
    assert len(second.trainings) == 4 and report.judgments["in use"]["patients"] == 4
    for checkpoint, case in asked:
        # Nobody is asked about a patient that it, or what it went on from, has learned from.
        assert case not in seen_by(checkpoint)
    for cases, initial in second.trainings[1:]:
        (without,) = {"d", "f", "g"} - set(cases)
        assert without not in seen_by(initial)
    versions = models.versions("ct")
    stands = [one for one in versions if one.metadata.get("stands_for") == report.version]
    assert len(stands) == 3
    for one in stands:
        assert not cases_seen(one, versions) & set(one.metadata["left_out"])


def test_what_leaves_out_patients_is_not_trained_where_it_is_not_wanted(idle, models, few):
    shipped(models)
    without = idle(cross_fit=False)
    report = without.run()
    assert len(without.trainings) == 1 and report.validation_cases == ["a"]
    assert not report.published and "one patient with nodes cannot tell" in report.sentence


def test_a_lost_network_of_the_former_round_costs_its_part_and_not_the_training(idle, models, few):
    before = shipped(models)
    report = idle().run()
    stands = [one for one in models.versions("ct") if one.metadata.get("stands_for") == report.version]
    lost = next(one for one in stands if one.metadata["left_out"] == ["f"])
    lost.path.write_bytes(b"half")
    told = []
    second = idle(on_step=told.append)
    second.metrics = (0.5, 0.6)
    assert set(second.run().validation_cases) == {"a", "d", "g"}
    (said,) = [one for one in told if "cannot be judged on" in one]
    assert said.startswith("f cannot be judged on: ") and lost.path.name in said
    assert before.name != report.version


def test_an_interrupted_cross_fit_goes_on_and_leaves_no_state(idle, models, few):
    shipped(models)
    broken = idle()
    train = Idle.train

    def stops(self, recipe, learned, compared, **options):
        self.interrupted = len(learned) == 2
        return train(self, recipe, learned, compared, **options)

    broken.train = stops.__get__(broken)
    with pytest.raises(KeyboardInterrupt):
        broken.run()
    assert len(list((models.root / "training").glob("ct-part-*.resume"))) == 1
    idle().run()
    assert not list((models.root / "training").glob("*.resume"))


def test_two_cases_of_one_patient_cannot_tell_more_than_one(idle, models, tmp_path, monkeypatch):
    splits = {"a": "validation", "b": "validation", "d": "train", "f": "train"}
    monkeypatch.setattr(rounds, "eligible", lambda root, store, judges: Eligible(splits, {}))
    published(models, untrained("ct"), seed=0, train_cases=[])
    of_patient(tmp_path, "P1", "a", "b")
    report = idle(cross_fit=False).run()
    assert not report.published and "one patient with nodes cannot tell" in report.sentence
    assert "on 1 patient with 20 nodes" in report.sentence
    # Two patients ask for cross-fitting where two are needed, two cases of one do not make up for them.
    monkeypatch.setattr(rounds, "FEWEST_PATIENTS", 2)
    assert set(idle().run().validation_cases) == {"a", "b", "d", "f"}


def test_what_is_submitted_in_part_after_the_cases_were_chosen_is_not_judged_on(idle, models, few):
    shipped(models)
    first = idle()
    first.gather = lambda recipe, splits: (
        [Named("d"), Named("f", partial=True), Named("g")],
        [Named("a", partial=True), Named("b")],
        {},
    )
    report = first.run()
    assert sorted(report.validation_cases) == ["b", "d", "g"] and report.train_cases == ["d", "f", "g"]
    assert report.skipped == {
        "a": "submitted in part, and only complete cases are judged on (validation): complete its review"
    }


def test_a_case_that_is_removed_during_the_training_does_not_end_the_round(idle, models, few, monkeypatch):
    shipped(models)
    first, there = idle(), {"a", "b", "d", "f", "g"}

    def asked(root, cases):
        assert there.issuperset(cases), "a case that is not there cannot be asked about"
        return {"g"} & set(cases)

    def train(recipe, learned, compared, **options):
        there.discard("g")
        return Idle.train(first, recipe, learned, compared, **options)

    monkeypatch.setattr(rounds, "phantoms", asked)
    first.train = train
    assert first.run().published and len(first.trainings) == 4
    assert models.load("ct").trained_on == "phantom, then 2 approved patients and 1 phantom"
