"""The door of the server: which addresses, host names, web pages and people are let in, before any route.

Without accounts only programs of this computer are answered. A page of another origin is never answered,
whatever the browser it runs in can reach (cross-site requests, DNS rebinding). With accounts every request
needs one, and its role decides what it may do.
"""

import ipaddress
import re
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

from starlette.responses import JSONResponse, RedirectResponse, Response

from lib.web.logins import Logins
from lib.who import asking
from osln.accounts.audit import AuditLog
from osln.accounts.users import ROLES, Account

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGI = Callable[[Scope, Callable[[], Awaitable[Any]], Send], Awaitable[None]]

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")
SAFE = ("GET", "HEAD", "OPTIONS")
LONGEST_ADDRESS = 64
OPEN = re.compile(r"/(login|auth/?|auth/token/?|favicon\.ico)")
"""Answered without an account: how to get in."""

LOGS_IN = "osln_logs_in"
"""In the state of a request, the name of the account that a login is for."""

TWO_PARTS = ("auth", "batch", "datastore", "infer", "osln", "train")
"""Routes whose second part is a word of the program, too."""

NEEDED = (
    ("admin", "*", r"/(logs|reload)(/.*)?"),
    # The second is MONAI Label's older address of the first.
    ("admin", "DELETE", r"/datastore/(image/?)?"),
    ("reviewer", "POST DELETE", r"/(train|batch|scoring)(/.*)?"),
    ("reviewer", "DELETE", r"/datastore/.*"),
    ("reviewer", "POST", r"/osln/(models|history)/.*"),
    # A target that is no path ("*", "http://...") leads to no route, which is then told.
    ("annotator", "GET HEAD OPTIONS", r".*"),
    ("annotator", "POST", r"/(activelearning|infer|proxy/dicom)/.*|/logout"),
    ("annotator", "PUT", r"/datastore/.*"),
    ("annotator", "PUT DELETE", r"/session/.*"),
    ("annotator", "POST PUT DELETE", r"/osln/(draft|jobs|lease|skip)(/.*)?"),
    # Also what changes something in a way that nobody thought of.
    ("admin", "*", r".*"),
)
"""Least role for a method and path; the first line that fits decides. Paths have no prefix (`house_of`)."""


@dataclass(frozen=True)
class House:
    """Whom the door lets in.

    Attributes:
        names: Host names and addresses by which the server is asked, in small letters.
        logins: Who is logged in; None: there are no accounts, and only this computer is answered.
        audit: Where changes and logins are noted.
        open_to_all: Answer other computers without accounts; somebody has said so in words.
    """

    names: Collection[str] = LOOPBACK_NAMES
    logins: Logins | None = None
    audit: AuditLog = field(default_factory=lambda: AuditLog(None))
    open_to_all: bool = False


class Door:
    """ASGI application in front of another one.

    Args:
        app: What is behind the door.
        house: Whom it lets in.
    """

    def __init__(self, app: ASGI, house: House) -> None:
        self._app, self._house = app, house

    async def __call__(self, scope: Scope, receive: Callable[[], Awaitable[Any]], send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return None
        headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}
        account, logins = None, self._house.logins
        try:
            account = None if logins is None else logins.account(headers)
            refused = refusal(scope, headers, account, self._house)
        except ValueError as error:
            # A file of accounts that cannot be believed lets nobody in.
            refused = _told(503, str(error))
        if refused is not None:
            self._note(scope, account, refused.status_code)
            return await refused(scope, receive, send)
        token = asking.set(account)
        # Shared with the routes of the login, which learn there who asks.
        scope.setdefault("state", {})
        try:
            await self._app(scope, receive, self._noting(scope, account, send))
        finally:
            asking.reset(token)

    def _noting(self, scope: Scope, account: Account | None, send: Send) -> Send:
        async def noting(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                self._note(scope, account, message["status"])
            await send(message)

        return noting

    def _note(self, scope: Scope, account: Account | None, status: int) -> None:
        # Whoever only looks, and is not let in, could fill the disk with lines.
        if scope["method"] not in SAFE or (account is not None and status == 403):
            what = f"{scope['method']} {route_of(scope['path'])}"
            who = scope.get("state", {}).get(LOGS_IN) or (account.name if account else "")
            self._house.audit.add(who, what, _address(scope), status)


def refusal(scope: Scope, headers: dict[str, str], account: Account | None, house: House) -> Response | None:
    """The answer to a request that is not let in; None if it is.

    Args:
        scope: Of the request.
        headers: By name in small letters.
        account: That the request has shown, or None.
        house: The rules.
    """
    if house.logins is None and not house.open_to_all and not _is_loopback(_address(scope)):
        return _told(
            403,
            "this server has no accounts, so it answers programs of its own computer only: start it with "
            "--users FILE (./scripts/osln users add NAME) to let others in",
        )
    if (host := _host_of(headers.get("host", ""))) not in house.names:
        return _told(
            421,
            f"this server is not called {host[:100]!r}: it answers to {', '.join(house.names)}; "
            "another name is given to it with --public-name NAME",
        )
    if reason := _foreign_page(scope["method"], headers):
        return _told(403, reason)
    if house.logins is None or OPEN.fullmatch(scope["path"]):
        return None
    if account is None:
        if scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
            query = scope.get("query_string", b"").decode("latin-1")
            target = scope["path"] + (f"?{query}" if query else "")
            return RedirectResponse(f"/login?next={quote(target, safe='/')}", 303)
        return _told(401, "log in first (POST /auth/token)", {"WWW-Authenticate": "Bearer"})
    needed = role_needed(scope["method"], scope["path"])
    if ROLES.index(account.role) < ROLES.index(needed):
        return _told(403, f"this takes the role {needed}, {account.name} is {account.role}")
    return None


def role_needed(method: str, path: str) -> str:
    """The least role that may send a request."""
    return next(
        role
        for role, methods, pattern in NEEDED
        if (methods == "*" or method in methods.split()) and re.fullmatch(pattern, path, re.DOTALL)
    )


def route_of(path: str) -> str:
    """The part of a path that names no case, file or study."""
    parts = [part for part in path.split("/") if part]
    count = 2 if parts and parts[0] in TWO_PARTS else 1
    return "/" + "/".join(part if re.fullmatch(r"[a-z_-]{1,40}", part) else "..." for part in parts[:count])


def _foreign_page(method: str, headers: dict[str, str]) -> str | None:
    """Why a request that a browser sends for a page of another origin is refused; None for all others."""
    origin, site = headers.get("origin"), headers.get("sec-fetch-site", "")
    # A proxy with TLS asks by http for a page that the browser got by https: names and port decide.
    own = origin is None or origin.partition("://")[2] == headers.get("host", "")
    if not own:
        return f"a page of another origin ({str(origin)[:100]}) asked: only pages of this server may"
    # A link from elsewhere may be followed; a page elsewhere may not fetch, embed or post.
    if origin is None and site in ("cross-site", "same-site"):
        if method != "GET" or headers.get("sec-fetch-mode") != "navigate":
            return "a page of another origin asked: only pages of this server may"
        if headers.get("sec-fetch-dest", "document") != "document":
            return "a page of another origin wants to embed this one, which it may not"
    return None


def _host_of(host: str) -> str:
    """Name in a Host header, without its port; "" if it is none."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _address(scope: Scope) -> str:
    # A proxy on this computer says any text (X-Forwarded-For): no address is longer.
    return str((scope.get("client") or ("",))[0])[:LONGEST_ADDRESS]


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.split("%")[0]).is_loopback
    except ValueError:
        return False


def _told(status: int, sentence: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"detail": sentence}, status, headers)
