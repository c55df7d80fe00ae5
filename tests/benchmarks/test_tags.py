"""What tags are worth on finer voxels: the true tags, what is made of what, and the whole command."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import tags, tags_plan
from benchmarks.tags_made import NEAR_MM, true_tags, write_partly_true
from benchmarks.tags_plan import TAUGHT, Experiment
from osln.cli.options import SHIPPED, SHIPPED_TAGGER
from osln.jobs import processes
from osln.phantom.findings.findings import Deposit
from osln.rows.tags import TAG_CLASSES, TAG_INDEX, TAG_NAMES
from osln.simulation.cases import StageOne


def deposit(center, short, long, *names):
    return Deposit("node", np.array(center), short, long, 1.0, (), tags=names)


def test_true_tags_are_those_of_the_nearest_finding_by_its_surface():
    small, large = deposit((0, 0, 0), 4, 4, "lymph node"), deposit((30, 0, 0), 40, 40, "muscle")
    # Centers 12 and 18 mm away, surfaces 10 and -2; then 10 and 20: 8 and 0; then nothing near.
    places = [(12, 12, 0, 0, 0), (10, 10, 0, 0, 0), (1, 3, 0, 0, 0), (-2 - NEAR_MM - 0.1,) * 2 + (0, 0, 0)]
    found = true_tags(np.array(places, dtype=float), [small, large])
    held = [[name for name in ("lymph node", "muscle") if one[TAG_INDEX[name]]] for one in found]
    assert held == [["muscle"], ["muscle"], ["lymph node"], []]
    assert found.sum() == 3 and found.shape == (4, 171)
    # A slender one reaches as far as its short axis is long.
    assert true_tags(np.array([(9.0, 9.0, 0, 0, 0)]), [deposit((0, 0, 0), 4, 60, "muscle")]).sum() == 0


def test_of_partly_true_tags_one_kind_is_true_and_the_rest_the_taggers(tmp_path):
    said, true, found = (tmp_path / f"{name}.npy" for name in ("said", "true", "found"))
    np.save(said, np.full((2, len(TAG_NAMES)), 0.5, np.float16))
    np.save(true, np.eye(2, len(TAG_NAMES), dtype=np.float16))
    write_partly_true({found: (said, true)}, "attribute")

    kinds = np.array([TAG_CLASSES[name] for name in TAG_NAMES])
    tags = np.load(found)
    assert tags.dtype == np.float16 and (kinds == "attribute").any()
    np.testing.assert_array_equal(tags[:, kinds != "attribute"], 0.5)
    np.testing.assert_array_equal(tags[:, kinds == "attribute"], np.load(true)[:, kinds == "attribute"])


def experiment(work, taggers):
    sizes = {"stage two": 9, "test": 2, "learned": 3, "judged": 1}
    return Experiment(work, sizes, 1, taggers, StageOne.shipped(SHIPPED, ("0.15",)), SHIPPED_TAGGER)


def test_taggers_of_a_grid_are_asked_at_once_and_each_line_reads_its_own_tags(tmp_path):
    one = experiment(tmp_path, ("shipped", "fine"))
    asked, shared = (one.tags((name, "fine"), "stage two") for name in ("shipped", "fine"))
    assert asked == shared and len(asked) == 2
    paths = [one.tag_paths((name, "fine"), "stage two") for name in ("shipped", "fine")]
    assert len(set(paths[0] + paths[1])) == 18 and set(paths[0]) < {
        path for part in asked for path in part.paths
    }
    assert one.tag_paths(("no tags", ""), "test") == ()
    learned = one.scores("tag", ("fine", "fine"), 0)
    assert {need.name for need in learned.needs if "candidates" not in need.name} == {
        "fine tags from phantom-400000",
        "fine tags from phantom-400008",
        "fine tags from phantom-300000",
    }
    # With another tagger chosen the files of this one stay where they are.
    more = experiment(tmp_path, ("shipped", "fine", "longer"))
    assert more.scores("tag", ("fine", "fine"), 0).path == learned.path
    assert len({path.name for line in more.lines for path in more.scores(*line, 0).paths}) == len(more.lines)


def made_again(*_):
    raise AssertionError("it was there")


@pytest.mark.slow
def test_the_command_compares_taggers_and_a_second_run_makes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(processes, "ProcessPoolExecutor", lambda count, *_: ThreadPoolExecutor(count))
    tiny = replace(TAUGHT["fine"].recipe, width=2, embedding=8, batch=8, epochs=0.5)
    monkeypatch.setitem(TAUGHT, "fine", replace(TAUGHT["fine"], recipe=tiny))
    monkeypatch.setattr(tags_plan, "GRIDS", tags_plan.GRIDS | {"fine": (2.0, 2.0, 3.0)})
    given = ["--work", str(tmp_path / "work"), "--out", str(tmp_path / "out"), "--sizes", "2", "2", "1", "1"]
    given += ["--seeds", "1", "--processes", "1"]
    assert tags.main(given) == 0
    told = json.loads((tmp_path / "out" / "tags.json").read_text())
    named = [(one["classifier"], *one["line"]) for one in told["lines"]]
    read = [("shipped", "working"), ("shipped", "fine"), ("fine", "fine")]
    read += [(name, "") for name in ("true body part", "true type", "true attribute", "true tags")]
    read_by = [(network, *line) for network in ("tag", "glnet") for line in read]
    assert named == [*read_by, ("local-ct-pet", "no tags", "")]
    assert told["taggers"]["shipped"]["all"] == pytest.approx(0.943, abs=1e-3)
    assert told["nodes"] > 0 and told["lines"][0]["minus"]["mfroc"]["value"] == 0
    assert "| the phantom's true tags |" in (tmp_path / "out" / "tags.md").read_text()

    making = ("make_cases", "write_lesions", "learn_tagger", "write_tags", "write_true", "write_partly_true")
    for name in (*making, "score"):
        monkeypatch.setattr(tags_plan, name, made_again)
    assert tags.main(given) == 0

    (tmp_path / "file").touch()
    assert tags.main([*given, "--work", str(tmp_path / "file")]) == 1
    assert "file cannot be made" in capsys.readouterr().err
