"""The page (`/`), the API page and the documents, from this computer alone: nothing is loaded from elsewhere.

MONAI Label's own pages load scripts from another host and stay blank without a network.
"""

import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse, Response
from monailabel.interfaces.utils.app import app_instance

from lib.web.documents import PICTURES, documents, page, pictures
from lib.web.ohif_routes import HEADERS, USER, User
from lib.web.state import last_training, state

router = APIRouter(tags=["OSLN"])
PAGE = Path(__file__).with_name("page")
"""Files of the page: no build step, what lies there is what the browser gets."""
FILES = {
    path.name: {".js": "text/javascript", ".css": "text/css"}[path.suffix]
    for path in PAGE.glob("*.*")
    if path.suffix != ".html"
}
STRICT = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
}
"""Of the page: its own files only, and no script or style inside of the text."""
SCRIPT, STYLE = "swagger-ui-bundle.js", "swagger-ui.css"


@router.get("/", include_in_schema=False)
async def start() -> FileResponse:
    """The page with worklist, models and quality, which asks for everything by itself."""
    return FileResponse(PAGE / "index.html", media_type="text/html", headers=STRICT)


@router.get("/osln/page/{name}", include_in_schema=False)
async def page_file(name: str) -> FileResponse:
    """A script or the style of the page."""
    if name not in FILES:
        raise HTTPException(404, f"the page has no file {name!r}; it has {', '.join(sorted(FILES))}")
    return FileResponse(PAGE / name, media_type=FILES[name], headers=STRICT)


@router.get("/docs", include_in_schema=False)
async def api(request: Request) -> Response:
    """All endpoints, to be tried by hand."""
    swagger_folder()
    page = get_swagger_ui_html(
        openapi_url=request.app.openapi_url,
        title="OSLN Label: API",
        swagger_js_url=f"osln/api/{SCRIPT}",
        swagger_css_url=f"osln/api/{STYLE}",
        swagger_favicon_url="favicon.ico",
        swagger_ui_parameters={"defaultModelsExpandDepth": -1},
    )
    return Response(page.body, media_type="text/html", headers=HEADERS)


@router.get("/osln/api/{name}", include_in_schema=False)
async def api_file(name: str) -> FileResponse:
    """A file of the API page."""
    if name not in (SCRIPT, STYLE):
        raise HTTPException(404, f"the API page has no file {name!r}; it has {SCRIPT} and {STYLE}")
    return FileResponse(swagger_folder() / name)


@router.get("/osln/docs/{name}", include_in_schema=False)
async def document(name: str) -> Response:
    """A document of the repository as a page."""
    if name not in documents():
        raise HTTPException(404, f"there is no document {name!r}; there are: {', '.join(documents())}")
    return Response(page(name), media_type="text/html", headers=STRICT)


@router.get("/osln/docs/{folder}/{name}", include_in_schema=False)
async def picture(folder: str, name: str) -> FileResponse:
    """A picture of a document."""
    path = pictures().get(f"{folder}/{name}")
    if path is None:
        raise HTTPException(404, f"no document has a picture {folder}/{name}")
    return FileResponse(path, media_type=PICTURES[path.suffix], headers=STRICT)


@router.get("/osln/state", summary="Cases, weights in use and last training, as the page shows them")
async def told(user: User = USER) -> dict[str, Any]:
    app = app_instance()
    pacs = {"pacs": app._keeper.status()} if app._keeper else {}
    return state(app) | {"training": last_training(app), "documents": documents()} | pacs


@cache
def swagger_folder() -> Path:
    """Where the package `fastapi-offline` keeps the files of Swagger UI.

    Raises:
        HTTPException: 503 if the package is not installed.
    """
    package = importlib.util.find_spec("fastapi_offline")
    if package is None or package.origin is None:
        raise HTTPException(
            503,
            "the API page needs the package fastapi-offline, which carries its scripts: install the packages "
            "of requirements.txt and start the server again; /openapi.json lists the endpoints meanwhile",
        )
    return Path(package.origin).with_name("static")
