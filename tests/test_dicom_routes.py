"""DICOM over HTTP where it cannot be had: folders, files, sessions. Where it can: test_pacs_server."""

from types import SimpleNamespace

import pytest

from lib import dicom_routes
from lib.datastore import OslnDatastore
from lib.errors import NotReadyError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    app = SimpleNamespace(datastore=lambda: OslnDatastore(tmp_path))
    monkeypatch.setattr(dicom_routes, "app_instance", lambda: app)


def run(**options):
    return dicom_routes.run_inference(lambda *args: ("stock", args), None, "osln", **options)


def test_store_of_folders_names_the_script(folder):
    with pytest.raises(NotReadyError, match=r"scripts/export_dicom\.py STORE CASE OUT --ct FOLDER"):
        run(image="p1", output="dicom_seg")


@pytest.mark.parametrize(
    "options", [{}, {"image": "p1", "session_id": "s"}, {"image": "p1", "file": object()}]
)
def test_segmentation_is_made_of_cases_only(folder, options):
    with pytest.raises(ValueError, match="takes a case of the store"):
        run(output="dicom_seg", **options)


def test_everything_else_is_the_stock_function(folder):
    what, args = run(image="p1", params='{"a": 1}', output="json")
    assert what == "stock" and args[1:4] == ("osln", "p1", "") and args[-1] == "json"


def test_installing_twice_asks_the_stock_function_once(monkeypatch):
    monkeypatch.setattr(dicom_routes.stock, "run_inference", lambda *args: "stock")
    dicom_routes.install()
    dicom_routes.install()

    assert dicom_routes.stock.run_inference(None, "osln", "p1") == "stock"
