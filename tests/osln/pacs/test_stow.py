"""What the answers of a store transaction mean, from a small service in this process."""

import json

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
        if status in (301, 302, 307):
            self.send_response(status)
            self.send_header("Location", "/login")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif isinstance(values, str):
            self.send_bytes(values.encode(), "text/html", status)
        else:
            self.send_bytes(json.dumps(values).encode(), self.server.kind, status)

    def do_GET(self):  # noqa: N802
        # One page, then none: the client asks until nothing new comes.
        self.send_json(self.server.there if "offset=0" in self.path else [])


@pytest.fixture
def pacs():
    with serving(Pacs) as server:
        server.answer, server.there, server.kind = (200, {}), [], "application/dicom+json"
        yield server


OBJECT = ct_slices()[0]
THERE = [{"00080018": {"vr": "UI", "Value": [str(OBJECT.SOPInstanceUID)]}}]


def failed(code):
    return {"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [code]}}]}}


def send(server):
    store_object(WebClient(server.url, Credentials()), OBJECT)


def stored(uid):
    of_it = {"00081155": {"vr": "UI", "Value": [uid]}}
    return {"00081199": {"vr": "SQ", "Value": [of_it]}}


@pytest.mark.parametrize("kind", ["application/dicom+json", "application/json; charset=utf-8"])
def test_object_that_is_named_as_stored_is_stored(pacs, kind):
    pacs.answer, pacs.kind = (200, stored(str(OBJECT.SOPInstanceUID))), kind

    send(pacs)


@pytest.mark.parametrize("answer", [(200, {}), (200, "<html>thank you</html>"), (204, "")])
def test_answer_that_names_nothing_counts_only_if_the_object_is_found(pacs, answer):
    pacs.answer = answer
    with pytest.raises(PacsError, match="does not say that it stored the object, and does not find it"):
        send(pacs)
    pacs.there = THERE
    send(pacs)


def test_answer_that_names_another_object_is_no_success(pacs):
    pacs.answer = (200, stored("1.2.3"))

    with pytest.raises(PacsError, match="does not find it"):
        send(pacs)


def test_refusal_is_told_whatever_parameters_its_media_type_has(pacs):
    pacs.answer, pacs.kind = (200, failed(0xA700)), "application/dicom+json; charset=utf-8"

    with pytest.raises(PacsError, match="has no room left"):
        send(pacs)


@pytest.mark.parametrize("status", [301, 302, 307])
def test_object_is_not_sent_on_to_a_login(pacs, status):
    pacs.answer = (status, {})

    with pytest.raises(PacsError, match=rf"sends whoever stores an object elsewhere \({status}\)"):
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
