"""A PACS that dies and comes back: every acknowledged label arrives there, none twice, and requests end."""

import time
from collections import Counter
from pathlib import Path

import numpy as np
import requests

import local_orthanc
from benchmarks.torture_place import Place
from benchmarks.torture_store import Annotator, Ledger, check_labels
from benchmarks.torture_tally import Tally
from local_orthanc import LocalOrthanc
from local_server import LocalServer
from osln.dicom.nodes import APPROVED
from osln.dicom.web.client import WebClient
from osln.dicom.web.credentials import Credentials
from osln.phantom import make_phantom
from osln.phantom.written.dicom_study import PLANNING, write_dicom_case

PATIENT = "phantom-91"
AWAY = {502, 503, 504}
ARRIVAL_SECONDS = 120.0
TIMEOUT_S = "3"


def pacs(folder: Path, tally: Tally, kills: int, seed: int) -> None:
    """Kills and stops the PACS and kills the server, with labels on their way; skipped without Orthanc."""
    if not local_orthanc.installed():
        tally.skipped = "Orthanc is not installed (apt-get install orthanc orthanc-dicomweb)"
        return
    tally.size = f"{kills} deaths of the PACS, {kills} of the server"
    place = Place(folder, tally)
    phantom = make_phantom(seed, spacing_mm=(4.0, 4.0, 4.0), misregistered=False)
    write_dicom_case(folder / "dicom", PATIENT, phantom, approve=False)
    with LocalOrthanc(folder / "pacs") as archive:
        for file in sorted((folder / "dicom").rglob("*.dcm")):
            archive.store(file)
        ledger = Ledger()
        case = _case(archive)
        for turn in range(kills):
            _one_death(place, archive, case, ledger, tally, seed + turn)
        with place.server(archive.url, {"pacs_timeout": TIMEOUT_S}) as server:
            _arrived(server, archive, ledger, case, tally)
    check_labels(place.folder / "mirror" / _mirror(place), case, ledger.labels[case], tally)
    place.close()


def _one_death(
    place: Place, archive: LocalOrthanc, case: str, ledger: Ledger, tally: Tally, seed: int
) -> None:
    """Submits before, while and after the PACS is away; then the server dies with what still waits."""
    server = place.server(archive.url, {"pacs_timeout": TIMEOUT_S})
    server.__enter__()
    try:
        with place.asked(server):
            _listed(server, case)
            got = requests.get(f"{server.url}/datastore/image?image={case}", timeout=60)
            copy = place.folder / "dicom" / f"{case}.nii.gz"
            copy.write_bytes(got.content)
            who = Annotator(copy.parent, case, seed, "anna")
            _submit(server, who, ledger, tally)
            if seed % 2:
                archive.kill()
            else:
                archive.pause()
            for _ in range(2):
                _submit(server, who, ledger, tally)
            for path in ("/proxy/dicom/qido/studies", "/datastore/", f"/osln/export?image={case}"):
                _ask(server, path, tally)
            if seed % 2:
                archive.start()
            else:
                archive.resume()
            _submit(server, who, ledger, tally)
            time.sleep(np.random.default_rng(seed).uniform(0, 2))
    finally:
        server.kill()


def _submit(server: LocalServer, who: Annotator, ledger: Ledger, tally: Tally) -> None:
    label = who.draw()
    tally.tried += 1
    reply = who.send(server.url, label)
    if reply.ok:
        ledger.label(who.case, reply.json()["revision"], label, tally)
    else:
        kind = "errors" if reply.status_code >= 500 else "lost"
        tally.found(kind, f"PUT label with the PACS away: {reply.status_code} {reply.text[:200]}")


def _ask(server: LocalServer, path: str, tally: Tally) -> None:
    tally.tried += 1
    try:
        reply = requests.get(server.url + path, timeout=30)
    except requests.Timeout:
        tally.found("hangs", f"GET {path} was not answered in 30 s with the PACS away")
        return
    tally.acknowledged += reply.ok
    if reply.status_code >= 500 and reply.status_code not in AWAY:
        tally.found("errors", f"GET {path} with the PACS away: {reply.status_code} {reply.text[:200]}")


def _case(archive: LocalOrthanc) -> str:
    """Id of the case: the UID of the planning CT."""
    web = WebClient(archive.url, Credentials())
    title = f"Phantom: {PLANNING}"
    found = web.search_series({"Modality": "CT"})
    named = [one for one in found if one.get("SeriesDescription") == title] or found
    return str(named[0].SeriesInstanceUID)


def _listed(server: LocalServer, case: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if case in requests.get(f"{server.url}/datastore/?output=all", timeout=30).text:
            return
        time.sleep(0.3)
    raise RuntimeError(f"the server does not list {case} of the PACS")


def _mirror(place: Place) -> str:
    """Folder of the mirror below the cache, the only one there with revisions."""
    found = sorted((place.folder / "mirror").rglob(".osln"))
    return str(found[0].parent.relative_to(place.folder / "mirror"))


def _arrived(server: LocalServer, archive: LocalOrthanc, ledger: Ledger, case: str, tally: Tally) -> None:
    """Waits until nothing is on its way; the PACS then has each acknowledged revision once."""
    deadline = time.monotonic() + ARRIVAL_SECONDS
    while requests.get(f"{server.url}/info/", timeout=30).json()["pacs"]["waiting"]:
        if time.monotonic() > deadline:
            tally.found("lost", f"labels still wait {ARRIVAL_SECONDS:.0f} s after the PACS is back")
            break
        time.sleep(0.5)
    web = WebClient(archive.url, Credentials())
    numbers: Counter[int] = Counter()
    for series in web.search_series({"Modality": "SEG"}):
        for made in web.instances(str(series.StudyInstanceUID), str(series.SeriesInstanceUID)):
            if made.ContentLabel == APPROVED:
                numbers[int(made.InstanceNumber)] += 1
    if missing := set(ledger.labels[case]) - set(numbers):
        tally.found(
            "lost", f"revisions {sorted(missing)} never arrived on the PACS, which has {sorted(numbers)}"
        )
    for number, count in numbers.items():
        if count > 1:
            tally.found("lost", f"revision {number} was sent to the PACS {count} times")
    tally.measured["revisions on the PACS"] = len(numbers)
