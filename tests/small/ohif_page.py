"""OHIF in headless Chromium, used as an annotator does: the panel's buttons, the mouse in the axial plane."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--no-sandbox",
    # WebGL in software.
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
PATIENCE_MS = 120_000
SIZE = {"width": 1366, "height": 768}

READ = """() => {
  const service = window.services.segmentationService;
  const volume = service.getLabelmapVolume(service.getSegmentations()[0].segmentationId);
  const values = volume.voxelManager.getCompleteScalarDataArray();
  let text = '';
  const step = 32768;
  for (let n = 0; n < values.length; n += step) text += String.fromCharCode(...values.subarray(n, n + step));
  const { dimensions, spacing, direction, origin } = volume;
  const whole = [dimensions, spacing, direction, origin].map(numbers => [...numbers]);
  return { values: btoa(text), whole };
}"""
IMAGE = """number => {
  const viewport = window.services.cornerstoneViewportService.getCornerstoneViewport('osln-axial');
  const volume = window.cornerstone.cache.getVolume(viewport.getAllVolumeIds()[number]);
  if (!volume?.loadStatus?.loaded) return null;
  const values = Float32Array.from(volume.voxelManager.getCompleteScalarDataArray());
  const bytes = new Uint8Array(values.buffer);
  let text = '';
  const step = 32768;
  for (let n = 0; n < bytes.length; n += step) text += String.fromCharCode(...bytes.subarray(n, n + step));
  const { dimensions, spacing, direction, origin } = volume;
  const whole = [dimensions, spacing, direction, origin].map(numbers => [...numbers]);
  return { values: btoa(text), whole };
}"""
VIEWPORT = "window.services.cornerstoneViewportService.getCornerstoneViewport"
TO_SCREEN = f"""([id, points]) => {{
  const viewport = {VIEWPORT}(id);
  const {{ x, y }} = viewport.canvas.getBoundingClientRect();
  return points.map(point => viewport.worldToCanvas(point)).map(([u, v]) => [x + u, y + v]);
}}"""
CENTER = f"id => {VIEWPORT}(id).getCamera().focalPoint"
CURSOR = """([x, y]) => [...document.querySelectorAll('.svg-layer circle')].some(circle => {
  const { left, top } = circle.ownerSVGElement.getBoundingClientRect();
  return Math.hypot(left + circle.cx.baseVal.value - x, top + circle.cy.baseVal.value - y) < 5;
})"""
"""Whether the brush is drawn at a place, which it is to a few pixels."""
POINT_NAME = "input[aria-label='operating point']"
POINT = f".osln {POINT_NAME}"
SETTLED = "() => new Promise(done => requestAnimationFrame(() => setTimeout(done)))"
LIST = """() => [...document.querySelectorAll('.osln-list [role=option]')].map(option => ({
  id: option.dataset.id, state: option.className, selected: option.ariaSelected === 'true',
  below: 'below' in option.dataset,
}))"""


class OhifPage:
    """A browser's page with the mode.

    Attributes:
        page: Playwright's.
        elsewhere: Addresses that are not on this computer and that the browser let through.
        errors: Exceptions that nobody caught in the page.
    """

    def __init__(self, page) -> None:
        self.page = page
        self.elsewhere: list[str] = []
        self.errors: list[str] = []
        page.set_default_timeout(PATIENCE_MS)
        page.on("request", self._note)
        page.on("requestfailed", self._forget_refused)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _note(self, request) -> None:
        inside = ("http://127.0.0.1:", "blob:http://127.0.0.1:", "data:")
        if not request.url.startswith(inside):
            self.elsewhere.append(request.url)

    def _forget_refused(self, request) -> None:
        """The page's policy keeps requests back: the browser names them, but sends nothing."""
        if request.failure == "csp" and request.url in self.elsewhere:
            self.elsewhere.remove(request.url)

    def open(self, server: str, study: str, answer: str | None = None) -> None:
        """Opens a study in the mode and waits until its label is there.

        Args:
            server: Its address.
            study: UID.
            answer: What is answered to the question that the panel asks before the work, if it asks one.
        """
        self.page.goto(f"{server}/ohif/osln?StudyInstanceUIDs={study}")
        if answer is not None:
            self.answer(answer)
        self.page.wait_for_selector(".osln button.main:enabled")

    def answer(self, text: str) -> str:
        """Answers the question that the panel asks, and returns the question."""
        button = self.page.wait_for_selector(f'.osln-box button:text-is("{text}")')
        asked = self.page.inner_text(".osln-box")
        button.click()
        return asked

    def say_name(self, name: str) -> None:
        """Types who annotates."""
        self.page.fill(".osln input[type=text]", name)
        self.page.press(".osln input[type=text]", "Tab")

    def candidates(self) -> dict[str, str]:
        """State by id of the candidates in the list, in its order."""
        return {one["id"]: one["state"] for one in self.page.evaluate(LIST)}

    def counting(self) -> list[int]:
        """Numbers of the candidates that are nodes if undecided ones above the operating point count."""
        listed = self.page.evaluate(LIST)
        return [int(one["id"][1:]) for one in listed if one["state"] != "rejected" and not one["below"]]

    def selected(self) -> str | None:
        """Id of the candidate that is looked at."""
        return next((one["id"] for one in self.page.evaluate(LIST) if one["selected"]), None)

    def height(self, selector: str) -> int:
        """Pixels of the first element of this kind."""
        return self.page.evaluate("selector => document.querySelector(selector).clientHeight", selector)

    def key(self, key: str) -> None:
        """Presses a key, as on the viewer."""
        self.page.keyboard.press(key)

    def show(self, which: str) -> None:
        """Moves the slider of the operating point to its end: "all" candidates, or the "fewest"."""
        self.page.focus(POINT)
        self.page.keyboard.press({"all": "End", "fewest": "Home"}[which])

    def point(self) -> str:
        """What the panel says about the operating point."""
        return self.page.inner_text(f"*:has(> {POINT_NAME}) + .osln-small")

    def press(self, text: str) -> None:
        """Presses a button of the panel."""
        self.page.click(f'.osln button:text-is("{text}")')

    def told(self, after: str) -> str:
        """Presses a button and returns what the panel says when it is done."""
        self.forget()
        self.press(after)
        return self.said()

    def forget(self) -> None:
        """Takes away what the panel has said, so that `said` waits for the next."""
        self.page.evaluate("document.querySelector('.osln .told')?.remove()")

    def said(self) -> str:
        """What the panel says when something is done, or has failed."""
        return self.page.text_content(".osln .told.good, .osln .told.error")

    def submit(self, *answers: str, last: str = "Submit") -> str:
        """Submits by the keys, answers what is asked, and returns what the panel says then."""
        self.forget()
        self.key("Control+Enter")
        for text in (*answers, last):
            self.answer(text)
        return self.said()

    def about(self) -> str:
        """What the panel says about the case."""
        return self.page.inner_text(".osln .osln-about")

    def label(self, shape, affine) -> np.ndarray:
        """The label in the viewer, voxel by voxel in the order of a file: (x, y, z) uint8.

        Args:
            shape: Of the file.
            affine: Of the file, RAS.
        """
        return in_file_order(self.page.evaluate(READ), np.uint8, shape, affine)

    def image(self, number: int, shape, affine) -> np.ndarray:
        """An image of the axial plane, whole, in the order of a file: (x, y, z) float32.

        Args:
            number: 0 for the CT, 1 for the PET on it.
            shape: Of the file.
            affine: Of the file, RAS.
        """
        self.page.wait_for_function(f"number => ({IMAGE})(number) !== null", arg=number)
        return in_file_order(self.page.evaluate(IMAGE, number), np.float32, shape, affine)

    def center_mm(self) -> np.ndarray:
        """Point of the patient (RAS) in the middle of the axial plane."""
        return np.multiply(self.page.evaluate(CENTER, "osln-axial"), (-1, -1, 1))

    def click_at(self, point_mm) -> None:
        """Clicks at a point of the patient (RAS) that lies in the axial plane."""
        lps = np.multiply(point_mm, (-1, -1, 1)).tolist()
        self.page.mouse.click(*self.page.evaluate(TO_SCREEN, ["osln-axial", [lps]])[0])

    def jump(self, point_mm, zoom_mm: float) -> None:
        """Centers the planes on a point of the patient (RAS) and shows so much around it."""
        command = "it => window.commandsManager.runCommand('oslnJump', it)"
        self.page.evaluate(command, {"point_mm": list(map(float, point_mm)), "zoom_mm": zoom_mm})

    def stroke(self, points_mm) -> None:
        """Draws with the pressed left button along points of the patient (RAS) in the axial plane."""
        lps = np.multiply(points_mm, (-1, -1, 1)).tolist()
        places = self.page.evaluate(TO_SCREEN, ["osln-axial", lps])
        mouse = self.page.mouse
        mouse.move(*places[0])
        # The brush is where the page saw the mouse last; it begins with the first move after the press.
        self.page.wait_for_function(CURSOR, arg=places[0])
        mouse.down()
        for place in places[1:]:
            mouse.move(*place, steps=20)
        mouse.up()
        # The panel takes a stroke over when the viewer's own listeners are done with the mouse.
        self.page.evaluate(SETTLED)


def in_file_order(read, kind, shape, affine) -> np.ndarray:
    """A volume of the viewer in the voxel order of a file; fails if the two are not the same voxels.

    Args:
        read: What `READ` and `IMAGE` return.
        kind: Type of the values.
        shape: Of the file.
        affine: Of the file, RAS.
    """
    size, spacing, direction, origin = (np.array(numbers) for numbers in read["whole"])
    values = np.frombuffer(base64.b64decode(read["values"]), kind).reshape(size, order="F")
    own = np.eye(4)
    own[:3, :3] = direction.reshape(3, 3).T * spacing
    own[:3, 3] = origin
    own = np.diag([-1.0, -1.0, 1.0, 1.0]) @ own
    to_own = np.linalg.inv(own) @ affine
    turn = np.rint(to_own[:3, :3]).astype(int)
    np.testing.assert_allclose(to_own[:3, :3], turn, atol=1e-4)
    # Axis of the viewer for each axis of the file; one that runs the other way begins at the other end.
    axes = np.abs(turn).argmax(axis=0)
    reverse = turn[axes, range(3)] < 0
    corner = np.zeros(3)
    corner[axes] = np.where(reverse, np.array(shape) - 1, 0)
    np.testing.assert_allclose(to_own[:3, 3], corner, atol=0.02)
    assert tuple(size[axes]) == tuple(shape)
    return values.transpose(axes)[tuple(slice(None, None, -1 if back else 1) for back in reverse)]


@contextmanager
def chromium(hide_scrollbars: bool = True) -> Iterator:
    """Debian's Chromium as Playwright's browser, which downloads none and has no scrollbars by itself."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        shown = [] if hide_scrollbars else ["--hide-scrollbars"]
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=list(FLAGS), ignore_default_args=shown
        )
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def browsing() -> Iterator[OhifPage]:
    """A page of a browser of its own."""
    with chromium() as browser:
        yield OhifPage(browser.new_page(viewport=SIZE))
