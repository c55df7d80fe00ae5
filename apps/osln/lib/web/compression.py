"""Answers that are packed for the network where the client takes it."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from fastapi import Request
from fastapi.responses import Response
from isal import igzip

FOR_EVER = "private, max-age=31536000, immutable"
"""Cache-Control of what never changes under its address."""
LEAST_BYTES = 1000
"""Less is not worth the work."""
LEVEL, BEST = 1, 3
"""Of 0 to 3: for what is packed each time and for what is kept; more costs time and gains little."""


def takes_gzip(request: Request) -> bool:
    """Whether a client unpacks gzip."""
    return "gzip" in request.headers.get("accept-encoding", "")


@lru_cache(maxsize=256)
def packed_file(path: Path, changed_ns: int) -> bytes:
    """A file that does not change, gzipped once.

    Args:
        path: The file.
        changed_ns: When it was written: another version is packed anew.
    """
    return igzip.compress(path.read_bytes(), BEST)


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
