"""Reviewing a case: decisions, history, drafts, who works on what, and what is put aside."""

import zlib
from typing import Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import JSONResponse, Response
from monailabel.config import settings
from monailabel.endpoints.user.auth import RBAC, User
from monailabel.interfaces.utils.app import app_instance
from pydantic import BaseModel, ConfigDict, Field

from lib.json_check import read_json
from lib.store import history as kept_history
from lib.store import work
from osln.store.drafts import LONGEST, checked_draft, kept_draft

router = APIRouter(prefix="/osln", tags=["OSLN review"])
USER = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_USER))
ANNOTATOR = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR))
REVIEWER = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_REVIEWER))
DRAFT = "/draft"
GZIP = b"\x1f\x8b"
HIGHEST = 10**9
"""Of a revision's number."""


class Asked(BaseModel):
    """A body, of which every key is known."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Restoring(Asked):
    """Which revision becomes the newest one again, after which; `annotator` where there are no accounts."""

    revision: int = Field(ge=1, le=HIGHEST)
    base_revision: int = Field(ge=0, le=HIGHEST)
    annotator: str | None = None


class Leasing(Asked):
    """Who wants to work on a case; `take` takes it over from somebody else."""

    annotator: str = ""
    take: bool = False


class Skipping(Asked):
    """Who puts a case aside, and why."""

    annotator: str = ""
    reason: str


async def sent_draft(request: Request) -> bytes:
    """The body, no more of it than a draft may have."""
    parts, length = [], 0
    async for part in request.stream():
        parts.append(part)
        length += len(part)
        if length > LONGEST:
            raise HTTPException(413, f"a draft has at most {LONGEST} bytes")
    return b"".join(parts)


@router.get("/review", summary="What was decided about each candidate, stored with a revision")
async def review(image: str, revision: int | None = None, user: User = USER) -> dict[str, Any]:
    store = app_instance().datastore()
    return kept_history.stored_review(store, store.known(image), revision)


@router.get("/history", summary="The revisions of a case, newest first; of the tumor with tag=gtv")
async def history(image: str, tag: str = "final", user: User = USER) -> dict[str, Any]:
    store = app_instance().datastore()
    case = store.known(image)
    # In this order: an older number with a newer mark is let through by the mark alone.
    told = {"case": case, "tag": tag, "revisions": kept_history.history(store, case, tag)}
    return told | ({"mark": kept_history.known_tumor(store, case)} if tag == "gtv" else {})


@router.get("/history/compare", summary="The nodes of two revisions beside each other")
async def compare(image: str, a: int, b: int, user: User = USER) -> dict[str, Any]:
    store = app_instance().datastore()
    case = store.known(image)
    return {"case": case, "a": a, "b": b, "nodes": kept_history.compared(store, case, a, b)}


@router.post("/history/restore", summary="Stores an older revision again, as a new one")
async def restore(image: str, asked: Restoring, user: User = REVIEWER) -> dict[str, Any]:
    store = app_instance().datastore()
    case = store.known(image)
    kept_history.restore(store, case, asked.revision, asked.base_revision, asked.annotator)
    store.after_storing()
    return {**store.about_label(case), "image": image, "label": case}


@router.put(DRAFT, summary="Keeps unfinished work of an annotator: JSON, gzipped or not")
async def put_draft(
    image: str,
    annotator: str = "",
    body: bytes = Depends(sent_draft),
    user: User = ANNOTATOR,
) -> dict[str, Any]:
    """Takes the place of the annotator's former draft of this case; a draft is never listed as a label."""
    store, name = app_instance().datastore(), work.annotator_named(annotator)
    draft = checked_draft(read_json(_unpacked(body), "a draft", longest=LONGEST))
    work.put_draft(store, store.known(image), name, draft)
    return {"at": draft["saved_at"]}


@router.get(DRAFT, summary="The draft of an annotator; 204 if there is none")
async def get_draft(image: str, annotator: str = "", user: User = ANNOTATOR) -> Response:
    store, name = app_instance().datastore(), work.annotator_named(annotator)
    draft = kept_draft(store.root, store.known(image), name)
    return Response(status_code=204) if draft is None else JSONResponse(draft)


@router.delete(DRAFT, summary="Drops the draft of an annotator")
async def delete_draft(image: str, annotator: str = "", user: User = ANNOTATOR) -> Response:
    store, name = app_instance().datastore(), work.annotator_named(annotator)
    work.remove_draft(store, store.known(image), name)
    return Response(status_code=204)


@router.post("/lease", summary="Says that an annotator works on a case, or who does")
async def lease(image: str, asked: Leasing, user: User = ANNOTATOR) -> dict[str, Any]:
    """Asked again it lives on; it ends after 30 minutes. It never keeps anybody from submitting."""
    store, name = app_instance().datastore(), work.annotator_named(asked.annotator)
    held = work.lease_case(store, store.known(image), name, over=asked.take)
    if held.by == name:
        return {"mine": True, "until": held.until}
    return {"mine": False, "by": held.by, "since": held.since, "until": held.until}


@router.delete("/lease", summary="Gives a case back")
async def give_back(image: str, annotator: str = "", user: User = ANNOTATOR) -> Response:
    store, name = app_instance().datastore(), work.annotator_named(annotator)
    work.leave_case(store, store.known(image), name)
    return Response(status_code=204)


@router.get("/leases", summary="Who works on which case")
async def all_leases(user: User = USER) -> dict[str, Any]:
    return app_instance().datastore().leases()


@router.post("/skip", summary="Puts a case aside, with the reason; it is offered last")
async def skip(image: str, asked: Skipping, user: User = ANNOTATOR) -> dict[str, Any]:
    store, name = app_instance().datastore(), work.annotator_named(asked.annotator)
    case = store.known(image)
    made = work.skip_case(store, case, name, asked.reason)
    return {"case": case, "by": made.by, "reason": made.reason, "at": made.at}


@router.delete("/skip", summary="Takes a case up again")
async def take_up(image: str, user: User = ANNOTATOR) -> Response:
    store = app_instance().datastore()
    work.take_up_case(store, store.known(image))
    return Response(status_code=204)


def _unpacked(body: bytes) -> bytes:
    """The JSON of a draft; no more of it is unpacked than it may have."""
    if not body.startswith(GZIP):
        return body
    try:
        unpacking = zlib.decompressobj(wbits=31)
        text = unpacking.decompress(body, LONGEST + 1)
    except zlib.error as error:
        raise ValueError(f"the draft is gzipped and cannot be unpacked: {error}") from error
    if len(text) > LONGEST:
        raise HTTPException(413, f"a draft has at most {LONGEST} bytes of JSON")
    if not unpacking.eof:
        raise ValueError("the draft is gzipped and ends in the middle")
    return text
