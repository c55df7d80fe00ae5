"""The real server on a real PACS with a password: list, infer, submit, a PACS that dies, restarts of both."""

import json
import time

import nibabel as nib
import numpy as np
import pydicom
import pytest
import requests
from monailabel.client import MONAILabelClient

import local_orthanc
from local_orthanc import LocalOrthanc
from local_server import LocalServer
from small.pacs import CASE, PET, newest_on_pacs, store
from small.sample_dicom import sample_study

pytestmark = [pytest.mark.pacs, pytest.mark.server, pytest.mark.slow]

SECRET = "s3cret-pass"
CONF = {"device": "cpu", "threads": "1"}
LABELS = {"label_info": [{"name": "lymph node", "idx": 1}]}


@pytest.fixture
def pacs(require, tmp_path):
    if not local_orthanc.installed():
        require("Orthanc", "apt-get install orthanc orthanc-dicomweb")
    with LocalOrthanc(tmp_path / "pacs", "anna", SECRET) as running:
        store(running, tmp_path / "dicom", sample_study("phantom-02"))
        yield running


def about(server):
    return requests.get(f"{server.url}/info/", timeout=60).json()["pacs"]


def wait_until(server, what, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if what(about(server)):
            return
        time.sleep(0.3)
    pytest.fail(f"it did not come about: {about(server)}")


def test_labels_survive_a_pacs_and_a_server_that_die(pacs, tmp_path, monkeypatch):
    monkeypatch.setenv("MONAI_LABEL_DICOMWEB_CACHE_PATH", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    address, log = pacs.url.replace("//", f"//anna:{SECRET}@"), tmp_path / "server.log"
    shown = []

    with LocalServer(address, log, CONF) as server:
        client = MONAILabelClient(server.url, str(tmp_path / "client"), client_id="Anna Nadel")
        (tmp_path / "client").mkdir()
        sample = client.next_sample("first", {})
        assert sample["id"] == CASE and sample["PatientID"] == "H-123456" and sample["Modality"] == "CT"
        predicted, result = client.infer("osln", PET, params={"save_label": True})
        assert len(result["candidates"]) > 5
        assert client.infer("osln", CASE, params={})[1]["candidates"] == result["candidates"]
        ct = nib.load(image(server, tmp_path))
        reply = client.save_label(PET, predicted, "final", LABELS)
        assert reply["label"] == CASE and reply["nodes"]["unchanged"] > 0 and reply["pacs"]["waiting"] == 1
        wait_until(server, lambda told: told["waiting"] == 0)
        expected = np.asarray(nib.load(predicted).dataobj) > 0
        count, stored = newest_on_pacs(pacs, ct)
        assert count == 1
        np.testing.assert_array_equal(stored, expected)
        proxied = requests.get(f"{server.url}/proxy/dicom/qido/series", timeout=60).json()
        assert len(proxied) == 4, "the proxy gives the password for OHIF: CT, PET, RTSTRUCT, SEG"

        for query in ("", "&what=final&format=rtstruct"):
            reply = requests.get(f"{server.url}/osln/export?image={PET}{query}", timeout=60)
            (tmp_path / "export.dcm").write_bytes(reply.content)
            made = pydicom.dcmread(tmp_path / "export.dcm")
            if not query:
                segment = made.SegmentSequence[0]
                assert segment.SegmentAlgorithmType == "SEMIAUTOMATIC", "a person approved what GLNet found"
                assert segment.SegmentDescription.startswith("GLNet score")
                assert segment.SegmentationAlgorithmIdentificationSequence[0].AlgorithmName == "osln"
                assert made.ContentCreatorName == "Anna Nadel^"
            assert made.Modality == ("RTSTRUCT" if query else "SEG")
            assert made.Manufacturer == "OSLN Label" and made.PatientID == "H-123456"
        asked = {"params": json.dumps(LABELS)}
        reply = requests.post(f"{server.url}/infer/osln?image={CASE}&output=dicom_seg", asked, timeout=300)
        (tmp_path / "predicted.dcm").write_bytes(reply.content)
        made = pydicom.dcmread(tmp_path / "predicted.dcm")
        kept = [candidate for candidate in result["candidates"] if candidate["kept"]]
        names = [segment.SegmentLabel for segment in made.SegmentSequence]
        assert names == sorted(names) == [f"lymph node {one['id']}" for one in kept]
        assert made.ContentLabel == "OSLN_PREDICTED"

        pacs.kill()
        expected[np.argwhere(expected)[0][0] + 3, 20:24, 5:8] = True
        nib.save(nib.Nifti1Image(expected.astype(np.uint8), ct.affine), tmp_path / "edited.nii.gz")
        reply = client.save_label(CASE, str(tmp_path / "edited.nii.gz"), "final", LABELS)
        assert reply["revision"] == 2 and reply["pacs"]["waiting"] == 1
        wait_until(server, lambda told: "cannot be reached" in told["last_error"])
        status, detail = refusal(server, "/datastore/image?image=1.2.3")
        assert status == 502 and "cannot be reached" in detail
        shown.append(requests.get(f"{server.url}/info/", timeout=60).text)

    with LocalServer(address, log, CONF) as server:
        told = about(server)
        assert told["waiting"] == 1
        stats = requests.get(f"{server.url}/datastore/", timeout=60).json()
        assert (stats["total"], stats["completed"]) == (1, 1), "listed although the PACS is down"
        pacs.start()
        wait_until(server, lambda told: told["waiting"] == 0 and not told["error"])
        count, stored = newest_on_pacs(pacs, ct)
        assert count == 2
        np.testing.assert_array_equal(stored, expected)
        shown += [requests.get(f"{server.url}{path}", timeout=60).text for path in ("/info/", "/logs/")]

    monkeypatch.setenv("MONAI_LABEL_DICOMWEB_CACHE_PATH", str(tmp_path / "another"))
    with LocalServer(address, log, CONF) as server:
        wait_until(server, lambda told: told["listed"])
        stats = requests.get(f"{server.url}/datastore/", timeout=60).json()
        assert (stats["total"], stats["completed"]) == (1, 1), "a fresh mirror sees what was approved"
        label = requests.get(f"{server.url}/datastore/label?label={CASE}&tag=final", timeout=60)
        (tmp_path / "back.nii.gz").write_bytes(label.content)
        np.testing.assert_array_equal(np.asarray(nib.load(tmp_path / "back.nii.gz").dataobj) > 0, expected)
        # A process of its own, which gets the credentials too.
        requests.post(f"{server.url}/batch/infer/ct?images=all", json={"device": "cpu"}, timeout=60)
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            task = requests.get(f"{server.url}/batch/infer", timeout=60)
            if task.ok and task.json()["status"] in ("DONE", "ERROR"):
                break
            time.sleep(1)
        assert task.json()["status"] == "DONE" and "0 failed" in str(task.json()["details"])
        stats = requests.get(f"{server.url}/datastore/", timeout=60).json()
        assert stats["label_tags"]["original"] == 1

    said = log.read_text()
    assert "Traceback" not in said
    for text in (said, *shown):
        assert SECRET not in text


def image(server, folder):
    reply = requests.get(f"{server.url}/datastore/image?image={CASE}", timeout=60)
    (folder / "ct.nii.gz").write_bytes(reply.content)
    return folder / "ct.nii.gz"


def refusal(server, path):
    reply = requests.get(server.url + path, timeout=60)
    return reply.status_code, reply.json()["detail"]


def test_wrong_password_is_told_and_the_server_runs(pacs, tmp_path, monkeypatch):
    monkeypatch.setenv("MONAI_LABEL_DICOMWEB_CACHE_PATH", str(tmp_path / "cache"))
    log = tmp_path / "server.log"
    with LocalServer(pacs.url.replace("//", "//anna:wr0ng-word@"), log, CONF) as server:
        wait_until(server, lambda told: "refuses (401)" in told["error"])
        assert requests.get(f"{server.url}/datastore/", timeout=60).json()["total"] == 0
    assert "wr0ng-word" not in log.read_text() and "Traceback" not in log.read_text()
