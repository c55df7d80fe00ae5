"""DICOM over HTTP where it cannot be had: folders, sessions. Where it can: test_pacs_server."""

from types import SimpleNamespace

import pytest

from lib.errors import NotReadyError
from lib.store.datastore import OslnDatastore
from lib.web import dicom_routes, gate


@pytest.fixture
def ask(tmp_path, monkeypatch):
    """The gate in front of the stock function, on a store of folders."""
    app = SimpleNamespace(datastore=lambda: OslnDatastore(tmp_path))
    monkeypatch.setattr(dicom_routes, "app_instance", lambda: app)
    return gate.checked_inference(lambda *args: pytest.fail("the stock converter was asked"))


def test_store_of_folders_names_the_script(ask):
    with pytest.raises(NotReadyError, match=r"\./scripts/osln export STORE CASE OUT --ct FOLDER"):
        ask(None, "osln", image="p1", output="dicom_seg")


def test_segmentation_is_made_of_cases_only(ask):
    with pytest.raises(ValueError, match="takes a case of the store"):
        ask(None, "osln", session_id="s", output="dicom_seg")
