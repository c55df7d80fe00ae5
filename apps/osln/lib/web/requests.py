"""What no route can answer is refused before all of them, with a sentence.

The stock routes meet such requests somewhere deep: a null byte in a name ends in the file system, NaN in the
writing of the very reply that refuses it. Errors behind this stay errors, with their traceback in the log.
"""

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote_to_bytes

from fastapi import FastAPI, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import UploadFile as StarletteUpload
from starlette.middleware import Middleware
from starlette.responses import JSONResponse

from lib.json_check import LONGEST, read_json
from lib.web.door import ASGI, Scope, Send

Receive = Callable[[], Awaitable[Any]]

WITH_BODY = ("POST", "PUT", "PATCH", "DELETE")
NO_JSON = (
    "multipart/",
    "application/x-www-form-urlencoded",
    "application/octet-stream",
    "application/dicom;",
)
OWN_BODY = ("PUT", "/osln/draft")
"""Method and path of a route that reads and checks its body itself: it may be longer, and gzipped."""
LONGEST_PART = 255
"""Bytes of a part of an address: file systems take no longer name."""
LONGEST_NAME = 128
"""Characters of an uploaded file's name: the server makes a name of its own from its end."""


def install(app: FastAPI) -> None:
    """Puts the checks behind the door, which is built after them."""
    if all(one.cls is not Refusing for one in app.user_middleware):
        app.user_middleware.append(Middleware(Refusing))
    app.add_exception_handler(RequestValidationError, _told)


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
        if not _takes_json(scope):
            return await self._app(scope, receive, send)
        body = await _body(receive)
        if body is None:
            return None
        try:
            if body:
                read_json(body, "the body of the request")
        except ValueError as error:
            status = 413 if len(body) > LONGEST else 422
            return await JSONResponse({"detail": str(error)}, status)(scope, receive, send)
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


def _takes_json(scope: Scope) -> bool:
    if (scope["method"], scope["path"].rstrip("/")) == OWN_BODY:
        return False
    kind = next((value for key, value in scope["headers"] if key.lower() == b"content-type"), b"")
    return scope["method"] in WITH_BODY and not kind.decode("latin-1").lower().strip().startswith(NO_JSON)


async def _body(receive: Receive) -> bytes | None:
    """The body up to one byte more than is taken; None if the client has gone."""
    parts, length = [], 0
    while length <= LONGEST:
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
    """FastAPI's reply without the input, which need not be text."""
    found = error.errors() if isinstance(error, RequestValidationError) else []
    kept = [
        {"loc": [str(part) for part in one["loc"]], "msg": one["msg"], "type": one["type"]} for one in found
    ]
    return JSONResponse({"detail": kept}, 422)
