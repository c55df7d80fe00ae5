"""A Ray cluster makes what processes make, byte by byte, also if a computer is lost in the middle."""

import gzip
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from benchmarks.raylets import SEARCH, Raylets
from osln.__main__ import main
from osln.jobs.artifact import Artifact
from osln.jobs.cluster import Cluster
from osln.jobs.processes import Processes
from osln.jobs.run import run_jobs
from osln.jobs.worker import device, tell
from osln.reproduction.artifacts import Artifacts
from osln.reproduction.plan import Network
from osln.rows.experiments import PRESETS
from osln.simulation.cases import StageOne
from osln.simulation.cohorts import COHORTS
from osln.simulation.lanes import Lane
from osln.simulation.runs import Files
from osln.weights.checkpoint import load_checkpoint
from small import clusters
from small import cohort as small_cohort
from small.clusters import raylets as raylets
from small.kept_cases import COHORT, keep

pytestmark = pytest.mark.cluster
STEPS = 100
"""On a fast computer, too, the second worker begins before the first one has done its training."""
NETWORKS = [Network("ct-hrnet", 1, seed) for seed in range(3)]
"""The cheapest of the real sizes: workers know no others."""


def wanted(folder: Path) -> list[Artifact]:
    """Three trainings of few steps and the maps of one of them: what a table is made of."""
    folder.mkdir()
    plan = small_cohort.make_plan(folder, preset=replace(PRESETS["demo"], iterations=STEPS))
    artifacts = Artifacts(plan)
    maps = artifacts.maps(NETWORKS[0], plan.cohort.cases("test"), ("test",))
    return [*map(artifacts.training, NETWORKS), maps]


def contents(made: list[Artifact]) -> list[object]:
    """Weights with all that was learned on the way except how long it took; of other files every byte."""
    found: list[object] = []
    for path in (path for one in made for path in one.paths):
        if path.suffix != ".pt":
            found.append(path.read_bytes())
            continue
        checkpoint = load_checkpoint(path)
        metadata = {name: value for name, value in checkpoint.metadata.items() if name != "seconds"}
        found.append((metadata, [value.numpy().tobytes() for value in checkpoint.state_dict.values()]))
    return found


def note(record: Path, name: str) -> tuple[int, int, str]:
    """Says where it ran, and leaves a file."""
    tell(0.5, "loss 1")
    (record / f"{name}-{os.getpid()}").touch()
    return os.getpid(), torch.get_num_threads(), device()


def fail(name: str) -> None:
    raise ValueError(f"{name} cannot be done")


class OfTwoError(Exception):
    """Is pickled, and cannot be unpickled: it would be made of one argument."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what}: {why}")


def raise_of_two(name: str) -> None:
    raise OfTwoError(name, "no disk")


def end_process(record: Path) -> str:
    """Ends its worker the first time."""
    if not (record / "ended").exists():
        (record / "ended").touch()
        os._exit(1)
    return "made"


@contextmanager
def killed_in_the_middle(raylets: Raylets, raylet, folder: Path) -> Iterator[None]:
    """Takes away one of two computers as soon as two trainings have left their states: one on each."""
    over = threading.Event()

    def kill() -> None:
        while not over.wait(0.02):
            if len(list(folder.rglob("*.resume"))) > 1:
                return raylets.kill(raylet)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_what_a_lost_computer_ran_is_made_elsewhere_with_the_same_bytes(raylets, tmp_path, caplog):
    second = raylets.add()
    made = wanted(tmp_path / "cluster")
    with killed_in_the_middle(raylets, second, tmp_path / "cluster"):
        assert run_jobs(made, Cluster(raylets.address, 1, [tmp_path])) == {}
    assert caplog.text.count("was lost, it is made again") >= 1
    here = wanted(tmp_path / "here")
    assert run_jobs(here, Processes(1)) == {}
    assert contents(made) == contents(here)
    assert not list(tmp_path.rglob("*.resume")) and not list(tmp_path.glob(".seen*"))


def test_workers_keep_what_they_loaded_and_errors_are_those_of_the_work(raylets, tmp_path):
    made = {}
    jobs = [Artifact(name, (), (), partial(note, tmp_path, name)) for name in "abcd"]
    bad = Artifact("bad", (), (), partial(fail, "bad"), uses_network=True)
    odd = Artifact("odd", (), (), partial(raise_of_two, "odd"), uses_network=True)
    ended = Artifact("ended", (), (), partial(end_process, tmp_path))
    engine = Cluster(raylets.address, 1, [tmp_path])
    failures = run_jobs([*jobs, bad, odd, ended], engine, lambda name, one: made.update({name: one.value}))
    assert {name: str(error) for name, error in failures.items()} == {
        "bad": "bad cannot be done",
        "odd": "OfTwoError: odd: no disk",
    }
    assert type(failures["bad"]) is ValueError and type(failures["odd"]) is RuntimeError
    assert made.pop("ended") == "made"
    # One process for all, as far as it was not ended.
    assert len({pid for pid, _, _ in made.values()}) <= 2
    assert {(threads, place) for _, threads, place in made.values()} == {(1, "cpu")}
    with pytest.raises(ValueError, match=r"127.0.0.\d of the cluster does not see .*none: mount it"):
        run_jobs(jobs, Cluster(raylets.address, 1, [tmp_path, tmp_path / "none"]))


def test_a_cluster_without_a_place_is_refused_instead_of_waited_for(require, tmp_path):
    clusters.need_ray(require)
    head = Raylets(tmp_path)
    try:
        with pytest.raises(ValueError, match="has no CPU and no GPU to work on: start its computers with"):
            run_jobs(
                [Artifact("a", (), (), partial(note, tmp_path, "a"))], Cluster(head.address, 1, [tmp_path])
            )
    finally:
        head.end()


def test_a_cluster_of_this_computer_asks_for_a_token_and_listens_to_it_alone(require, tmp_path):
    clusters.need_ray(require)
    # In a process of its own: Ray reads once whether there are tokens.
    command = [sys.executable, __file__, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": SEARCH}
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    addresses, mode = json.loads(found.stdout)
    assert addresses == ["127.0.0.1"] and mode == "token"


def test_detection_and_training_by_a_cluster_are_those_of_processes(raylets, repository, tmp_path, capsys):
    store = tmp_path / "store"
    small_cohort.make_store(store, {"train": 2, "validation": 1})
    engines = {"here": ["--processes", "1"], "cluster": ["--cluster", raylets.address]}
    for name, engine in engines.items():
        folder = tmp_path / name
        given = ["--model", "ct", "--cases", "phantom-01", "phantom-02", "-o", str(folder), *engine]
        assert main(["detect", str(repository / "sample-datastore"), *given]) == 0
        shutil.copytree(store, folder / "store")
        given = ["--model", "ct-hrnet", "--iterations", "4", "--models", str(folder / "models"), *engine]
        assert main(["train", "--store", str(folder / "store"), *given]) == 0
    said = capsys.readouterr().out
    assert said.count("cases: 2 done, 0 done before, 0 failed") == 2
    for case in ("phantom-01", "phantom-02"):
        # The header of gzip says when it was written.
        maps = [gzip.decompress((tmp_path / name / f"{case}.nii.gz").read_bytes()) for name in engines]
        assert maps[0] == maps[1]
        found = [json.loads((tmp_path / name / f"{case}.json").read_text()) for name in engines]
        assert found[0]["made_from"] == found[1]["made_from"]
    trained = [load_checkpoint(next((tmp_path / name / "models").rglob("*.pt"))) for name in engines]
    assert trained[0].metadata["losses"] == trained[1].metadata["losses"]
    for name, value in trained[0].state_dict.items():
        assert torch.equal(value, trained[1].state_dict[name])


def tables(folder: Path, monkeypatch) -> list[str]:
    """A row of few steps on tiny patients."""
    cohort = small_cohort.TinyCohort(folder, {"train": 2, "validation": 2, "test": 2, "stage two": 1})
    monkeypatch.setattr("osln.reproduction.run.open_cohort", lambda *_: cohort)
    return ["--table", "1a", "--rows", "ct-hrnet", "--phantoms", "--iterations", "4"]


def simulate(folder: Path, monkeypatch) -> list[str]:
    """A round of a seed on tiny patients whose candidates are there."""
    monkeypatch.setitem(COHORTS, "alike", COHORT)
    weights = folder / "weights"
    weights.mkdir()
    files = Files(folder / "work", StageOne({"ct": weights / "ct.pt"}, {"0.10": 0.3}))
    files.stage_one.weights["ct"].write_bytes(b"no network is asked")
    monkeypatch.setattr(StageOne, "shipped", lambda *_: files.stage_one)
    for seed, case in enumerate(COHORT.cases):
        keep(files.case(Lane(COHORT), case), seed)
    return ["--weights", str(weights), "--arms", "random", "--seeds", "1", "--rounds", "1", "--budget", "6"]


@pytest.mark.parametrize("command", [tables, simulate])
def test_tables_and_simulations_by_a_cluster_are_those_of_processes(raylets, tmp_path, monkeypatch, command):
    """Files that were made and figures of the report, for the same folder's name: it stands in keys."""
    found = []
    for engine in (["--processes", "1"], ["--cluster", raylets.address]):
        folder = tmp_path / "all"
        folder.mkdir()
        given = command(folder, monkeypatch)
        places = ["--work", str(folder / "work"), "--out", str(folder / "out")]
        assert main([command.__name__, *given, *places, *engine]) == 0
        made = sorted((folder / "work").rglob("*.npz"))
        (told,) = (path for path in (folder / "out").glob("*.json") if path.name != "run.json")
        figures = json.loads(told.read_text())
        found.append(({path.relative_to(folder): path.read_bytes() for path in made}, figures))
        shutil.move(folder, tmp_path / engine[0])
    (one, figures), (other, figures_there) = found
    assert one and one == other
    differing = {name for name in figures if figures[name] != figures_there.get(name)}
    assert differing <= {"about"}, differing


def tell_mode() -> tuple[list[str], str]:
    """In a worker: where the computers of its cluster listen, and whether it asks for tokens."""
    import ray

    return [node["NodeManagerAddress"] for node in ray.nodes()], os.environ["RAY_AUTH_MODE"]


if __name__ == "__main__":
    values: list = []
    asked = Artifact("mode", (), (), tell_mode)
    run_jobs([asked], Cluster("local", 1, [Path(sys.argv[1])]), lambda _, one: values.append(one.value))
    sys.stdout.write(json.dumps(values[0]))
