"""A training by several processes: the losses of one, and an end in words whatever happens to them."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from multiprocessing import active_children
from pathlib import Path

import pytest
import torch

from osln.learning.fit import fit
from osln.learning.together import fit_together
from small.lessons import Line

ROOT = Path(__file__).resolve().parents[3]
TWO = ("cpu", "cpu")

pytestmark = pytest.mark.slow


def test_two_processes_learn_what_one_learns_and_the_first_one_tells(tmp_path):
    one, seen = fit(Line()), []
    two = fit_together(Line(), TWO, resume_path=tmp_path / "state", on_progress=seen.append)

    for ours, theirs in zip(two.reports, one.reports, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5)
    torch.testing.assert_close(two.weights, one.weights, rtol=1e-5, atol=1e-6)
    assert [state.step for state in seen] == [2, 4, 6] and all(state.losses["rank"] == 0 for state in seen)
    assert two.record["processes"] == 2 and "processes" not in one.record
    assert not active_children()

    # The state is there: nothing is learned again, and one process alone begins anew.
    again = fit_together(Line(), TWO, resume_path=tmp_path / "state")
    assert again.reports == two.reports and again.record["seconds"] == two.record["seconds"]
    torch.testing.assert_close(again.weights, two.weights, rtol=0, atol=0)


def test_one_device_is_one_process():
    learned = fit_together(Line(), ("cpu",))

    assert "processes" not in learned.record and learned.reports == fit(Line()).reports


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_all_and_the_training_goes_on_where_it_was(tmp_path, rank):
    path = tmp_path / "state"
    broken = Line(steps=400, epoch_steps=2, trouble="killed", trouble_at=300, trouble_rank=rank)

    with pytest.raises(
        ValueError, match=rf"process {rank + 1} of the 2 .*SIGKILL.*goes on from the last state"
    ):
        fit_together(broken, TWO, resume_path=path)
    assert not active_children()
    reached, seen = torch.load(path, weights_only=True)["step"], []
    assert 1 <= reached <= 300
    resumed = fit_together(replace(broken, trouble=""), TWO, resume_path=path, on_progress=seen.append)
    assert seen[0].step > reached and seen[-1].step == 400
    for ours, theirs in zip(resumed.reports, fit(replace(broken, trouble="")).reports, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize(
    ("trouble", "rank", "words"),
    [
        ("raises", 0, "process 1 of the 2 of the training: OSError: the disk is full"),
        ("nan", 0, r"the loss is not a number at step 4: lower the learning rate"),
    ],
)
def test_an_error_in_any_process_is_told(trouble, rank, words):
    with pytest.raises(ValueError, match=words):
        fit_together(Line(trouble=trouble, trouble_rank=rank), TWO)
    assert not active_children()


def test_whoever_is_told_of_progress_may_stop_it():
    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_together(Line(steps=100_000), TWO, on_progress=stop)
    assert not active_children()


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_the_processes_end_with_the_one_that_started_them(tmp_path):
    noted = tmp_path / "pid"
    search = os.pathsep.join(str(ROOT / part) for part in ("tests", "apps/osln"))
    command = [sys.executable, __file__, str(noted)]
    parent = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": search})
    try:
        wait_for(lambda: noted.is_file() and noted.read_text())
        pid = int(noted.read_text())
        assert running(pid)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    wait_for(lambda: not running(pid))


def wait_for(condition, seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "nothing came"
        time.sleep(0.05)


def running(pid: int) -> bool:
    """Whether a process is there and not only waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


if __name__ == "__main__":
    fit_together(Line(steps=10_000_000, trouble_rank=1, noted=Path(sys.argv[1])), TWO)
