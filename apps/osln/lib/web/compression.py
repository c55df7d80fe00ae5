"""Answers that are packed for the network where the client takes it."""

from collections.abc import Mapping

from fastapi import Request
from fastapi.responses import Response
from isal import igzip

LEAST_BYTES = 1000
"""Less is not worth the work."""
LEVEL = 1
"""Of 0 to 3: half a gigabyte a second; more costs time and gains little on images."""


def takes_gzip(request: Request) -> bool:
    """Whether a client unpacks gzip."""
    return "gzip" in request.headers.get("accept-encoding", "")


def packed(
    request: Request, content: bytes, media_type: str, headers: Mapping[str, str] | None = None
) -> Response:
    """A reply whose content is gzipped if the client takes it and it is long enough.

    Args:
        request: Whose reply it is.
        content: Not packed.
        media_type: Of the content.
        headers: Of the reply, besides those of the packing.
    """
    own = {**(headers or {}), "Vary": "Accept-Encoding"}
    if len(content) >= LEAST_BYTES and takes_gzip(request):
        content = igzip.compress(content, LEVEL)
        own["Content-Encoding"] = "gzip"
    return Response(content, media_type=media_type, headers=own)
