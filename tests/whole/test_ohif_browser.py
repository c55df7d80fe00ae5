"""The mode 'Lymph nodes' in a real browser, on a real server and PACS: what is seen is what is stored."""

import importlib.util
import json
from contextlib import contextmanager

import nibabel as nib
import numpy as np
import pytest
import requests

import local_orthanc
from local_orthanc import LocalOrthanc
from local_server import LocalServer
from osln.rows.experiments import DEFAULT_ROW
from small import ohif_page
from small.dicom import uid
from small.ohif_page import browsing
from small.pacs import CASE, PET, newest_on_pacs, store
from small.sample_dicom import sample_study

pytestmark = [pytest.mark.browser, pytest.mark.pacs, pytest.mark.server, pytest.mark.slow]

NODE, TUMOR = 1, 255
BRUSH_MM = 4.0
"""What the panel starts with."""


@pytest.fixture
def serving(require, tmp_path, monkeypatch):
    """Starts a server on a PACS with some images."""
    if importlib.util.find_spec("playwright") is None:
        require("Playwright", "pip install playwright")
    if not ohif_page.CHROMIUM.is_file():
        require("Chromium", "apt-get install chromium")
    if not local_orthanc.installed():
        require("Orthanc", "apt-get install orthanc orthanc-dicomweb")
    monkeypatch.setenv("MONAI_LABEL_DICOMWEB_CACHE_PATH", str(tmp_path / "cache"))

    @contextmanager
    def serve(study):
        with LocalOrthanc(tmp_path / "pacs") as pacs:
            store(pacs, tmp_path / "dicom", study)
            with LocalServer(pacs.url, tmp_path / "server.log", {"device": "cpu", "threads": "1"}) as running:
                running.pacs, running.study = pacs, str(study[0].StudyInstanceUID)
                yield running

    return serve


@pytest.fixture
def server(serving):
    """A server on a PACS with one patient, whose nodes and body are asymmetric in x, y and z."""
    with serving(sample_study("phantom-02")) as running:
        yield running


def fetched(server, folder, path, **asked):
    """An image that the server gives, as nibabel reads it."""
    reply = requests.request("POST" if asked else "GET", server.url + path, timeout=300, **asked)
    assert reply.ok, reply.text
    (folder / "fetched.nii.gz").write_bytes(reply.content)
    return nib.load(folder / "fetched.nii.gz")


def delivered(server, page):
    """Waits until no label waits for the PACS."""
    for _ in range(300):
        if requests.get(f"{server.url}/info/", timeout=60).json()["pacs"]["waiting"] == 0:
            return
        page.wait_for_timeout(200)
    pytest.fail("the label did not reach the PACS")


def moved(point, right_to_left_mm, back_to_front_mm=0.0):
    """A point of the same axial plane."""
    return point + np.array([right_to_left_mm, back_to_front_mm, 0.0])


def near(ct, start, end, distance_mm):
    """(x, y, z) bool: voxels whose center is at most so far from a line of the patient."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in ct.shape), indexing="ij"), axis=-1)
    points = nib.affines.apply_affine(ct.affine, index)
    along = np.clip((points - start) @ (end - start) / ((end - start) @ (end - start)), 0, 1)
    return np.linalg.norm(points - start - along[..., None] * (end - start), axis=-1) <= distance_mm


def test_nodes_are_found_corrected_and_stored_as_they_are_seen(server, tmp_path):
    with browsing() as viewer:
        viewer.open(server.url, server.study)
        ct = fetched(server, tmp_path, f"/datastore/image?image={CASE}")

        def seen():
            return viewer.label(ct.shape, ct.affine)

        tumor = seen() == TUMOR
        drawn = fetched(server, tmp_path, f"/datastore/label?label={CASE}&tag=gtv")
        np.testing.assert_array_equal(tumor, np.asarray(drawn.dataobj) > 0, "the structure set's contour")
        assert "frame of reference" in viewer.about() and "not approved yet" in viewer.about()

        assert "candidates" in viewer.told("Find nodes")
        asked = {"params": json.dumps({"candidates": "all"})}
        answer = fetched(server, tmp_path, f"/infer/{DEFAULT_ROW}?image={CASE}&output=image", data=asked)
        found = np.asarray(answer.dataobj)

        def nodes():
            values = seen()
            return np.where(values == TUMOR, 0, values)

        np.testing.assert_array_equal(nodes(), found)
        assert found.any()

        viewer.page.route("**/infer/**", lambda request: request.abort())
        assert viewer.told("Find nodes").startswith("Nothing was changed: the server does not answer")
        viewer.page.unroute("**/infer/**")
        np.testing.assert_array_equal(nodes(), found)

        # The first candidate is where the list leads to; its value is 1.
        viewer.page.click(".osln-list [role=option]")
        node = viewer.center_mm()
        # More of the patient than the jump shows: strokes follow.
        wide = {"point_mm": node.tolist(), "zoom_mm": 200}
        viewer.page.evaluate("it => window.commandsManager.runCommand('oslnJump', it)", wide)
        at = tuple(np.rint(nib.affines.apply_affine(np.linalg.inv(ct.affine), node)).astype(int))
        assert (seen()[tuple(slice(i - 2, i + 3) for i in at)] == NODE).any()

        viewer.press("Brush")
        before = seen()
        start, end = moved(node, 8.0, 10.0), moved(node, 22.0, 10.0)
        viewer.stroke([start, end])
        painted = seen()
        new = (painted == NODE) & (before != NODE)
        assert new[near(ct, start, end, BRUSH_MM / 2) & (before != NODE)].all()
        assert near(ct, start, end, BRUSH_MM + np.linalg.norm(ct.header.get_zooms()))[new].all()
        np.testing.assert_array_equal(painted[~new], before[~new])

        viewer.page.click("[data-cy=SphereEraser]")
        assert viewer.page.inner_text(".osln button.on") == "Eraser", "the panel follows the toolbar"
        viewer.stroke([start, moved(start, 5.0)])
        erased = seen()
        assert not erased[near(ct, start, moved(start, 5.0), BRUSH_MM / 2)].any()
        viewer.press("Undo")
        np.testing.assert_array_equal(seen(), painted)
        viewer.stroke([end, moved(end, -4.0)])
        submitted = seen()
        assert 0 < np.count_nonzero(submitted != painted) < new.sum()

        shown = viewer.counting()
        assert "Type your name" in viewer.told("Submit")
        viewer.say_name("Änna Nadel")
        told = viewer.submit("Count as nodes")
        assert "Stored as revision 1" in told and "tumor" not in told, "it was shown, not drawn"
        assert "revision 1 by Änna Nadel" in viewer.about()
        delivered(server, viewer.page)
        count, stored = newest_on_pacs(server.pacs, ct)
        assert count == 1
        np.testing.assert_array_equal(stored, np.isin(submitted, shown))
        assert not np.array_equal(stored, stored[:, :, ::-1]), "a mirrored label would be noticed"

        viewer.open(server.url, server.study)
        assert "revision 1 by Änna Nadel" in viewer.about()
        np.testing.assert_array_equal(nodes() > 0, stored)

        # A tumor alone leaves the nodes' revision as it is, and the next submission is not refused for it.
        viewer.page.select_option(".osln select[aria-label='what the brush paints']", "tumor")
        viewer.press("Brush")
        viewer.stroke([moved(node, -30.0), moved(node, -34.0)])
        assert np.count_nonzero(seen() == TUMOR) > tumor.sum()
        told = viewer.submit()
        assert "revision 2" in told and "The tumor was updated" in told
        delivered(server, viewer.page)
        count, stored = newest_on_pacs(server.pacs, ct)
        assert count == 2
        np.testing.assert_array_equal(stored, nodes() > 0)

        # Somebody else is faster.
        nib.save(nib.Nifti1Image((found > 0).astype(np.uint8), ct.affine), tmp_path / "other.nii.gz")
        about = {"label_info": [{"name": "lymph node", "idx": 1}], "client_id": "Bert"}
        with (tmp_path / "other.nii.gz").open("rb") as file:
            reply = requests.put(
                f"{server.url}/datastore/label?image={CASE}&tag=final",
                data={"params": json.dumps(about)}, files={"label": ("other.nii.gz", file)}, timeout=60,
            )  # fmt: skip
        assert reply.json()["nodes_revision"] == 3
        kept = seen()
        told = viewer.submit()
        assert told.startswith("Not stored") and "revision 3 was stored by Bert" in told
        assert "Bert stored revision 3 meanwhile" in viewer.answer("Not now")
        np.testing.assert_array_equal(seen(), kept)

        assert viewer.elsewhere == [], "the browser asks nobody but this computer"
        assert viewer.errors == []


def test_a_pet_of_another_examination_is_seen_on_the_planning_ct(serving, tmp_path):
    study = sample_study("phantom-02")
    for image in study:
        if image.Modality == "PT":
            image.StudyInstanceUID, image.FrameOfReferenceUID = uid("earlier study"), uid("earlier frame")
    with serving(study) as server, browsing() as viewer:
        viewer.open(server.url, server.study)
        for _ in range(600):
            about = requests.get(f"{server.url}/osln/case?image={CASE}", timeout=60).json()["pet"]
            if about["state"] != "registering":
                break
            viewer.page.wait_for_timeout(200)
        assert about["state"] == "registered" and about["original_series_uid"] == PET
        assert about["quality"]["method"] in (
            "already aligned",
            "rigid PET to CT",
            "left alone (no lungs in view)",
            "left alone (no motion fits better)",
        )

        viewer.open(server.url, server.study)

        assert "the PET is of another examination and was registered to the CT" in viewer.about()
        (kept,) = tmp_path.glob("cache/**/pet/*.nii.gz")
        file = nib.load(kept)
        suv = np.asarray(file.dataobj)
        np.testing.assert_allclose(viewer.image(1, suv.shape, file.affine), suv, atol=suv.max() / 32767)
        page = viewer.page
        series = page.evaluate(
            "window.services.displaySetService.getActiveDisplaySets().map(set => set.SeriesInstanceUID)"
        )
        assert about["series_uid"] in series and CASE in series
        assert viewer.errors == []
