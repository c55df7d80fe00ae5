"""A scripted annotator with perfect knowledge: what the machine takes of a review, case after case.

The real server on a copy of the sample cases and a headless Chromium without a graphics card. It works with
keys alone, waits for the screen after each, and knows the truth: a candidate whose center lies in a true node
is accepted, any other is rejected. Times are the page's own clock: from the key until the panel shows the
decision and all planes are drawn at the next candidate. What a person takes to look and to think is not in
it. Beside them stands the processor's time of browser and server together, which other work hardly changes.

    ./benchmarks/run annotator
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import nibabel as nib
import numpy as np
import psutil

from local_server import LocalServer
from osln.dicom.served.uids import study_uid

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "sample-datastore"
CHROMIUM = "/usr/bin/chromium"
FLAGS = ("--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist")
SIZE = {"width": 1366, "height": 768}
PATIENCE_MS = 300_000
NEAR_MM = 3.0
"""A center this far beside a true node still means it: voxels are 2 x 2 x 3 mm."""

WATCH = """() => {
  // When the middle of the axial plane is no longer black, looked at every 50 ms.
  const look = setInterval(() => {
    const canvas = document.querySelector('[data-viewport-uid=osln-axial] canvas');
    if (!canvas?.width) return;
    const pen = canvas.getContext('2d');
    const { data } = pen.getImageData(canvas.width / 2 - 20, canvas.height / 2 - 20, 40, 40);
    if (!data.some((value, n) => n % 4 < 3 && value > 30)) return;
    performance.mark('first-image');
    clearInterval(look);
  }, 50);
  addEventListener('keydown', () => (window.pressed = performance.now()), true);
}"""
PLANES = """['axial', 'coronal', 'sagittal'].map(name =>
  window.services.cornerstoneViewportService.getCornerstoneViewport(`osln-${name}`))"""
FOLLOW = f"""() => {{
  window.drawn = new Map();
  for (const {{ id, element }} of {PLANES})
    element.addEventListener('CORNERSTONE_IMAGE_RENDERED', () => window.drawn.set(id, performance.now()));
}}"""
STATE = """(() => {
  const [selected] = document.querySelectorAll('.osln-list [aria-selected=true]');
  const states = [...document.querySelectorAll('.osln-list [role=option]')].map(one => one.className);
  return { id: selected?.dataset.id ?? null, left: states.filter(one => one === 'undecided').length };
})()"""
MOVED = f"""before => {{
  const now = {STATE};
  if (now.left === before.left) return false;
  if (!now.left) return performance.now() - window.pressed;
  if (now.id === before.id || ![...window.drawn.values()].every(at => at > window.pressed)) return false;
  return Math.max(...window.drawn.values()) - window.pressed;
}}"""
SAID = "() => document.querySelector('.osln .told.good, .osln .told.error')?.textContent"
MARKS = """() => Object.fromEntries(
  performance.getEntriesByType('mark').map(one => [one.name, one.startTime / 1000]))"""
CENTER = f"() => [...{PLANES}[0].getCamera().focalPoint]"


@dataclass
class Measured:
    """Seconds of one case: of each decision, of the steps around them, and since the click that opened it."""

    case: str
    decisions: list[float] = field(default_factory=list)
    right: int = 0
    steps: dict[str, float] = field(default_factory=dict)
    processor: dict[str, float] = field(default_factory=dict)
    opening: dict[str, float] = field(default_factory=dict)


class Annotator:
    """Keys on a page, and the truth of the case that is open."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.spent: dict[int, float] = {}
        self.lap()

    def lap(self) -> float:
        """Seconds that browser and server have computed since the last call, on all cores together."""
        before = sum(self.spent.values())
        for one in psutil.Process().children(recursive=True):
            # What a process that has ended took stays counted.
            with suppress(psutil.NoSuchProcess):
                self.spent[one.pid] = sum(one.cpu_times()[:2])
        return sum(self.spent.values()) - before

    def wait(self, condition: str, about: Any = None) -> Any:
        """What a condition of the page gives once it holds."""
        return self.page.wait_for_function(condition, arg=about, polling="raf").json_value()

    def usable(self, case: str) -> Measured:
        """Waits for the panel of a case that was clicked."""
        self.page.wait_for_selector(".osln button.main:enabled")
        self.wait("() => performance.getEntriesByName('first-image').length > 0")
        self.page.evaluate(FOLLOW)
        return Measured(case, opening=self.page.evaluate(MARKS))

    def said(self, *keys: str) -> tuple[float, str]:
        """Presses keys; seconds until the panel says what came of it, and what it says."""
        self.page.evaluate("document.querySelector('.osln .told')?.remove()")
        for key in keys:
            self.page.keyboard.press(key)
        text = self.wait(SAID)
        return self.page.evaluate("(performance.now() - window.pressed) / 1000"), text

    def decide(self, measured: Measured, truth: Any) -> None:
        """All candidates that are offered, each by one key."""
        nodes, to_voxel = np.asarray(truth.dataobj) > 0, np.linalg.inv(truth.affine)
        while (before := self.page.evaluate(STATE))["left"]:
            center = np.multiply(self.page.evaluate(CENTER), (-1, -1, 1))
            is_node = _near(nodes, nib.affines.apply_affine(to_voxel, center), truth.header.get_zooms())
            measured.right += is_node
            self.page.keyboard.press("a" if is_node else "r")
            measured.decisions.append(self.wait(MOVED, before) / 1000)


def _near(nodes: np.ndarray, at: np.ndarray, zooms: tuple[float, ...]) -> bool:
    """Whether a voxel lies in a true node or right beside it."""
    reach = [round(NEAR_MM / zoom) for zoom in zooms[:3]]
    box = (slice(max(round(i) - n, 0), round(i) + n + 1) for i, n in zip(at.tolist(), reach, strict=True))
    return bool(nodes[tuple(box)].any())


@contextmanager
def browsing() -> Iterator[Any]:
    """A page of a headless browser that knows who annotates."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        page = browser.new_page(viewport=SIZE)
        page.set_default_timeout(PATIENCE_MS)
        # By name: the default goes by chance.
        chosen = (
            "localStorage.setItem('osln-annotator', 'robot'); localStorage.setItem('osln-strategy', 'first')"
        )
        page.add_init_script(f"{chosen}; ({WATCH})()")
        yield page
        browser.close()


def review(url: str, cases: list[str]) -> list[Measured]:
    """Reviews cases one after another; the first is opened by its address, the others by the panel's key."""
    measured = []
    with browsing() as page:
        robot = Annotator(page)
        page.goto(f"{url}/ohif/osln?StudyInstanceUIDs={study_uid(cases[0])}")
        for number, case in enumerate(cases):
            one = robot.usable(case)
            measured.append(one)
            one.processor["open"] = robot.lap()
            one.steps["find"], told = robot.said("Shift+F")
            one.processor["find"] = robot.lap()
            robot.decide(one, nib.load(SAMPLES / "truth" / f"{case}.nii.gz"))
            one.processor["decide"] = robot.lap() / max(len(one.decisions), 1)
            page.keyboard.press("Control+Enter")
            page.wait_for_selector(".osln-box")
            one.steps["submit"], told = robot.said("Enter")
            if "Stored as revision" not in told:
                raise RuntimeError(f"{case} was not stored: {told}")
            one.processor["submit"] = robot.lap()
            if number + 1 == len(cases):
                break
            page.keyboard.press("Shift+N")
            page.wait_for_selector(".osln-box")
            asked = page.inner_text(".osln-box")
            if cases[number + 1] not in asked:
                raise RuntimeError(f"expected {cases[number + 1]} to be offered, the panel says: {asked}")
            one.steps["next"] = page.evaluate("(performance.now() - window.pressed) / 1000")
            with page.expect_navigation():
                page.keyboard.press("Enter")
    return measured


def table(measured: list[Measured], load: tuple[float, float]) -> list[str]:
    """Everything in one table, in seconds."""
    decisions = [seconds for one in measured for seconds in one.decisions]
    opened = [one.opening for one in measured]
    between = [
        one.steps["submit"] + one.steps["next"] + after.opening["osln-usable"]
        for one, after in pairwise(measured)
    ]
    with_find = [seconds + after.steps["find"] for seconds, after in zip(between, measured[1:], strict=True)]
    rows = [
        ("a decision: key until the next candidate is drawn", decisions),
        ("click until OHIF is in our mode", [one["osln-mode"] for one in opened]),
        ("click until the planes are there", [one["osln-planes"] for one in opened]),
        ("click until the first image", [one["first-image"] for one in opened]),
        ("click until the panel is usable", [one["osln-usable"] for one in opened]),
        ("of it ours: planes until usable", [one["osln-usable"] - one["osln-planes"] for one in opened]),
        ("find nodes", [one.steps["find"] for one in measured]),
        ("submit", [one.steps["submit"] for one in measured]),
        ("from case to case: submit, next, usable", between),
        ("the same with the candidates on screen", with_find),
    ]
    lines = ["| seconds | number | median | least | most |", "|---|---|---|---|---|"]
    for name, values in rows:
        told = f"{median(values):.2f} | {min(values):.2f} | {max(values):.2f}" if values else "- | - | -"
        lines.append(f"| {name} | {len(values)} | {told} |")
    for name, key in (
        ("a decision", "decide"),
        ("open a case", "open"),
        ("find", "find"),
        ("submit", "submit"),
    ):
        values = [one.processor[key] for one in measured]
        told = f"{median(values):.2f} | {min(values):.2f} | {max(values):.2f}"
        lines.append(f"| processor: {name} | {len(values)} | {told} |")
    counts = ", ".join(f"{one.case} {len(one.decisions)} ({one.right} nodes)" for one in measured)
    lines += ["", f"Decisions: {counts}. Load average {load[0]:.1f} before and {load[1]:.1f} after."]
    return lines


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", nargs="+", default=["phantom-02", "phantom-03", "phantom-04"])
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the numbers")
    options = parser.parse_args()
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="osln-annotator-") as folder:
        studies = Path(shutil.copytree(SAMPLES, Path(folder) / "studies"))
        conf = {"device": "cpu"}
        with LocalServer(studies, Path(folder) / "server.log", conf) as server:
            measured = review(server.url, options.cases)
    load = (before, os.getloadavg()[0])
    sys.stdout.write("\n".join(table(measured, load)) + "\n")
    if options.json:
        told = {"load": load, "cases": [vars(one) for one in measured]}
        options.json.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
