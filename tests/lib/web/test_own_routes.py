"""The log as a page and as text."""

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from monailabel.config import settings

from lib.web import own_routes


@pytest.fixture
def client(tmp_path, monkeypatch):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "app.log").write_text("first LINES\n<script>alert(1)</script> & \x1b[31m\n")
    monkeypatch.setattr(settings, "MONAI_LABEL_APP_DIR", str(tmp_path))
    app = FastAPI()
    app.include_router(own_routes.router)
    return TestClient(app)


def test_the_page_of_the_log_runs_no_script_neither_of_others_nor_of_its_lines(client):
    reply = client.get("/logs/?lines=1&refresh=1")
    assert reply.headers["Content-Type"].startswith("text/html")
    assert "<pre>&lt;script&gt;alert(1)&lt;/script&gt; &amp; \x1b[31m\n</pre>" in reply.text
    assert "<script" not in reply.text and "://" not in reply.text
    assert 'http-equiv="refresh" content="3"' in reply.text
    assert "default-src 'self'" in reply.headers["Content-Security-Policy"]


@pytest.mark.parametrize("query", ["text=true", "html=false", "lines=0"])
def test_the_log_as_text_is_what_was_written(client, query):
    reply = client.get(f"/logs/?{query}")
    assert reply.headers["Content-Type"].startswith("text/plain")
    assert reply.text == "first LINES\n<script>alert(1)</script> & \x1b[31m\n"
