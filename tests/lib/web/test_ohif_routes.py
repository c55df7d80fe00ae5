"""OHIF's files, its configuration, its window to the PACS and stored labels, asked for by HTTP."""

import re
import shutil
import subprocess
from urllib.parse import unquote

import numpy as np
import pytest

from lib.store.datastore import OslnDatastore
from lib.web import ohif_routes
from osln.dicom.served.uids import study_uid
from osln.imaging.grid import read_volume
from osln.imaging.labelmaps import map_exactly, read_label_file
from small import store as small_store
from small.routes import client_of_routes


@pytest.fixture
def client_of(monkeypatch):
    return lambda store: client_of_routes(monkeypatch, [ohif_routes], store)


@pytest.fixture
def client(client_of, tmp_path):
    return client_of(OslnDatastore(tmp_path))


def test_configuration_is_one_script_of_all_files(client, tmp_path):
    reply = client.get("/ohif/app-config.js")

    assert reply.headers["content-type"].startswith("text/javascript")
    files = sorted(ohif_routes.SCRIPTS.glob("*.js"))
    assert [path.stem for path in files] == sorted(ohif_routes.ORDER)
    assert all(path.read_text() in reply.text for path in files)
    if shutil.which("node") is None:
        pytest.skip("Node.js is not on this computer, which checks the script's syntax")
    (tmp_path / "app-config.js").write_text(reply.text)
    subprocess.run(["node", "--check", tmp_path / "app-config.js"], check=True)


DEFINED = re.compile(r"^(?:async )?(?:const|function|class) (\w+)", re.MULTILINE)


@pytest.mark.parametrize("name", ohif_routes.ORDER)
def test_each_script_says_at_its_top_what_it_uses_from_which_other_one(name):
    texts = {one: (ohif_routes.SCRIPTS / f"{one}.js").read_text() for one in ohif_routes.ORDER}
    (line,) = re.findall("^// Uses (.*)\\.$", texts[name], re.MULTILINE)
    told = dict(part.split(".js: ") for part in line.split("; ")) if ".js" in line else {}
    code = re.sub(r"//.*", "", texts[name])

    assert list(told) == [one for one in ohif_routes.ORDER if one in told], "in the order of the files"
    for other, names in told.items():
        assert set(names.split(", ")) <= set(DEFINED.findall(texts[other]))
        assert all(re.search(rf"\b{word}\b", code) for word in names.split(", "))


def test_files_in_folders_are_served_as_they_are(client):
    reply = client.get("/ohif/assets/favicon.ico")

    assert reply.content == (ohif_routes.VIEWER / "assets" / "favicon.ico").read_bytes()


def test_files_whose_name_tells_their_content_are_packed_and_kept(client):
    (bundle,) = ohif_routes.VIEWER.glob("app.bundle.*.js")
    packed = client.get(f"/ohif/{bundle.name}", headers={"Accept-Encoding": "gzip"})
    plain = client.get(f"/ohif/{bundle.name}", headers={"Accept-Encoding": "identity"})

    assert packed.content == plain.content == bundle.read_bytes()
    assert packed.headers["content-encoding"] == "gzip" and "content-encoding" not in plain.headers
    # 15.4 MB become 3.3 MB.
    assert int(packed.headers["content-length"]) < 4e6
    for reply in (packed, plain):
        assert "immutable" in reply.headers["cache-control"]
    assert client.get("/ohif/app.bundle.css").headers["cache-control"] == "no-cache"


def test_images_are_made_while_the_viewer_is_loaded(client_of, tmp_path):
    small_store.make_case(tmp_path, "one")
    store = OslnDatastore(tmp_path)

    assert client_of(store).get(f"/ohif/osln?StudyInstanceUIDs={study_uid('one')}").status_code == 200

    assert len(store.images.cache) == 2, "CT and PET are made or being made"


PAGES = ["", "osln", "no/such/page", "%2e%2e/%2e%2e/__init__.py", "..%2f..%2fmain.py"]


@pytest.mark.parametrize("path", PAGES)
def test_all_other_paths_are_the_page_which_asks_only_this_server(client, path):
    reply = client.get(f"/ohif/{path}")

    assert reply.text == (ohif_routes.VIEWER / "index.html").read_text()
    assert reply.headers["content-security-policy"].startswith("default-src 'self' ")
    assert "http" not in reply.headers["content-security-policy"]


@pytest.fixture
def labeled(client_of, tmp_path):
    """A store with one case that has a tumor, and a client of it."""
    small_store.make_case(tmp_path / "studies", "one", gtv=True)
    store = OslnDatastore(tmp_path / "studies")
    return store, client_of(store)


def shown(client, folder):
    """Headers of the reply, and the label in the order of the CT's file."""
    reply = client.get("/osln/label?image=one")
    (folder / "label.nrrd").write_bytes(reply.content)
    ct = read_volume(folder / "studies" / "one.nii.gz")
    (values,) = read_label_file(folder / "label.nrrd", ct.grid).layers
    return reply.headers, map_exactly(values, ct.grid, ct.file_grid)


def test_nodes_are_shown_over_the_tumor_with_their_revision(labeled, tmp_path):
    store, client = labeled
    tumor = small_store.tumor()
    about, label = shown(client, tmp_path)
    np.testing.assert_array_equal(label, 2 * tumor)
    assert (about["osln-case"], about["osln-revision"], about["osln-by"]) == ("one", "0", "")
    assert about["osln-series"] == store.ct_series("one")

    nodes = np.zeros_like(tumor)
    nodes[small_store.NODE] = nodes[20:22, 16:18, 10:12] = 1
    path = small_store.write(tmp_path / "upload.nii.gz", nodes)
    names = {"label_info": [{"name": "lymph node", "idx": 1}], "client_id": "Änna"}
    store.save_label("one", str(path), "final", names)

    about, label = shown(client, tmp_path)
    np.testing.assert_array_equal(label, np.where(nodes, 1, 2 * tumor))
    assert (about["osln-revision"], unquote(about["osln-by"])) == ("1", "Änna")


def test_label_that_was_put_there_by_hand_has_a_revision(labeled, tmp_path):
    store, client = labeled
    small_store.write(store.label_path("one", "final"), small_store.tumor())

    about, label = shown(client, tmp_path)

    assert about["osln-revision"] == "1"
    assert set(np.unique(label)) == {0, 1}


def test_case_without_labels_has_no_content(client_of, tmp_path):
    small_store.make_case(tmp_path, "one", gtv=False)
    client = client_of(OslnDatastore(tmp_path))

    reply = client.get("/osln/label?image=one")

    assert (reply.status_code, reply.content) == (204, b"")
    assert reply.headers["osln-revision"] == "0"


def test_unknown_case_is_told(client):
    reply = client.get("/osln/label?image=two")

    assert reply.status_code == 404
    assert "two" in reply.json()["detail"]
