"""A row with the weights in use, without a server."""

import pytest

from osln import pipeline
from osln.pipeline import load_pipeline
from osln.weights.model_store import ModelStore
from small.store import untrained
from small.studies import BrightnessTags, FindsBright, publish_stage_one, published


@pytest.fixture
def models(tmp_path, monkeypatch):
    """Stage one and a GLNet that has learned from the tags of a tagger."""
    monkeypatch.setattr(pipeline, "Predictor", lambda checkpoint, device, precision: FindsBright(checkpoint))
    store = ModelStore(tmp_path)
    publish_stage_one(store)
    published(store, untrained("glnet"), tagger=BrightnessTags().describe())
    store.set_thresholds("glnet", {"3": 0.25})
    return store


def test_a_row_comes_with_its_operating_points_and_its_tagger(models, monkeypatch):
    monkeypatch.setattr(pipeline.Tagger, "load", lambda *given: BrightnessTags())
    found = load_pipeline(models, "osln")
    assert list(found.networks) == list(found.experiment.segmenters) and found.threshold == 0.5
    assert found.second.threshold == 0.25 and isinstance(found.second.tagger, BrightnessTags)


def test_with_another_tagger_it_is_said_whose_tags_were_learned_and_which_row_needs_none(models, monkeypatch):
    monkeypatch.setattr(pipeline.Tagger, "load", lambda *given: BrightnessTags("e" * 64))
    words = r"tags of LesaNet .*ffffffffffff\), the tagger in use is LesaNet .*e{12}\): retrain glnet .*"
    with pytest.raises(ValueError, match=words + "or ask for osln-local-ct-pet, which needs no tags"):
        load_pipeline(models, "osln")
