"""How images look in the mode 'Lymph nodes', in a real browser on a folder of cases."""

import importlib.util
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import requests

from osln.imaging.distance import tumor_distance_mm
from small import ohif_page
from small.ohif_page import browsing
from small.running_server import RunningServer

pytestmark = [pytest.mark.browser, pytest.mark.server, pytest.mark.slow]

SAMPLES = Path(__file__).resolve().parents[2] / "sample-datastore"
CASE, WITHOUT_PET = "phantom-02", "phantom-03"
PROXIMAL_MM = 70.0

PLANES = """() => ['axial', 'coronal', 'sagittal'].map(name => {
  const viewport = window.services.cornerstoneViewportService.getCornerstoneViewport(`osln-${name}`);
  const { focalPoint, parallelScale, viewPlaneNormal } = viewport.getCamera();
  const [ct, pet] = viewport.getAllVolumeIds().map(volume => viewport.getProperties(volume));
  const element = viewport.element;
  const world = point => [...viewport.canvasToWorld(point.split(',').map(Number))];
  const lines = [...element.querySelectorAll('.osln-border')].flatMap(line =>
    line.getAttribute('points').split(' ').map(world));
  return { focalPoint, parallelScale, normal: viewPlaneNormal, ct: ct.voiRange, pet: pet?.voiRange, lines,
    petPoints: pet?.colormap?.opacity, width: element.clientWidth, height: element.clientHeight,
    text: element.closest('[data-cy="viewport-pane"]').innerText };
})"""
WRITTEN = "(plane, words) => words.every(word => plane.text.includes(word))"
GRAY = """() => {
  const viewport = window.services.cornerstoneViewportService.getCornerstoneViewport('osln-axial');
  const { width, height } = viewport.canvas;
  const { data } = viewport.canvas.getContext('2d').getImageData(0, 0, width, height);
  let [colored, lit] = [0, 0];
  for (let n = 0; n < data.length; n += 4) {
    if (data[n] + data[n + 1] + data[n + 2] > 60) lit++;
    if (data[n] - data[n + 2] > 40) colored++;
  }
  return colored / lit;
}"""


@pytest.fixture
def server(require, tmp_path):
    """A server on a folder with one patient, and one without a PET."""
    if importlib.util.find_spec("playwright") is None:
        require("Playwright", "pip install playwright")
    if not ohif_page.CHROMIUM.is_file():
        require("Chromium", "apt-get install chromium")
    folder = tmp_path / "store"
    for path in (
        f"{CASE}.nii.gz",
        f"pet/{CASE}.nii.gz",
        f"labels/gtv/{CASE}.nii.gz",
        f"{WITHOUT_PET}.nii.gz",
    ):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(SAMPLES / path, folder / path)
    running = RunningServer(folder, tmp_path / "models", tmp_path / "server.log")
    yield running
    running.stop()


def study(server, case):
    """UID under which a case is shown."""
    found = requests.get(f"{server.url}/proxy/dicom/qido/studies", timeout=60).json()
    return next(one["0020000D"]["Value"][0] for one in found if one["00100020"]["Value"] == [case])


class View:
    """What the commands of the mode do, and what is then seen."""

    def __init__(self, page):
        self.page = page

    def __call__(self, name, **options):
        return self.page.evaluate(
            "([name, it]) => window.commandsManager.runCommand(name, it)", [name, options]
        )

    def until(self, holds, about=None):
        """Waits until something holds of the planes and returns them.

        Args:
            holds: JavaScript, a function of the planes and of `about`.
            about: What it needs to know.
        """
        self.page.wait_for_function(f"about => ({holds})(({PLANES})(), about)", arg=about)
        return self.page.evaluate(PLANES)

    def every(self, holds, about=None):
        """The same of each of the three."""
        return self.until(f"(planes, about) => planes.every(plane => ({holds})(plane, about))", about)

    def centered(self, point_mm):
        """Waits until all planes are centered on a point of the patient (RAS), up to a voxel."""
        lps = np.multiply(point_mm, (-1, -1, 1)).tolist()
        near = "Math.hypot(...plane.focalPoint.map((value, c) => value - point[c])) < 3"
        return self.every(f"(plane, point) => {near}", lps)

    def becomes_colored(self, low, high):
        """Waits until so large a part of the patient in the axial plane is not gray."""
        self.page.wait_for_function(
            f"() => {{ const part = ({GRAY})(); return {low} <= part && part <= {high} }}"
        )


def test_case_looks_as_it_is_asked_for(server):
    with browsing() as viewer:
        viewer.open(server.url, study(server, CASE))
        view = View(viewer.page)
        viewer.page.wait_for_selector(".osln-mip")

        for plane in view.every(WRITTEN, ["CT -160 to 240", "SUV 0 to 10"]):
            assert (plane["ct"], plane["pet"]) == ({"lower": -160, "upper": 240}, {"lower": 0, "upper": 10})
            assert [point["value"] for point in plane["petPoints"]] == [0, 2.5, 5, 10]
        for upper in (5, 15):
            view("oslnPetWindow", upper=upper)
            planes = view.every(WRITTEN, [f"SUV 0 to {upper}"])
            assert all(plane["pet"] == {"lower": 0, "upper": upper} for plane in planes)
        view("oslnCtWindow", preset="lung")
        view.every(WRITTEN, ["CT -1350 to 150", "SUV 0 to 15"])
        view("oslnPetWindow", upper=10)
        view("oslnCtWindow", preset="soft tissue")

        tumor_file = nib.load(SAMPLES / "labels" / "gtv" / f"{CASE}.nii.gz")
        tumor = np.asarray(tumor_file.dataobj) > 0
        at = nib.affines.apply_affine(tumor_file.affine, np.argwhere(tumor).mean(axis=0))

        # The sides of the view and what lies in its middle.
        view("oslnJump", point_mm=at.tolist())
        for plane in view.centered(at):
            sides = np.array([plane["width"], plane["height"]]) * 2 * plane["parallelScale"] / plane["height"]
            assert sides.min() == pytest.approx(60)

        # The tumor is hot; without its PET and the labels everything is gray, and so is cold tissue with it.
        view("oslnJump", point_mm=at.tolist(), zoom_mm=300)
        assert view("oslnOverlay") == "off" and view("oslnPet") is False
        view.becomes_colored(0, 0.001)
        view.every('plane => !plane.text.includes("SUV")')
        assert view("oslnPet") is True
        view.becomes_colored(0.005, 0.1)
        assert view("oslnOverlay") == "outline"

        # The toolbar does it, too: what the commands give back is the other way round again.
        for button, command, back in (("Fill", "oslnFill", "outline"), ("Tumor", "oslnTumor", True)):
            viewer.page.click(f"[data-cy={button}]")
            assert view(command) == back

        assert_border(view, tumor, tumor_file)
        assert_maximum_view(viewer, view, at)
        assert viewer.elsewhere == []
        assert viewer.errors == []


def assert_border(view, tumor, file):
    """The dashed line lies 70 mm from the tumor, by the distance that the model uses."""
    assert view("oslnBorder", on=True) is True
    distance = tumor_distance_mm(tumor, np.array(file.header.get_zooms()[:3]))
    planes = view.until("planes => planes.flatMap(plane => plane.lines).length > 60")
    points = np.concatenate([plane["lines"] for plane in planes]) * (-1, -1, 1)
    index = nib.affines.apply_affine(np.linalg.inv(file.affine), points)
    inside = ((index >= 0) & (index <= np.array(tumor.shape) - 1)).all(axis=1)
    near = distance[tuple(np.rint(index[inside]).astype(int).T)]
    # The nearest voxel is at most half of its diagonal away.
    np.testing.assert_allclose(near, PROXIMAL_MM, atol=np.linalg.norm(file.header.get_zooms()[:3]) / 2 + 0.3)
    assert view("oslnBorder") is False
    view.every("plane => !plane.lines.length")


def assert_maximum_view(viewer, view, at):
    """Nodes on the PET's maximum lead to their place; the toolbar stays usable; its room can be had back."""
    page = viewer.page
    node = at + np.array([20.0, -5.0, 60.0])
    view("oslnMipNodes", nodes=[{"id": "a", "center_mm": node.tolist(), "radius_mm": 5, "color": "#00f"}])
    # The only blue is the node's ring.
    ring = page.evaluate("""() => {
      const canvas = document.querySelector('.osln-mip');
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      const places = [];
      for (let n = 0; n < data.length; n += 4) {
        const at = n / 4;
        if (data[n + 2] - data[n] > 120) places.push([at % canvas.width, Math.floor(at / canvas.width)]);
      }
      return { places, scale: canvas.clientWidth / canvas.width };
    }""")
    x, y = np.array(ring["places"]).mean(axis=0) * ring["scale"]
    page.locator(".osln-mip").click(position={"x": float(x), "y": float(y)})
    view.centered(node)
    page.locator(".osln-mip").hover()
    page.mouse.wheel(0, 100)
    assert page.is_enabled("[data-cy=SphereBrush]") and page.is_enabled("[data-cy=Crosshairs]")

    before = page.evaluate(PLANES)
    assert view("oslnMip") is False
    wide = "after[0].width > 1.3 * before[0].width"
    same = "one.focalPoint.every((value, c) => Math.abs(value - before[n].focalPoint[c]) < 1e-3)"
    view.until(f"(after, before) => {wide} && after.every((one, n) => {same})", before)
    assert page.is_hidden(".osln-mip")


def test_case_without_pet_has_no_empty_place_and_says_what_is_shown(server):
    with browsing() as viewer:
        viewer.open(server.url, study(server, WITHOUT_PET))
        view = View(viewer.page)
        grid = viewer.page.locator('[data-cy="viewport-grid"]').bounding_box()
        whole = "planes[0].width + planes[1].width > 0.95 * width"
        planes = view.until(f"(planes, width) => {whole}", grid["width"])
        assert viewer.page.locator(".osln-mip").count() == 0
        planes = view.every(WRITTEN, ["CT -160 to 240"])
        assert not any("SUV" in plane["text"] for plane in planes)
        assert view("oslnBorder", on=True) is False, "there is no tumor to measure from"
        assert viewer.errors == []


def test_images_that_never_come_are_said(server):
    with browsing() as viewer:
        uid = study(server, CASE)
        viewer.page.route("**/frames/**", lambda request: request.fulfill(status=502))
        viewer.page.goto(f"{server.url}/ohif/osln?StudyInstanceUIDs={uid}")
        said = viewer.page.text_content(".osln .told.error")
        assert "images did not arrive" in said and "what is shown has gaps" in said

        viewer.page.goto(f"{server.url}/ohif/osln?StudyInstanceUIDs=2.25.1")
        said = viewer.page.text_content(".osln .told.error")
        assert "The server has no images of this study" in said
