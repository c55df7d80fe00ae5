"""Limits of the computer: a disk that is full, and memory over many inferences."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import psutil
import requests

from benchmarks.torture_place import CASES, Place
from benchmarks.torture_store import Annotator, Ledger
from benchmarks.torture_tally import Tally

DISK_MB = 32
FULL = 507
SLOPE_MB = 20.0
"""More than that in 100 inferences counts as a leak."""
WARM_UP, ENOUGH = 10, 50
"""Inferences that are left out at first, and how many there must be after them to tell a slope."""


def disk_full(folder: Path, tally: Tally, submissions: int, seed: int) -> None:
    """A store on a small disk of its own that is filled; what was acknowledged before and after stays.

    Takes the right to mount (root); skipped without.
    """
    place, ledger = Place(folder, tally), Ledger()
    tally.size = f"a disk of {DISK_MB} MB"
    disk = folder / "full"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m,mode=0700", "osln-torture", str(disk)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        tally.skipped = "mounting a small disk takes root"
        return
    try:
        place.studies = Path(shutil.copytree(place.studies, disk / "studies"))
        _fill(place, ledger, tally, submissions, seed)
        place.close()
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def _fill(place: Place, ledger: Ledger, tally: Tally, submissions: int, seed: int) -> None:
    who = [Annotator(place.studies, case, seed + i, "anna") for i, case in enumerate(CASES)]
    ballast = place.studies.parent / "ballast"
    with place.server() as server, place.asked(server):
        for turn in range(submissions):
            for room in (None, 0, 4096, 20_000, None):
                ballast.unlink(missing_ok=True)
                if room is not None:
                    _leave(ballast, room)
                _submit(server.url, who[turn % len(who)], ledger, tally, full=room is not None)
        ballast.unlink(missing_ok=True)
        ledger.check(place.studies, place.models, tally)
    with place.server():
        ledger.check(place.studies, place.models, tally)


def _leave(ballast: Path, room: int) -> None:
    """Fills the disk up to so many bytes."""
    block = bytes(1 << 16)
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(block) == len(block):
                pass
        except OSError:
            pass
        file.truncate(max(file.tell() - room, 0))


def _submit(url: str, who: Annotator, ledger: Ledger, tally: Tally, full: bool) -> None:
    label = who.draw()
    tally.tried += 1
    reply = who.send(url, label)
    if reply.ok:
        ledger.label(who.case, reply.json()["revision"], label, tally)
    elif not (full and reply.status_code == FULL):
        kind = "errors" if reply.status_code >= 500 else "lost"
        words = "a disk without room" if full else "a disk with room"
        tally.found(kind, f"PUT label of {who.case} on {words}: {reply.status_code} {reply.text[:200]}")


def memory(folder: Path, tally: Tally, inferences: int) -> None:
    """Inferences one after another; the server's memory over the later ones, in MB per 100."""
    place = Place(folder, tally)
    tally.size = f"{inferences} inferences"
    resident = []
    with place.server() as server, place.asked(server):
        process = psutil.Process(server.pid)
        for number in range(inferences):
            tally.tried += 1
            case = CASES[number % len(CASES)]
            reply = requests.post(f"{server.url}/infer/osln?image={case}&output=json", timeout=120)
            tally.acknowledged += reply.ok
            if not reply.ok:
                tally.found("errors", f"POST /infer/osln of {case}: {reply.status_code} {reply.text[:200]}")
            resident.append(process.memory_info().rss / 1e6)
    after = resident[min(WARM_UP, len(resident) // 2) :]
    tally.measured |= {"MB at first": round(after[0]), "MB at last": round(after[-1])}
    if len(after) >= ENOUGH:
        slope = float(np.polyfit(np.arange(len(after)), after, 1)[0]) * 100
        tally.measured["MB per 100"] = round(slope, 1)
        if slope > SLOPE_MB:
            tally.found("leaks", f"the server's memory grows by {slope:.0f} MB in 100 inferences")
    place.close()
