"""Fuzzed requests as raw bytes: clients' libraries would tidy up what makes them hostile."""

import json
import random
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from benchmarks.torture_hostile import hostile_files

METHODS = ("GET", "GET", "GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "TRACE", "BREW")
ROUTES = (
    "/", "/osln/label", "/osln/state", "/osln/api/{name}", "/osln/docs/{name}", "/ohif/{path}",
    "/ohif/app-config.js", "/proxy/dicom/{path}", "/auth/", "/auth/token", "/auth/token/valid", "/login",
    "/logout", "/export", "/static/{path}", "/nowhere",
)  # fmt: skip
"""Of ours, which the description of the API does not name."""
REVIEWING = (
    ("GET", "/osln/label", ["image", "instances", "revision"]),
    ("GET", "/osln/review", ["image", "revision"]),
    ("GET", "/osln/history", ["image"]),
    ("GET", "/osln/history/compare", ["image", "a", "b"]),
    ("POST", "/osln/history/restore", ["image"]),
    ("PUT", "/osln/draft", ["image", "annotator"]),
    ("GET", "/osln/draft", ["image", "annotator"]),
    ("DELETE", "/osln/draft", ["image", "annotator"]),
    ("POST", "/osln/lease", ["image"]),
    ("DELETE", "/osln/lease", ["image", "annotator"]),
    ("GET", "/osln/leases", []),
    ("POST", "/osln/skip", ["image"]),
    ("DELETE", "/osln/skip", ["image"]),
)
"""Method, path and names of the query of those that keep something."""

SEGMENTS = (
    "..", "%2e%2e", "%252e%252e", "..%2f..%2f", "%2e%2e%2f%2e%2e%2fsecret.txt", "..%255c", "%00",
    "x%00.nii.gz", "n" * 300, "n" * 5000, "%ff%fe", "%c0%ae%c0%ae", "phantom-01", "phantom-02", "nobody",
    "ct", "osln", "ef-distal", "first", "random", "-1", "99999999999999999999", "NaN", "",
    "%0d%0aX-Injected:%201", "studies", "studies/1.2.3/series/4.5", "studies/1.2/../../instances", "{{7*7}}",
    "'%20OR%201=1--", "%F0%9F%92%A3", "con", ".osln", ".cache", "strategy",
)  # fmt: skip
VALUES = (
    *SEGMENTS,
    "final",
    "original",
    "gtv",
    "all",
    "image",
    "json",
    "dicom_seg",
    "true",
    "0",
    "1e999",
    "[]",
    "{}",
)
TYPES = (
    "application/json", "text/plain", "multipart/form-data", "application/x-www-form-urlencoded",
    "application/dicom", "multipart/form-data; boundary=", "application/json; charset=utf-7", "x/y; \xff", "",
)  # fmt: skip


@dataclass(frozen=True)
class Request:
    """One request, and how it was made.

    Attributes:
        data: What goes over the wire.
        words: Method, path and kind of its body, for a report.
    """

    data: bytes
    words: str


class Maker:
    """Makes the requests of a seed; the n-th one is always the same.

    Args:
        routes: Description of the API (`/openapi.json`).
        host: As the server is called.
        secret: A file of the server that hostile files name.
        seed: Of all choices.
    """

    def __init__(self, routes: Mapping[str, Any], host: str, secret: Path, seed: int) -> None:
        self._routes: list[tuple[str, str, list[str]]] = [("GET", path, []) for path in ROUTES]
        self._routes += REVIEWING
        for path, methods in sorted(routes["paths"].items()):
            for method, told in sorted(methods.items()):
                names = [one["name"] for one in told.get("parameters", []) if one["in"] == "query"]
                self._routes.append((method.upper(), path, names))
        self._host, self._seed = host, seed
        self._files = hostile_files(secret)

    def make(self, number: int) -> Request:
        """The request of a number."""
        draw = random.Random(f"{self._seed}:{number}")
        method, route, names = draw.choice(self._routes)
        if draw.random() < 0.15:
            method = draw.choice(METHODS)
        target = self._target(draw, route, names)
        kind, headers, body = self._body(draw, route)
        headers = {"Host": self._host, "Connection": "close", **headers}
        headers |= self._odd_headers(draw)
        if "Transfer-Encoding" in headers:
            body += b"\r\n\r\n"  # no chunk, but a line that ends: whoever sends none is waited for
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        # A header that no client would send must not end the request early.
        head = "\r\n".join(line.replace("\r", "").replace("\n", "") for line in lines) + "\r\n\r\n"
        return Request(
            head.encode("latin-1", "replace") + body, f"#{number} {method} {target[:300]} [{kind}]"
        )

    def _target(self, draw: random.Random, route: str, names: list[str]) -> str:
        parts = []
        for part in route.split("/"):
            if part.startswith("{"):
                many = draw.randrange(1, 5) if part == "{path}" else 1
                part = "/".join(draw.choice(SEGMENTS) for _ in range(many))
            elif part and draw.random() < 0.03:
                part = draw.choice(SEGMENTS)
            parts.append(part)
        told = [name for name in names if draw.random() < 0.8]
        told += ["image", "tag", "x" * draw.choice([1, 3000])] if draw.random() < 0.1 else []
        query = [f"{name}={quote(draw.choice(VALUES), safe='%')}" for name in told]
        return "/".join(parts).replace(" ", "%20") + ("?" + "&".join(query) if query else "")

    def _body(self, draw: random.Random, route: str) -> tuple[str, dict[str, str], bytes]:
        kind = draw.choice(
            ["none", "json", "json", "odd JSON", "form", "file", "file", "wrong type", "noise"]
        )
        if kind == "none":
            return kind, {"Content-Length": "0"} if draw.random() < 0.5 else {}, b""
        if kind in ("json", "odd JSON"):
            body = _json(draw) if kind == "json" else _odd_json(draw)
            return kind, {"Content-Type": "application/json", "Content-Length": str(len(body))}, body
        if kind == "form":
            body = b"&".join(
                f"{name}={quote(draw.choice(VALUES))}".encode()
                for name in ("params", "info", "username", "password", "next", "grant_type")
            )
            told = {"Content-Type": "application/x-www-form-urlencoded", "Content-Length": str(len(body))}
            return kind, told, body
        if kind == "file":
            what = draw.choice(sorted(self._files))
            name, data = self._files[what](draw)
            field = (
                "label"
                if "label" in route
                else "file"
                if draw.random() < 0.9
                else draw.choice(["files", "x"])
            )
            params = draw.choice([_json(draw), _odd_json(draw), b"{}"])
            body, boundary = _multipart(field, name, data, params)
            told = {
                "Content-Type": f"multipart/form-data; boundary={boundary}",
                "Content-Length": str(len(body)),
            }
            return f"file: {what}", told, body
        body = _json(draw) if kind == "wrong type" else draw.randbytes(draw.randrange(0, 3000))
        return kind, {"Content-Type": draw.choice(TYPES), "Content-Length": str(len(body))}, body

    def _odd_headers(self, draw: random.Random) -> dict[str, str]:
        if draw.random() < 0.85:
            return {}
        return draw.choice(
            [
                {"Origin": "http://evil.example"},
                {"Host": "evil.example"},
                {"Host": "[::1"},
                {"Authorization": "Bearer " + "a" * draw.choice([0, 5, 9000])},
                {"Cookie": "osln_session=" + "\xff" * 20},
                {"Range": "bytes=5-2,99999999999999999999-"},
                {"Accept": "text/html"},
                {"Sec-Fetch-Site": "cross-site"},
                {"Content-Length": "-5"},
                {"Transfer-Encoding": "chunked"},
                {"X-Long": "x" * 20_000},
            ]
        )


def _json(draw: random.Random) -> bytes:
    keys = (
        "model", "image", "label_info", "client_id", "base_revision", "iterations", "device", "strategy",
        "tumor_base_revision", "tumor_base_mark", "score", "result_extension", "images", "x",
    )  # fmt: skip
    values = [
        None,
        True,
        -1,
        1 << 70,
        1.5,
        "x",
        "../x",
        [],
        {},
        [[1]],
        {"idx": {"a": 1}},
        [{"name": 3, "idx": "x"}],
        "\ud800",
    ]
    return json.dumps({key: draw.choice(values) for key in draw.sample(keys, draw.randrange(0, 5))}).encode()


def _odd_json(draw: random.Random) -> bytes:
    deep = draw.choice([50, 900, 20_000])
    return draw.choice(
        [
            b'{"x": NaN}',
            b'{"x": Infinity, "y": -Infinity}',
            b"[" * deep + b"]" * deep,
            b'{"a":' * deep + b"1" + b"}" * deep,
            b'{"x": "\xff\xfe"}',
            b'{"x": "\\ud800"}',
            b"null",
            b"[]",
            b'"text"',
            b"{",
            b"",
            b"\x00",
            b'{"x": 1' + b"0" * 5000 + b"}",
            b'{"score": 1e400}',
            b'{"x":1,"x":2}',
            "\ufeff{}".encode("utf-16"),
        ]
    )


def _multipart(field: str, name: str, data: bytes, params: bytes) -> tuple[bytes, str]:
    boundary = "torture7d1f"
    head = f'Content-Disposition: form-data; name="{field}"; filename="{name}"'.encode(
        "utf-8", "surrogatepass"
    )
    parts = [
        b"--" + boundary.encode() + b'\r\nContent-Disposition: form-data; name="params"\r\n\r\n' + params,
        b"--"
        + boundary.encode()
        + b"\r\n"
        + head
        + b"\r\nContent-Type: application/octet-stream\r\n\r\n"
        + data,
    ]
    return b"\r\n".join(parts) + b"\r\n--" + boundary.encode() + b"--\r\n", boundary


def sent(port: int, data: bytes, seconds: float) -> tuple[int, bytes]:
    """Sends bytes to a port of 127.0.0.1; status and the answer.

    Returns:
        Status 0 if the server has closed the connection without an answer.

    Raises:
        TimeoutError: If the answer is not whole in time.
        ConnectionRefusedError: If nothing listens.
    """
    deadline, got = time.monotonic() + seconds, bytearray()
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as line:
        try:
            line.sendall(data)
            while more := line.recv(1 << 16):
                got += more
                if time.monotonic() > deadline:
                    raise TimeoutError
                line.settimeout(max(deadline - time.monotonic(), 0.1))
        except (ConnectionResetError, BrokenPipeError):
            pass  # refused before all of it was sent; what was answered until then counts
    status = bytes(got[:16]).split(b" ")
    return (int(status[1]) if len(status) > 1 and status[1][:3].isdigit() else 0), bytes(got)
