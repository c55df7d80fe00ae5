"""The mode 'Lymph nodes' in a real browser on a folder of cases: what is seen is what lies in the files."""

import importlib.util
import json
import shutil

import nibabel as nib
import numpy as np
import pytest
import requests

from local_server import LocalServer
from osln.dicom.served.uids import study_uid
from osln.rows.experiments import DEFAULT_ROW
from small import ohif_page
from small.geometry import turned
from small.ohif_page import browsing
from small.sample_dicom import STORE

pytestmark = [pytest.mark.browser, pytest.mark.server, pytest.mark.slow]

CASE, TILTED = "phantom-02", "tilted"
TUMOR = 255
IMAGES = {"ct": "", "pet": "pet", "tumor": "labels/gtv"}


@pytest.fixture
def server(require, tmp_path):
    """A server on a folder with a sample case and the same patient tilted: permuted axes, float CT."""
    if importlib.util.find_spec("playwright") is None:
        require("Playwright", "pip install playwright")
    if not ohif_page.CHROMIUM.is_file():
        require("Chromium", "apt-get install chromium")
    store, tilt = tmp_path / "store", np.eye(4)
    tilt[:3, :3] = turned(12, 9)
    for kind, folder in IMAGES.items():
        (store / folder).mkdir(parents=True, exist_ok=True)
        source = STORE / folder / f"{CASE}.nii.gz"
        shutil.copy(source, store / folder)
        image = nib.as_closest_canonical(nib.load(source))
        moved = nib.Nifti1Image(np.asarray(image.dataobj), tilt @ image.affine)
        # To the front, to the feet, to the right.
        turn = nib.orientations.axcodes2ornt(("A", "I", "R"))
        moved = moved.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(np.eye(4)), turn))
        values = np.asarray(moved.dataobj)
        if kind == "ct":
            values = values.astype(np.float32) + np.float32(0.25)
        nib.save(nib.Nifti1Image(values, moved.affine), store / folder / f"{TILTED}.nii.gz")
    with LocalServer(store, tmp_path / "server.log", {"device": "cpu", "threads": "1"}) as running:
        running.store = store
        yield running


def file_of(server, kind, case):
    """Voxels of a file, and the file."""
    image = nib.load(server.store / IMAGES[kind] / f"{case}.nii.gz")
    return np.asarray(image.dataobj), image


def found_by(server, folder, case, options):
    """Candidates that the server finds when it is asked by the id of the case, each with its value."""
    reply = requests.post(
        f"{server.url}/infer/{DEFAULT_ROW}?image={case}&output=image",
        data={"params": json.dumps(options)}, timeout=300,
    )  # fmt: skip
    assert reply.ok, reply.text
    (folder / "found.nii.gz").write_bytes(reply.content)
    return np.asarray(nib.load(folder / "found.nii.gz").dataobj)


@pytest.mark.parametrize("case", [CASE, TILTED])
def test_a_case_is_seen_corrected_and_stored_on_the_axes_of_its_file(server, tmp_path, case):
    ct, ct_file = file_of(server, "ct", case)
    pet, pet_file = file_of(server, "pet", case)
    with browsing() as viewer:
        viewer.open(server.url, study_uid(case))

        shown = viewer.image(0, ct.shape, ct_file.affine)
        # Fractions are rounded for the view alone.
        np.testing.assert_array_equal(shown, np.rint(ct))
        suv = viewer.image(1, pet.shape, pet_file.affine)
        # 15 bits for the range of a slice.
        np.testing.assert_allclose(suv, pet, atol=pet.max() / 32767)

        def seen():
            return viewer.label(ct.shape, ct_file.affine)

        np.testing.assert_array_equal(seen() == TUMOR, file_of(server, "tumor", case)[0] > 0)
        assert "the PET lies in the CT's frame of reference" in viewer.about()

        assert "candidates" in viewer.told("Find nodes")
        found = found_by(server, tmp_path, case, {"candidates": "all"})
        assert found.any()
        values = seen()
        np.testing.assert_array_equal(np.where(values == TUMOR, 0, values), found)
        viewer.page.click(".osln-list [role=option]")
        node = viewer.center_mm()
        viewer.press("Brush")
        viewer.stroke([node + np.array([5.0, 10, 0]), node + np.array([20.0, 10, 0])])
        # The first run gives candidates the numbers of their values.
        shown = viewer.counting()
        submitted = np.isin(seen(), shown)
        assert np.count_nonzero(submitted) > np.count_nonzero(np.isin(found, shown))

        viewer.say_name("Änna Nadel")
        assert "Stored as revision 1" in viewer.submit("Count as nodes")
        stored = nib.load(server.store / "labels" / "final" / f"{case}.nii.gz")
        assert stored.shape == ct.shape
        np.testing.assert_allclose(stored.affine, ct_file.affine, atol=1e-5)
        np.testing.assert_array_equal(np.asarray(stored.dataobj) > 0, submitted)
        assert not list(server.store.glob("**/2.25.*")), "nothing lies under a UID"

        viewer.open(server.url, study_uid(case))
        assert "revision 1 by Änna Nadel" in viewer.about()
        np.testing.assert_array_equal(np.isin(seen(), (0, TUMOR)), ~submitted)

        # Another CT takes the place of the one that is open.
        other = ct.copy()
        other.flat[0] += 1
        nib.save(nib.Nifti1Image(other, ct_file.affine), server.store / f"{case}.nii.gz")
        told = viewer.submit()
        assert told.startswith("Not stored, and nothing is lost: the CT of case")
        assert "has changed since it was opened" in told
        np.testing.assert_array_equal(np.isin(seen(), (0, TUMOR)), ~submitted)

        assert viewer.elsewhere == [] and viewer.errors == []


def test_the_list_shows_every_case_and_offers_our_mode_alone(server):
    with browsing() as viewer:
        page = viewer.page
        page.goto(f"{server.url}/ohif/")
        page.click(f"text={CASE}")
        page.wait_for_selector("text=Lymph nodes")

        assert page.locator("text=Basic Viewer").count() == 0
        assert page.evaluate("window.modes.length") == 0
        assert page.locator(f"text={TILTED}").count() > 0
        assert viewer.errors == []
