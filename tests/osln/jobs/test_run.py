"""Artifacts are made when what they need is there; an error ends what needs them, or all."""

import os
import pickle
import signal
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
import torch

from osln.jobs import processes, worker
from osln.jobs.artifact import Artifact
from osln.jobs.bar import Bar
from osln.jobs.engine import LostError
from osln.jobs.processes import Processes
from osln.jobs.run import run_jobs
from osln.jobs.worker import device, tell
from osln.learning.cores import usable_cores


def note(record: Path, name: str) -> None:
    """Appends a name to a file and tells one step."""
    with record.open("a") as file:
        file.write(f"{name}\n")
    tell(1.0, "loss 0.5")


def note_worker(record: Path, name: str) -> None:
    note(record, f"{name} {os.getpid()} {torch.get_num_threads()} {device()} {usable_cores()}")


def leave(record: Path, name: str) -> None:
    """Leaves a file of that name."""
    note(record, name)
    record.with_name(name).touch()


def end_process(record: Path, name: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fail(record: Path, name: str) -> None:
    raise ValueError(f"{name} cannot be done")


class OfTwoError(Exception):
    """Is pickled, and cannot be unpickled: it would be made of one argument."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what}: {why}")


class HoldingError(Exception):
    """Cannot be pickled."""

    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.lock = threading.Lock()


def raise_of_two(record: Path, name: str) -> None:
    raise OfTwoError(name, "no disk")


@pytest.fixture
def record(tmp_path) -> Path:
    """Where the names of what was made stand."""
    return tmp_path / "done"


def artifact(record, work, name, needs=(), *, paths=(), cost=1.0, uses_network=False) -> Artifact:
    return Artifact(name, paths, needs, partial(work, record, name), cost, uses_network)


@pytest.fixture
def in_threads(monkeypatch):
    """Threads instead of processes, which take seconds to start."""
    monkeypatch.setattr(processes, "ProcessPoolExecutor", lambda count, *_: ThreadPoolExecutor(count))


def done(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.is_file() else []


def test_what_is_needed_is_made_first_and_the_longest_chain_before_others(in_threads, record):
    first = artifact(record, note, "first", cost=1)
    late = artifact(record, note, "late", (first,), cost=2)
    wanted = [
        artifact(record, note, "short", cost=5),
        artifact(record, note, "wanted", (late,), cost=3),
    ]
    seconds = {}
    run_jobs(wanted, Processes(1), lambda name, made: seconds.update({name: made.seconds}))
    # The chain of three takes 6, the one alone 5; what is left of the chain then 5 and 3.
    assert done(record) == ["first", "short", "late", "wanted"]
    assert set(seconds) == set(done(record)) and all(value >= 0 for value in seconds.values())


def test_an_error_reaches_the_caller_and_nothing_further_is_started(in_threads, record):
    wanted = [
        artifact(record, note, "good", cost=3),
        artifact(record, fail, "bad", cost=2),
        artifact(record, note, "never", cost=1),
    ]
    with pytest.raises(ValueError, match="bad cannot be done"):
        run_jobs(wanted, Processes(1))
    assert done(record) == ["good"]


def test_a_network_that_fails_takes_with_it_only_what_needs_it(in_threads, record, caplog):
    bad = artifact(record, fail, "bad", cost=3, uses_network=True)
    needs = artifact(record, note, "needs", (bad,), cost=2)
    other = artifact(record, note, "other", cost=1)
    failures = run_jobs([artifact(record, note, "needs that", (other, needs), cost=1)], Processes(1))
    assert {name: str(error) for name, error in failures.items()} == {"bad": "bad cannot be done"}
    assert done(record) == ["other"]
    assert "bad failed, the rest goes on" in caplog.text


def test_what_is_there_is_not_made_again_and_what_needs_it_goes_on(in_threads, record, tmp_path):
    made = artifact(record, leave, "made", paths=(tmp_path / "made",))
    after = artifact(record, leave, "after", (made,), paths=(tmp_path / "after",))
    made.path.touch()
    run_jobs([after], Processes(1))
    assert done(record) == ["after"]
    run_jobs([after], Processes(1))
    assert done(record) == ["after"]


def test_nothing_to_do_is_done_at_once(in_threads, record):
    run_jobs([], Processes(2))
    assert done(record) == []


def test_shares_are_told_in_a_worker_and_nowhere_else(monkeypatch):
    told: list = []
    tell(0.5)
    monkeypatch.setattr(worker, "_tell", told.append)
    made = worker.make("classifier", lambda: tell(0.25, "loss 1") or "value")
    assert told == [("classifier", 0.25, "loss 1")] and made.value == "value"


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [(OfTwoError("a", "b"), RuntimeError, "OfTwoError: a: b"),
     (HoldingError("a"), RuntimeError, "HoldingError: a"),
     (FileNotFoundError(2, "none", "a"), FileNotFoundError, "[Errno 2] none: 'a'")],
)  # fmt: skip
def test_an_error_that_cannot_be_sent_is_told_by_its_name_and_words(error, kind, said):
    def work():
        raise error

    with pytest.raises(kind) as found:
        worker.make("a", work)
    assert type(found.value) is kind and str(found.value) == said
    assert str(pickle.loads(pickle.dumps(found.value))) == said


def test_the_bar_counts_the_cost_of_what_is_done(capfd):
    with Bar({"long": 30.0, "short": 10.0}) as bar:
        for told in (("long", 0.5, "loss 1"), ("long", 0.4, ""), ("foreign", 1.0, "")):
            bar.hear(*told)
        # Half of 30; a share never goes back, and other names are not of this bar.
        assert bar.bar.n == pytest.approx(15)
        bar.finish("short")
        bar.finish("long")
        assert bar.bar.n == pytest.approx(40)


class Losing:
    """An engine of one place that loses the first workers; an `Engine`."""

    tries = 2

    def __init__(self, losses: int) -> None:
        self.losses = losses

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def place(self, one):
        return "cpu"

    def room(self):
        return {"cpu": 1}

    def submit(self, one):
        answer = Future()
        if self.losses:
            self.losses -= 1
            answer.set_exception(LostError("no power"))
        else:
            answer.set_result(worker.make(one.name, one.make))
        return answer

    def told(self):
        return iter(())

    def cancel(self):
        pass


def test_what_a_lost_worker_made_is_begun_again_before_others_and_not_for_ever(record, caplog):
    wanted = [artifact(record, note, "first", cost=2), artifact(record, note, "second")]
    assert run_jobs(wanted, Losing(2)) == {}
    assert done(record) == ["first", "second"]
    assert caplog.text.count("the worker of first was lost, it is made again: no power") == 2
    with pytest.raises(RuntimeError, match="worked on 'first' was killed"):
        run_jobs(wanted, Losing(3))


@pytest.mark.slow
def test_workers_are_processes_of_one_thread_and_a_device_has_its_own(record, capfd):
    wanted = [artifact(record, note_worker, name, uses_network=name == "c") for name in ("a", "b", "c")]
    run_jobs(wanted, Processes(2, ("cuda:7",)))
    lines = [line.split() for line in done(record)]
    assert {name: place for name, _, _, place, _ in lines} == {"a": "cpu", "b": "cpu", "c": "cuda:7"}
    assert all(int(pid) != os.getpid() and threads == "1" for _, pid, threads, *_ in lines)
    # Threads of the GPU's worker make batches: it keeps the cores that this process may use.
    if hasattr(os, "sched_getaffinity"):
        assert {name: int(cores) for name, *_, cores in lines} == {"a": 1, "b": 1, "c": usable_cores()}
    assert "100%" in capfd.readouterr().err


@pytest.mark.slow
def test_a_killed_worker_is_told_in_words(record):
    with pytest.raises(RuntimeError, match=r"worked on 'killed' was killed.* goes on where it was"):
        run_jobs([artifact(record, end_process, "killed")], Processes(1))


@pytest.mark.slow
def test_an_error_that_cannot_be_sent_is_no_kill(record):
    with pytest.raises(RuntimeError, match=r"^OfTwoError: bad: no disk$"):
        run_jobs([artifact(record, raise_of_two, "bad")], Processes(1))


class Empty(Losing):
    """Has no place until it was asked so often."""

    def __init__(self, times: int) -> None:
        super().__init__(0)
        self.times = times

    def room(self):
        self.times -= 1
        return {"cpu": int(self.times < 0)}


def test_what_is_waited_for_is_told_once(record, caplog, monkeypatch):
    wanted = [artifact(record, note, "first", cost=2), artifact(record, note, "second")]
    run_jobs(wanted, Empty(4))
    assert not caplog.text
    monkeypatch.setattr("osln.jobs.run.PATIENCE_SECONDS", 0.0)
    run_jobs(wanted, Empty(4))
    assert caplog.text.count("no CPU is free for first, and 1 others wait") == 1
    assert done(record) == ["first", "second"] * 2
