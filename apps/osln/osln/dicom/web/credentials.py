"""Name and password, or a token, for a PACS: from variables, the address or the keyboard; never shown."""

import getpass
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import unquote

import requests
from requests.auth import AuthBase, HTTPBasicAuth

from osln.dicom.web.address import checked_service


@dataclass(frozen=True)
class Credentials:
    """Name and password, or a bearer token; printing shows neither."""

    user: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)

    def auth(self) -> AuthBase | None:
        """What signs the requests; None if there is nothing to sign with."""
        if self.token:
            return _Bearer(self.token)
        return HTTPBasicAuth(self.user, self.password) if self.user else None


class _Bearer(AuthBase):
    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def ask_credentials(url: str, user: str | None, ask: Callable[[str], str] = getpass.getpass) -> Credentials:
    """Credentials from OSLN_DICOMWEB_TOKEN, OSLN_DICOMWEB_USER and _PASSWORD, the address, or the keyboard.

    Args:
        url: May hold `user:password@`, which `WebSource` takes out before it does anything.
        user: Goes before all others; its password is asked for if no variable has it.
        ask: Reads a password without showing it.

    Raises:
        ValueError: If the address is none; the sentence holds nothing of it.
    """
    parts = checked_service(url)
    token = os.environ.get("OSLN_DICOMWEB_TOKEN", "")
    name = user or os.environ.get("OSLN_DICOMWEB_USER", "") or unquote(parts.username or "")
    if token and not name:
        return Credentials(token=token)
    password = os.environ.get("OSLN_DICOMWEB_PASSWORD", "") or unquote(parts.password or "")
    if name and not password:
        password = ask(f"password of {name}: ")
    return Credentials(name, password)
