"""The scorer of candidates: one batch for a patient, the same scores one by one, nothing for nobody."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from osln.imaging.transforms import Scaling
from osln.networks.build import classifier_network
from osln.rows.experiments import CLASSIFIERS, PRESETS
from osln.stage_two.patches import Patches
from osln.stage_two.scoring import FILLED_UP, LARGEST_BATCH, CandidateScorer
from osln.weights import devices
from osln.weights.checkpoint import Checkpoint
from small.candidates import TAGGER, small_patches, tiny_preset

SCALING = Scaling(pet_mean=1.0, pet_sd=1.5)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(PRESETS, "tiny", tiny_preset())


def checkpoint(name="glnet", **metadata) -> Checkpoint:
    network = classifier_network(CLASSIFIERS[name], PRESETS["tiny"])
    return Checkpoint(name, "tiny", SCALING, network.state_dict(), "phantom", metadata)


def patches(count: int, *, pet: bool = True) -> Patches:
    return small_patches(np.arange(count) % 2 == 0, pet=pet)


def part(whole: Patches, index: slice) -> Patches:
    return Patches(whole.ct_hu[index], whole.pet_suv[index], whole.boxes[index], whole.context[index])


def tags(count: int) -> np.ndarray:
    return np.random.default_rng(0).random((count, 171)).astype(np.float32)


@pytest.mark.parametrize("name", [name for name in CLASSIFIERS if name != "set-glnet"])
def test_scores_of_a_batch_are_those_of_the_candidates_one_by_one(name):
    scorer = CandidateScorer(checkpoint(name), number_format="f32")
    given, told = patches(7), tags(7)
    together = scorer.scores(given, told)
    alone = [scorer.scores(part(given, slice(n, n + 1)), told[n : n + 1])[0] for n in range(7)]
    assert together.shape == (7,) and together.dtype == np.float32
    assert together == pytest.approx(np.array(alone), abs=1e-6)
    assert len(np.unique(together)) == 7 and (together > 0).all() and (together < 1).all()


def test_a_set_of_candidates_is_judged_together_in_any_order_and_number():
    trained = checkpoint("set-glnet")
    with torch.no_grad():
        trained.state_dict["relation.weight"].normal_()
    scorer = CandidateScorer(trained, number_format="f32")
    given = patches(2 * LARGEST_BATCH + 3)
    whole = scorer.scores(given)
    backward = scorer.scores(part(given, slice(None, None, -1)))
    assert whole == pytest.approx(backward[::-1], abs=1e-5)
    assert abs(scorer.scores(part(given, slice(0, 1)))[0] - whole[0]) > 1e-4


@pytest.mark.parametrize("name", ["glnet", "local-ct", "tag", "local-quality", "random-views"])
def test_openvino_gives_the_scores_of_torch(name):
    pytest.importorskip("openvino")
    given, told, trained = patches(FILLED_UP + 3), tags(FILLED_UP + 3), checkpoint(name)
    exact = CandidateScorer(trained, number_format="f32", runtime="torch").judged(given, told)

    scores, features = CandidateScorer(trained, number_format="f32", runtime="openvino").judged(given, told)
    np.testing.assert_allclose(scores, exact[0], atol=1e-6)
    np.testing.assert_allclose(features, exact[1], atol=1e-5, rtol=1e-5)
    assert exact[0].std() > 1e-4


def test_what_openvino_says_of_a_candidate_depends_on_no_other():
    pytest.importorskip("openvino")
    scorer = CandidateScorer(checkpoint("glnet"), number_format="f32", runtime="openvino")
    given, told = patches(FILLED_UP + 3), tags(FILLED_UP + 3)

    together = scorer.judged(given, told)[1]
    for n in (0, FILLED_UP - 1, FILLED_UP, FILLED_UP + 2):
        one = slice(n, n + 1)
        np.testing.assert_array_equal(scorer.judged(part(given, one), told[one])[1][0], together[n])


def test_without_openvino_torch_scores(monkeypatch):
    monkeypatch.setattr(devices, "HAS_OPENVINO", False)

    scorer = CandidateScorer(checkpoint("glnet"))
    assert (scorer.engine.runtime, scorer.arithmetic.number_format) == ("torch", "f32")
    assert scorer.scores(patches(3), tags(3)).shape == (3,)


def test_more_candidates_than_a_batch_holds_are_scored_in_parts():
    scorer = CandidateScorer(checkpoint("local-ct-pet"), number_format="f32")
    count = 2 * LARGEST_BATCH + 3
    given = patches(count)
    whole = scorer.scores(given)
    last = scorer.scores(part(given, slice(count - 5, count)))
    assert whole.shape == (count,) and whole[-5:] == pytest.approx(last, abs=1e-6)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_no_candidate_has_no_score(name):
    found = CandidateScorer(checkpoint(name)).scores(patches(0), tags(0))
    assert found.shape == (0,) and found.dtype == np.float32


def test_patches_are_scaled_with_the_numbers_of_the_checkpoint():
    network = checkpoint("local-ct-pet")
    given = patches(3)
    x = np.empty((3, 2, *given.ct_hu.shape[1:]), dtype=np.float32)
    # Window -200..300 HU, center .3, gain 5; z-score times .5.
    x[:, 0] = (np.clip(given.ct_hu, -200, 300) + 200 - 0.3 * 500) * (5 / 500)
    x[:, 1] = (given.pet_suv.astype(np.float32) - 1.0) * (0.5 / 1.5)
    with torch.inference_mode():
        logits = network.network()(torch.from_numpy(x), torch.from_numpy(given.boxes), None)
    found = CandidateScorer(network, number_format="f32").scores(given)
    assert found == pytest.approx(torch.sigmoid(logits).numpy(), abs=1e-6)


def test_half_precision_gives_nearly_the_same_scores():
    given, told = patches(8), tags(8)
    network = checkpoint()
    exact = CandidateScorer(network, number_format="f32").scores(given, told)
    fast = CandidateScorer(network, number_format="bf16").scores(given, told)
    assert fast == pytest.approx(exact, abs=0.02) and not np.array_equal(fast, exact)


def test_missing_or_foreign_tags_are_refused():
    scorer = CandidateScorer(checkpoint("tag"))
    with pytest.raises(ValueError, match="tag reads tags: give 171 probabilities for each candidate"):
        scorer.scores(patches(2))
    with pytest.raises(ValueError, match="tag reads tags"):
        scorer.scores(patches(2), tags(3))


def test_a_missing_pet_is_refused():
    without = patches(2, pet=False)
    with pytest.raises(ValueError, match="needs ct, pet; this patient has no pet"):
        CandidateScorer(checkpoint("local-ct-pet")).scores(without)
    assert len(CandidateScorer(checkpoint("local-ct")).scores(without)) == 2


def test_a_scorer_knows_the_tagger_that_it_has_learned_from():
    assert CandidateScorer(checkpoint("glnet", tagger=TAGGER)).tagger == TAGGER
    assert CandidateScorer(checkpoint("local-ct", tagger=None)).tagger is None


def test_weights_of_another_network_and_unknown_devices_are_refused():
    with pytest.raises(ValueError, match=r"not weights of local-ct \(tiny\)"):
        CandidateScorer(replace(checkpoint("local-ct-pet"), name="local-ct"))
    with pytest.raises(ValueError, match="device 'tpu' is not available here"):
        CandidateScorer(checkpoint(), device="tpu")


def test_the_features_are_what_the_last_layer_makes_the_scores_of():
    trained = checkpoint()
    scorer = CandidateScorer(trained, number_format="f32")
    scores, features = scorer.judged(patches(5), tags(5))
    weight, bias = (trained.state_dict[f"score.{name}"].numpy() for name in ("weight", "bias"))

    assert scores == pytest.approx(1 / (1 + np.exp(-(features @ weight[0] + bias[0]))), abs=1e-5)
    assert scorer.judged(patches(0), tags(0))[1].shape == (0, 0)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_patch_with_a_value_that_is_no_number_is_refused(value):
    given = patches(3)
    given.pet_suv[1, 2, 2, 2] = value
    with pytest.raises(ValueError, match="hold NaN or infinity: check the values of CT and PET"):
        CandidateScorer(checkpoint("glnet")).scores(given, tags(3))


def test_a_score_that_is_no_number_is_an_error():
    made = checkpoint("local-ct-pet")
    # Finite by itself, and larger than what the next layer can add up.
    weights = {
        name: one * 1e38 if name.startswith(("scales", "score")) else one
        for name, one in made.state_dict.items()
    }
    scorer = CandidateScorer(replace(made, state_dict=weights), number_format="f32")
    with pytest.raises(ValueError, match=r"local-ct-pet answers with scores that are no numbers: go back"):
        scorer.scores(patches(2))
