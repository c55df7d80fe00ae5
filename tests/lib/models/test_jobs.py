"""Background jobs: what is kept of them, how far they are, and how they end."""

import json
import os
from collections import deque

import psutil
import pytest
from fastapi import HTTPException

from lib.models import jobs
from lib.models.batch import Batch
from lib.models.jobs import JobFiles, Report, UnknownJobError


class Store:
    """Three cases, none of them approved."""

    def __init__(self, root) -> None:
        self.root = root

    def list_images(self) -> list[str]:
        return ["a", "b", "c"]


class Infer:
    """Finds one candidate in each case but `b`; cancels the job before its second case if asked to."""

    def __init__(self, folder, cancel=None) -> None:
        self.folder, self.cancel, self.seen = folder, cancel, []

    def __call__(self, request, datastore):
        self.seen.append(request["image"])
        if self.cancel:
            self.cancel()
        if request["image"] == "b":
            raise OSError("b cannot be read")
        file = self.folder / "found.nii.gz"
        file.touch()
        params = {"candidates": [{"kept": True}], "warnings": []}
        return {"file": str(file), "label": request["image"], "tag": "original", "params": params}


@pytest.fixture
def files(tmp_path):
    return JobFiles(tmp_path)


@pytest.fixture
def table(monkeypatch):
    """MONAI Label's tasks and processes."""
    found = {"tasks": [], "processes": {}}
    monkeypatch.setattr(jobs, "tasks", lambda method: found["tasks"])
    monkeypatch.setattr(jobs, "processes", lambda method: found["processes"])
    return found


def task(number, status, **more):
    return {"id": f"task of {number}", "status": status, "request": {"job": number}, **more}


def test_a_job_runs_its_own_cases_and_says_what_came_of_each(tmp_path, files, table):
    number = files.add(["c", "b"], "osln", "Anna")

    infer = Infer(tmp_path)
    report = Batch(("cpu",))({"model": "osln", "job": number}, Store(tmp_path), infer)

    assert infer.seen == ["c", "b"] and report["c"]["status"] == "done"
    (told,) = jobs.told(files)
    assert (told["total"], told["done"], told["state"]) == (2, 2, "done")
    assert told["failed"] == {"b": "OSError: b cannot be read"}
    assert told["message"] == "2 of 2 cases, 1 failed" and told["by"] == "Anna"
    assert jobs.failed_last([told]) == {
        "b": (told["at"], f"{told['model']} could not search this case: OSError: b cannot be read")
    }
    again = {**told, "at": "2", "failed": {"b": "no PET"}}
    assert jobs.failed_last([again, told])["b"][1].endswith("no PET"), "of the newest job"
    assert told["seconds_left"] == 0 and "cases" not in told


def test_a_canceled_job_ends_before_its_next_case(tmp_path, files, table):
    number = files.add(["a", "b", "c"], "osln", "Anna")
    table["tasks"] = [task(number, "RUNNING")]

    infer = Infer(tmp_path, cancel=lambda: jobs.cancel(files, number))
    Batch(("cpu",))({"model": "osln", "job": number}, Store(tmp_path), infer)

    assert infer.seen == ["a"]
    assert jobs.told(files)[0]["message"] == "canceled after 1 of 3 cases"


def test_canceling_ends_the_process_of_this_job_alone(files, table):
    class Process:
        ended = False

        def terminate(self):
            self.ended = True

    first, second = (files.add(["a"], "osln", name) for name in ("Anna", "Bert"))
    table["tasks"] = [task(first, "RUNNING"), task(second, "SUBMITTED")]
    table["processes"] = {f"task of {first}": Process()}

    jobs.cancel(files, second)
    assert table["tasks"][1]["status"] == "STOPPED" and not table["processes"][f"task of {first}"].ended
    jobs.cancel(files, first)
    assert table["processes"][f"task of {first}"].ended
    assert {one["state"] for one in jobs.told(files)} == {"canceled"}


def test_the_process_of_a_job_that_was_canceled_while_it_waited_is_not_started():
    started = []
    run = jobs.run_unless_canceled(lambda one, method, callback: started.append(one["id"]))
    for status in ("STOPPED", "SUBMITTED"):
        run(task(status, status), "batch_infer")
    assert started == ["task of SUBMITTED"]


def test_a_finished_job_stays_finished_when_somebody_cancels_it(files, table):
    number = files.add(["a"], "osln", "Anna")
    table["tasks"] = [task(number, "DONE")]
    Report(files, number, 1).end("a", None)
    jobs.cancel(files, number)
    assert jobs.told(files)[0]["state"] == "done"


@pytest.mark.parametrize(
    ("status", "state", "message"),
    [
        ("SUBMITTED", "waiting", "waits for its turn (1 case)"),
        ("RUNNING", "running", "the program starts; the first case follows"),
        ("ERROR", "failed", "ended with an error after 0 of 1 case: no memory; start it again"),
        (None, "ended", "ended with the server after 0 of 1 case; start it again for the others"),
    ],
)
def test_every_state_is_a_sentence(files, table, status, state, message):
    number = files.add(["a"], "osln", "Anna")
    if status:
        table["tasks"] = [task(number, status, details=deque(["a line", "no memory"]))]
    (told,) = jobs.told(files)
    assert (told["state"], told["message"]) == (state, message)


def test_the_errors_of_many_cases_are_counted_and_the_first_ones_told(files, table):
    number = files.add([f"p{n}" for n in range(30)], "osln", "Anna")
    report = Report(files, number, 30)
    for n in range(30):
        report.end(f"p{n}", "no CT")
    (told,) = jobs.told(files)
    assert (told["failures"], len(told["failed"])) == (30, jobs.REASONS)
    assert told["message"] == "30 of 30 cases, 30 failed"


def test_only_the_newest_jobs_are_remembered(files, table, monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(jobs, "_now", lambda: f"{next(clock):03d}")
    numbers = [files.add(["a"], "osln", "Anna") for _ in range(jobs.KEPT + 2)]
    assert [one["id"] for one in files.asked()] == numbers[:1:-1]


def test_a_job_that_waits_or_runs_is_not_forgotten_however_many_follow(files, table, monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(jobs, "_now", lambda: f"{next(clock):03d}")
    numbers = [files.add(["a"], "osln", "Anna") for _ in range(2)]
    table["tasks"] = [task(numbers[0], "RUNNING"), task(numbers[1], "SUBMITTED")]
    ended = [files.add(["a"], "osln", "Anna") for _ in range(jobs.KEPT)]
    assert {one["id"] for one in files.asked()} == {*numbers, *ended}
    table["tasks"][0]["status"] = "DONE"
    files.add(["a"], "osln", "Anna")
    assert numbers[0] not in {one["id"] for one in files.asked()} and files.cases(numbers[1]) == ["a"]


def test_of_too_many_jobs_the_next_one_is_refused_in_words(files, table, monkeypatch):
    monkeypatch.setattr(jobs, "MOST_AT_ONCE", 2)
    table["tasks"] = [task("one", "RUNNING"), task("two", "DONE"), task("three", "SUBMITTED")]
    with pytest.raises(HTTPException, match="2 jobs run or wait, at most 2 may") as refused:
        files.add(["a"], "osln", "Anna")
    assert refused.value.status_code == 429 and files.asked() == []


def test_an_unknown_job_is_refused_in_words(files):
    for number in ("abc", "../splits", ""):
        with pytest.raises(UnknownJobError, match="there is no job"):
            jobs.cancel(files, number)


def test_a_damaged_file_is_no_job(files, table):
    files.add(["a"], "osln", "Anna")
    next(files.folder.glob("*.asked.json")).write_text("{")
    assert jobs.told(files) == []


def test_a_case_named_like_the_folder_is_no_case_of_the_store(files):
    # Case ids begin with a letter or digit.
    assert files.folder.name.startswith(".")
    number = files.add(["a"], "osln", "Anna")
    assert json.loads((files.folder / f"{number}.asked.json").read_text())["cases"] == ["a"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a process of its own that is cheap")
def test_a_job_lets_all_other_work_go_first():
    child = os.fork()
    if child == 0:
        jobs.be_idle()
        os._exit(0 if psutil.Process().nice() == jobs.LOWEST else 1)
    assert os.waitpid(child, 0)[1] == 0
