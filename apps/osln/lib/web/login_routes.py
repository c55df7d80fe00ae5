"""Logging in: for 3D Slicer as MONAI Label's clients do it (`/auth/`), for browsers by page and cookie."""

from html import escape
from urllib.parse import urlsplit

import anyio
from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from lib.web.door import LOGS_IN
from lib.web.logins import LASTS_S, Logins, TooManyTriesError
from lib.who import who

PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'",
    "Cache-Control": "no-store",
}
AT_ONE_TIME = 4
"""Passwords that are looked at side by side: each takes 64 MB, and anybody may send them."""
WRONG = "name or password is wrong"
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>OSLN Label: log in</title>
<style>
body { background: #14181d; color: #d8dee6; font: 16px/1.5 system-ui, sans-serif; display: grid;
  place-items: center; height: 90vh }
form, label { display: grid; gap: .5rem; width: 20rem }
input, button { font: inherit; padding: .5rem .7rem; border-radius: .4rem; border: 1px solid #3a444f;
  background: #1d232a; color: inherit }
button { background: #2f6f4f; border: 0; cursor: pointer }
p { color: #f0a5a0; margin: 0 } h1 { font-size: 1.2rem; margin: 0 }
</style>
<form method="post" action="/login"><h1>OSLN Label</h1>TOLD
<label>Name <input name="username" autocomplete="username" required autofocus></label>
<label>Password <input name="password" type="password" autocomplete="current-password" required></label>
<input type="hidden" name="next" value="NEXT"><button>Log in</button></form></html>
"""


def routes(logins: Logins | None) -> APIRouter:
    """The routes; without accounts `/auth/` says that there is no login.

    Args:
        logins: Who is logged in, or None.
    """
    router = APIRouter()

    @router.get("/auth/", include_in_schema=False)
    @router.get("/auth", include_in_schema=False)
    async def enabled() -> dict[str, object]:
        return {"enabled": logins is not None, "client_id": "osln-label", "realm": ""}

    @router.get("/auth/token/valid", include_in_schema=False)
    async def valid() -> dict[str, object]:
        account = who()
        name, roles = (account.name, [account.role]) if account else ("admin", ["admin"])
        return {"username": name, "email": None, "name": name, "roles": roles}

    if logins is None:
        return router

    limiter = anyio.CapacityLimiter(AT_ONE_TIME)

    async def token_for(request: Request, name: str, password: str) -> str | None:
        address = request.client.host if request.client else ""
        try:
            if name in logins.users.accounts():
                # Other names stay out of the audit log: passwords are typed into the wrong field, too.
                setattr(request.state, LOGS_IN, name)
            # A password hash takes a tenth of a second by design: not on the loop that answers everybody.
            return await anyio.to_thread.run_sync(logins.log_in, name, password, address, limiter=limiter)
        except TooManyTriesError as error:
            wait = {"Retry-After": str(int(error.wait_s) + 1)}
            raise HTTPException(429, str(error), wait) from error
        except ValueError as error:
            # A file of accounts that cannot be believed lets nobody in.
            raise HTTPException(503, str(error)) from error

    @router.post("/auth/token", include_in_schema=False)
    async def token(request: Request, username: str = Form(), password: str = Form()) -> dict[str, str]:
        found = await token_for(request, username, password)
        if found is None:
            raise HTTPException(401, WRONG, {"WWW-Authenticate": "Bearer"})
        return {"access_token": found, "token_type": "bearer"}

    @router.get("/login", include_in_schema=False)
    async def page(next: str = "/") -> HTMLResponse:
        return HTMLResponse(_page(_local(next)), headers=PAGE_HEADERS)

    @router.post("/login", include_in_schema=False)
    async def enter(
        request: Request, username: str = Form(), password: str = Form(), next: str = Form("/")
    ) -> Response:
        found = await token_for(request, username, password)
        if found is None:
            return HTMLResponse(_page(_local(next), WRONG), 401, PAGE_HEADERS)
        reply = RedirectResponse(_local(next), 303)
        secure = request.url.scheme == "https"
        reply.set_cookie(logins.cookie, found, LASTS_S, httponly=True, samesite="strict", secure=secure)
        return reply

    @router.post("/logout", include_in_schema=False)
    async def leave(request: Request) -> Response:
        logins.log_out(request.headers)
        reply = RedirectResponse("/login", 303)
        reply.delete_cookie(logins.cookie)
        return reply

    return router


def _local(target: str) -> str:
    """A path of this server; "/" for whatever leads elsewhere."""
    parts = urlsplit(target)
    inside = target.startswith("/") and not target.startswith(("//", "/\\"))
    plain = all(ord(sign) >= 32 for sign in target)
    return target if inside and plain and not parts.scheme and not parts.netloc else "/"


def _page(target: str, problem: str = "") -> str:
    told = f'<p role="alert">{escape(problem)}</p>' if problem else ""
    return PAGE.replace("TOLD", told).replace("NEXT", escape(target, quote=True))
