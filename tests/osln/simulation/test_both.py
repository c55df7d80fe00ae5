"""Cycles in which both stages learn: what a review teaches stage one, what outlives it, and going on."""

from dataclasses import replace

import numpy as np
import pytest

from osln.active.pool import Query
from osln.imaging.reviewed_part import DECIDED, UNDECIDED, UNKNOWN
from osln.imaging.transforms import Scaling
from osln.rows.experiments import PRESETS, SEGMENTERS
from osln.simulation import retrained
from osln.simulation.arms import ARMS
from osln.simulation.both import Reviewer, run_both
from osln.simulation.cycle import Schedule
from osln.simulation.learners import LEARNERS
from osln.simulation.retrained import Eye, Networks, StageOneRecipe
from osln.simulation.reviews import Review
from osln.stage_one.sampling import PatchSampler
from osln.weights import devices
from osln.weights.checkpoint import Checkpoint
from small import columns as small_columns

DEMO = PRESETS["demo"]
BALLS = (slice(1, 4), slice(1, 4)), (slice(20, 23), slice(1, 4))
"""Places in x and y of two candidates that are no nodes; they lie at z = 68."""


class Given(Eye):
    """Finds what it is given: true nodes by label with a score, and the balls of `BALLS` at .45 and .4."""

    threshold = 0.3

    def __init__(self, scores: dict[int, float]) -> None:
        super().__init__(Checkpoint("gated-soft", "demo", Scaling(), {}, "phantom"), (), 20, DEMO)
        self.scores = scores

    def _map(self, column):
        prob = np.zeros(column.ct_hu.shape, dtype=np.float32)
        for label, score in self.scores.items():
            prob[TRUE.nodes == label] = score
        for (x, y), score in zip(BALLS, (0.45, 0.4), strict=True):
            prob[x, y, 67:70] = score
        return prob


TRUE = small_columns.small_column(3, case="case")
FOUND = {1: 0.9, 2: 0.8, 3: 0.7}
"""Node 4 is missed. Candidates 0, 1 and 2 are nodes 1 to 3, candidates 3 and 4 are the balls."""


def reviewer(column=TRUE, scores=FOUND) -> Reviewer:
    return Reviewer({}, columns={"case": column}, eye=Given(scores))


def test_candidates_are_what_the_tests_below_take_them_for():
    case = reviewer().look("case")

    assert case.truth.tolist() == [1, 1, 1, 0, 0]
    assert case.missed == 1


def test_what_was_judged_is_known_and_the_rest_is_not():
    annotator = reviewer()
    assert annotator.judge("case", [0, 3], whole=False) == 2
    (taught,) = annotator.taught()

    assert np.unique(taught.nodes).tolist() == [0, 1]
    assert (taught.known[TRUE.nodes == 1] == DECIDED).all()
    assert (taught.known[2, 2, 68], taught.known[21, 2, 68]) == (DECIDED, UNDECIDED)
    assert (taught.known[TRUE.nodes == 2] <= UNKNOWN).all()
    assert (taught.known[TRUE.nodes == 4] <= UNKNOWN).all()
    assert (annotator.judged, annotator.added, annotator.nodes) == (2, 0, 1)
    assert [truth for _, truth in annotator.told] == [1, 0]


def test_an_undecided_candidate_weighs_neither_as_node_nor_as_none():
    # In the other world candidate 1 is no node: whoever did not ask must not learn the difference.
    other = replace(TRUE, nodes=np.where(TRUE.nodes == 2, 0, TRUE.nodes).astype(TRUE.nodes.dtype))
    preset = small_columns.tiny_preset(batch=8)
    batches = []
    for column in (TRUE, other):
        annotator = reviewer(column)
        assert annotator.look("case").truth[1] == (column is TRUE)
        annotator.judge("case", [0, 4], whole=False)
        sampler = PatchSampler(annotator.taught(), SEGMENTERS["gated-soft"], preset, Scaling(), 0)
        batches.append([sampler.batch(number) for number in range(6)])

    for one, same in zip(*batches, strict=True):
        for array, equal in zip(one, same, strict=True):
            np.testing.assert_array_equal(array, equal)
    # The loss counts in a node, in the rejected ball and around them: in a small part of the patches.
    target, mask = (np.concatenate([batch[n] for batch in batches[0]]) for n in (1, 2))
    assert target[mask > 0].any() and not target[mask == 0].any()
    assert 0 < mask.mean() < 0.5


def test_who_looks_at_the_whole_case_outlines_all_nodes():
    annotator = reviewer()
    spent = annotator.judge("case", range(5), whole=True)
    (taught,) = annotator.taught()

    assert spent == 6
    assert (annotator.judged, annotator.added) == (5, 1)
    assert taught is TRUE


def test_what_was_said_outlives_the_candidates():
    annotator = reviewer()
    annotator.judge("case", [0, 3], whole=False)
    annotator.renew(Given({2: 0.9, 4: 0.8, 1: 0.7}))
    case = annotator.look("case")

    # Now the candidates are the nodes 2, 4 and 1, then the balls: node 1 and the first ball were judged.
    assert annotator.decided["case"] == {2, 3}
    assert case.missed == 1
    assert annotator.judge("case", [0, 2, 3], whole=False) == 1
    assert np.unique(annotator.taught()[0].nodes).tolist() == [0, 1, 2]


def test_a_window_that_is_looked_into_shows_its_nodes_or_that_there_is_none():
    class Window:
        size_mm = 20.0

        def __init__(self, label=None):
            where = np.argwhere(TRUE.nodes == label).mean(axis=0) if label else (2, 20, 2)
            self.center_mm = tuple(TRUE.grid.index_to_mm(np.array(where, dtype=float)))

    annotator = reviewer()
    case = annotator.look("case")
    annotator._seen["case"] = replace(
        annotator._seen["case"],
        case=replace(case, evidence=replace(case.evidence, windows=(Window(4), Window()))),
    )
    spent = annotator.answer(Query("case", (1,), (0, 1), 0.0, ""), whole=False)
    (taught,) = annotator.taught()

    assert spent == 3
    assert (annotator.judged, annotator.added) == (2, 1)
    waiting = annotator.waiting(annotator.look("case"), np.full(5, 0.5))
    assert waiting.unseen == []
    assert annotator.answer(Query("case", (1,), (0, 1), 0.0, ""), whole=False) == 0
    assert {1, 4} <= set(np.unique(taught.nodes).tolist())
    assert taught.known[2, 20, 2] == DECIDED


def test_without_a_review_nothing_is_known():
    known = Review().taught(TRUE).known

    assert (known == UNKNOWN).all()


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run of two rounds on six tiny patients, its networks in a folder of the given name."""
    tiny = small_columns.tiny_preset()
    monkeypatch.setitem(PRESETS, "demo", tiny)
    # Compiling takes longer here than all that is computed.
    monkeypatch.setattr(devices, "HAS_OPENVINO", False)
    columns = {f"case{seed}": small_columns.small_column(seed) for seed in range(5)}

    def start(name: str, arm: str = "likeliest-5"):
        networks = Networks(tmp_path / name, StageOneRecipe(first=40, steps=4, candidates=4), tiny)
        names = sorted(columns)
        schedule = Schedule(2, 2, 4)
        return run_both(columns, names[:4], names[4:], ARMS[arm], LEARNERS["numbers"], networks, schedule, 0)

    return start


@pytest.mark.parametrize("image", ["ct_hu", "pet_suv", "distance_mm", "nodes"])
def test_a_network_is_named_by_the_images_it_has_learned_from(tmp_path, monkeypatch, image):
    trained = []
    monkeypatch.setattr(retrained, "train", lambda *given, **more: trained.append(given))
    monkeypatch.setattr(retrained, "save_checkpoint", lambda path, checkpoint: path.touch())
    monkeypatch.setattr(retrained, "load_checkpoint", lambda path: path)
    networks = Networks(tmp_path, StageOneRecipe(), DEMO)
    other = replace(TRUE, **{image: getattr(TRUE, image) + 1})

    names = [networks.learned([column], None, 0) for column in (TRUE, other, TRUE)]
    assert names[0] == names[2] != names[1] and len(trained) == 2
    monkeypatch.setattr(retrained, "code_key", lambda parts: "another")
    assert networks.learned([TRUE], None, 0) not in names


def told(points) -> list:
    return [
        (one.decisions, one.opened, one.mfroc, one.alone, [each.scores.tolist() for each in one.test])
        for one in points
    ]


@pytest.mark.slow
def test_a_killed_run_goes_on_with_the_networks_that_are_there_and_ends_the_same(run, monkeypatch):
    whole = list(run("whole"))
    killed = run("killed")
    first = next(killed)
    # A training that dies in its third step leaves its state.
    train, calls = retrained.train, []

    def dying(*args, on_progress, **options):
        calls.append(options["iterations"])
        train(*args, on_progress=lambda state: (_ for _ in ()).throw(KeyboardInterrupt), **options)

    with monkeypatch.context() as during:
        during.setattr(retrained, "train", dying)
        with pytest.raises(KeyboardInterrupt):
            next(killed)
    assert calls == [4]

    def noting(*args, **options):
        calls.append(options["iterations"])
        return train(*args, **options)

    monkeypatch.setattr(retrained, "train", noting)
    again = list(run("killed"))

    # The first network was read.
    assert calls == [4, 4, 4]
    assert told([first]) == told(whole[:1])
    assert told(again) == told(whole)
    assert whole[-1].judged > 0


@pytest.mark.slow
def test_every_kind_of_arm_runs(run):
    for arm in ("random", "doubt-10", "oracle"):
        found = list(run("networks", arm))

        assert found[0].decisions == found[0].added == 8
        assert found[-1].decisions > found[0].decisions
        assert np.isfinite([(one.mfroc, one.alone, one.recall) for one in found]).all()
