"""DICOMweb as viewers ask for it: of a folder of cases, and of a PACS behind this server."""

from types import SimpleNamespace

import pytest

from lib.store.datastore import OslnDatastore
from lib.web import dicomweb_routes
from osln.dicom.served.uids import study_uid
from small import store as small_store
from small.dicom import ct_slices
from small.memory_pacs import memory_pacs
from small.pacs import CASE, PET, fresh_store
from small.routes import client_of_routes

DICOMWEB = "/proxy/dicom"


@pytest.fixture
def client_of(monkeypatch):
    return lambda store: client_of_routes(monkeypatch, [dicomweb_routes], store)


@pytest.fixture
def folder(client_of, tmp_path):
    """A client of a store with one case."""
    small_store.make_case(tmp_path, "one")
    store = OslnDatastore(tmp_path)
    client = client_of(store)
    client.root, client.study = tmp_path, f"{DICOMWEB}/wado/studies/{study_uid('one')}"
    client.store = store
    return client


def test_nothing_is_written(folder):
    reply = folder.post(folder.study, content=b"DICM")

    assert reply.status_code == 403
    assert "the viewer only reads images" in reply.json()["detail"]


def test_frames_may_be_kept_for_ever_and_lists_may_not(folder):
    series = folder.store.ct_series("one")

    frame = folder.get(f"{folder.study}/series/{series}/instances/{series}.1/frames/1")

    assert frame.status_code == 200 and "immutable" in frame.headers["cache-control"]
    assert frame.headers["content-type"].startswith('multipart/related; type="application/octet-stream"')
    assert folder.get(f"{folder.study}/metadata").headers["cache-control"] == "no-cache"
    assert folder.get(f"{DICOMWEB}/qido/studies").headers["cache-control"] == "no-cache"


def test_answers_are_packed_for_clients_that_unpack(folder):
    packed = folder.get(f"{folder.study}/metadata", headers={"Accept-Encoding": "gzip"})
    plain = folder.get(f"{folder.study}/metadata", headers={"Accept-Encoding": "identity"})

    assert packed.headers["content-encoding"] == "gzip" and "content-encoding" not in plain.headers
    assert packed.json() == plain.json()
    assert packed.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize("path", ["studies/1.2.3/metadata", "studies/1.2.3/series", "../info", "studies/a"])
def test_what_is_not_there_is_told(folder, path):
    reply = folder.get(f"{DICOMWEB}/wado/{path}")

    assert reply.status_code == 404 and reply.json()["detail"]


def test_images_of_a_changed_ct_are_gone_and_a_reload_brings_the_new_ones(folder):
    old = folder.store.ct_series("one")
    assert folder.get(f"{folder.study}/metadata").status_code == 200
    small_store.make_case(folder.root, "one", faint=True)

    reply = folder.get(f"{folder.study}/series/{old}/instances/{old}.1/frames/1")

    assert reply.status_code == 404
    assert reply.json()["detail"] == (
        "the CT of case one has changed since it was opened: load it again (reload the page)"
    )
    new = folder.store.ct_series("one")
    assert new != old
    assert folder.get(f"{folder.study}/series/{new}/instances/{new}.1/frames/1").status_code == 200


def test_a_refused_ct_says_why(folder):
    (folder.root / "one.nii").write_bytes((folder.root / "one.nii.gz").read_bytes())
    folder.store.refresh()

    reply = folder.get(f"{folder.study}/metadata")

    assert reply.status_code == 409 and "programs confuse the two" in reply.json()["detail"]
    assert folder.get(f"{DICOMWEB}/qido/studies").json() == []


def test_a_damaged_ct_says_why(folder):
    path = folder.root / "one.nii.gz"
    path.write_bytes(path.read_bytes()[:200])

    reply = folder.get(f"{folder.study}/metadata")

    assert reply.status_code == 422
    assert "case one, CT: one.nii.gz cannot be read as an image" in reply.json()["detail"]


def test_a_query_that_is_none_is_told(folder):
    reply = folder.get(f"{DICOMWEB}/qido/studies?Patient=x")

    assert reply.status_code == 422 and "'Patient' is no attribute of DICOM" in reply.json()["detail"]


def test_other_forms_of_pixels_are_not_given(folder):
    series = folder.store.ct_series("one")

    frame = f"{folder.study}/series/{series}/instances/{series}.1/frames/1"
    reply = folder.get(frame, headers={"Accept": "image/jpeg"})

    assert reply.status_code == 406 and "image/jpeg" in reply.json()["detail"]


@pytest.mark.pacs
def test_searches_and_images_pass_with_their_query(client_of, pacs, tmp_path):
    client = client_of(fresh_store(pacs, tmp_path / "mirror"))

    assert len(client.get("/proxy/dicom/qido/series").json()) == 3
    (found,) = client.get(f"/proxy/dicom/qido/series?SeriesInstanceUID={PET}").json()
    assert found["00080060"]["Value"] == ["PT"]
    study = found["0020000D"]["Value"][0]
    headers = client.get(f"/proxy/dicom/wado/studies/{study}/series/{CASE}/metadata")
    assert headers.headers["content-type"].startswith("application/dicom+json")
    assert {image["00080060"]["Value"][0] for image in headers.json()} == {"CT"}
    assert client.get("/proxy/dicom/qido/%2e%2e/instances").status_code == 404


def test_dead_pacs_is_told_without_credentials(client_of, tmp_path):
    dead = SimpleNamespace(url="http://127.0.0.1:9/dicom-web", auth=("anna", "s3cret"))
    client = client_of(fresh_store(dead, tmp_path, look=False))

    reply = client.get("/proxy/dicom/qido/studies")

    assert reply.status_code == 502
    assert "cannot be reached" in reply.json()["detail"]
    assert "anna" not in reply.text and "s3cret" not in reply.text


@pytest.mark.parametrize("kind", ["text/html", "image/svg+xml", "application/xhtml+xml", "text/xml", ""])
def test_what_a_browser_would_take_for_a_page_is_a_file_only(client_of, tmp_path, kind):
    def instead(handler, path):
        if path.endswith("/rendered"):
            handler.send_bytes(b"<script>alert(document.domain)</script>", kind)
            return True
        return False

    with memory_pacs([]) as pacs:
        pacs.instead = instead
        client = client_of(fresh_store(pacs, tmp_path, look=False))
        reply = client.get("/proxy/dicom/wado/studies/1.2/series/1.3/instances/1.4/rendered")

    assert reply.headers["content-type"] == "application/octet-stream"
    assert reply.headers["content-disposition"] == "attachment"
    assert reply.headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert reply.headers["x-content-type-options"] == "nosniff"


def test_images_and_lists_of_a_pacs_are_passed_on_as_such(client_of, tmp_path):
    def instead(handler, path):
        if path.endswith("/rendered"):
            handler.send_bytes(b"image", "image/jpeg")
            return True
        return False

    with memory_pacs(ct_slices()) as pacs:
        pacs.instead = instead
        client = client_of(fresh_store(pacs, tmp_path, look=False))
        image = client.get("/proxy/dicom/wado/studies/1.2/series/1.3/instances/1.4/rendered")
        study = ct_slices()[0].StudyInstanceUID
        whole = client.get(f"/proxy/dicom/wado/studies/{study}/series/{CASE}")
        found = client.get("/proxy/dicom/qido/series")

    assert image.headers["content-type"] == "image/jpeg" and image.content == b"image"
    assert whole.headers["content-type"].startswith('multipart/related; type="application/dicom"')
    assert len(found.json()) == 1
    for reply in (image, whole, found):
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert "content-disposition" not in reply.headers
