"""What the answers of a store transaction mean, from a small service in this process."""

import pytest

from osln.dicom.web.client import PacsError, WebClient
from osln.dicom.web.credentials import Credentials
from osln.pacs.stow import store_object
from small.dicom import ct_slices
from small.web import Answering, serving


class Pacs(Answering):
    """Answers a POST with `answer`, and a search with `there`."""

    def do_POST(self):  # noqa: N802
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, values = self.server.answer
        self.send_json(values, status)

    def do_GET(self):  # noqa: N802
        # One page, then none: the client asks until nothing new comes.
        self.send_json(self.server.there if "offset=0" in self.path else [])


@pytest.fixture
def pacs():
    with serving(Pacs) as server:
        server.answer, server.there = (200, {}), []
        yield server


OBJECT = ct_slices()[0]
THERE = [{"00080018": {"vr": "UI", "Value": [str(OBJECT.SOPInstanceUID)]}}]


def failed(code):
    return {"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [code]}}]}}


def send(server):
    store_object(WebClient(server.url, Credentials()), OBJECT)


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
