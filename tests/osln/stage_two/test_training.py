"""Training of stage two: it learns, it goes on after a stop with the same result, it refuses in words."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from osln.imaging.transforms import Scaling
from osln.learning.fit import Progress
from osln.networks.glnet import GLNet
from osln.rows.experiments import CLASSIFIERS, PRESETS
from osln.stage_two.candidate_sets import LEFT_OUT, CandidateSet
from osln.stage_two.sampling import CandidateSampler
from osln.stage_two.scoring import CandidateScorer
from osln.stage_two.training import fit_scaling, train_classifier
from small.candidates import TAGGER, small_set, small_tags, tiny_preset

SETS = [small_set(seed, added=1) for seed in range(4)]
FEW = SETS[:1]
FEW_TAGS = [small_tags(FEW[0])]
TAGS = [small_tags(one) for one in SETS]
VALIDATION = [small_set(seed) for seed in (10, 11)]


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(PRESETS, "tiny", tiny_preset())


def trained(name="glnet", *, sets=SETS, tags=TAGS, **options):
    told = tags if CLASSIFIERS[name].tags else None
    return train_classifier(CLASSIFIERS[name], PRESETS["tiny"], sets, told, **options)


def same(a, b) -> bool:
    return all(torch.equal(a.state_dict[name], b.state_dict[name]) for name in a.state_dict)


@pytest.mark.slow
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_every_row_learns_to_tell_bright_candidates_from_the_others(name, monkeypatch):
    # One linear layer on tags between 0 and 1 needs larger steps; they cost nothing.
    rate, epochs = {"tag": (0.05, 12), "random-views": (0.01, 20)}.get(name, (0.02, 5))
    monkeypatch.setitem(PRESETS, "tiny", tiny_preset(learning_rate=rate, dropout=0.0))
    checkpoint = trained(name, epochs=epochs, seed=1)
    losses = checkpoint.metadata["losses"]
    if name == "numbers":
        # It is solved at once.
        assert len(losses) == 1 and losses[0] < 0.5 * np.log(2)
    else:
        assert len(losses) == epochs and losses[-1] < 0.5 * losses[0]
    unseen = small_set(20)
    scores = CandidateScorer(checkpoint, number_format="f32").scores(unseen.patches, small_tags(unseen))
    assert scores[:3].min() > scores[3:].max()


@pytest.mark.parametrize("truth", [0, 1])
def test_an_undecided_candidate_weighs_neither_as_node_nor_as_none(truth):
    # Without PET, whose mean over all candidates scales the images.
    sets = [small_set(seed, pet=False) for seed in range(2)]

    def with_last(ct_hu: int, decided: int) -> CandidateSet:
        changed = replace(sets[0], truth=np.append(sets[0].truth[:-1], np.int8(decided)))
        images = sets[0].patches.ct_hu.copy()
        images[-1] = ct_hu
        return replace(changed, patches=replace(sets[0].patches, ct_hu=images))

    def learned(ct_hu: int, decided: int):
        return trained("local-ct", sets=[with_last(ct_hu, decided), sets[1]], epochs=2)

    undecided = learned(-100, LEFT_OUT)
    assert same(undecided, learned(60, LEFT_OUT)) and undecided.metadata["candidates"] == 15
    assert not same(learned(-100, truth), learned(60, truth))
    assert not same(undecided, learned(-100, truth))


@pytest.mark.usefixtures("state_after_every_step")
def test_a_stopped_training_goes_on_with_the_same_result(tmp_path):
    class StoppedError(Exception):
        pass

    def stop(state: Progress) -> None:
        if state.epoch == 2:
            raise StoppedError

    resume = tmp_path / "state"
    whole = trained(epochs=3, seed=3)
    with pytest.raises(StoppedError):
        trained(epochs=3, seed=3, resume_path=resume, on_progress=stop)
    told = []
    torch.rand(7)
    resumed = trained(epochs=3, seed=3, resume_path=resume, on_progress=told.append)

    assert [state.epoch for state in told] == [3]
    assert same(whole, resumed) and resumed.metadata["losses"] == whole.metadata["losses"]
    assert whole.scaling == resumed.scaling


@pytest.mark.usefixtures("state_after_every_step")
def test_a_training_that_is_stopped_in_the_middle_of_an_epoch_loses_that_step_alone(tmp_path, monkeypatch):
    whole = trained(epochs=2, seed=3)
    asked = []
    batch = CandidateSampler.batch

    def counted(self, number):
        asked.append(number)
        if len(asked) == 6:
            raise KeyboardInterrupt
        return batch(self, number)

    monkeypatch.setattr(CandidateSampler, "batch", counted)
    with pytest.raises(KeyboardInterrupt):
        trained(epochs=2, seed=3, resume_path=tmp_path / "state")
    stopped = asked[-1]
    resumed = trained(epochs=2, seed=3, resume_path=tmp_path / "state")
    # The first batch shows the shapes; the step that was under way is the only one that is made twice.
    assert [asked[0], *asked[6:8]] == [0, 0, stopped]
    assert same(whole, resumed) and resumed.metadata["losses"] == whole.metadata["losses"]


def test_the_state_of_another_training_is_not_gone_on_with(tmp_path):
    resume = tmp_path / "state"

    def run(seed, tags=FEW_TAGS, **options):
        return trained("glnet", sets=FEW, tags=tags, epochs=1, seed=seed, **options)

    run(3, resume_path=resume)
    assert same(run(4), run(4, resume_path=resume))
    other_tags = [np.roll(one, 1, axis=1) for one in FEW_TAGS]
    run(3, resume_path=resume)
    assert same(run(3, other_tags), run(3, other_tags, resume_path=resume))


def test_the_result_depends_on_the_seed_alone():
    first = trained(sets=FEW, tags=FEW_TAGS, epochs=1, seed=5)
    torch.manual_seed(99)
    assert same(first, trained(sets=FEW, tags=FEW_TAGS, epochs=1, seed=5))
    assert not same(first, trained(sets=FEW, tags=FEW_TAGS, epochs=1, seed=6))


def test_training_leaves_the_threads_and_the_source_of_chance_as_they_were():
    torch.manual_seed(4)
    expected = torch.rand(3)
    torch.manual_seed(4)
    threads = torch.get_num_threads()
    trained("tag", epochs=1)
    assert torch.equal(torch.rand(3), expected) and torch.get_num_threads() == threads


def test_progress_says_how_far_it_is_and_how_good_on_validation():
    told: list[Progress] = []
    tags = [small_tags(one) for one in VALIDATION]
    trained(epochs=2, validation=(VALIDATION, tags), on_progress=told.append)
    # 4 patients of 9 candidates in batches of 4.
    assert [(s.epoch, s.epochs, s.step, s.steps) for s in told] == [(1, 2, 9, 18), (2, 2, 18, 18)]
    assert told[0].seconds_left > 0 and told[1].seconds_left == 0
    assert set(told[0].validation) >= {"metric", "recall", "f1", "stage_one"}


def test_the_record_says_what_was_learned_from():
    checkpoint = trained(epochs=1, seed=2, tagger=TAGGER, trained_on="phantom", validation=(VALIDATION, None))
    record = checkpoint.metadata
    assert (checkpoint.name, checkpoint.preset, checkpoint.trained_on) == ("glnet", "tiny", "phantom")
    assert (record["seed"], record["epochs"], record["candidates"], record["nodes"]) == (2, 1, 36, 16)
    assert record["train_cases"] == ["case0", "case1", "case2", "case3"]
    assert record["validation_cases"] == ["case10", "case11"] and record["tagger"] == TAGGER
    assert json.loads(json.dumps(record)) == record
    assert trained("local-ct", epochs=1, tagger=TAGGER).metadata["tagger"] is None


def test_training_goes_on_from_a_checkpoint_with_its_scaling():
    first = trained("local-ct-pet", epochs=1)
    later = [replace(one, patches=replace(one.patches, pet_suv=one.patches.pet_suv * 3)) for one in SETS]
    second = trained("local-ct-pet", sets=later, epochs=1, initial=first)
    assert second.scaling == first.scaling and not same(first, second)
    assert trained("local-ct-pet", sets=later, epochs=1).scaling != first.scaling
    # With no step to go it is the first weights that are given back.
    stopped = tiny_preset(learning_rate=0.0)
    held = train_classifier(CLASSIFIERS["local-ct-pet"], stopped, SETS, epochs=1, initial=first)
    names = [name for name, _ in first.network().named_parameters()]
    assert all(torch.equal(held.state_dict[name], first.state_dict[name]) for name in names)


def test_pet_is_scaled_by_what_lies_around_the_candidates():
    voxels = np.concatenate([one.patches.pet_suv.ravel() for one in SETS]).astype(float)
    scaling = fit_scaling(CLASSIFIERS["glnet"], SETS)
    assert (scaling.pet_mean, scaling.pet_sd) == pytest.approx((voxels.mean(), voxels.std()), rel=1e-6)
    assert fit_scaling(CLASSIFIERS["local-ct"], SETS) == Scaling()
    assert fit_scaling(CLASSIFIERS["random-views"], SETS) == Scaling(ct_window_hu=(-100.0, 200.0))


def test_what_cannot_be_trained_is_refused_in_words():
    with pytest.raises(ValueError, match="epochs must be at least 1, not 0"):
        trained(epochs=0)
    first = trained("local-ct", epochs=1)
    with pytest.raises(
        ValueError, match=r"the first weights are of local-ct \(tiny\), not of glnet \(tiny\): train from scr"
    ):
        trained(epochs=1, initial=first)
    with pytest.raises(ValueError, match="glnet reads tags"):
        train_classifier(CLASSIFIERS["glnet"], PRESETS["tiny"], SETS, None, epochs=1)
    with pytest.raises(ValueError, match="approve further cases"):
        trained(sets=[], tags=[], epochs=1)
    broken = [one.copy() for one in TAGS]
    broken[0][:] = np.nan
    with pytest.raises(ValueError, match="the loss is not a number at step 1: lower the learning rate"):
        trained("tag", tags=broken, epochs=1)


def test_nodes_and_false_candidates_weigh_alike_in_the_loss():
    # A network that answers 0 to everything: each false candidate costs log 2, each node its weight times it.
    sets = [small_set(0, nodes=1, false=3)]
    still = tiny_preset(learning_rate=0.0, jitter=0)
    zero = GLNet.of(CLASSIFIERS["tag"], still.stage_two).state_dict()
    initial = replace(trained("tag", epochs=1), state_dict={key: x * 0 for key, x in zero.items()})
    found = train_classifier(
        CLASSIFIERS["tag"], still, sets, [small_tags(sets[0])], epochs=1, initial=initial
    )
    assert found.metadata["losses"] == pytest.approx([np.log(2) * (3 * 1 + 1 * 3) / 4])
