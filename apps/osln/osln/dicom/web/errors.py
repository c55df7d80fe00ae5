"""What can go wrong with a PACS, in sentences that hold no address and no credentials."""

RETRIES = 2
"""Further tries when the PACS is busy or fails (408, 429, 5xx), half a second and a second later."""


class PacsError(ValueError):
    """A PACS cannot be reached, refuses, or does not answer as DICOMweb does."""


class AwayError(PacsError):
    """No request would succeed now: the PACS cannot be reached, is not trusted, or refuses this program."""


class MissingError(PacsError):
    """The PACS does not have what was asked for."""


def no_dicomweb(place: str) -> PacsError:
    """What came is no answer of DICOMweb."""
    return PacsError(
        f"what {place} answers is not DICOMweb, or was cut off; check the path (often /dicom-web)"
    )


def silent(place: str, timeout_s: float) -> AwayError:
    """Nothing came."""
    return AwayError(f"the PACS at {place} did not answer for {timeout_s:g} s; try later")


def unreachable(place: str) -> AwayError:
    """There was no connection, or it broke."""
    return AwayError(
        f"the PACS at {place} cannot be reached, or broke the connection; check address and network"
    )


def untrusted(place: str) -> AwayError:
    """Its certificate was refused."""
    return AwayError(f"the certificate of {place} is not trusted; set REQUESTS_CA_BUNDLE to your hospital's")


def refused(status: int, place: str, repeated: bool) -> PacsError:
    """An answer with a status of 400 or more.

    Args:
        status: It.
        place: Host and port.
        repeated: Whether it was asked for several times.
    """
    if status in (401, 403):
        return AwayError(
            f"the PACS at {place} refuses ({status}): give name and password (--user, or OSLN_DICOMWEB_USER "
            "and OSLN_DICOMWEB_PASSWORD), or OSLN_DICOMWEB_TOKEN"
        )
    if status == 404:
        return MissingError(
            f"there is no DICOMweb service at this address of {place}, or it does not have what was asked "
            "for (404); the path often is /dicom-web"
        )
    tries = f" to {RETRIES + 1} tries" if status >= 500 and repeated else ""
    return PacsError(f"the PACS at {place} answered with status {status}{tries}; ask its administrator")
