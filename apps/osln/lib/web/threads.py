"""One slow request must not freeze the others.

MONAI Label's routes are `async def` functions that call blocking code, so that a 4 s inference stops every
other reply for 4 s. For each of them a route of the same path is put in front, which runs the stock function
in a thread. Parsing, login, status codes, files and background tasks stay the stock code's.
"""

import dis
import inspect
import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import anyio
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from lib.errors import translated
from lib.json_check import read_json
from lib.web.requests import check_names
from lib.web.uploads import keep_with_request, request_folder

logger = logging.getLogger(__name__)

LIMITS = {"infer": 2, "upload": 2, "rest": 16}
"""Requests of a group that run at one time; more wait without holding a thread.

An upload unpacks an image, which may take gigabytes for a small file.
"""

INFER_MODULES = ("infer", "wsi_infer")
UPLOAD_MODULES = ("datastore", "session")
"""Where PUT brings an image."""

LEFT_STOCK = {
    "/": "a page of ours is put before it",
    "/favicon.ico": "one small file",
    "/openapi.json": "made once, then kept",
    "/docs": "a page of ours is put before it",
    "/reload": "runs in a thread already",
    "/static": "served in threads already",
    "/proxy": "reading goes by a route of ours before it; the rest really awaits the body of the request",
}
"""Paths that are knowingly not shadowed, and why."""

AWAITING = {"GET_AWAITABLE", "GET_AITER", "GET_ANEXT", "BEFORE_ASYNC_WITH", "SEND"}

_building = threading.RLock()


def unfreeze(app: FastAPI, own: Sequence[ModuleType] = ()) -> list[str]:
    """Puts threaded versions in front of MONAI Label's routes; a second call does nothing.

    Call it when the server starts (`on_init_complete`), not in training processes.

    Args:
        app: `monailabel.app.app`.
        own: Modules with routes of this app; they go before stock routes of the same path.

    Returns:
        Routes that stay as they are although nobody decided so; also logged.

    Raises:
        ValueError: If the server was started with several workers.
    """
    refuse_workers()
    if getattr(app.state, "osln_unfrozen", False):
        return []
    from monailabel import app as server

    modules = [module for module in vars(server).values() if _is_endpoint_module(module)]
    if not server.settings.MONAI_LABEL_AUTH_ENABLE:
        modules = [module for module in modules if module is not server.login]
    keep_with_request(modules)
    modules = [*own, *modules]
    unfrozen = shadow(app, modules)
    for module in [*modules, *_task_modules()]:
        if hasattr(module, "app_instance"):
            module.app_instance = _one_at_a_time(module.app_instance)
    server.clear_cache = closing(server.clear_cache)
    left = _left(app, modules, unfrozen)
    for path in left:
        logger.warning("Route %s may freeze the server while it works: it was not put into a thread", path)
    app.state.osln_unfrozen = True
    return left


def shadow(app: FastAPI, modules: Sequence[Any]) -> set[tuple[str, str]]:
    """Adds the threaded versions of the modules' routes in front of all routes of `app`.

    Args:
        app: The server.
        modules: Each with an `APIRouter` named `router`; the last part of its name decides the group.

    Returns:
        (path, method) of what was shadowed.
    """
    limiters = {group: anyio.CapacityLimiter(limit) for group, limit in LIMITS.items()}
    router, done = APIRouter(), set()
    for module in modules:
        name = module.__name__.rsplit(".", 1)[-1]
        for route in module.router.routes:
            if not isinstance(route, APIRoute) or not blocks(route.endpoint):
                continue
            router.add_api_route(
                route.path,
                threaded(route.endpoint, limiters[_group(name, route.methods)]),
                methods=sorted(route.methods),
                response_model=route.response_model,
                response_class=route.response_class,
                status_code=route.status_code,
                responses=route.responses,
                dependencies=route.dependencies,
                include_in_schema=False,
            )
            done |= {(route.path, method) for method in route.methods}
    before = len(app.router.routes)
    app.include_router(router)
    # Recent FastAPI keeps an included router as one entry, older ones copy its routes: both are moved.
    added = app.router.routes[before:]
    del app.router.routes[before:]
    app.router.routes[0:0] = added
    return done


def _group(module: str, methods: set[str]) -> str:
    """Row of `LIMITS`."""
    if module in INFER_MODULES:
        return "infer"
    return "upload" if module in UPLOAD_MODULES and "PUT" in methods else "rest"


def blocks(endpoint: Callable[..., Any]) -> bool:
    """Whether an endpoint is `async` but never awaits: its whole work happens on the event loop."""
    if not inspect.iscoroutinefunction(endpoint):
        return False
    return not any(instruction.opname in AWAITING for instruction in dis.get_instructions(endpoint))


def threaded(endpoint: Callable[..., Any], limiter: anyio.CapacityLimiter) -> Callable[..., Any]:
    """The same endpoint, run in a thread, with refusals in words (`lib.errors`)."""

    def drive(values: dict[str, Any]) -> Any:
        with translated(), request_folder():
            _check_json(values)
            check_names(values)
            coroutine = endpoint(**values)
            try:
                coroutine.send(None)
            except StopIteration as finished:
                return finished.value
        coroutine.close()
        raise RuntimeError(f"{endpoint.__name__} waits for something and cannot run in a thread")

    async def shadowed(**values: Any) -> Any:
        return await anyio.to_thread.run_sync(drive, values, limiter=limiter)

    # functools.wraps would let FastAPI look through to the stock function.
    shadowed.__name__ = endpoint.__name__
    shadowed.__doc__ = endpoint.__doc__
    shadowed.__annotations__ = dict(endpoint.__annotations__)
    shadowed.__signature__ = inspect.signature(endpoint)
    return shadowed


def refuse_workers(argv: Sequence[str] | None = None, environ: Mapping[str, str] | None = None) -> None:
    """Refuses to serve from several processes: tasks, sessions and locks live in one.

    Args:
        argv: Command line of the server; uvicorn's worker processes inherit it.
        environ: `WEB_CONCURRENCY` is uvicorn's other way to ask for workers.

    Raises:
        ValueError: If more than one worker is asked for.
    """
    argv, environ = sys.argv if argv is None else argv, os.environ if environ is None else environ
    wanted = environ.get("WEB_CONCURRENCY", "1")
    for argument, following in zip(argv, [*argv[1:], ""], strict=True):
        if argument == "--workers":
            wanted = following
        elif argument.startswith("--workers="):
            wanted = argument.partition("=")[2]
    if wanted.isdecimal() and int(wanted) > 1:
        raise ValueError(
            f"{wanted} workers were asked for, but training tasks, sessions and locks live in one process: "
            "start the server without --workers (and without WEB_CONCURRENCY); slow requests do not hold up "
            "others"
        )


def _check_json(values: Mapping[str, Any]) -> None:
    """Refuses form fields that are no JSON object; the stock code would fail on them somewhere later."""
    for name in ("params", "info"):
        text = values.get(name)
        needed = f"{name} must be a JSON object such as {{}}"
        if isinstance(text, str) and text and not isinstance(read_json(text, f"{needed}; it"), dict):
            raise ValueError(f"{needed}, got {text[:80]!r}")


def _one_at_a_time(build: Callable[..., Any]) -> Callable[..., Any]:
    """`app_instance` behind a lock: after `/reload` two requests would build the app twice."""

    def app_instance(*arguments: Any, **named: Any) -> Any:
        with _building:
            instance = build(*arguments, **named)
            if not getattr(instance, "_server_mode", True):
                # The stock /reload forgets to tell the new app that it runs in the server.
                instance.server_mode(True)
            return instance

    return app_instance


def closing(clear: Callable[[], None]) -> Callable[[], None]:
    """`clear_cache` of `/reload`, which would leave the watcher of the dropped app's folder behind."""

    def clear_cache() -> None:
        from monailabel.interfaces.utils import app as cache

        with _building:
            dropped = list(cache.apps.values())
            clear()
        for app in dropped:
            if hasattr(app, "close"):
                app.close()

    return clear_cache


def _task_modules() -> list[ModuleType]:
    from monailabel.utils.async_tasks import task

    return [task]


def _is_endpoint_module(module: Any) -> bool:
    return isinstance(module, ModuleType) and isinstance(getattr(module, "router", None), APIRouter)


def _left(app: FastAPI, modules: Sequence[Any], unfrozen: set[tuple[str, str]]) -> list[str]:
    found = {
        (route.path, method)
        for module in modules
        for route in module.router.routes
        for method in getattr(route, "methods", None) or ()
    }
    # Routes of the server itself; included routers have no path of their own or were counted above.
    own = {(path, "") for route in app.router.routes if (path := getattr(route, "path", ""))}
    known = {path for path, _ in found}
    missing = {path for path, _ in found - unfrozen} | {path for path, _ in own if path not in known}
    return sorted(path for path in missing if path not in LEFT_STOCK and not path.startswith("/proxy/"))
