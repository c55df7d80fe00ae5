"""How long others wait while one user's inference runs: stock routes against the app's threaded ones.

The same server is started twice on a copy of a sample case made large: once as it is, once from a copy of
the app whose line that puts MONAI Label's routes into threads is left out. While inferences run one after
another, `/info/` and `/datastore/` are asked all the time.

    ./benchmarks/run waiting
"""

import argparse
import json
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median
from typing import Any

import requests
from monailabel.client import MONAILabelClient

from benchmarks.patient import CASE, write_patient
from local_server import LocalServer

ROOT = Path(__file__).resolve().parents[1]

APP = ROOT / "apps" / "osln"
UNFROZEN = "        threads.unfreeze(app)\n"
ASKED = ("/info/", "/datastore/")


def main() -> None:
    """Measures both servers and prints a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--inferences", type=int, default=5, help="inferences that run meanwhile")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the numbers")
    options = parser.parse_args()
    result = {}
    with tempfile.TemporaryDirectory(prefix="osln-waiting-") as folder:
        studies = Path(folder) / "studies"
        for part in ("pet", "labels/gtv"):
            (studies / part).mkdir(parents=True)
        write_patient(studies, 0)
        for name, app in (("stock routes", stock_app(Path(folder) / "stock")), ("this app", APP)):
            log = Path(folder) / f"{name}.log"
            with LocalServer(studies, log, {"models": str(APP / "model")}, app) as server:
                result[name] = waiting(server.url, folder, options.inferences)
    lines = ["| server | asked | times | median ms | longest ms |", "|---|---|---|---|---|"]
    for name, routes in result.items():
        for route, waits in routes.items():
            row = f"{len(waits)} | {median(waits) * 1e3:.0f} | {max(waits) * 1e3:.0f}"
            lines.append(f"| {name} | `{route}` during inference | {row} |")
    sys.stdout.write("\n".join(lines) + "\n")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


def stock_app(target: Path) -> Path:
    """A copy of the app that leaves MONAI Label's routes as they are."""
    shutil.copytree(APP, target, ignore=shutil.ignore_patterns("model", "logs", "__pycache__"))
    text = (target / "main.py").read_text()
    if UNFROZEN not in text:
        raise RuntimeError(f"main.py no longer has the line {UNFROZEN.strip()!r}: adapt this script to it")
    (target / "main.py").write_text(text.replace(UNFROZEN, ""))
    return target


def waiting(url: str, folder: str, inferences: int) -> dict[str, list[float]]:
    """Seconds of every request that was sent while inferences ran, by route."""
    client = MONAILabelClient(url, folder)
    Path(client.infer("osln", CASE, params={})[0]).unlink()  # loads and compiles the networks
    running = threading.Event()
    running.set()
    waits: dict[str, list[float]] = {route: [] for route in ASKED}

    def ask() -> None:
        while running.is_set():
            for route in ASKED:
                begun = time.perf_counter()
                requests.get(url + route, timeout=120).raise_for_status()
                waits[route].append(time.perf_counter() - begun)
            time.sleep(0.05)

    asker: Any = threading.Thread(target=ask)
    asker.start()
    for _ in range(inferences):
        Path(client.infer("osln", CASE, params={})[0]).unlink()
    running.clear()
    asker.join()
    return waits


if __name__ == "__main__":
    main()
