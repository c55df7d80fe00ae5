"""What the answers of a store transaction mean, from a small service in this process."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from osln.dicom.credentials import Credentials
from osln.dicom.web import PacsError, WebClient
from osln.pacs.stow import store_object
from small_dicom import ct_slices


class Pacs(BaseHTTPRequestHandler):
    """Answers a POST with `answer`, and a search with `there`."""

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.reply(*self.server.answer)

    def do_GET(self):
        # One page, then none: the client asks until nothing new comes.
        self.reply(200, self.server.there if "offset=0" in self.path else [])

    def reply(self, status, values):
        content = json.dumps(values).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/dicom+json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        """Quiet."""


@pytest.fixture
def pacs():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pacs)
    server.answer, server.there = (200, {}), []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


OBJECT = ct_slices()[0]
THERE = [{"00080018": {"vr": "UI", "Value": [str(OBJECT.SOPInstanceUID)]}}]


def failed(code):
    return {"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [code]}}]}}


def send(server):
    store_object(WebClient(f"http://127.0.0.1:{server.server_port}/dicom-web", Credentials()), OBJECT)


def test_object_that_is_taken_is_stored(pacs):
    send(pacs)


@pytest.mark.parametrize(
    ("status", "values", "words"),
    [
        (202, failed(0x0122), "does not take DICOM Segmentations"),
        (200, failed(0xA700), "has no room left"),
        (200, failed(0x9999), "does not say why \\(9999H\\)"),
        (500, {}, "answered with status 500; ask its administrator"),
        (409, failed(0xA900), "answered with status 409"),
        (403, {}, "refuses \\(403\\)"),
    ],
)
def test_object_that_is_not_taken_is_told_in_words(pacs, status, values, words):
    pacs.answer = (status, values)

    with pytest.raises(PacsError, match=words):
        send(pacs)


@pytest.mark.parametrize("status", [200, 409, 500])
def test_object_that_is_there_already_counts_as_stored(pacs, status):
    pacs.answer, pacs.there = (status, failed(0x0110)), THERE

    send(pacs)
