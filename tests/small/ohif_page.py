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
SIZE = {"width": 1500, "height": 900}

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
VIEWPORT = "window.services.cornerstoneViewportService.getCornerstoneViewport"
TO_SCREEN = f"""([id, points]) => {{
  const viewport = {VIEWPORT}(id);
  const {{ x, y }} = viewport.canvas.getBoundingClientRect();
  return points.map(point => viewport.worldToCanvas(point)).map(([u, v]) => [x + u, y + v]);
}}"""
CENTER = f"id => {VIEWPORT}(id).getCamera().focalPoint"


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

    def open(self, server: str, study: str) -> None:
        """Opens a study in the mode and waits until its label is there."""
        self.page.goto(f"{server}/ohif/osln?StudyInstanceUIDs={study}")
        self.page.wait_for_selector(".osln button.main:enabled")

    def press(self, text: str) -> None:
        """Presses a button of the panel."""
        self.page.click(f'.osln button:text-is("{text}")')

    def told(self, after: str) -> str:
        """Presses a button and returns what the panel says when it is done."""
        self.page.evaluate("document.querySelector('.osln .told')?.remove()")
        self.press(after)
        return self.page.text_content(".osln .told.good, .osln .told.error")

    def about(self) -> str:
        """What the panel says about the case."""
        return self.page.inner_text(".osln .about")

    def label(self, shape, affine) -> np.ndarray:
        """The label in the viewer, voxel by voxel in the order of a file: (x, y, z) uint8.

        Args:
            shape: Of the file.
            affine: Of the file, RAS.
        """
        read = self.page.evaluate(READ)
        size, spacing, direction, origin = (np.array(numbers) for numbers in read["whole"])
        values = np.frombuffer(base64.b64decode(read["values"]), np.uint8).reshape(size, order="F")
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

    def center_mm(self) -> np.ndarray:
        """Point of the patient (RAS) in the middle of the axial plane."""
        return np.multiply(self.page.evaluate(CENTER, "osln-axial"), (-1, -1, 1))

    def stroke(self, points_mm) -> None:
        """Draws with the pressed left button along points of the patient (RAS) in the axial plane."""
        lps = np.multiply(points_mm, (-1, -1, 1)).tolist()
        places = self.page.evaluate(TO_SCREEN, ["osln-axial", lps])
        mouse = self.page.mouse
        mouse.move(*places[0])
        # The brush is where the page saw the mouse last; it begins with the first move after the press.
        self.page.wait_for_timeout(200)
        mouse.down()
        for place in places[1:]:
            mouse.move(*place, steps=20)
        mouse.up()
        self.page.wait_for_timeout(300)


@contextmanager
def browsing() -> Iterator[OhifPage]:
    """A page of Debian's Chromium; Playwright downloads none."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(FLAGS))
        try:
            yield OhifPage(browser.new_page(viewport=SIZE))
        finally:
            browser.close()
