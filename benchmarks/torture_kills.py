"""Random kills: the server ends at once while clients submit, upload, delete and train, and starts again."""

import random
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import requests

from benchmarks.torture_place import CASES, SAMPLES, Place, together
from benchmarks.torture_store import (
    GONE,
    MAYBE,
    NETWORK,
    THERE,
    Annotator,
    Ledger,
    digest,
    nifti,
    publish_untrained,
)
from benchmarks.torture_tally import Tally

LIVES_S = (0.5, 5.0)
TRAINING_LIVES_S = (2.0, 25.0)
"""A server that trains lives longer, so that some kills meet the comparison and the publication."""
TRAINING_EVERY = 4
VERSIONS, PUBLISH_PAUSE_S = 3, 0.5


def kills(folder: Path, tally: Tally, restarts: int, seed: int) -> None:
    """Kills the server `restarts` times and compares what was acknowledged after each new start."""
    place, ledger, choice = Place(folder, tally), Ledger(), random.Random(seed)
    ledger.in_turn = tuple(publish_untrained(place.models, seed) for seed in range(VERSIONS))
    annotators = [Annotator(place.studies, case, seed + i, f"anna{i}") for i, case in enumerate(CASES[1:])]
    uploader = Uploader(seed)
    for kill in range(restarts):
        tally.size = f"{kill + 1} restarts"
        trains = kill % TRAINING_EVERY == TRAINING_EVERY - 1
        lives_s = choice.uniform(*(TRAINING_LIVES_S if trains else LIVES_S))
        server = place.server()
        try:
            server.__enter__()
        except RuntimeError as error:
            tally.found("hangs", f"the server did not start again after kill {kill}: {str(error)[-500:]}")
            break
        try:
            ledger.check(place.studies, place.models, tally)
            check_listing(server.url, ledger, tally)
            ended, url = threading.Event(), server.url
            work = [partial(annotate, url, who, ledger, tally, ended) for who in annotators]
            work.append(partial(uploader.work, url, ledger, tally, ended))
            work.append(partial(publish, url, kill, ledger, tally, ended))
            if trains:
                work.append(partial(train, url, ledger, tally, ended))
            with place.asked(server):
                wait = together(partial(guarded, step, ended) for step in work)
                time.sleep(lives_s)
                ended.set()
                server.kill()
                wait()
        finally:
            server.kill()
    with place.server():
        ledger.check(place.studies, place.models, tally)
    tally.measured |= {
        "labels": sum(len(known) for known in ledger.labels.values()),
        "CTs": sum(state != MAYBE for state, _ in ledger.cts.values()),
        "publications": ledger.published,
    }
    place.close()


def guarded(step: Callable[[], None], ended: threading.Event) -> None:
    """Runs a client until the server dies under it."""
    try:
        step()
    except requests.RequestException:
        if not ended.wait(5):
            raise


def annotate(url: str, who: Annotator, ledger: Ledger, tally: Tally, ended: threading.Event) -> None:
    """Submits labels of one case, one after another."""
    while not ended.is_set():
        label = who.draw()
        tally.tried += 1
        reply = who.send(url, label)
        if reply.ok:
            ledger.label(who.case, reply.json()["revision"], label, tally)
        elif reply.status_code >= 500:
            tally.found("errors", f"PUT label of {who.case} answered {reply.status_code}: {reply.text[:200]}")


class Uploader:
    """Puts small CTs under new ids and deletes every third one again."""

    def __init__(self, seed: int) -> None:
        image = nib.load(SAMPLES / f"{CASES[0]}.nii.gz")
        self._ct = np.ascontiguousarray(np.asanyarray(image.dataobj)[:48, :48, :24])
        self._affine, self._number, self._seed = image.affine, 0, seed

    def work(self, url: str, ledger: Ledger, tally: Tally, ended: threading.Event) -> None:
        """Uploads until it ends."""
        while not ended.is_set():
            self._number += 1
            case = f"new-{self._seed}-{self._number}"
            ct = self._ct.copy()
            ct[0, 0, 0] = self._number
            ledger.cts[case] = (MAYBE, digest(ct))
            tally.tried += 1
            file = {"file": (f"{case}.nii.gz", nifti(ct, self._affine))}
            reply = requests.put(f"{url}/datastore/image?image={case}", files=file, timeout=30)
            self._noted(reply, case, THERE, ledger, tally)
            if self._number % 3 == 0 and reply.ok:
                ledger.cts[case] = (MAYBE, digest(ct))
                tally.tried += 1
                reply = requests.delete(f"{url}/datastore/image?id={case}", timeout=30)
                self._noted(reply, case, GONE, ledger, tally)

    def _noted(self, reply: requests.Response, case: str, state: str, ledger: Ledger, tally: Tally) -> None:
        if reply.ok:
            ledger.cts[case] = (state, ledger.cts[case][1])
            tally.acknowledged += 1
        elif reply.status_code >= 500:
            tally.found("errors", f"{reply.request.method} {case}: {reply.status_code} {reply.text[:200]}")


def publish(url: str, first: int, ledger: Ledger, tally: Tally, ended: threading.Event) -> None:
    """Puts stored versions into use in turn, as on the page of the models."""
    while not ended.wait(PUBLISH_PAUSE_S):
        first += 1
        version = ledger.in_turn[first % len(ledger.in_turn)]
        # Until it is acknowledged, the former one may be in use as well as this one.
        ledger.usable.add(version)
        tally.tried += 1
        wanted = {"network": NETWORK, "version": version}
        reply = requests.post(f"{url}/osln/models/publish", json=wanted, timeout=30)
        if reply.ok:
            ledger.usable = {version}
            ledger.versions.add(version)
            tally.acknowledged += 1
            ledger.published += 1
        else:
            tally.found("errors", f"POST /osln/models/publish: {reply.status_code} {reply.text[:200]}")


def train(url: str, ledger: Ledger, tally: Tally, ended: threading.Event) -> None:
    """Trains for one step, again and again; a version that the server tells as published is acknowledged."""
    while not ended.is_set():
        tally.tried += 1
        reply = requests.post(f"{url}/train/{NETWORK}", json={"iterations": 1}, timeout=30)
        if reply.status_code >= 500:
            tally.found("errors", f"POST /train/{NETWORK} {reply.status_code}: {reply.text[:200]}")
        while not ended.wait(0.3):
            if requests.get(f"{url}/train/", timeout=30).json()["status"] not in ("SUBMITTED", "RUNNING"):
                break
        told = requests.get(f"{url}/info/", timeout=30).json()["train_stats"].get(NETWORK) or {}
        report = told.get("report") or {}
        if report.get("published") and report["version"] not in ledger.versions:
            ledger.versions.add(report["version"])
            tally.acknowledged += 1


def check_listing(url: str, ledger: Ledger, tally: Tally) -> None:
    """The server lists every CT that it has acknowledged."""
    listed = requests.get(f"{url}/datastore/?output=all", timeout=30).json()["objects"]
    for case, (state, _) in ledger.cts.items():
        if state == THERE and case not in listed:
            tally.found("lost", f"CT {case} is not listed after a restart")
