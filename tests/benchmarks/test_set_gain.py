"""The parts of the set network's gain: what is matched, how networks are asked, and the whole command."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks import set_gain, set_gain_networks
from benchmarks.set_gain_networks import (
    PLACES,
    TRAININGS,
    ask_among_others,
    found_only,
    judged_among,
    mean_candidates,
    permuted_context,
    regression_scores,
    train_matched,
)
from osln.jobs import processes
from osln.metrics.matching import Overlaps
from osln.networks.build import classifier_network
from osln.reproduction import stage_one
from osln.rows.experiments import CLASSIFIERS, PRESETS
from osln.stage_two.candidate_sets import save_set
from osln.stage_two.scoring import CandidateScorer
from small.candidates import small_set, tiny_preset
from small.cohort import NodesAndNoise, TinyCohort
from small.cohort import tiny_preset as tiny_demo

PRESET = tiny_preset()


@pytest.fixture
def network():
    torch.manual_seed(0)
    found = classifier_network(CLASSIFIERS["set-glnet"], PRESET).eval()
    # As drawn the relation is 0, and nobody would notice who the others are.
    torch.nn.init.normal_(found.relation.weight)
    return found


def test_a_candidate_is_judged_among_the_others_that_are_given(network):
    own, others = torch.randn(3, network.token.in_features), torch.randn(2, network.token.in_features)
    with torch.inference_mode():
        alone, among = judged_among(network, own), judged_among(network, own, others)
        for k in range(3):
            assert alone[k].item() == pytest.approx(network.judge(own[k : k + 1]).item(), abs=1e-5)
            whole = network.judge(torch.cat([own[k : k + 1], others]))[0]
            assert among[k].item() == pytest.approx(whole.item(), abs=1e-5)
    assert not torch.allclose(alone, among)


def test_true_nodes_that_were_added_are_left_out_and_candidates_are_counted():
    one, other = small_set(0, nodes=2, false=3, added=2), small_set(1, nodes=1, false=1)
    left = found_only(one)
    assert len(left.truth) == len(left.patches) == len(left.lesions) == left.n_candidates == 5
    assert mean_candidates([left, other]) == 4  # 3.5, to the even number
    assert mean_candidates([]) == 1


def test_what_is_permuted_moves_together_and_the_rest_stays():
    sets = [small_set(0, nodes=1, false=2), small_set(1, nodes=1, false=1)]
    for number, one in enumerate(sets):
        one.patches.context[:] = 10 * number + np.arange(len(one.truth))[:, None] + np.arange(6) / 10
    before = np.concatenate([one.patches.context for one in sets])
    after = np.concatenate([one.context for one in permuted_context(sets, PLACES, seed=1)])
    stays = [column for column in range(6) if column not in PLACES]
    assert np.array_equal(after[:, stays], before[:, stays])
    rows = [tuple(row) for row in after[:, PLACES]]
    assert sorted(rows) == sorted(map(tuple, before[:, PLACES])) and not np.array_equal(after, before)


def test_a_regression_learns_what_the_numbers_tell_and_nothing_else():
    sets = [small_set(seed, nodes=2, false=2) for seed in range(3)]
    for one in sets:
        one.patches.context[:, 2] = np.where(one.truth == 1, 8.0, 2.0)
    empty = replace(
        found_only(small_set(9, nodes=0, false=1)), stage_one_scores=np.zeros(0), overlaps=nobody()
    )
    scores = regression_scores(sets, [*sets, empty])
    assert scores["case9"] == []
    assert min(scores["case0"][:2]) > 0.5 > max(scores["case0"][2:])


def nobody() -> Overlaps:
    none = np.zeros(0, dtype=int)
    return Overlaps(none, none, none, none, none.astype(bool))


def trained(name, paths, folder, steps=5, preset=PRESET):
    given = {"seed": 0, "trained_on": "phantom", "device": "cpu", "resume_path": folder / "resume"}
    return train_matched(TRAININGS[name], preset, paths, steps, **given)


def test_all_trainings_have_as_many_steps_and_candidates(tmp_path, monkeypatch):
    monkeypatch.setitem(PRESETS, "tiny", PRESET)
    paths = [tmp_path / f"{seed}.npz" for seed in range(3)]
    for seed, path in enumerate(paths):
        save_set(path, small_set(seed, nodes=2, false=2 + seed, added=2))
    found = {name: trained(name, paths, tmp_path) for name in TRAININGS}
    assert {one.metadata["steps"] for one in found.values()} == {5}
    assert {one.metadata["candidates"] for one in found.values()} == {15}
    assert {one.metadata["candidates_per_step"] for one in found.values()} == {5.0}
    whole, alone = found["set"].state_dict, found["set-of-one"].state_dict
    assert whole.keys() == alone.keys()
    assert not torch.equal(whole["relation.weight"], alone["relation.weight"])
    # Sets of one of patients that have candidates, whoever comes next.
    scorer = CandidateScorer(found["set"], number_format="f32")
    sets = [found_only(set_gain_networks.load_set(path)) for path in paths]
    bare = replace(sets[1], patches=sets[1].patches.first(0), stage_one_scores=np.zeros(0))
    told = ask_among_others(scorer, [sets[0], bare, sets[2]], 0)
    assert [len(told[f"case{seed}"]) for seed in range(3)] == [4, 0, 6]


def test_a_stopped_training_goes_on_and_ends_with_the_same_weights(tmp_path, monkeypatch):
    paths = [tmp_path / f"{seed}.npz" for seed in range(3)]
    for seed, path in enumerate(paths):
        save_set(path, small_set(seed))
    # The state is written at every step, however short it was.
    monkeypatch.setattr("osln.learning.state.LARGEST_SHARE", 1e9)
    reached = []

    def stop(state):
        reached.append(state.step)
        raise KeyboardInterrupt

    monkeypatch.setattr(set_gain_networks, "tell_training", stop)
    folder = tmp_path / "stopped"
    folder.mkdir()
    with pytest.raises(KeyboardInterrupt):
        trained("set-of-one", paths, folder, steps=6)
    assert reached == [3] and (folder / "resume").is_file()
    monkeypatch.setattr(set_gain_networks, "tell_training", lambda state: reached.append(state.step))
    resumed = trained("set-of-one", paths, folder, steps=6)
    whole = trained("set-of-one", paths, tmp_path, steps=6)
    assert reached == [3, 6, 3, 6]  # stopped, gone on, then from the start
    assert all(torch.equal(whole.state_dict[name], one) for name, one in resumed.state_dict.items())


@pytest.mark.slow
def test_the_command_reports_every_line_and_a_second_run_trains_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(processes, "ProcessPoolExecutor", lambda count, *_: ThreadPoolExecutor(count))
    monkeypatch.setitem(PRESETS, "demo", tiny_demo(iterations=2))
    monkeypatch.setattr(stage_one, "Predictor", NodesAndNoise)
    monkeypatch.setattr(set_gain, "open_cohort", lambda *_: TinyCohort(tmp_path))
    given = ["--work", str(tmp_path / "work"), "--out", str(tmp_path / "out"), "--cohorts", "blind"]
    given += ["--seeds", "2", "--steps", "3", "--processes", "1"]
    assert set_gain.main(given) == 0
    (told,) = json.loads((tmp_path / "out" / "set-gain.json").read_text())["cohorts"]
    assert [one["title"] for one in told["lines"]] == list(set_gain.LINES.values())
    assert len(told["questions"]) == len(set_gain.QUESTIONS)
    for one in told["lines"]:
        assert len(one["figures"]["mfroc"]["per_seed"]) == 2
        assert 0 <= one["figures"]["mfroc"]["low"] <= one["figures"]["mfroc"]["high"] <= 1
    # Stage one ranks six false ones before the four nodes of each patient.
    by = {one["title"]: one["figures"] for one in told["lines"]}
    assert by["stage one's score"]["4"]["value"] == 0
    assert told["nodes"] == 12 and told["candidates"] == 30
    assert "| set | 3 |" in (tmp_path / "out" / "set-gain.md").read_text()

    monkeypatch.setattr(set_gain_networks, "fit", None)
    assert set_gain.main(given) == 0

    (tmp_path / "file").touch()
    assert set_gain.main([*given, "--work", str(tmp_path / "file")]) == 1
    assert "file cannot be made" in capsys.readouterr().err
