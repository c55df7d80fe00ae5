"""Jobs run when what they need is done; the first error ends the rest."""

import os
import queue
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from osln import jobs
from osln.jobs import Job, run_jobs, tell


def note(plan: str, name: str) -> None:
    """A job that appends its name to a file and tells one step."""
    with Path(plan).open("a") as file:
        file.write(f"{name}\n")
    tell(name, 1, 0.5)


def note_worker(plan: str, name: str) -> None:
    note(plan, f"{name} {os.getpid()} {torch.get_num_threads()}")


def fail(plan: str, name: str) -> None:
    raise ValueError(f"{name} cannot be done")


@pytest.fixture
def in_threads(monkeypatch):
    """Threads instead of processes, which take seconds to start."""
    monkeypatch.setattr(jobs, "ProcessPoolExecutor", lambda count, *_: ThreadPoolExecutor(count))


def done(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.is_file() else []


def test_a_job_waits_for_what_it_needs_and_the_first_possible_one_is_first(in_threads, tmp_path):
    work = {
        "wanted": Job(note, ("wanted",), ("late",)),
        "first": Job(note, ("first",), ()),
        "late": Job(note, ("late",), ("first",)),
        "last": Job(note, ("last",), ()),
    }
    run_jobs(work, str(tmp_path / "done"), 1, 4)
    assert done(tmp_path / "done") == ["first", "late", "wanted", "last"]


def test_an_error_reaches_the_caller_and_nothing_further_is_started(in_threads, tmp_path):
    work = {
        "good": Job(note, ("good",), ()),
        "bad": Job(fail, ("bad",), ()),
        "never": Job(note, ("never",), ()),
    }
    with pytest.raises(ValueError, match="bad cannot be done"):
        run_jobs(work, str(tmp_path / "done"), 1, 3)
    assert done(tmp_path / "done") == ["good"]


def test_nothing_to_do_is_done_at_once(in_threads, tmp_path):
    run_jobs({}, str(tmp_path / "done"), 2, 0)
    assert done(tmp_path / "done") == []


def test_steps_are_told_in_a_worker_and_nowhere_else(monkeypatch):
    channel: queue.Queue = queue.Queue()
    tell("alone", 3, None)
    monkeypatch.setattr(jobs, "_progress", channel)
    tell("worker", 2, 0.25)
    assert channel.get_nowait() == ("worker", 2, 0.25) and channel.empty()


@pytest.mark.slow
def test_workers_are_processes_of_one_thread(tmp_path, capfd):
    work = {name: Job(note_worker, (name,), ()) for name in ("a", "b")}
    run_jobs(work, str(tmp_path / "done"), 2, 2)
    lines = [line.split() for line in done(tmp_path / "done")]
    assert sorted(name for name, _, _ in lines) == ["a", "b"]
    assert all(int(pid) != os.getpid() and threads == "1" for _, pid, threads in lines)
    assert "2/2" in capfd.readouterr().err
