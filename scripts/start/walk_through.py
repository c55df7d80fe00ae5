"""One round of learning on a copy of the sample cases: start, infer, correct, submit, train, infer again.

The regression of stage two learns, which needs few patients; with --network a network of stage one before it.

Drives a real server over HTTP with MONAI Label's client, as 3D Slicer does, and prints what comes back.
The annotator is played by the phantoms' true nodes.

    .venv/bin/python scripts/start/walk_through.py
"""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from monailabel.client import MONAILabelClient

from local_server import LocalServer
from osln.imaging.grid import read_volume, write_volume

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "sample-datastore"
SHIPPED = ROOT / "apps" / "osln" / "model" / "shipped"
ANNOTATED = ("phantom-02", "phantom-03", "phantom-04")
ROW, SECOND = "osln-numbers", "numbers"
"""Who answers, and its network that learns."""
LABELS = [{"name": "lymph node", "idx": 1}]


def main() -> None:
    """Walks through one round and prints each step."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--network", help="a network of stage one that learns too, half an hour on two cores")
    parser.add_argument("--iterations", type=int, default=150, help="its training steps")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="osln-walk-") as name:
        folder = Path(name)
        shutil.copytree(SAMPLES, folder / "studies")
        shutil.copytree(SHIPPED, folder / "models" / "shipped")
        conf = {"models": str(folder / "models")}
        with LocalServer(folder / "studies", folder / "server.log", conf) as server:
            walk(MONAILabelClient(server.url, name), folder, options)


def walk(client: MONAILabelClient, folder: Path, options: argparse.Namespace) -> None:
    """The round itself; `folder` holds the store and takes what comes back."""
    info = client.info()
    say(f"server      {info['name']} {info['version']}, {len(info['models'])} models")
    say(f"next sample {client.next_sample('first', {})['id']}")
    for case in ANNOTATED:
        label, result = client.infer(ROW, case, params={})
        Path(label).unlink()
        say(f"infer       {case}: {summary(result['candidates'])}")
        answer = client.save_label(case, corrected(folder, case), params={"label_info": LABELS})
        say(f"submit      {case}: {answer['message']}")
    if options.network:
        learn(client, options.network, {"iterations": options.iterations})
    learn(client, SECOND, {})


def learn(client: MONAILabelClient, network: str, settings: dict[str, Any]) -> None:
    """Trains one network on what was submitted, and asks for the first case again."""
    client.train_start(network, settings)
    while (details := client.train_status())["status"] in ("SUBMITTED", "RUNNING"):
        time.sleep(1)
    say(f"train       {network}: {details['status']}")
    for line in details["details"]:
        # A log line is "[time] [process] [thread] [level] (where) - what".
        text = line.split(") - ", 1)[-1].strip()
        if text.startswith(network):
            say(f"            {text}")
    label, result = client.infer(ROW, ANNOTATED[0], params={})
    Path(label).unlink()
    say(f"infer       {ANNOTATED[0]} with {network} {result['models'][network]['version']}")
    say(f"            {summary(result['candidates'])}")


def corrected(folder: Path, case: str) -> str:
    """A label file as an annotator would submit it: the true nodes, on the CT's grid."""
    truth = read_volume(folder / "studies" / "truth" / f"{case}.nii.gz")
    path = folder / f"{case}-corrected.nii.gz"
    write_volume(path, (truth.array > 0).astype("uint8"), truth.grid, truth.file_grid)
    return str(path)


def summary(candidates: list[dict[str, Any]]) -> str:
    """How many candidates, how many of them stage two keeps, and the best one."""
    if not candidates:
        return "no candidates"
    best = candidates[0]
    kept = sum(candidate["kept"] for candidate in candidates)
    # Distances end at 100 mm.
    far = "over 100" if best["distance_mm"] >= 100 else f"{best['distance_mm']:.0f}"
    return (
        f"{len(candidates)} candidates, {kept} kept, the first: score {best['score']:.2f}, {best['zone']}, "
        f"{far} mm from the tumor, radius {best['radius_mm']:.1f} mm, "
        f"SUVmax {best['suv_max']:.1f}"
    )


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
