"""The page's files, the API page and the documents, and the state of the server that the page shows."""

import importlib.util
import re
from types import SimpleNamespace

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from lib.store.datastore import OslnDatastore
from lib.web import pages, state, threads
from osln.rows.experiments import DEFAULT_ROW
from small.store import make_case

VIEWS = ("worklist", "models", "quality")
HAS_SWAGGER = importlib.util.find_spec("fastapi_offline") is not None


@pytest.fixture
def app(tmp_path):
    make_case(tmp_path / "store", "one")
    (tmp_path / "store" / "two words.nii.gz").write_bytes(b"")
    store = OslnDatastore(tmp_path / "store")
    return SimpleNamespace(
        name="OSLN Label",
        version="0.1.0",
        studies="store",
        datastore=lambda: store,
        _infers={"osln": None},
        _trainers={},
        _keeper=None,
        published=SimpleNamespace(
            versions=lambda: {"ct": None},
            tagger=SimpleNamespace(describe=lambda: None),
            remarks=lambda row: [f"{row.name} has a remark"] if row.classifier else [],
        ),
    )


@pytest.fixture
def client(monkeypatch, app):
    monkeypatch.setattr(pages, "app_instance", lambda: app)
    pages.swagger_folder.cache_clear()
    served = FastAPI(docs_url=None, redoc_url="/docs")
    threads.shadow(served, [pages])
    yield TestClient(served)
    pages.swagger_folder.cache_clear()


def addresses(page):
    """What a page loads or links to, as far as its text says."""
    return re.findall(r"""(?:src|href|url)\s*[=:]\s*["'`]([^"'`]+)""", page)


def test_the_page_needs_nothing_from_elsewhere_and_runs_no_script_but_its_files(client):
    reply = client.get("/")

    policy = reply.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self';") and "unsafe" not in policy
    assert "http" not in reply.text
    found = addresses(reply.text)
    assert found == [
        "favicon.ico",
        "osln/page/style.css",
        "osln/page/main.js",
        *(f"#{name}" for name in VIEWS),
    ]
    for name in pages.FILES:
        text = client.get(f"/osln/page/{name}").text
        assert "https://" not in text and "http://" not in text.replace("http://www.w3.org/2000/svg", "")
        assert set(re.findall(r"from '\./([^']+)'", text)) <= pages.FILES.keys()
    assert client.get("/osln/page/index.html").status_code == 404
    assert "style.css" in client.get("/osln/page/pages.py").json()["detail"]


def test_the_state_says_cases_weights_notes_and_what_was_left_out(client):
    found = client.get("/osln/state").json()

    assert found["cases"] == {"total": 1, "approved": 0, "predicted": 0, "with a tumor contour": 1}
    assert found["left_out"][0].startswith("two words.nii.gz cannot be a case, rename it")
    assert found["weights"] == {"ct": None} and found["training"] is None
    assert found["notes"][0] == f"{DEFAULT_ROW} has a remark" and "ct has a remark" not in found["notes"]


@pytest.mark.slow
def test_documents_are_pages_whose_links_and_pictures_are_there(client):
    names = client.get("/osln/state").json()["documents"]
    read = {name: client.get(f"/osln/docs/{name}") for name in names}
    for name, reply in read.items():
        assert reply.headers["content-type"].startswith("text/html")
        assert "script-src 'self'" in reply.headers["content-security-policy"]
        assert "<script" not in reply.text and " style=" not in reply.text
        for target in addresses(reply.text):
            if target.startswith(("https://", "http://")):
                continue
            other, _, heading = target.partition("#")
            if heading:
                assert f'id="{heading}"' in read[other or name].text, f"{name}: {target}"
            elif target not in (*read, "../../", "../page/style.css"):
                assert client.get(f"/osln/docs/{other}").status_code == 200, f"{name}: {target}"
    assert names["README.md"] == "OSLN Label" and next(iter(names)) == "README.md"
    assert 'href="install.md"' in read["README.md"].text
    assert "<td>" in read["experiments.md"].text and "<pre><code>" in read["install.md"].text


def test_nothing_but_documents_and_their_pictures_can_be_read(client):
    for other in (
        "..%2fREADME.md",
        "CHANGELOG.md",
        "images",
        "..%2f..%2fREADME.md/x",
    ):
        assert client.get(f"/osln/docs/{other}").status_code == 404


@pytest.mark.skipif(not HAS_SWAGGER, reason="fastapi-offline of requirements.txt is not installed")
def test_the_api_page_loads_from_this_server_alone(client):
    reply = client.get("/docs")

    assert reply.headers["content-security-policy"].startswith("default-src 'self' ")
    found = [address for address in addresses(reply.text) if not address.startswith("#")]
    assert set(found) == {
        "osln/api/swagger-ui.css",
        "osln/api/swagger-ui-bundle.js",
        "favicon.ico",
        "/openapi.json",
    }
    for name in ("swagger-ui.css", "swagger-ui-bundle.js"):
        assert len(client.get(f"/osln/api/{name}").content) > 100_000
    assert client.get("/osln/api/redoc.standalone.js").status_code == 404


def test_without_its_package_the_api_page_says_what_to_install(client, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    reply = client.get("/docs")
    assert reply.status_code == 503 and "fastapi-offline" in reply.json()["detail"]


@pytest.mark.parametrize(
    ("record", "outcome"),
    [
        ({"status": "failed", "error": "no case"}, "failed: no case"),
        (
            {"status": "done", "total_time": "0:01:00", "report": {"sentence": "published"}},
            "done in 0:01:00: published",
        ),
        ({"status": "running", "epoch": 2, "total_epochs": 9, "step": None}, "epoch 2 of 9"),
        ({"status": "preparing", "step": "reading cases"}, "reading cases"),
    ],
)
def test_the_last_training_is_told_in_words(app, monkeypatch, record, outcome):
    monkeypatch.setattr(state, "tasks", lambda method: [{"status": "RUNNING"}])
    stats = {"ct": {"start_ts": 10, "status": "failed", "error": "older"}, "ef": {"start_ts": 20, **record}}
    app._trainers = {name: SimpleNamespace(stats=lambda its=its: its) for name, its in stats.items()}

    assert state.last_training(app)["network"] == "ef"
    assert state.last_training(app)["outcome"] == outcome


def test_a_training_whose_process_is_gone_was_ended(app, monkeypatch):
    monkeypatch.setattr(state, "tasks", lambda method: [])
    app._trainers = {"ct": SimpleNamespace(stats=lambda: {"start_ts": 1, "status": "running"})}

    assert state.last_training(app)["outcome"] == "was ended before it was finished; start it again"
