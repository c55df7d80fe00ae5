"""The steps that retrainings of both stages share, on a stage that learns nothing."""

from dataclasses import dataclass, replace

import pytest

from osln.retraining import round as rounds
from osln.retraining.round import Round, Settings
from osln.rows.experiments import PRESETS, SEGMENTERS
from osln.weights.model_store import ModelStore
from small.store import untrained


@dataclass(frozen=True)
class Named:
    case: str


class Idle(Round):
    """Learns from every approved case of its split, is as good as it is told, and remembers its options."""

    known = SEGMENTERS
    tuning_length = 0.3
    metrics = (0.5, 0.5)
    interrupted = False

    def recipe(self):
        return replace(PRESETS["demo"], learning_rate=self.rate(0.4))

    def gather(self, recipe, splits):
        learned = [Named(case) for case, split in splits.items() if split == "train"]
        return learned, [Named(case) for case, split in splits.items() if split == "validation"], {}

    def train(self, recipe, learned, compared, **options):
        self.given = options | {"rate": recipe.learning_rate, "length": self.length(10)}
        self.found = options["resume_path"].is_file()
        options["resume_path"].parent.mkdir(parents=True, exist_ok=True)
        options["resume_path"].write_text("state")
        if self.interrupted:
            raise KeyboardInterrupt
        return replace(untrained(self.name, seed=1), trained_on=options["trained_on"])

    def figures(self, checkpoint, compared):
        return {"metric": self.metrics[checkpoint.metadata["seed"]]}

    def renew(self, checkpoint, compared):
        return "renewed"


@pytest.fixture
def models(tmp_path):
    return ModelStore(tmp_path / "models")


@pytest.fixture
def idle(tmp_path, models, monkeypatch):
    """Makes a round over five approved cases, three of them to learn from."""
    splits = {"a": "validation", "b": "test", "d": "train", "f": "train", "g": "train"}
    monkeypatch.setattr(rounds, "approved_cases", lambda root: list(splits))
    monkeypatch.setattr(rounds, "assign", lambda root, cases: splits)
    monkeypatch.setattr(rounds, "phantoms", lambda root, cases: {"g"} & set(cases))
    return lambda **settings: Idle(tmp_path, models, "ct", Settings(**settings))


def test_a_first_round_has_the_preset_s_rate_and_length_and_no_rival(idle, models):
    first = idle()
    report = first.run()
    assert (first.given["rate"], first.given["length"], first.given["initial"]) == (0.4, 10, None)
    assert first.given["trained_on"] == "2 approved patients and 1 phantom"
    assert report.published and report.metric_before is None and report.sentence.endswith("; renewed")
    assert report.train_cases == ["d", "f", "g"] and report.validation_cases == ["a"]


def test_a_round_that_goes_on_has_a_fourth_of_the_rate_and_its_share_of_the_length(idle, models):
    models.publish("ct", models.add(untrained("ct")).name)
    further = idle()
    report = further.run()
    assert (further.given["rate"], further.given["length"]) == (pytest.approx(0.1), 3)
    assert further.given["initial"].name == "ct" and (report.metric, report.metric_before) == (0.5, 0.5)
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
    assert further.found and not path.exists()
    path.write_text("state")
    anew = idle(resume=False)
    anew.run()
    assert not anew.found and not path.exists()


def test_what_is_worse_is_stored_and_nothing_is_renewed(idle, models):
    before = models.publish("ct", models.add(untrained("ct")).name)
    worse = idle()
    worse.metrics = (0.5, 0.4)
    report = worse.run()
    assert not report.published and models.published("ct").name == before.name
    assert "renewed" not in report.sentence and len(models.versions("ct")) == 2
