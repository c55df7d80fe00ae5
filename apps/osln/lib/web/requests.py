"""What no route can answer is refused before all of them, with a sentence.

The stock routes meet such requests somewhere deep: a null byte in a name ends in the file system, NaN in the
writing of the very reply that refuses it. Errors behind this stay errors, with their traceback in the log.
"""

import re
from typing import Any
from urllib.parse import unquote_to_bytes

import starlette.requests
from fastapi import FastAPI, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import UploadFile as StarletteUpload
from starlette.formparsers import FormParser, MultiPartParser
from starlette.middleware import Middleware
from starlette.responses import JSONResponse

from lib.activity import Noticing
from lib.json_check import LONGEST, read_json
from lib.web.bodies import Arriving, Receive
from lib.web.door import ASGI, OPEN, Scope, Send

WITH_BODY = ("POST", "PUT", "PATCH", "DELETE")
WITH_FILES = "multipart/"
TAKING_FILES = (
    ("PUT", r"/datastore/(image|label)?"),
    ("PUT", r"/session/"),
    ("POST", r"/infer/(wsi_v2/)?[^/]+"),
    ("PUT", r"/model/.+"),
    # Nothing is read of what somebody wants to store on a PACS: it is refused.
    ("POST", r"/proxy/dicom/.*"),
)
"""Routes that spool multipart bodies to the disk; everything else is held in memory and limited here."""
MOST_FIELDS = 16
"""Texts of a form; each may be as long as a body of JSON."""
NO_JSON = ("application/x-www-form-urlencoded", "application/octet-stream", "application/dicom;", WITH_FILES)
LONGEST_LOGIN = 16 * 1024
"""Bytes of whatever comes to the addresses that are answered without an account."""
OWN_BODY = ("PUT", "/osln/draft")
"""Method and path of a route that reads and checks its body itself: it may be longer, and gzipped."""
LONGEST_PART = 255
"""Bytes of a part of an address: file systems take no longer name."""
LONGEST_NAME = 128
"""Characters of an uploaded file's name: the server makes a name of its own from its end."""


def install(app: FastAPI, idle_seconds: float) -> None:
    """Puts the checks behind the door, which is built after them.

    Args:
        app: `monailabel.app.app`.
        idle_seconds: So long the next bytes of a body may take.
    """
    if all(one.cls is not Refusing for one in app.user_middleware):
        checks = [Middleware(Arriving, idle_seconds=idle_seconds), Middleware(Refusing)]
        app.user_middleware += [*checks, Middleware(Noticing)]
    app.add_exception_handler(RequestValidationError, _told)
    # FastAPI makes its forms of these two; not all of its versions can be told a limit.
    starlette.requests.MultiPartParser, starlette.requests.FormParser = Parts, Fields


class Parts(MultiPartParser):
    """A form with files, whose texts may be as long as `LONGEST`: reviews and notes come in them."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.max_part_size, self.max_fields = LONGEST, MOST_FIELDS


class Fields(FormParser):
    """A form without files; limits as `Parts`."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.max_part_size, self.max_fields = LONGEST, MOST_FIELDS


class Refusing:
    """ASGI application in front of the routes.

    Args:
        app: The routes.
    """

    def __init__(self, app: ASGI) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        if reason := odd_address(scope):
            return await JSONResponse({"detail": reason}, 422)(scope, receive, send)
        kind, most = _kind(scope), _most(scope)
        if most is None:
            return await self._app(scope, receive, send)
        body = await _body(receive, most)
        if body is None:
            return None
        if len(body) > most:
            told = f"the body of the request has more than {most} bytes, which is all that is taken here"
            return await JSONResponse({"detail": told}, 413)(scope, receive, send)
        try:
            if body and not kind.startswith(NO_JSON):
                read_json(body, "the body of the request")
        except ValueError as error:
            return await JSONResponse({"detail": str(error)}, 422)(scope, receive, send)
        return await self._app(scope, _again(body, receive), send)


def odd_address(scope: Scope) -> str | None:
    """Why an address cannot name anything here; None if it can."""
    given = scope["path"].encode(errors="replace") + b"?" + unquote_to_bytes(scope.get("query_string", b""))
    if any(byte < 32 or byte == 127 for byte in given):
        return "the address of the request holds a control character; nothing here has such a name"
    if any(len(part.encode(errors="replace")) > LONGEST_PART for part in scope["path"].split("/")):
        return f"a part of the address has more than {LONGEST_PART} bytes; nothing here has such a name"
    return None


def check_names(values: dict[str, Any]) -> None:
    """Looks at the names of the files that came with a request.

    Raises:
        ValueError: If a name is too long, or no file could have it.
    """
    for value in values.values():
        for upload in value if isinstance(value, list) else [value]:
            if not isinstance(upload, UploadFile | StarletteUpload):
                continue
            name = upload.filename or ""
            if len(name.encode(errors="replace")) > LONGEST_NAME:
                raise ValueError(
                    f"the name of the uploaded file has {len(name)} characters, at most {LONGEST_NAME} are "
                    "taken: rename it"
                )
            if name in (".", "..") or not name.isprintable():
                raise ValueError(f"{name!r} is no name of a file: rename it")


def _kind(scope: Scope) -> str:
    kind = next((value for key, value in scope["headers"] if key.lower() == b"content-type"), b"")
    return kind.decode("latin-1").lower().strip()


def _most(scope: Scope) -> int | None:
    """Bytes of the body that are taken; None where it is not held in memory."""
    if scope["method"] not in WITH_BODY:
        return None
    if OPEN.fullmatch(scope["path"]):
        return LONGEST_LOGIN
    if (scope["method"], scope["path"].rstrip("/")) == OWN_BODY:
        return None
    spooled = _kind(scope).startswith(WITH_FILES) and takes_files(scope["method"], scope["path"])
    return None if spooled else LONGEST


def takes_files(method: str, path: str) -> bool:
    """Whether a route spools what is uploaded to the disk.

    Args:
        method: Of the request.
        path: Of the request.
    """
    return any(method == one and re.fullmatch(pattern, path) for one, pattern in TAKING_FILES)


async def _body(receive: Receive, most: int) -> bytes | None:
    """The body, at least one byte more than is taken if it is too long; None if the client has gone."""
    parts, length = [], 0
    while length <= most:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        length += len(parts[-1])
        if not message.get("more_body"):
            break
    return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    told = False

    async def first_the_body() -> Any:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return first_the_body


async def _told(request: Request, error: Exception) -> JSONResponse:
    """FastAPI's reply as a sentence, without the input, which need not be text."""
    found = error.errors() if isinstance(error, RequestValidationError) else []
    told = [
        f"{'.'.join(part for part in one['loc'][1:] if isinstance(part, str)) or one['loc'][0]}: {one['msg']}"
        for one in found
    ]
    return JSONResponse({"detail": "; ".join(told)}, 422)
