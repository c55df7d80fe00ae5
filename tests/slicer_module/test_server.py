"""What the module for 3D Slicer says to a server, and makes of its answers."""

import json
import time
from typing import ClassVar

import pytest

from slicer_module.oslnlib import server as module
from slicer_module.oslnlib.server import Server, ServerError, multipart, sentence_of
from small.web import Answering, serving


class Asked(Answering):
    """A server with accounts; notes what it is asked."""

    asked: ClassVar[list[tuple[str, str, bytes]]] = []
    training = True
    token = "t0ken"
    late = 0.0
    about: ClassVar[dict[str, str]] = {}
    tumor: ClassVar[dict[str, object]] = {}
    stored: ClassVar[dict[str, object]] = {}

    def do_GET(self):  # noqa: N802
        self.answer(b"")

    def do_PUT(self):  # noqa: N802
        self.do_POST()

    def do_POST(self):  # noqa: N802
        self.answer(self.rfile.read(int(self.headers["Content-Length"])))

    def answer(self, body):
        self.asked.append((self.path, self.headers.get("Authorization", ""), body))
        path = self.path.split("?")[0].removeprefix("/dicom-web")
        if path == "/auth/":
            self.send_json({"enabled": True})
        elif path == "/auth/token":
            right = body == b"username=%C3%84nna&password=a%26b"
            self.send_json(
                {"access_token": self.token} if right else {"detail": "wrong"}, 200 if right else 401
            )
        elif self.headers.get("Authorization") != f"Bearer {self.token}":
            self.send_json({"detail": "log in first"}, 401)
        elif path == "/osln/label":
            self.send_response(200)
            self.send_header("OSLN-Tumor-Value", "65535")
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"NRRD")
        elif path == "/datastore/label":
            self.send_json({"message": "Stored."} | self.stored)
        elif path == "/train/":
            time.sleep(self.late)
            self.send_json(
                {"request": {"model": "glnet"}} if self.training else {"detail": "none"},
                200 if self.training else 404,
            )
        elif path == "/osln/history" and self.tumor:
            self.send_json(self.tumor)
        elif path == "/osln/case" and self.about:
            self.send_json(self.about)
        elif path == "/datastore/image" and self.about:
            self.send_json({})
        elif path == "/info/":
            self.send_json({"train_stats": {"glnet": {"epoch": 3, "total_epochs": 20}}})
        elif path == "/activelearning/first":
            self.send_json({})
        else:
            self.send_json({"detail": "there is none"}, 404)


@pytest.fixture
def url():
    Asked.asked, Asked.training, Asked.token, Asked.late, Asked.about = [], True, "t0ken", 0.0, {}
    Asked.tumor, Asked.stored = {}, {}
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


def test_a_login_that_has_ended_is_renewed_and_the_label_is_sent_again(url):
    server = Server(url, "Änna", "a&b")
    Asked.token = "new"
    assert server.submit("one", b"voxels", [], {}, 0) == {"message": "Stored."}
    sent = [(token, body) for path, token, body in Asked.asked if "/datastore/label" in path]
    assert [token for token, _ in sent] == ["Bearer t0ken", "Bearer new"] and sent[0][1] == sent[1][1]


def test_a_label_says_which_revisions_of_nodes_and_tumor_were_edited(url):
    Server(url, "Änna", "a&b").submit("one", b"voxels", [], {}, 3, 2)
    sent = Asked.asked[-1][2].decode()
    assert '"base_revision": 3' in sent and '"tumor_base_revision": 2' in sent


def test_a_label_says_which_tumor_was_shown_and_goes_on_from_the_one_that_was_stored(url):
    server = Server(url, "Änna", "a&b")
    Asked.tumor = {"revisions": [], "mark": "0123"}
    assert server.tumor_revision("one") == 0
    Asked.stored = {"tumor_revision": 2, "tumor_mark": "4567"}
    server.submit("one", b"voxels", [], {}, 3, 0)
    assert '"tumor_base_revision": 0, "tumor_base_mark": "0123"' in Asked.asked[-1][2].decode()
    # Without a tumor that was shown or sent nothing is told of it.
    Asked.stored = {"tumor_revision": None, "tumor_mark": None}
    for _ in range(2):
        server.submit("one", b"voxels", [], {}, 3, 2)
        assert '"tumor_base_revision": 2, "tumor_base_mark": "4567"' in Asked.asked[-1][2].decode()


def test_a_server_of_a_former_version_is_asked_without_a_mark(url):
    server = Server(url, "Änna", "a&b")
    Asked.tumor = {"revisions": [{"revision": 1}, {"revision": 2}]}
    assert server.tumor_revision("one") == 2
    server.submit("one", b"voxels", [], {}, 3, 2)
    assert '"tumor_base_mark": null' in Asked.asked[-1][2].decode()


def test_a_login_that_is_not_renewed_says_what_to_do_and_takes_what_is_filled_in_then(url):
    server = Server(url, "Änna", "a&b")
    Asked.token = "new"
    server.login = lambda: ("Änna", "old")
    expected = r"login has ended, .* \(wrong\): fill in your name and password .* press the button again"
    with pytest.raises(ServerError, match=expected) as refused:
        server.submit("one", b"voxels", [], {}, 0)
    assert refused.value.status == 401
    server.login = lambda: ("Änna", "a&b")
    assert server.submit("one", b"voxels", [], {}, 0) == {"message": "Stored."}


def test_the_state_of_the_training_waits_for_little_and_renews_no_login(url, monkeypatch):
    server = Server(url, "Änna", "a&b")
    monkeypatch.setattr(module, "SECONDS_OF_STATUS", 0.05)
    Asked.late = 1.0
    with pytest.raises(ServerError, match="does not answer") as refused:
        server.training()
    assert refused.value.status == 0
    Asked.token, Asked.asked = "new", []
    with pytest.raises(ServerError, match="log in first"):
        server.training()
    assert [path.split("?")[0] for path, *_ in Asked.asked] == ["/dicom-web/train/"]


def test_the_stored_label_comes_with_the_value_of_its_tumor(url, tmp_path):
    file, tumor = Server(url, "Änna", "a&b").label("one", tmp_path)
    assert (file.read_bytes(), tumor) == (b"NRRD", 65535)


def test_a_case_without_a_ct_is_refused(url, tmp_path):
    with pytest.raises(ServerError, match="proposes case one, but does not hand out its CT"):
        Server(url, "Änna", "a&b").image("one", tmp_path)


@pytest.mark.parametrize(("told", "named"), [({"series": "2.25.1.2"}, "2.25.1.2"), ({}, "one")])
def test_a_label_goes_to_the_images_that_were_opened_where_the_server_names_them(url, tmp_path, told, named):
    server, Asked.about = Server(url, "Änna", "a&b"), {"case": "one", **told}
    server.image("one", tmp_path)
    assert [path.split("?")[0] for path, *_ in Asked.asked[-2:]] == [
        "/dicom-web/osln/case",
        "/dicom-web/datastore/image",
    ]
    server.submit("one", b"voxels", [], {}, 0)
    assert Asked.asked[-1][0] == f"/dicom-web/datastore/label?image={named}&tag=final"


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
