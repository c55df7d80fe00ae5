"""Addresses below the root of a DICOMweb service, built from checked parts.

A path that comes from outside is never passed on: dots, backslashes and whatever is encoded twice lead out of
the root, with this program's credentials. Reference: DICOM PS3.18, sections 10.4 and 10.6.
"""

import re
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

UID = r"[0-9]+(?:\.[0-9]+){0,40}"
RESOURCE = re.compile(
    rf"""
    studies | series | instances
    | studies/{UID} (?: / (?: series | instances | metadata ) )?
    | studies/{UID}/series/{UID} (?: / (?: instances | metadata | rendered | thumbnail ) )?
    | studies/{UID}/series/{UID}/instances/{UID} (?:
        / (?: metadata | rendered | thumbnail
            | frames/[0-9]+(?:,[0-9]+)* (?: / (?: rendered | thumbnail ) )?
            | bulk(?:data)? (?: /[0-9A-Fa-f]+ )+ )
    )?
    """,
    re.VERBOSE,
)
LONGEST = 1000


def checked_service(url: str) -> SplitResult:
    """The parts of a service's address.

    Raises:
        ValueError: If it is none, or its password holds a character that ends the host: what follows would be
            taken for the path, and shown. The sentence holds nothing of the address.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable or parts.netloc.count("@") > 1 or "@" in f"{parts.path}{parts.query}{parts.fragment}":
        raise ValueError(
            "expected a DICOMweb address like https://pacs.hospital/dicom-web, or "
            "https://name:password@pacs.hospital/dicom-web: write / ? # @ [ of the password as %2F %3F "
            "%23 %40 %5B, or give it by OSLN_DICOMWEB_USER and OSLN_DICOMWEB_PASSWORD"
        )
    return parts


def checked_resource(path: str) -> str | None:
    """The path itself if it is a search or a retrieval of DICOMweb, else None.

    Args:
        path: Below the root, decoded once, for instance "studies/1.2/series/1.3/metadata".
    """
    return path if len(path) <= LONGEST and RESOURCE.fullmatch(path) else None


def checked_query(query: str) -> str:
    """The query written anew from its names and values."""
    return urlencode(parse_qsl(query, keep_blank_values=True))
