"""The PACS that tests run against: only on 127.0.0.1, keeps what it was given, dies when told to."""

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

import local_orthanc
from local_orthanc import LocalOrthanc
from small.dicom import ct_slices, write_dicom

pytestmark = pytest.mark.pacs


@pytest.fixture
def folder(tmp_path, require):
    if not local_orthanc.installed():
        require("Orthanc", "apt-get install orthanc orthanc-dicomweb")
    return tmp_path / "pacs"


def listed(pacs, what="series"):
    return requests.get(f"{pacs.url}/{what}", auth=pacs.auth, timeout=10).json()


def test_stored_series_is_there_after_a_restart_at_the_same_address(folder, tmp_path):
    write_dicom(tmp_path / "ct", ct_slices())
    with LocalOrthanc(folder) as pacs:
        for path in sorted((tmp_path / "ct").iterdir()):
            pacs.store(path)
        assert len(listed(pacs)) == 1 and len(listed(pacs, "instances")) == 12
        url = pacs.url
        pacs.stop()
        pacs.start()
        assert pacs.url == url and len(listed(pacs, "instances")) == 12


def test_killed_archive_refuses_connections_and_starts_again_on_its_storage(folder):
    with LocalOrthanc(folder) as pacs:
        pacs.kill()
        with pytest.raises(requests.ConnectionError):
            listed(pacs)
        pacs.start()
        assert listed(pacs) == []


def test_paused_archive_does_not_answer(folder):
    with LocalOrthanc(folder) as pacs:
        pacs.pause()
        with pytest.raises(requests.Timeout):
            requests.get(f"{pacs.url}/series", timeout=0.3)
        pacs.resume()
        assert listed(pacs) == []


def test_password_is_asked_for(folder):
    with LocalOrthanc(folder, "anna", "secret") as pacs:
        assert listed(pacs) == []
        assert requests.get(f"{pacs.url}/series", timeout=10).status_code == 401


def test_nobody_else_reaches_it(folder):
    own = {entry[4][0] for entry in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    with LocalOrthanc(folder) as pacs:
        for address in own - {"127.0.0.1"}:
            try:
                status = requests.get(f"http://{address}:{pacs.port}/dicom-web/series", timeout=2).status_code
            except requests.RequestException:
                continue
            # Without a namespace it hears other computers and refuses them; this one it takes for local.
            assert not local_orthanc._cell() and status in (200, 401, 403)


def test_it_ends_when_its_parent_is_killed(folder, tmp_path):
    scripts = Path(local_orthanc.__file__).parent
    code = (
        f"import sys, time; sys.path.insert(0, {str(scripts)!r})\n"
        "from local_orthanc import LocalOrthanc\n"
        f"pacs = LocalOrthanc({str(folder)!r}); pacs.start(); print(pacs.url, flush=True); time.sleep(100)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    url = parent.stdout.readline().strip()
    assert requests.get(f"{url}/series", timeout=10).ok
    parent.kill()
    parent.wait()
    parent.stdout.close()
    for _ in range(100):
        try:
            requests.get(f"{url}/series", timeout=10)
        except requests.ConnectionError:
            return
        time.sleep(0.1)
    pytest.fail("Orthanc still answers although its parent is gone")


def test_missing_archive_is_told(folder, monkeypatch):
    monkeypatch.setattr(local_orthanc, "plugin", lambda: None)
    with pytest.raises(RuntimeError, match="apt-get install orthanc orthanc-dicomweb"):
        LocalOrthanc(folder).start()
