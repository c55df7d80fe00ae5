"""What the module for 3D Slicer says to a server, and makes of its answers."""

import json
from typing import ClassVar

import pytest

from slicer_module.oslnlib.server import Server, ServerError, multipart, sentence_of
from small.web import Answering, serving


class Asked(Answering):
    """A server with accounts; notes what it is asked."""

    asked: ClassVar[list[tuple[str, str, bytes]]] = []
    training = True

    def do_GET(self):  # noqa: N802
        self.answer(b"")

    def do_POST(self):  # noqa: N802
        self.answer(self.rfile.read(int(self.headers["Content-Length"])))

    def answer(self, body):
        self.asked.append((self.path, self.headers.get("Authorization", ""), body))
        path = self.path.split("?")[0].removeprefix("/dicom-web")
        if path == "/auth/":
            self.send_json({"enabled": True})
        elif path == "/auth/token":
            right = body == b"username=%C3%84nna&password=a%26b"
            self.send_json({"access_token": "t0ken"} if right else {"detail": "wrong"}, 200 if right else 401)
        elif path == "/train/":
            self.send_json(
                {"request": {"model": "glnet"}} if self.training else {"detail": "none"},
                200 if self.training else 404,
            )
        elif path == "/info/":
            self.send_json({"train_stats": {"glnet": {"epoch": 3, "total_epochs": 20}}})
        elif path == "/activelearning/first":
            self.send_json({})
        else:
            self.send_json({"detail": "there is none"}, 404)


@pytest.fixture
def url():
    Asked.asked, Asked.training = [], True
    with serving(Asked) as running:
        yield running.url


def test_an_account_logs_in_and_its_token_goes_along(url):
    server = Server(f"{url}/", "Änna", "a&b")
    assert server.next_sample("first") is None
    path, token, body = Asked.asked[-1]
    assert (path, token) == ("/dicom-web/activelearning/first", "Bearer t0ken")
    assert json.loads(body) == {"client_id": "Änna"}


def test_a_wrong_password_is_told(url):
    with pytest.raises(ServerError, match="wrong") as refused:
        Server(url, "Änna", "no")
    assert refused.value.status == 401


def test_what_is_not_there_is_none_and_not_an_error(url, tmp_path):
    server = Server(url, "Änna", "a&b")
    assert server.file("/osln/pet", tmp_path, image="one") is None
    assert server.candidates("one") == {"case": "one", "model": None, "candidates": []}
    with pytest.raises(ServerError, match="there is none"):
        server.revision("one")


def test_the_state_of_the_training(url):
    server = Server(url, "Änna", "a&b")
    assert server.training() == "training glnet, epoch 3 of 20"
    Asked.training = False
    assert server.training() == "no training is running"


def test_a_form_with_a_file():
    body, kind = multipart({"params": '{"a": 1}'}, ("label", "label.nrrd", b"\x00\r\n"))
    mark = kind.removeprefix("multipart/form-data; boundary=").encode()
    assert body.count(b"--" + mark) == 3 and body.endswith(b"\x00\r\n\r\n--" + mark + b"--\r\n")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b'{"detail": "no such case"}', "no such case"),
        (b'{"detail": [{"loc": 1}]}', '[{"loc": 1}]'),
        (b"<html>", "the server answered with status 502"),
        (b"[]", "the server answered with status 502"),
    ],
)
def test_refusals_are_told_in_words(content, sentence):
    assert sentence_of(content, 502) == sentence
