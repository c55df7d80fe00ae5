"""Jobs run when what they need is done; an error ends what needs the job, or all."""

import os
import queue
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from osln.reproduction import jobs
from osln.reproduction.jobs import Job, device, run_jobs, tell


def note(plan: str, name: str) -> None:
    """A job that appends its name to a file and tells one step."""
    with Path(plan).open("a") as file:
        file.write(f"{name}\n")
    tell(name, 1.0, "loss 0.5")


def note_worker(plan: str, name: str) -> None:
    note(plan, f"{name} {os.getpid()} {torch.get_num_threads()} {device()}")


def leave(plan: str, name: str) -> None:
    """A job that leaves its target."""
    note(plan, name)
    Path(plan).with_name(name).touch()


def end_process(plan: str, name: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fail(plan: str, name: str) -> None:
    raise ValueError(f"{name} cannot be done")


@pytest.fixture
def in_threads(monkeypatch):
    """Threads instead of processes, which take seconds to start."""
    monkeypatch.setattr(jobs, "ProcessPoolExecutor", lambda count, *_: ThreadPoolExecutor(count))


def done(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.is_file() else []


def test_a_job_waits_for_what_it_needs_and_the_longest_chain_is_first(in_threads, tmp_path):
    work = {
        "short": Job(note, ("short",), cost=5),
        "wanted": Job(note, ("wanted",), ("late",), cost=3),
        "late": Job(note, ("late",), ("first",), cost=2),
        "first": Job(note, ("first",), cost=1),
    }
    seconds = {}
    run_jobs(work, str(tmp_path / "done"), 1, on_done=seconds.__setitem__)
    # The chain of three takes 6, the job alone 5; what is left of the chain then 5 and 3.
    assert done(tmp_path / "done") == ["first", "short", "late", "wanted"]
    assert set(seconds) == set(work) and all(value >= 0 for value in seconds.values())


def test_an_error_reaches_the_caller_and_nothing_further_is_started(in_threads, tmp_path):
    work = {
        "good": Job(note, ("good",), cost=3),
        "bad": Job(fail, ("bad",), cost=2),
        "never": Job(note, ("never",), cost=1),
    }
    with pytest.raises(ValueError, match="bad cannot be done"):
        run_jobs(work, str(tmp_path / "done"), 1)
    assert done(tmp_path / "done") == ["good"]


def test_a_network_that_fails_takes_with_it_only_what_needs_it(in_threads, tmp_path, caplog):
    work = {
        "bad": Job(fail, ("bad",), cost=3, uses_network=True),
        "needs": Job(note, ("needs",), ("bad",), cost=2),
        "needs that": Job(note, ("needs that",), ("other", "needs"), cost=1),
        "other": Job(note, ("other",), cost=1),
    }
    failures = run_jobs(work, str(tmp_path / "done"), 1)
    assert {name: str(error) for name, error in failures.items()} == {"bad": "bad cannot be done"}
    assert done(tmp_path / "done") == ["other"]
    assert "bad failed, the rest goes on" in caplog.text


def test_what_is_done_is_not_started_again_and_what_needs_it_goes_on(in_threads, tmp_path):
    def jobs_with_targets():
        made = Job(leave, ("made",), (), (tmp_path / "made",))
        return {"made": made, "after": Job(leave, ("after",), ("made",), (tmp_path / "after",))}

    plan = str(tmp_path / "done")
    (tmp_path / "made").touch()
    run_jobs(jobs_with_targets(), plan, 1)
    assert done(Path(plan)) == ["after"]
    run_jobs(jobs_with_targets(), plan, 1)
    assert done(Path(plan)) == ["after"]


def test_nothing_to_do_is_done_at_once(in_threads, tmp_path):
    run_jobs({}, str(tmp_path / "done"), 2)
    assert done(tmp_path / "done") == []


def test_shares_are_told_in_a_worker_and_nowhere_else(monkeypatch):
    channel: queue.Queue = queue.Queue()
    tell("alone", 0.5)
    monkeypatch.setattr(jobs, "_progress", channel)
    tell("worker", 0.25, "loss 1")
    assert channel.get_nowait() == ("worker", 0.25, "loss 1") and channel.empty()


def test_the_bar_counts_the_cost_of_what_is_done(capfd):
    channel: queue.Queue = queue.Queue()
    with jobs._Bar({"long": 30.0, "short": 10.0}) as bar:
        for told in (("long", 0.5, "loss 1"), ("long", 0.4, ""), ("foreign", 1.0, "")):
            channel.put(told)
        bar.listen(channel)
        # Half of 30; a share never goes back, and other names are no jobs of this bar.
        assert bar.bar.n == pytest.approx(15)
        bar.finish("short")
        bar.finish("long")
        assert bar.bar.n == pytest.approx(40)


@pytest.mark.slow
def test_workers_are_processes_of_one_thread_and_a_device_has_its_own(tmp_path, capfd):
    work = {name: Job(note_worker, (name,), uses_network=name == "c") for name in ("a", "b", "c")}
    run_jobs(work, str(tmp_path / "done"), 2, gpus=("cuda:7",))
    lines = [line.split() for line in done(tmp_path / "done")]
    assert {name: place for name, _, _, place in lines} == {"a": "cpu", "b": "cpu", "c": "cuda:7"}
    assert all(int(pid) != os.getpid() and threads == "1" for _, pid, threads, _ in lines)
    assert "100%" in capfd.readouterr().err


@pytest.mark.slow
def test_a_killed_worker_is_told_in_words(tmp_path):
    with pytest.raises(RuntimeError, match=r"worked on 'killed' was killed.* goes on where it was"):
        run_jobs({"killed": Job(end_process, ("killed",))}, str(tmp_path / "done"), 1)
