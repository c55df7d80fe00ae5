"""The server's routes that the module OSLN uses, by the standard library, and the files that go there."""

from __future__ import annotations

import gzip
import http.client
import json
import ssl
import uuid
from pathlib import Path
from urllib import error, parse, request

SECONDS = 60.0
SECONDS_OF_STATUS = 2.0
"""Of a question that nobody has asked: Slicer stands still while it waits."""
SECONDS_OF_FILES = 600.0
SECONDS_OF_INFERENCE = 1800.0


class ServerError(Exception):
    """What the server says, as a sentence."""

    def __init__(self, sentence: str, status: int = 0) -> None:
        super().__init__(sentence)
        self.status = status


class Server:
    """The server's routes that the module uses.

    Args:
        url: Of the server.
        name: Of the annotator; the account where the server asks for one.
        password: Of the account.

    Attributes:
        login: Gives name and password when the server asks for them again, because the login has ended.
    """

    def __init__(self, url: str, name: str = "", password: str = "") -> None:
        self.url, self.name, self._token = url.rstrip("/"), name, ""
        self._series: dict[str, str] = {}
        self._tumors: dict[str, str] = {}
        self.login = lambda: (name, password)
        if json.loads(self._ask("GET", "/auth/")[0])["enabled"]:
            self._log_in()

    def ask(self, method, path, body=None, kind="application/x-www-form-urlencoded", wait=SECONDS):
        """Body, status and headers of the answer; ServerError with its sentence if it refuses.

        A login that has ended is renewed, once.
        """
        try:
            return self._ask(method, path, body, kind, wait)
        except ServerError as refused:
            if refused.status != 401:
                raise
        try:
            self._log_in()
        except ServerError as refused:
            raise ServerError(
                f"the login has ended, and the server does not renew it ({refused}): fill in your name and "
                "password in the module OSLN, and press the button again. What is drawn stays as it is.",
                refused.status,
            ) from None
        return self._ask(method, path, body, kind, wait)

    def _log_in(self):
        name, password = self.login()
        form = parse.urlencode({"username": name, "password": password}).encode()
        self._token = json.loads(self._ask("POST", "/auth/token", form)[0])["access_token"]
        self.name = name

    def _ask(self, method, path, body=None, kind="application/x-www-form-urlencoded", wait=SECONDS):
        headers = {"Content-Type": kind} if body is not None else {}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        asked = request.Request(self.url + path, data=body, headers=headers, method=method)
        context = ssl.create_default_context() if self.url.startswith("https:") else None
        try:
            with request.urlopen(asked, timeout=wait, context=context) as reply:
                return reply.read(), reply.status, reply.headers
        except error.HTTPError as refused:
            raise ServerError(sentence_of(refused.read(), refused.code), refused.code) from None
        except (OSError, http.client.HTTPException) as failed:
            raise ServerError(f"the server {self.url} does not answer: {failed}") from None

    def get(self, path, **query):
        """JSON of a route."""
        return json.loads(self.ask("GET", f"{path}?{parse.urlencode(query)}")[0])

    def next_sample(self, strategy):
        """The next case: `id`, `why`; None if every case has an approved label."""
        body = json.dumps({"client_id": self.name} if self.name else {}).encode()
        path = f"/activelearning/{parse.quote(strategy)}"
        found = json.loads(self.ask("POST", path, body, "application/json")[0])
        return found if found.get("id") else None

    def opened(self, image):
        """Id of a case whose CT is opened; other images that get this id later are not taken for it."""
        about = self.get("/osln/case", image=image)
        self._series[about["case"]] = about.get("series") or about["case"]
        return about["case"]

    def _images(self, case):
        """What names the images of a case that were opened; servers of former versions know its id alone."""
        return self._series.get(case, case)

    def find(self, case):
        """Has the nodes of a case found by the server's first model, and stored as its prediction."""
        form = parse.urlencode({"params": json.dumps({"save_label": True})}).encode()
        models = self.get("/info/")["models"]
        model = next(name for name, about in models.items() if about["type"] == "segmentation")
        path = (
            f"/infer/{parse.quote(model)}?{parse.urlencode({'image': self._images(case), 'output': 'json'})}"
        )
        self.ask("POST", path, form, wait=SECONDS_OF_INFERENCE)

    def candidates(self, case):
        """What `GET /osln/candidates` says; without candidates if nothing was found yet."""
        found = self._unless_missing(lambda: self.get("/osln/candidates", image=case))
        return found or {"case": case, "model": None, "candidates": []}

    def file(self, path, folder, name=None, **query):
        """A file of the server under `folder`, or None if there is none (204, 404)."""
        found = self._file(path, folder, name, query)
        return found and found[0]

    def image(self, case, folder):
        """File of a case's CT under `folder`; ServerError if the server has none."""
        # Before it is fetched: of images that are exchanged in between, a submission is refused.
        there = self._unless_missing(lambda: self.opened(case))
        file = there and self.file("/datastore/image", folder, image=case)
        if file is None:
            raise ServerError(
                f"the server proposes case {case}, but does not hand out its CT: press Next Sample again, or "
                "tell whoever runs the server. Your scene stays as it is."
            )
        return file

    def label(self, case, folder):
        """File of the stored label, a value for each node, and the tumor's value; None if there is none."""
        query = {"image": case, "instances": "true"}
        found = self._file("/osln/label", folder, "label.nrrd", query)
        return found and (found[0], int(found[1]["OSLN-Tumor-Value"]))

    def _file(self, path, folder, name, query):
        """Path and headers of a file; None if there is none."""
        asked = f"{path}?{parse.urlencode(query)}"
        found = self._unless_missing(lambda: self.ask("GET", asked, wait=SECONDS_OF_FILES))
        if found is None or found[1] == 204:
            return None
        content, _, headers = found
        written = Path(folder) / (name or Path(headers.get_filename() or "image.nii.gz").name)
        written.write_bytes(content)
        return written, headers

    def _unless_missing(self, ask):
        """What the server answers; None if it says that there is none (404)."""
        try:
            return ask()
        except ServerError as refused:
            if refused.status != 404:
                raise
            return None

    def revision(self, case):
        """Number of the newest revision of the nodes, 0 before the first."""
        revisions = self.get("/osln/history", image=case)["revisions"]
        return max((one["revision"] for one in revisions), default=0)

    def tumor_revision(self, case):
        """Number of the newest revision of the tumor, 0 before the first.

        0 may be none or a contour that was copied there: the mark says which, and goes along with what is
        submitted.
        """
        found = self.get("/osln/history", image=case, tag="gtv")
        self._note_tumor(case, found.get("mark"))
        return max((one["revision"] for one in found["revisions"]), default=0)

    def _note_tumor(self, case, mark):
        """Servers of former versions give no mark."""
        if mark is not None:
            self._tumors[case] = mark

    def submit(self, case, content, info, review, base, tumor_base=None):
        """Sends a label map (NRRD) with its decisions; the server's reply.

        `base` and `tumor_base` are the revisions of nodes and tumor that were edited; without the latter the
        server refuses a tumor where somebody else's could be lost.
        """
        params = {"label_info": info, "review": review, "base_revision": base, "client_id": self.name}
        if tumor_base is not None:
            params["tumor_base_revision"] = tumor_base
            params["tumor_base_mark"] = self._tumors.get(case)
        body, kind = multipart({"params": json.dumps(params)}, ("label", "label.nrrd", content))
        query = parse.urlencode({"image": self._images(case), "tag": "final"})
        reply = json.loads(self.ask("PUT", f"/datastore/label?{query}", body, kind)[0])
        self._note_tumor(case, reply.get("tumor_mark"))
        return reply

    def training(self):
        """State of the training, in words.

        It waits for little, and renews no login: whoever has filled in nothing must not be locked out by it.
        """
        try:
            task = self._status("/train/?check_if_running=true")
        except ServerError as refused:
            if refused.status == 404:
                return "no training is running"
            raise
        network = task["request"]["model"]
        stats = self._status("/info/").get("train_stats", {}).get(network, {})
        progress = f", epoch {stats['epoch']} of {stats['total_epochs']}" if stats.get("total_epochs") else ""
        return f"training {network}{progress}"

    def _status(self, path):
        return json.loads(self._ask("GET", path, wait=SECONDS_OF_STATUS)[0])


def sentence_of(content, status):
    """The sentence of a refusal."""
    try:
        detail = json.loads(content)["detail"]
        return detail if isinstance(detail, str) else json.dumps(detail)
    except (KeyError, TypeError, ValueError):
        return f"the server answered with status {status}"


def multipart(fields, file):
    """Body and type of a form with a file (field, name, content)."""
    mark = uuid.uuid4().hex
    parts = [
        f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    field, name, content = file
    head = f'--{mark}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n\r\n'
    return b"".join([*parts, head.encode(), content, f"\r\n--{mark}--\r\n".encode()]), (
        f"multipart/form-data; boundary={mark}"
    )


def nrrd(values, affine):
    """A label map as a gzipped NRRD file in RAS space."""
    kind = {"uint8": "uint8", "uint16": "uint16"}[values.dtype.name]
    axes = " ".join("({:.9g},{:.9g},{:.9g})".format(*affine[:3, axis]) for axis in range(3))
    lines = [
        "NRRD0004",
        f"type: {kind}",
        "dimension: 3",
        "space: right-anterior-superior",
        "sizes: {} {} {}".format(*values.shape),
        f"space directions: {axes}",
        "kinds: domain domain domain",
        "endian: little",
        "encoding: gzip",
        "space origin: ({:.9g},{:.9g},{:.9g})".format(*affine[:3, 3]),
    ]
    raw = values.astype(values.dtype.newbyteorder("<")).tobytes(order="F")
    return "\n".join(lines).encode() + b"\n\n" + gzip.compress(raw, 1)
