"""DICOMweb for viewers, read-only: from the PACS through this server, or from the folder of the cases."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import Response, StreamingResponse
from monailabel.config import settings
from monailabel.endpoints.user.auth import RBAC, User
from monailabel.interfaces.utils.app import app_instance

from lib.errors import translated
from lib.pacs.datastore import PacsDatastore
from lib.web.compression import FOR_EVER, packed
from osln.dicom.served.service import JSON, Answer, NotAcceptableError, asked
from osln.dicom.web.address import checked_query, checked_resource

router = APIRouter(tags=["OHIF"])
SHOWN = {
    "application/dicom", "application/dicom+json", "application/json", "application/octet-stream",
    "multipart/related", "image/jpeg", "image/png", "image/gif", "image/jp2", "image/jpx", "image/jls",
}  # fmt: skip
"""Media types that are passed on as such; no browser takes one of them for a page."""
SAFE = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox; default-src 'none'"}
"""A PACS, or whoever stores objects there, must not speak for this server in a browser."""
SERVICES = re.compile(r"(qido|wado)/")
USER = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_USER))


@router.get("/proxy/dicom/{path:path}", include_in_schema=False)
async def read(path: str, request: Request, user: User = USER) -> Response:
    """A search or an image; the credentials of a PACS are added here."""
    resource = checked_resource(SERVICES.sub("", path, count=1))
    if resource is None:
        raise HTTPException(404, "there is no such DICOMweb resource")
    store, query = app_instance().datastore(), checked_query(request.url.query)
    if isinstance(store, PacsDatastore):
        return _from_pacs(store, resource, query, request)
    with acceptable():
        return _reply(store.dicom.answer(resource, query, request.headers.get("accept", "*/*")), request)


@router.post("/proxy/dicom/{path:path}", include_in_schema=False)
async def refuse_writing(path: str, user: User = USER) -> None:
    """Nothing is written to the PACS or the folder of the cases from a browser."""
    raise HTTPException(
        403,
        "the viewer only reads images: its own export mirrors labels; submit them in the mode 'Lymph nodes', "
        "and this server stores them",
    )


def _from_pacs(store: PacsDatastore, resource: str, query: str, request: Request) -> Response:
    """What the PACS answers, with the registered PETs in it; of these images, what is made here."""
    accept, wanted = request.headers.get("accept", "*/*"), asked(resource)
    if wanted is not None and wanted.series:
        with acceptable():
            answer = store.derived.answer(wanted, query, accept)
        if answer is not None:
            return _reply(answer, request)
    with translated():
        reply = store.mirror.web.get(resource, query, accept)
    kind, content = reply.headers.get("Content-Type", ""), reply.content
    if wanted is None or reply.status_code not in (200, 204) or (content and "json" not in kind):
        return _passed_on(content, reply.status_code, kind)
    if joined := store.derived.joined(wanted, query, content):
        return packed(request, joined, JSON, SAFE)
    return Response(status_code=reply.status_code)


def _passed_on(content: bytes, status: int, kind: str) -> Response:
    """An answer of the PACS; what is neither DICOM nor JSON nor an image, as HTML, is a file only."""
    if kind.partition(";")[0].strip().lower() in SHOWN:
        return Response(content, status, dict(SAFE), media_type=kind)
    headers = SAFE | {"Content-Disposition": "attachment"}
    return Response(content, status, headers, media_type="application/octet-stream" if content else None)


@contextmanager
def acceptable() -> Iterator[None]:
    """Turns a form that is not given into 406."""
    try:
        yield
    except NotAcceptableError as error:
        raise HTTPException(406, str(error)) from error


def _reply(answer: Answer, request: Request) -> Response:
    headers = {"Cache-Control": FOR_EVER if answer.lasting else "no-cache"}
    if isinstance(answer.content, bytes):
        return packed(request, answer.content, answer.media_type, headers)
    return StreamingResponse(answer.content, media_type=answer.media_type, headers=headers)
