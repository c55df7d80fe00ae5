"""Retraining by itself: when it begins, what it starts, and that a restart trains nothing twice."""

import json
from types import SimpleNamespace

import pytest
from fastapi import HTTPException

from lib.models import self_retraining
from lib.models.self_retraining import FILE, MOST_TRIES, QUIET_S, SelfRetraining
from osln.published import led_by
from osln.rows.experiments import GATED, LATE_FUSION

NETWORKS = [*LATE_FUSION, "glnet"]


class Office:
    """A store, trainers and MONAI Label's tasks, and a server that can be started again.

    Attributes:
        tasks: By method.
        now: The clock, in seconds since the epoch.
        quiet_s: Since somebody last worked.
        leases: Of the store.
        started: Networks whose training was started, in order.
    """

    def __init__(self, root, monkeypatch) -> None:
        self.root, self.tasks, self.now, self.quiet_s, self.leases = root, {}, 1000.0, QUIET_S, {}
        self.started, self.revisions, self.stats, self.refused, self.at_work = [], {}, {}, None, False
        self.tagger = {"name": "LesaNet"}
        monkeypatch.setattr(self_retraining, "tasks", lambda method: self.tasks.get(method, []))
        monkeypatch.setattr(self_retraining.time, "time", lambda: self.now)
        monkeypatch.setattr(self_retraining.AsyncTask, "run", staticmethod(self.run))
        self.restart()

    def restart(self) -> None:
        self.tasks.clear()
        store = SimpleNamespace(root=self.root, leases=lambda: self.leases, index=self.index)
        self.rows = led_by("osln")
        published = SimpleNamespace(tagger=SimpleNamespace(describe=lambda: self.tagger), rows=self.rows)
        names = [*NETWORKS, *GATED, "local-ct-pet", "ct", "numbers"]
        trainers = {name: SimpleNamespace(stats=lambda name=name: self.stats.get(name, {})) for name in names}
        self.keeper = SelfRetraining(store, published, trainers, 2, self)

    def index(self):
        def entry(revision):
            return SimpleNamespace(labels={"final": SimpleNamespace(info={"revision": revision})})

        found = {case: entry(revision) for case, revision in self.revisions.items()}
        return SimpleNamespace(objects=found | {"new": SimpleNamespace(labels={})})

    def run(self, method, request, enqueue):
        assert (method, request["by_itself"], enqueue) == ("train", True, False)
        self.started.append(request["model"])
        if self.refused:
            raise HTTPException(422, self.refused)
        if self.at_work:
            return None, "a train task is already running"
        self.tasks["train"] = [{"status": "RUNNING", "request": request}]
        return self.tasks["train"][0], None

    def finish(self, status="done") -> None:
        """The training that runs ends with an outcome of its own."""
        self.now += 60
        (task,) = self.tasks["train"]
        task["status"] = "DONE"
        self.stats[task["request"]["model"]] = {"start_ts": int(self.now) - 60, "status": status}

    def look(self, times=1) -> None:
        for _ in range(times):
            self.now += 20
            self.keeper.look()

    @property
    def message(self) -> str:
        return self.keeper.status()["message"]


@pytest.fixture
def office(tmp_path, monkeypatch):
    """One case was approved before it was switched on."""
    made = Office(tmp_path, monkeypatch)
    made.revisions = {"old": 3}
    made.look()
    return made


def test_what_was_approved_before_is_not_new_and_a_case_counts_once(office):
    office.revisions |= {"a": 1}
    office.look()
    office.revisions |= {"a": 5}
    office.look()
    assert office.started == []
    assert office.message == "Retraining begins by itself after 2 cases with a new label, 1 so far."
    office.revisions |= {"old": 4}
    assert office.message == "2 cases with a new label: retraining begins when nobody works."
    office.look()
    assert office.started == ["ct-proximal"]


@pytest.mark.parametrize("what", ["request", "lease", "find", "training"])
def test_it_does_not_begin_while_somebody_works(office, what):
    office.revisions |= {"a": 1, "b": 1}
    busy = [{"status": "SUBMITTED", "request": {"model": "ct"}}]
    if what == "request":
        office.quiet_s = QUIET_S - 1
    elif what == "lease":
        office.leases = {"c": {"by": "anna"}}
    else:
        office.tasks["batch_infer" if what == "find" else "train"] = busy
    office.look(3)
    assert office.started == []
    office.quiet_s, office.leases = QUIET_S, {}
    busy[0]["status"] = "DONE"
    office.look()
    assert office.started == ["ct-proximal"]


def test_networks_are_trained_one_after_the_other_and_a_failed_one_holds_up_nobody(office):
    office.revisions |= {"a": 1, "b": 1}
    office.look(3)
    assert office.started == NETWORKS[:1] and office.message == "Retraining by itself: ct-proximal (1 of 5)."
    office.finish("failed")
    office.quiet_s = 0
    office.look()
    assert office.started == NETWORKS[:1]
    assert office.message == "Retraining by itself: ef-proximal (2 of 5), when nobody works."
    office.quiet_s = QUIET_S
    for _ in NETWORKS[1:]:
        office.look()
        office.finish()
    office.look(5)
    assert office.started == NETWORKS
    told, _, last = office.message.partition(" Last done ")
    assert told == "Retraining begins by itself after 2 cases with a new label, 0 so far."
    assert last.endswith(": the page Models tells what came of it.")
    # What was submitted meanwhile counts for the next round.
    office.revisions |= {"c": 1, "a": 2}
    office.look()
    assert office.started == [*NETWORKS, "ct-proximal"]


def test_a_restart_trains_nothing_twice(office):
    office.revisions |= {"a": 1, "b": 1}
    office.look()
    office.finish()
    office.look()
    assert office.started == NETWORKS[:2]
    office.restart()
    # The second one was at work: it goes on; the first one had ended.
    office.look()
    assert office.started == [*NETWORKS[:2], "ef-proximal"]
    office.finish()
    office.restart()
    office.look()
    assert office.started[3:] == ["ct-distal"]
    for _ in range(2):
        office.finish()
        office.look()
    office.finish()
    office.look(2)
    office.restart()
    office.look(3)
    assert office.started == [*NETWORKS[:2], *NETWORKS[1:]]


def test_a_training_that_never_comes_to_an_end_does_not_hold_up_the_others(office):
    office.revisions |= {"a": 1, "b": 1}
    for _ in range(MOST_TRIES + 1):
        office.look()
        office.tasks["train"][0]["status"] = "ERROR"
    assert office.started == ["ct-proximal"] * MOST_TRIES + ["ef-proximal"]


def test_a_training_that_somebody_stopped_is_not_begun_again(office):
    office.revisions |= {"a": 1, "b": 1}
    office.look()
    office.tasks["train"][0]["status"] = "STOPPED"
    office.look()
    assert office.started == ["ct-proximal", "ef-proximal"]


def test_what_is_refused_is_passed_over(office, caplog):
    office.revisions |= {"a": 1, "b": 1}
    office.refused = "no approved case can train ct-proximal"
    office.look(MOST_TRIES * len(NETWORKS) + 1)
    assert office.started == [name for name in NETWORKS for _ in range(MOST_TRIES)]
    assert "ct-proximal is not retrained by itself: no approved case can train" in caplog.text
    assert office.keeper.status()["left"] == []
    assert ", without ct-proximal (no approved case can train ct-proximal); ef-proximal (" in office.message


def test_a_training_that_somebody_began_just_before_is_no_try(office):
    office.revisions |= {"a": 1, "b": 1}
    office.at_work = True
    office.look(MOST_TRIES + 2)
    assert set(office.started) == {"ct-proximal"}
    office.at_work = False
    office.look()
    assert office.message == "Retraining by itself: ct-proximal (1 of 5)."


def test_without_a_tagger_the_network_that_reads_no_tags_is_trained(office):
    office.tagger = None
    office.revisions |= {"a": 1, "b": 1}
    office.look()
    assert office.keeper.status()["networks"] == [*LATE_FUSION, "local-ct-pet"]


def test_the_networks_of_another_first_row_are_trained(office):
    office.rows.clear()
    office.rows |= led_by("osln-numbers")
    office.revisions |= {"a": 1, "b": 1}
    office.look()
    assert office.keeper.status()["networks"] == [*GATED, "numbers"]


@pytest.mark.parametrize("former", [["ct", "ef-2", "numbers"], [*LATE_FUSION, "glnet"], ["ef-2"]])
def test_a_round_goes_on_with_the_networks_that_the_first_row_asks_now(office, former):
    office.rows.clear()
    office.rows |= led_by("osln-numbers")
    office.revisions |= {"a": 1, "b": 1, "later": 1}
    going_on = {"began": 1, "networks": former, "tries": {former[0]: 1}, "refused": {}}
    kept = {"counted": {"old": 3, "a": 1, "b": 1}, "round": going_on, "last": "yesterday"}
    (office.root / ".osln" / FILE).write_text(json.dumps(kept))
    office.look()
    assert office.started == [GATED[0]] and office.keeper.status()["networks"] == [*GATED, "numbers"]
    after = json.loads((office.root / ".osln" / FILE).read_text())
    assert (after["counted"], after["last"]) == (kept["counted"], "yesterday")
    assert office.keeper.status()["new"] == 1


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"counted": {}, "round": 3}',
        '{"counted": {}, "round": {"began": "x", "networks": [], "tries": {}}}',
        '{"counted": {}, "round": {"began": 1, "networks": [7], "tries": {}}}',
        '{"counted": {}, "round": {"began": 1, "networks": ["ct"], "tries": 1}}',
        '{"counted": {"a": "x"}, "round": null}',
        '{"counted": [], "round": null}',
    ],
)
def test_a_damaged_file_begins_the_counting_anew(office, text):
    office.revisions |= {"a": 1, "b": 1}
    (office.root / ".osln" / FILE).write_text(text)
    assert office.keeper.status()["new"] == 0
    office.look(2)
    assert office.started == []
    kept = json.loads((office.root / ".osln" / FILE).read_text())
    assert kept["counted"] == {"old": 3, "a": 1, "b": 1}


def test_a_case_whose_ct_is_away_for_a_moment_is_not_counted_again(office):
    (office.root / ".osln" / "old").mkdir()
    del office.revisions["old"]
    office.look()
    office.revisions["old"] = 3
    assert office.keeper.status()["new"] == 0


@pytest.mark.parametrize("looked", [True, False])
def test_a_case_that_comes_again_under_the_id_of_a_removed_one_counts_from_its_first_label_on(office, looked):
    del office.revisions["old"]
    if looked:
        office.look()
    office.revisions["old"] = 1
    assert office.keeper.status()["new"] == 1
    office.look()
    office.revisions["old"] = 3
    assert office.keeper.status()["new"] == 1
