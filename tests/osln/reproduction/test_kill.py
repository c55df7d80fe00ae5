"""A run whose worker is killed in the middle of a training goes on and ends like an uninterrupted one."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from osln.jobs.artifact import Artifact
from osln.jobs.processes import Processes
from osln.jobs.run import run_jobs
from osln.reproduction.artifacts import Artifacts
from osln.reproduction.plan import Network, Plan
from osln.rows.experiments import PRESETS
from osln.weights.checkpoint import load_checkpoint
from small import cohort as small_cohort

ROOT = Path(__file__).resolve().parents[3]
NETWORK = Network("ct-hrnet", 1, 0)
"""The cheapest one of the real sizes."""
STEPS = 60


def plan_of(folder: Path) -> Plan:
    """Real sizes, because worker processes know no others; few steps."""
    return small_cohort.make_plan(folder, preset=replace(PRESETS["demo"], iterations=STEPS))


def training(plan: Plan) -> Artifact:
    return replace(Artifacts(plan).training(NETWORK), needs=())


def main(folder: str) -> None:
    """What the process does that is killed."""
    run_jobs([training(plan_of(Path(folder)))], Processes(1))


def wait_for(condition, seconds: float = 60):
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "nothing came"
        time.sleep(0.005)
    return found


def workers_of(process: subprocess.Popen) -> list[int]:
    """Processes that were started by a process and have its program open."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(pid) for pid in children.read_text().split()]


def iteration(path: Path) -> int:
    return torch.load(path, weights_only=True)["step"] if path.is_file() else 0


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the worker in /proc")
def test_a_killed_training_goes_on_and_ends_with_the_same_weights(tmp_path):
    plan = plan_of(tmp_path)
    killed = training(plan)
    weights = killed.path
    resume = weights.with_suffix(f".{killed.make.keywords['code'][:8]}.resume")
    search = os.pathsep.join(str(ROOT / part) for part in ("tests", "apps/osln"))
    environment = {**os.environ, "PYTHONPATH": search, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, str(tmp_path)]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: iteration(resume) >= 1)
        for pid in workers_of(process):
            os.kill(pid, signal.SIGKILL)
        _, words = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode != 0 and "was killed" in words and "goes on where it was" in words
    reached = iteration(resume)
    assert 1 <= reached < STEPS and not weights.is_file()

    killed.make()
    resumed = load_checkpoint(weights)
    uninterrupted = training(replace(plan, work=tmp_path / "uninterrupted"))
    uninterrupted.make()
    whole = load_checkpoint(uninterrupted.path)
    assert all(torch.equal(whole.state_dict[name], value) for name, value in resumed.state_dict.items())
    assert json.dumps(whole.metadata["losses"]) == json.dumps(resumed.metadata["losses"])
    assert not resume.exists()


if __name__ == "__main__":
    main(sys.argv[1])
