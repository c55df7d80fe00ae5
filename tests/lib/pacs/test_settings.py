"""Credentials of a PACS: found wherever they were given, and shown nowhere."""

from pathlib import Path

import pytest
from monailabel.config import settings
from monailabel.interfaces.utils import app as instances

import start_server
from lib.configuration import KEYS, configuration
from lib.pacs import settings as pacs_settings
from osln.dicom.web.client import WebClient
from osln.dicom.web.credentials import Credentials

URL = "http://anna:s3cr%40t@pacs:8042/dicom-web/"
BARE = "http://pacs:8042/dicom-web"


@pytest.fixture(autouse=True)
def untouched(monkeypatch):
    """Settings and variables as they were."""
    for name in ("USER", "PASSWORD", "TOKEN"):
        monkeypatch.setenv(f"OSLN_DICOMWEB_{name}", "x")
        monkeypatch.delenv(f"OSLN_DICOMWEB_{name}")
    monkeypatch.setenv("MONAI_LABEL_STUDIES", URL)
    monkeypatch.setattr(settings, "MONAI_LABEL_STUDIES", URL)
    monkeypatch.setattr(settings, "MONAI_LABEL_DICOMWEB_USERNAME", "")
    monkeypatch.setattr(settings, "MONAI_LABEL_DICOMWEB_PASSWORD", "")


def test_credentials_come_from_the_address_or_from_variables(monkeypatch):
    assert pacs_settings.credentials(URL) == Credentials("anna", "s3cr@t")
    monkeypatch.setattr(settings, "MONAI_LABEL_DICOMWEB_USERNAME", "berta")
    monkeypatch.setattr(settings, "MONAI_LABEL_DICOMWEB_PASSWORD", "b")
    assert pacs_settings.credentials(BARE) == Credentials("berta", "b")
    monkeypatch.setenv("OSLN_DICOMWEB_USER", "carla")
    monkeypatch.setenv("OSLN_DICOMWEB_PASSWORD", "c")
    assert pacs_settings.credentials(BARE) == Credentials("carla", "c")
    assert pacs_settings.credentials("http://pacs/dicom-web").auth() is not None


def test_address_is_shown_without_them_and_the_app_is_still_found(monkeypatch):
    app = object()
    monkeypatch.setattr(instances, "apps", {f"/app{URL}": app})
    pacs_settings.hide(URL)

    assert settings.MONAI_LABEL_STUDIES == BARE and instances.apps == {f"/app{BARE}": app}
    assert settings.MONAI_LABEL_DICOMWEB_PASSWORD == "s3cr@t", "for the proxy, which adds them"
    assert pacs_settings.credentials(BARE) == Credentials("anna", "s3cr@t"), "for training processes"


def test_folders_are_shown_as_they_are():
    assert pacs_settings.shown("/data/anna:x@y") == "/data/anna:x@y"
    assert pacs_settings.shown(URL) == BARE
    assert pacs_settings.is_pacs(URL) and not pacs_settings.is_pacs("/data")


def test_mirror_is_the_same_whatever_the_credentials_are(monkeypatch, tmp_path):
    monkeypatch.setattr(settings, "MONAI_LABEL_DICOMWEB_CACHE_PATH", str(tmp_path))

    folder = pacs_settings.mirror_folder(URL, "/app")
    assert folder == pacs_settings.mirror_folder(BARE, "/app") and folder.parent == tmp_path
    assert folder != pacs_settings.mirror_folder("http://pacs:8042/other", "/app")
    assert "anna" not in str(folder)


def test_search_filter_of_monai_label_is_kept_but_for_the_modality(monkeypatch):
    given = {"Modality": "CT", "StudyDate": "20260101-"}
    monkeypatch.setattr(settings, "MONAI_LABEL_DICOMWEB_SEARCH_FILTER", given)

    assert pacs_settings.filters() == {"StudyDate": "20260101-"}


def test_start_command_keeps_them_out_of_the_command_line(capsys, monkeypatch):
    options, others = start_server.parse(["--studies", URL, "--dry-run"])
    variables = start_server.server_environment(URL)

    assert variables["OSLN_DICOMWEB_USER"] == "anna" and variables["OSLN_DICOMWEB_PASSWORD"] == "s3cr@t"
    command = start_server.server_command(options, others)
    assert command[command.index("--studies") + 1] == BARE
    monkeypatch.setattr("sys.argv", ["serve", "--studies", URL, "--dry-run", "--port", "0"])
    assert start_server.main() == 0
    assert "s3cr" not in capsys.readouterr().out


def test_options_of_a_pacs_are_checked(tmp_path):
    chosen = configuration({"cache_gb": "5", "roi": "GTV1=tumor; GTV2 = node"}, str(tmp_path)).pacs

    assert chosen.cache_gb == 5 and chosen.timeout_s == 60
    assert chosen.rules.chosen == {"gtv1": "tumor", "gtv2": "node"}
    with pytest.raises(ValueError, match="cache_gb is a number from 0"):
        configuration({"cache_gb": "much"}, str(tmp_path))
    with pytest.raises(ValueError, match="expected NAME=tumor"):
        configuration({"roi": "GTV1"}, str(tmp_path))


def test_the_document_has_every_key_as_the_server_says_it():
    text = (Path(__file__).parents[3] / "docs" / "install.md").read_text()
    assert [key for key, meaning in KEYS.items() if f"| `{key}` | {meaning} |" not in text] == []


@pytest.mark.parametrize(
    "password",
    ["s3cret/x", "12#4secret", "s3?cret", "s3[cret", "s3cret/", "s3@cret/y", "s3@cret"],
    ids=range(7),
)
def test_address_whose_password_ends_the_host_is_refused_and_nothing_of_it_shown(password):
    url = f"https://anna:{password}@pacs.hospital/dicom-web"
    refusals = []
    for use in (
        pacs_settings.shown,
        pacs_settings.credentials,
        pacs_settings.hide,
        lambda url: pacs_settings.mirror_folder(url, "/app"),
        lambda url: WebClient(url, Credentials()),
    ):
        with pytest.raises(ValueError, match=r"write / \? # @ .* of the password as %2F") as caught:
            use(url)
        refusals.append(str(caught.value))
    refusals.append(start_server.reason_against_address(url))

    assert len({told.rstrip(".") for told in refusals}) == 1
    assert "anna" not in refusals[0] and "cret" not in refusals[0]
    assert start_server.reason_against_address(URL) is None
