"""OHIF in the browser: its files, a mode of ours as configuration, its window to the PACS, and stored labels.

The viewer that comes with MONAI Label cannot save: its panel has no button for it, and its own export mirrors
labels along z. The scripts in `lib/ohif` make a mode with a panel that submits to this server. They are one
file for the browser, the one that OHIF reads its configuration from, so that nothing has to be built.
"""

import logging
import re
from pathlib import Path
from urllib.parse import quote

import monailabel
from fastapi import APIRouter, Depends, Request
from fastapi.responses import FileResponse, Response
from monailabel.config import settings
from monailabel.endpoints.user.auth import RBAC, User
from monailabel.interfaces.utils.app import app_instance
from monailabel.utils.others.generic import get_mime_type

from lib.models.label_maps import write_label_map
from lib.store.shown_labels import shown_label
from lib.web.compression import FOR_EVER, packed, packed_file, takes_gzip

logger = logging.getLogger(__name__)

router = APIRouter(tags=["OHIF"])
VIEWER = Path(monailabel.__file__).resolve().parent / "endpoints" / "static" / "ohif"
SCRIPTS = Path(__file__).resolve().parents[1] / "ohif"
ORDER = (
    *("geometry", "nodes", "steps", "review", "touching", "findings"),
    *("record", "merge", "watch", "server", "drafts"),
    *(
        "windows",
        "contours",
        "projections",
        "segmentation",
        "view",
        "hanging",
        "drawing",
        "mip",
        "images",
        "commands",
    ),
    *("style", "keys", "leave", "dom", "list", "points", "layout", "click", "past", "meet"),
    *("unfinished", "opening", "sending", "deciding", "panel", "mode", "config"),
)
"""Scripts of the mode; a later one uses what an earlier one defines."""
SERVICES = re.compile(r"(qido|wado)/")
HASHED = re.compile(r"[0-9a-f]{20}")
"""In the name of a file whose content never changes."""
HEADERS = {
    # The viewer asks for fonts elsewhere; a page with patient data asks nobody but this server.
    "Content-Security-Policy": "default-src 'self' 'unsafe-inline' 'unsafe-eval' blob: data:",
    "Cache-Control": "no-cache",
}
USER = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_USER))


@router.get("/ohif/app-config.js", include_in_schema=False)
async def configuration(user: User = USER) -> Response:
    """The configuration of OHIF with the mode in it."""
    return Response(script(), media_type="text/javascript", headers={"Cache-Control": "no-cache"})


def script() -> str:
    """All scripts as one, with names of their own."""
    parts = [(SCRIPTS / f"{name}.js").read_text(encoding="utf-8") for name in ORDER]
    return "(() => {\n'use strict';\n" + "\n".join(parts) + "})();\n"


@router.get("/ohif/{path:path}", include_in_schema=False)
async def viewer(path: str, request: Request, user: User = USER) -> Response:
    """A file of the viewer, its page for everything else, which are addresses inside the viewer."""
    file = (VIEWER / path).resolve()
    if not (path and file.is_relative_to(VIEWER) and file.is_file()):
        # The images are made while the browser loads the viewer, which takes longer.
        app_instance().datastore().prepare(request.query_params.get("StudyInstanceUIDs", ""))
        return FileResponse(VIEWER / "index.html", media_type="text/html", headers=HEADERS)
    kind, lasting = get_mime_type(str(file)), HASHED.search(file.name)
    headers = {"Cache-Control": FOR_EVER if lasting else "no-cache"}
    if lasting and takes_gzip(request):
        content = packed_file(file, file.stat().st_mtime_ns)
        packing = {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        return Response(content, media_type=kind, headers=headers | packing)
    return FileResponse(file, media_type=kind, headers=headers)


@router.get("/osln/label", summary="The stored label of a case as NRRD: 1 lymph node, 2 tumor")
async def stored_label(
    image: str, request: Request, instances: bool = False, revision: int | None = None, user: User = USER
) -> Response:
    """Approved nodes and tumor in one map on the CT's voxels; 204 if there is neither.

    With `instances` each node has a value of its own; with `revision` the nodes are those of an older one.
    Headers name the case, which another series of it may have been asked for, the series that viewers show as
    its CT, the revision of the nodes (0 before the first), who approved it, and value, revision and mark of
    the tumor.
    """
    store = app_instance().datastore()
    case = store.known(image)
    shown = shown_label(store, case, instances=instances, revision=revision)
    about = {
        "OSLN-Case": case,
        "OSLN-Series": store.ct_series(case),
        "OSLN-Revision": str(shown.revision.revision if shown.revision else 0),
        "OSLN-By": quote(shown.revision.by if shown.revision else ""),
        "OSLN-Tumor-Value": str(shown.tumor),
        "OSLN-Tumor-Revision": str(shown.tumor_revision.revision if shown.tumor_revision else 0),
        "OSLN-Tumor-Mark": shown.tumor_mark,
    }
    values, ct = shown.values, shown.ct
    if values is None:
        return Response(status_code=204, headers=about)
    dtype = values.dtype.name
    path = write_label_map(values, ct.grid, ct.file_grid, {}, extension=".nrrd", dtype=dtype, compress=False)
    try:
        content = path.read_bytes()
    finally:
        path.unlink(missing_ok=True)
    return packed(request, content, "application/octet-stream", about)
