"""When the making of evidence begins and ends; no process is started and no clock is waited for."""

from datetime import datetime, timedelta, timezone
from itertools import pairwise
from types import SimpleNamespace

import pytest

from lib.models import background
from lib.models.background import Background, Work
from lib.models.scoring import Plan
from osln.store.leases import LASTS


def planned(left: int, done: int = 0, failed: dict | None = None) -> Plan:
    return Plan({f"p{n}": "osln" for n in range(left)}, (), done, failed or {}, 0)


@pytest.fixture
def place(monkeypatch):
    """A background on stand-ins: `clock` is the time, `left` what is missing, `started` what was begun."""
    place = SimpleNamespace(clock=1000.0, left=3, started=[], tasks={}, leases={}, killed=[])
    monkeypatch.setattr(background.time, "monotonic", lambda: place.clock)
    monkeypatch.setattr(background, "tasks", lambda method: place.tasks.get(method, []))
    process = SimpleNamespace(terminate=lambda: place.killed.append("scoring"))
    monkeypatch.setattr(background, "processes", lambda method: {"1": process})
    monkeypatch.setattr(background, "plan", lambda store, published: planned(place.left, 3 - place.left))

    def run(method, request):
        place.started.append(request)
        place.tasks["scoring"] = [{"id": "1", "status": "RUNNING", "request": request}]

    monkeypatch.setattr(background.AsyncTask, "run", staticmethod(run))
    place.work = Work()
    place.clock += background.QUIET_S
    store = SimpleNamespace(leases=lambda: place.leases)
    place.make = lambda wanted: Background(store, None, place.work, wanted=wanted)
    place.one = place.make(True)
    return place


def lease(ago_s: float) -> dict:
    until = datetime.now(timezone.utc) + LASTS - timedelta(seconds=ago_s)
    return {"by": "Anna", "since": until.isoformat(), "until": until.isoformat()}


def test_it_begins_when_nobody_works_and_not_twice(place):
    place.one.look()
    place.one.look()

    assert place.started == [{"method": "evidence", "background": True}]
    assert place.one.status()["state"] == "running"


def test_a_setting_turns_it_off_and_the_state_is_told_all_the_same(place):
    off = place.make(False)
    off.look()

    assert place.started == []
    assert off.status()["state"] == "off" and (off.status()["done"], off.status()["total"]) == (0, 3)


def test_nothing_begins_soon_after_the_start_nor_during_and_soon_after_an_inference(place):
    place.clock = 1000.0 + background.QUIET_S - 1
    place.one.look()
    place.clock += 10
    with place.work.going_on():
        place.clock += 1000
        place.one.look()
    place.clock += background.QUIET_S - 1
    place.one.look()
    assert place.started == []
    place.clock += 2
    place.one.look()
    assert len(place.started) == 1


@pytest.mark.parametrize("method", ["train", "batch_infer"])
def test_trainings_and_jobs_go_first(place, method):
    place.tasks[method] = [{"id": "2", "status": "SUBMITTED", "request": {}}]
    place.one.look()
    assert place.started == []
    place.tasks[method][0]["status"] = "DONE"
    place.one.look()
    assert len(place.started) == 1


def test_an_annotator_at_work_goes_first_and_one_who_has_left_does_not(place):
    place.leases["p9"] = lease(5)
    place.one.look()
    assert place.started == [] and place.one.busy() == "somebody works on case p9"
    place.leases["p9"] = lease(background.QUIET_S + 60)
    place.one.look()
    assert len(place.started) == 1


def test_what_it_began_ends_as_soon_as_somebody_works_and_begins_again_later(place):
    place.one.look()
    with place.work.going_on():
        place.one.look()
    assert place.killed == ["scoring"] and place.tasks["scoring"][0]["status"] == "STOPPED"
    place.clock += background.QUIET_S + 1
    place.one.look()
    assert len(place.started) == 2


def test_what_a_client_began_is_not_ended(place):
    place.tasks["scoring"] = [{"id": "1", "status": "RUNNING", "request": {"method": "evidence"}}]
    with place.work.going_on():
        place.one.look()
    assert place.killed == []


def test_tries_that_bring_nothing_on_become_rare(place):
    begun = []
    for _ in range(1000):
        before = len(place.started)
        place.one.look()
        place.tasks["scoring"] = []
        if len(place.started) > before:
            begun.append(place.clock)
        place.clock += 10
    pauses = [after - before for before, after in pairwise(begun)]

    assert pauses == sorted(pauses) and pauses[0] >= background.QUIET_S
    assert pauses[-1] > 8 * pauses[0]


def test_a_try_that_brings_something_on_is_followed_by_the_next(place):
    for left in (3, 2, 1, 0):
        place.left = left
        place.one.look()
        place.tasks["scoring"] = []
        place.clock += 1

    assert len(place.started) == 3
    place.clock += background.PLAN_S
    place.one.look()
    assert place.one.status()["state"] == "done"
    assert place.one.status()["message"] == "3 of 3 waiting cases have evidence by the weights in use"
