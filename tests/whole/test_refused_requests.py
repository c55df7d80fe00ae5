"""The real server answers what cannot be answered with a sentence, and keeps nothing of it."""

import io
import os
import time
from pathlib import Path

import pytest
import requests

from small.running_server import RunningServer
from small.store import ct, make_case, ship_untrained_tagger, write

pytestmark = pytest.mark.server

JSON = {"Content-Type": "application/json"}
BODIES = {
    "not UTF-8": b'{"a": "\xff\xfe"}',
    "NaN": b'{"a": NaN}',
    "infinity": b'{"a": 1e999}',
    "half a character": b'{"a": "\\ud800"}',
    "deep": b'{"a":' * 500 + b"1" + b"}" * 500,
    "a list": b"[1]",
    "a word": b'"x"',
    "no JSON": b"{",
    "a huge number": b'{"a": 1' + b"0" * 400 + b"}",
    "too long": b'{"a": "' + b"x" * (5 * 2**20) + b'"}',
}
TAKING = [
    "/scoring/",
    "/scoring/none",
    "/train/",
    "/train/ct",
    "/batch/infer/ct",
    "/activelearning/random",
    "/activelearning/none",
    "/infer/ct?image=one",
    "/osln/history/restore?image=one",
    "/osln/lease?image=one",
    "/osln/skip?image=one",
]
ODD = [
    ("GET", "/datastore/image?image=%00"),
    ("GET", "/datastore/image?image=" + "x" * 5000),
    ("GET", "/datastore/label?label=one&tag=a%00b"),
    ("GET", "/session/%00"),
    ("GET", "/model/%00"),
    ("GET", "/model/" + "x" * 3000),
    ("GET", "/ohif/%00"),
    ("GET", "/ohif/" + "x" * 3000),
    ("GET", "/static/%00"),
    ("GET", "/static/" + "x" * 3000),
    ("GET", "/logs/?lines=1" + "0" * 30),
    ("GET", "/logs/?lines=-1"),
    ("GET", "/logs/?lines=x"),
    ("GET", "/logs/?refresh=1" + "0" * 30),
    ("GET", "/datastore/?output=%00"),
    ("GET", "/datastore/dataset?limit_cases=-1"),
    ("POST", "/infer/ct"),
    ("POST", "/infer/ct?image=one&output=dicom_seg"),
    ("POST", "/train/ct?run_sync=maybe"),
    ("DELETE", "/session/x"),
    ("DELETE", "/datastore/image?id=%0a"),
    ("DELETE", "/datastore/label?id=one&tag=original"),
]
NAMES = [
    "a\0b.nii.gz",
    "x" * 300 + ".nii.gz",
    "." + "y" * 250,
    "\ud800.nii.gz",
    "",
    "..",
    "a.txt",
]


@pytest.fixture(scope="module")
def temporary(tmp_path_factory):
    return tmp_path_factory.mktemp("temporary")


@pytest.fixture(scope="module")
def server(tmp_path_factory, temporary):
    folder = tmp_path_factory.mktemp("refused")
    make_case(folder / "store", "one")
    ship_untrained_tagger(folder / "models")
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = str(temporary)
    running = RunningServer(folder / "store", folder / "models", folder / "server.log")
    yield running
    running.stop()
    os.environ.pop("TMPDIR") if before is None else os.environ.update(TMPDIR=before)


def sentence(reply):
    """The detail of a refusal; fails if it is none or has none."""
    assert 400 <= reply.status_code < 500, (reply.request.method, reply.request.url[:90], reply.text[:300])
    detail = reply.json()["detail"]
    assert detail
    return detail


def kept(temporary: Path) -> list[str]:
    """Temporary files of the server besides its lock, and folders of a kind that go with it."""
    return sorted(path.name for path in temporary.glob("osln-server-*/*") if path.name != ".lock")


@pytest.mark.parametrize("path", TAKING)
@pytest.mark.parametrize("kind", BODIES)
def test_bodies_that_no_task_can_take_are_refused(server, path, kind):
    for headers in (JSON, {"Content-Type": "text/plain"}):
        reply = requests.post(server.url + path, data=BODIES[kind], headers=headers, timeout=60)
        sentence(reply)


@pytest.mark.parametrize(("method", "path"), ODD)
def test_odd_addresses_are_answered(server, method, path):
    reply = requests.request(method, server.url + path, timeout=60)
    assert reply.status_code < 500, reply.text[:300]


@pytest.mark.parametrize(
    "text", ["NaN", '{"a": NaN}', '{"a": "\\ud800"}', "{", "[]", '{"strategy": 1}', '{"id": 1}']
)
def test_notes_that_cannot_be_told_again_are_refused_and_the_store_goes_on(server, text):
    for method, path in (
        ("PUT", "/datastore/image/info?image=one"),
        ("PUT", "/datastore/label/info?label=one&tag=gtv"),
    ):
        if text == '{"id": 1}' and "label" in path:
            continue
        sentence(requests.request(method, server.url + path, data={"info": text}, timeout=60))
    assert requests.get(f"{server.url}/datastore/?output=all", timeout=60).json()["objects"].keys() == {"one"}
    requests.put(f"{server.url}/datastore/image/info?image=one", data={"info": '{"n": 1}'}, timeout=60)
    assert requests.get(f"{server.url}/datastore/image/info?image=one", timeout=60).json()["n"] == 1


@pytest.mark.parametrize("name", NAMES)
def test_names_that_no_file_has_are_refused_and_nothing_of_the_upload_is_kept(server, temporary, name):
    before = kept(temporary)
    for method, path, field in (
        ("PUT", "/datastore/image?image=new", "file"),
        ("PUT", "/datastore/image", "file"),
        ("PUT", "/datastore/label?image=one&tag=final", "label"),
        ("PUT", "/session/", "files"),
    ):
        body, kind = _form(field, name, b"no image")
        reply = requests.request(
            method, server.url + path, data=body, headers={"Content-Type": kind}, timeout=60
        )
        sentence(reply)
    assert kept(temporary) == before


def _form(field, name, content):
    named = name.encode(errors="surrogatepass")
    head = b'--x\r\nContent-Disposition: form-data; name="%s"; filename="%s"\r\n\r\n' % (
        field.encode(),
        named,
    )
    return head + content + b"\r\n--x--\r\n", "multipart/form-data; boundary=x"


def test_fifty_refused_uploads_and_one_good_session_leave_nothing(server, temporary, tmp_path):
    before = kept(temporary)
    for number in range(50):
        upload = {"file": (f"{number}.nii.gz", io.BytesIO(b"no image"))}
        sentence(requests.put(f"{server.url}/datastore/image", files=upload, timeout=60))
    image = write(tmp_path / "image.nii.gz", ct())
    with image.open("rb") as file:
        reply = requests.put(f"{server.url}/session/", files={"files": ("a.nii.gz", file)}, timeout=60)
    session = reply.json()["session_id"]
    assert (
        requests.get(f"{server.url}/session/{session}?image=true", timeout=60).content == image.read_bytes()
    )
    assert kept(temporary) == before


def test_a_downloaded_dataset_leaves_no_archive(server, temporary, tmp_path):
    with write(tmp_path / "label.nii.gz", (ct() > 100).astype("uint8")).open("rb") as file:
        stored = requests.put(
            f"{server.url}/datastore/label?image=one", files={"label": ("l.nii.gz", file)}, timeout=60
        )
    assert stored.json()["revision"] == 1
    before = kept(temporary)
    reply = requests.get(f"{server.url}/datastore/dataset", timeout=60)
    assert reply.content[:2] == b"PK"
    deadline = time.monotonic() + 10
    while kept(temporary) != before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert kept(temporary) == before


def test_a_computer_without_a_gpu_says_so(server):
    reply = requests.get(f"{server.url}/logs/gpu", timeout=60)
    assert reply.status_code == 200 or "nvidia-smi" in reply.json()["detail"]
    assert requests.get(f"{server.url}/logs/?lines=5&text=true", timeout=60).status_code == 200


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="counts threads as Linux shows them")
def test_reloads_leave_no_watcher_behind(server):
    def threads():
        return len(list(Path(f"/proc/{server.process.pid}/task").iterdir()))

    def reload():
        requests.post(f"{server.url}/reload", timeout=60)
        assert requests.get(f"{server.url}/info/", timeout=60).status_code == 200

    reload()
    before = threads()
    for _ in range(5):
        reload()
    assert threads() <= before + 1


def test_a_killed_server_leaves_a_private_folder_that_the_next_one_removes(server, temporary):
    (left,) = temporary.glob("osln-server-*")
    assert left.stat().st_mode & 0o777 == 0o700
    server.process.kill()
    server.process.wait()
    assert left.exists()
    server.start()
    (now,) = temporary.glob("osln-server-*")
    assert now != left
