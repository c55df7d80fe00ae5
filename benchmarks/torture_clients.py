"""Eight clients that write the same cases for a while, each telling the revision that it has edited."""

import time
from collections import Counter
from functools import partial
from pathlib import Path

import requests

from benchmarks.torture_place import CASES, Place, together
from benchmarks.torture_store import Annotator, Ledger
from benchmarks.torture_tally import Tally
from osln.store.revisions import label_revisions

CLIENTS = 8


def clients(folder: Path, tally: Tally, seconds: float, seed: int) -> None:
    """Eight clients on four cases; no acknowledged revision may be lost, conflicts are told by 409."""
    place, ledger, answers = Place(folder, tally), Ledger(), Counter[int]()
    tally.size = f"{CLIENTS} clients, {seconds:.0f} s"
    first = {case: newest(place.studies, case) for case in CASES}
    with place.server() as server, place.asked(server):
        deadline = time.monotonic() + seconds
        own = [Client(place.studies, number, seed) for number in range(CLIENTS)]
        steps = [partial(client.work, server.url, deadline, ledger, tally, answers) for client in own]
        together(steps)()
    ledger.check(place.studies, place.models, tally)
    for case in CASES:
        check_numbers(place.studies, case, first[case], ledger, tally)
    tally.measured |= {"acknowledged": answers[200], "conflicts": answers[409]}
    place.close()


class Client:
    """Edits one case after another from the revision that it last saw."""

    def __init__(self, studies: Path, number: int, seed: int) -> None:
        self._annotators = [
            Annotator(studies, case, seed * 1000 + number * 10 + i, f"client-{number}")
            for i, case in enumerate(CASES)
        ]
        self._number = number

    def work(self, url: str, deadline: float, ledger: Ledger, tally: Tally, answers: Counter[int]) -> None:
        """Submits until the deadline; after a conflict the newest revision is asked for again."""
        turn = self._number
        while time.monotonic() < deadline:
            who = self._annotators[turn % len(self._annotators)]
            turn += 1
            try:
                base, label = told(url, who.case), who.draw()
                reply = who.send(url, label, base)
            except requests.RequestException as error:
                tally.found("hangs", f"client {self._number} got no answer: {error}")
                continue
            with ledger.lock:
                tally.tried += 1
                answers[reply.status_code] += 1
            if reply.ok:
                ledger.label(who.case, reply.json()["revision"], label, tally)
            elif reply.status_code >= 500:
                tally.found("errors", f"PUT label of {who.case}: {reply.status_code} {reply.text[:200]}")
            elif reply.status_code != 409:
                tally.found("lost", f"a good label was refused: {reply.status_code} {reply.text[:200]}")


def told(url: str, case: str) -> int:
    """The revision that the server tells as the newest; 0 before the first."""
    reply = requests.get(f"{url}/datastore/label/info?label={case}&tag=final", timeout=30)
    return int(reply.json().get("revision", 0)) if reply.ok else 0


def newest(studies: Path, case: str) -> int:
    """Number of the newest revision once a label that lies there has been taken over; 0 if there is none."""
    kept = label_revisions(studies, case, "final")
    with kept.lock():
        kept.settle()
    head = kept.head()
    return head.revision if head else 0


def check_numbers(studies: Path, case: str, first: int, ledger: Ledger, tally: Tally) -> None:
    """The numbers of the history have no gap, and every one after the first state was acknowledged."""
    numbers = sorted(one.revision for one in label_revisions(studies, case, "final").history())
    if numbers != list(range(1, len(numbers) + 1)):
        tally.found("lost", f"the revisions of {case} have gaps: {numbers}")
    if unknown := {number for number in numbers if number > first} - set(ledger.labels[case]):
        tally.found("lost", f"revisions {sorted(unknown)} of {case} were stored and not acknowledged")
