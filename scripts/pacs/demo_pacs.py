"""The whole path on this computer: a PACS with synthetic patients, the server on it, OHIF in the browser.

Makes three phantoms as DICOM studies (the first time), starts Orthanc, stores them there by STOW-RS, starts
the server on this PACS and says what to open. Ctrl-C ends all of it. Everything listens on 127.0.0.1 only and
lies in one folder: the next start finds it again, and whoever deletes the folder begins anew.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pydicom
import requests

from installer import say
from local_orthanc import LocalOrthanc, installed
from local_server import LocalServer
from osln.dicom.web.client import WebClient, bare_address
from osln.dicom.web.credentials import ask_credentials
from osln.pacs.stow import store_object
from osln.phantom import make_phantom
from osln.phantom.written.dicom_study import PLANNING, write_dicom_case
from start_server import port_refusal

ROOT = Path(__file__).resolve().parents[2]
PATIENTS = (("phantom-01", 6, False), ("phantom-02", 7, False), ("phantom-03", 10, True))
"""Case, seed (none that the shipped weights were trained on), and whether the PET is of another day."""
MODE = "/ohif/osln"
SPACING_MM = (2.0, 2.0, 3.0)
PACS_PORT = 8142
"""Not 8042: there Debian's package starts an Orthanc of its own."""
INSTALL = (
    "Orthanc with its DICOMweb plugin is not installed. On Debian and Ubuntu:\n"
    "    sudo apt-get install orthanc orthanc-dicomweb\n"
    "On other systems: docs/pacs-demo.md, 'With Docker'."
)


def command_line() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        prog="./scripts/demo-pacs", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--work", type=Path, default=ROOT / "build" / "pacs-demo", help="folder of all data (%(default)s)"
    )
    parser.add_argument("--port", type=int, default=8000, help="of the server (%(default)s)")
    parser.add_argument("--pacs-port", type=int, default=PACS_PORT, help="of the PACS (%(default)s)")
    parser.add_argument(
        "--patients", type=int, choices=range(1, len(PATIENTS) + 1), default=len(PATIENTS),
        help="how many (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--store-in",
        metavar="URL",
        help="only store the patients in the DICOMweb service at URL, start nothing",
    )
    return parser


def refusal(options: argparse.Namespace) -> str | None:
    """Why this cannot work here, in words, or None."""
    if not installed():
        return INSTALL
    if told := port_refusal("127.0.0.1", options.port):
        return told
    if told := port_refusal("127.0.0.1", options.pacs_port):
        return told.replace("--port", "--pacs-port")
    return None


def make_studies(folder: Path, count: int) -> list[Path]:
    """The DICOM studies of the first patients, made where they are not there yet; one folder each."""
    studies = []
    for case, seed, other_day in PATIENTS[:count]:
        studies.append(folder / case)
        if studies[-1].is_dir():
            continue
        parts = f"CT, PET{' of another day with its CT' if other_day else ''} and tumor contour"
        say(f"{case}: making {parts}")
        begun = time.monotonic()
        unfinished = folder / "unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        phantom = make_phantom(seed, field="body", spacing_mm=SPACING_MM, misregistered=other_day)
        write_dicom_case(unfinished, case, phantom, approve=False)
        (unfinished / case).replace(studies[-1])
        say(f"  done in {time.monotonic() - begun:.0f} s")
    return studies


def upload(url: str, studies: list[Path]) -> int:
    """Stores what the PACS does not have yet, by STOW-RS; returns the number of images stored.

    Raises:
        PacsError: If the PACS cannot be reached, refuses or does not take an image.
    """
    web = WebClient(url, ask_credentials(url, None))
    stored = 0
    for folder in sorted(path for study in studies for path in study.iterdir()):
        images = [pydicom.dcmread(path) for path in sorted(folder.glob("*.dcm"))]
        listed = web.search_instances(images[0].StudyInstanceUID, images[0].SeriesInstanceUID)
        there = {item.SOPInstanceUID for item in listed}
        for image in images:
            if image.SOPInstanceUID not in there:
                store_object(web, image)
                stored += 1
    return stored


def words(server: str, pacs: str, studies: list[Path], cases: int) -> str:
    """What to open and what to do there."""
    links = []
    for folder in studies:
        header = pydicom.dcmread(next((folder / PLANNING).iterdir()), stop_before_pixels=True)
        links.append(f"          {server}{MODE}?StudyInstanceUIDs={header.StudyInstanceUID}")
    return f"""
----------------------------------------------------------------------------------------------------
The server is up with {cases} synthetic patient{"" if cases == 1 else "s"} in the PACS {pacs}.

OHIF      {server}/ohif/   list of the studies; or straight to the patients:
{chr(10).join(links)}
Slicer    module MONAILabel, server {server}

Not a medical device. Ctrl-C ends the server and the PACS.
----------------------------------------------------------------------------------------------------"""


def run(options: argparse.Namespace) -> int:
    """Everything, until Ctrl-C; exit status 1 if the server ended by itself."""
    work = options.work.resolve()
    studies = make_studies(work / "dicom", options.patients)
    # The copy of the PACS that the server keeps.
    os.environ["MONAI_LABEL_DICOMWEB_CACHE_PATH"] = str(work / "mirror")
    pacs = LocalOrthanc(work / "orthanc", port=options.pacs_port)
    with ExitStack() as stack:
        stack.callback(pacs.stop)
        say("Starting the PACS")
        pacs.start()
        say(f"The PACS is up on {pacs.url}: storing what it does not have yet")
        say(f"  {upload(pacs.url, studies)} images were stored")
        say(f"Starting the server (what it says: {work / 'server.log'})")
        server = stack.enter_context(
            LocalServer(pacs.url, work / "server.log", {"evidence": "yes"}, port=options.port)
        )
        cases = requests.get(f"{server.url}/datastore/", timeout=120).json()["total"]
        say(words(server.url, pacs.url, studies, cases))
        while server.runs:
            time.sleep(0.5)
    sys.stderr.write(f"The server has ended by itself; the end of {work / 'server.log'} says why.\n")
    return 1


def end(*_: object) -> None:
    """Ctrl-C and `kill` end everything in order."""
    raise KeyboardInterrupt


def main() -> int:
    """Check, then run; words where something is missing."""
    options = command_line().parse_args()
    logging.basicConfig(format="%(message)s")
    # Ctrl-C too: a shell that starts this in the background has it ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    try:
        if options.store_in:
            studies = make_studies(options.work.resolve() / "dicom", options.patients)
            say(f"{upload(options.store_in, studies)} images were stored in {bare_address(options.store_in)}")
            return 0
        if told := refusal(options):
            sys.stderr.write(f"{told}\n")
            return 1
        return run(options)
    except KeyboardInterrupt:
        say("\nEverything that was started has ended.")
        return 0
    except (OSError, RuntimeError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
