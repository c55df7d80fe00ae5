"""The threads between server and PACS, on a stand-in for the store that fails when told to."""

import threading
import time
from types import SimpleNamespace

import pytest

from lib.pacs import keeper as pacs_keeper
from lib.pacs.keeper import PacsKeeper
from osln.dicom.web.client import PacsError


class Store:
    """Counts what is asked of it; `error` is raised by every listing."""

    def __init__(self):
        room = SimpleNamespace(size=lambda: 2_500_000_000, limit=20_000_000_000)
        web = SimpleNamespace(url="http://pacs/dicom-web")
        self.mirror = SimpleNamespace(web=web, room=room, cases=lambda: SimpleNamespace(left_out=("one",)))
        self.outbox = SimpleNamespace(entries=lambda: [], hurry=self.hurry)
        self.error, self.looked, self.hurried, self.gate = None, 0, 0, threading.Event()
        self.gate.set()

    def look(self):
        self.gate.wait(10)
        self.looked += 1
        if self.error:
            raise self.error

    def hurry(self):
        self.hurried += 1

    def take_labels(self):
        pass

    def waiting(self):
        return {"waiting": 0, "last_error": ""}


@pytest.fixture
def store(monkeypatch):
    monkeypatch.setattr(pacs_keeper, "deliver", lambda *args: 0)
    monkeypatch.setattr(pacs_keeper, "PAUSES_S", (0.01,))
    return Store()


@pytest.fixture
def keeper(store):
    """A keeper whose threads end with the test."""
    before = set(threading.enumerate())
    keeper = PacsKeeper(store)
    yield keeper
    keeper.stop()
    for thread in set(threading.enumerate()) - before:
        thread.join(10)


def until(what):
    deadline = time.monotonic() + 10
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_list_is_kept_for_a_while_and_then_asked_for_again(store, keeper, monkeypatch):
    keeper.start()
    until(lambda: keeper.status()["listed"])
    store.before_listing()
    assert store.looked == 1
    monkeypatch.setattr(pacs_keeper, "FRESH_S", 0.0)
    store.before_listing()
    assert store.looked == 2


def test_slow_pacs_holds_up_nobody_for_long(store, keeper, monkeypatch):
    monkeypatch.setattr(pacs_keeper, "WAIT_S", 0.05)
    store.gate.clear()
    keeper.start()
    store.before_listing()
    assert store.looked == 0
    store.gate.set()
    until(lambda: store.looked == 1)


def test_pacs_that_fails_is_told_and_tried_again_until_it_answers(store, keeper, caplog):
    caplog.set_level("INFO")
    store.error = PacsError("the PACS at pacs answered with status 500 to 3 tries; ask its administrator")
    keeper.start()
    until(lambda: store.looked > 3)
    status = keeper.status()
    assert "status 500" in status["error"] and status["address"] == "http://pacs/dicom-web"
    assert status["cache_gb"] == {"used": 2.5, "limit": 20.0} and status["left_out"] == 1
    store.before_listing()

    store.error = None
    until(lambda: not keeper.status()["error"])
    assert store.hurried == 1, "labels that wait are sent at once"
    told = [record.message for record in caplog.records if record.name == "lib.pacs.keeper"]
    assert len(told) == 2 and told[1] == "The PACS answers again"


def test_slip_in_the_code_does_not_end_the_listing(store, keeper):
    store.error = KeyError("slip")
    keeper.start()
    until(lambda: store.looked > 2)
    store.error = None
    until(lambda: not keeper.status()["error"] and keeper.status()["listed"])
