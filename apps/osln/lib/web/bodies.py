"""Bodies of requests that stop arriving: whoever sends nothing more is answered and holds nothing."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import anyio
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse

from lib.web.door import ASGI, Scope, Send

Receive = Callable[[], Awaitable[Any]]


class Arriving:
    """ASGI application in front of the routes; 408 for a body of which nothing arrived for too long.

    A body that arrives slowly is never cut, whatever it takes in all, nor one that the routes do not read
    just now. To the routes the client has gone, which they know how to meet.

    Args:
        app: The routes.
        idle_seconds: So long the next bytes of a body may take.
    """

    def __init__(self, app: ASGI, idle_seconds: float) -> None:
        self._app, self._idle_seconds = app, idle_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        whole = late = answered = False

        async def arriving() -> Any:
            nonlocal whole, late
            if whole:
                return await receive()
            if not late:
                with anyio.move_on_after(self._idle_seconds):
                    message = await receive()
                    whole = not message.get("more_body")
                    return message
                late = True
            return {"type": "http.disconnect"}

        async def answering(message: MutableMapping[str, Any]) -> None:
            nonlocal answered
            if answered or not late:
                answered = True
                await send(message)

        try:
            await self._app(scope, arriving, answering)
        except ClientDisconnect:
            if not late:
                raise
        if late and not answered:
            await self._refuse(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        told = (
            f"nothing more of the body of the request arrived for {self._idle_seconds:g} s, so it was left "
            "unread: send it again"
        )
        # What is left of the body would be taken for the next request.
        await JSONResponse({"detail": told}, 408, {"Connection": "close"})(scope, receive, send)
