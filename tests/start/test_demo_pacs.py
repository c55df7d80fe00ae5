"""One command: phantoms, PACS and server come up, find nodes, and are gone after Ctrl-C."""

import os
import signal
import socket
import subprocess
from pathlib import Path

import psutil
import pydicom
import pytest
import requests
import yaml

import demo_pacs
import local_orthanc
from local_orthanc import LocalOrthanc
from osln.phantom import make_phantom

ROOT = Path(__file__).resolve().parents[2]
END = "Ctrl-C ends the server and the PACS"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def orthanc(require):
    if not local_orthanc.installed():
        require("Orthanc", "apt-get install orthanc orthanc-dicomweb")


@pytest.fixture
def quick(monkeypatch):
    """Small patients."""

    def small(seed, *, misregistered, **_):
        return make_phantom(seed, spacing_mm=(5.0, 5.0, 6.0), misregistered=misregistered)

    monkeypatch.setattr(demo_pacs, "make_phantom", small)


class Demo:
    """The command as a user runs it, in a folder of its own.

    Args:
        work: Folder of all data.
        ports: Of the server and of the PACS.
    """

    def __init__(self, work: Path, ports: tuple[int, int]) -> None:
        self.work, self.url, self.said = work, f"http://127.0.0.1:{ports[0]}", ""
        command = [ROOT / "scripts" / "demo-pacs", "--work", work, "--patients", "1"]
        command += ["--port", str(ports[0]), "--pacs-port", str(ports[1])]
        self.process = subprocess.Popen(
            [str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    def wait_until_up(self) -> None:
        for line in self.process.stdout:
            self.said += line
            if END in line:
                return
        log = self.work / "server.log"
        raise AssertionError(self.said + (log.read_text()[-3000:] if log.exists() else ""))

    def interrupt(self) -> list[psutil.Process]:
        """Ctrl-C; returns the processes that were there before."""
        everything = [psutil.Process(self.process.pid)]
        everything += everything[0].children(recursive=True)
        self.process.send_signal(signal.SIGINT)
        self.said += self.process.communicate(timeout=60)[0]
        return everything


@pytest.mark.pacs
@pytest.mark.server
@pytest.mark.slow
def test_the_command_finds_nodes_in_a_pacs_and_leaves_no_process_behind(orthanc, tmp_path):
    ports = free_port(), free_port()
    for run in ("first", "on the same storage"):
        demo = Demo(tmp_path / "work", ports)
        try:
            demo.wait_until_up()
            header = pydicom.dcmread(
                next((tmp_path / "work/dicom/phantom-01/planning-ct").iterdir()), stop_before_pixels=True
            )
            assert f"{demo.url}/ohif/" in demo.said
            assert f"StudyInstanceUIDs={header.StudyInstanceUID}" in demo.said
            # 104 slices of the CT, 82 of the PET and the structure set.
            stored = 187 if run == "first" else 0
            assert f"  {stored} images were stored" in demo.said
            cases = requests.get(f"{demo.url}/datastore/?output=all", timeout=120).json()["objects"]
            assert list(cases) == [header.SeriesInstanceUID]
            reply = requests.post(
                f"{demo.url}/infer/osln?image={header.SeriesInstanceUID}&output=json", timeout=300
            )
            assert reply.ok, reply.text
            assert [c for c in reply.json()["candidates"] if c["kept"]]
        finally:
            everything = demo.interrupt()
        assert demo.process.returncode == 0 and "has ended" in demo.said
        assert len(everything) >= 3
        _, alive = psutil.wait_procs(everything, timeout=10)
        assert alive == []
    for port in ports:
        with pytest.raises(requests.ConnectionError):
            requests.get(f"http://127.0.0.1:{port}/", timeout=5)


@pytest.mark.pacs
def test_the_patients_are_stored_once(orthanc, quick, tmp_path):
    with LocalOrthanc(tmp_path / "orthanc") as pacs:
        studies = demo_pacs.make_studies(tmp_path / "dicom", 1)
        # 52 slices of the CT, 82 of the PET and the structure set.
        assert demo_pacs.upload(pacs.url, studies) == 135
        assert demo_pacs.upload(pacs.url, studies) == 0
        found = requests.get(f"{pacs.url}/series", timeout=10).json()
    assert sorted(item["00080060"]["Value"][0] for item in found) == ["CT", "PT", "RTSTRUCT"]


@pytest.mark.slow
def test_patients_are_made_once_and_an_interrupted_one_again(quick, tmp_path, monkeypatch):
    [study] = demo_pacs.make_studies(tmp_path, 1)
    before = (study / "planning-ct" / "0001.dcm").stat().st_mtime_ns

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(demo_pacs, "write_dicom_case", interrupted)
        with pytest.raises(KeyboardInterrupt):
            demo_pacs.make_studies(tmp_path, 2)
    studies = demo_pacs.make_studies(tmp_path, 2)

    assert [path.name for path in studies] == ["phantom-01", "phantom-02"]
    assert (study / "planning-ct" / "0001.dcm").stat().st_mtime_ns == before
    assert sorted(path.name for path in tmp_path.iterdir() if any(path.iterdir())) == [
        "phantom-01", "phantom-02",
    ]  # fmt: skip


def refused(monkeypatch, capsys, *options: str) -> str:
    monkeypatch.setattr("sys.argv", ["demo_pacs.py", *options])
    assert demo_pacs.main() == 1
    return capsys.readouterr().err


def test_without_orthanc_it_says_how_to_install_it(monkeypatch, capsys):
    monkeypatch.setattr(demo_pacs, "installed", lambda: False)

    assert "apt-get install orthanc orthanc-dicomweb" in refused(monkeypatch, capsys)


@pytest.mark.parametrize("option", ["--port", "--pacs-port"])
def test_a_port_in_use_is_named_with_the_option_that_changes_it(monkeypatch, capsys, option):
    monkeypatch.setattr(demo_pacs, "installed", lambda: True)
    other = "--pacs-port" if option == "--port" else "--port"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        told = refused(monkeypatch, capsys, option, str(port), other, str(free_port()))

    assert f"127.0.0.1:{port} cannot be used" in told and f" {option} {port + 1}" in told


def test_a_pacs_that_is_not_there_is_told_in_words(monkeypatch, capsys, quick, tmp_path):
    url = f"http://127.0.0.1:{free_port()}/dicom-web"

    told = refused(monkeypatch, capsys, "--store-in", url, "--work", str(tmp_path), "--patients", "1")

    assert "cannot be reached" in told and "Traceback" not in told


def test_the_compose_file_publishes_only_on_the_loopback_address():
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]

    for service in services.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        name, _, tag = service["image"].rpartition(":")
        assert name and tag != "latest"
    demo_pacs.command_line().parse_args(services["patients"]["command"][2:])
