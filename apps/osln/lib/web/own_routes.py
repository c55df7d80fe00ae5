"""Routes of MONAI Label that are answered here: they leave files behind or fail without a sentence."""

import shutil
import subprocess
from html import escape
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends, HTTPException, Query
from fastapi.responses import FileResponse, Response
from monailabel.config import settings
from monailabel.endpoints.logs import get_logs
from monailabel.endpoints.user.auth import RBAC, User
from monailabel.interfaces.utils.app import app_instance

from lib.web.ohif_routes import HEADERS

router = APIRouter()
ADMIN = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_ADMIN))
ANNOTATOR = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR))
LINES = Query(300, ge=0, le=100_000)
NVIDIA_SECONDS = 20
LEAST_REFRESH = 3
LOG_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>OSLN Label: log</title>AGAIN
<pre>LINES</pre></html>
"""
"""MONAI Label's page runs scripts of two other hosts in the name of the admin who reads it."""


class SentOnce(FileResponse):
    """A file that is removed after it was sent, also when the client has gone meanwhile."""

    async def __call__(self, *arguments: Any) -> None:
        try:
            await super().__call__(*arguments)
        finally:
            Path(self.path).unlink(missing_ok=True)


@router.get("/datastore/dataset", summary="All approved cases as a ZIP archive")
async def dataset(limit_cases: int | None = None, user: User = ANNOTATOR) -> FileResponse:
    path = app_instance().datastore().get_dataset_archive(limit_cases)
    return SentOnce(path, media_type="application/zip", filename="dataset.zip")


@router.get("/logs/", summary="Log of the server")
async def logs(
    lines: int = LINES, html: bool = True, text: bool = False, refresh: int = 0, user: User = ADMIN
) -> Response:
    path = Path(settings.MONAI_LABEL_APP_DIR, "logs", "app.log")
    said = get_logs(str(path), lines, False, True, 0)
    if text or not html or not lines:
        return said
    wait = min(max(refresh, LEAST_REFRESH), 3600)
    again = f'<meta http-equiv="refresh" content="{wait}">' if refresh > 0 else ""
    page = LOG_PAGE.replace("AGAIN", again).replace("LINES", escape(bytes(said.body).decode()))
    return Response(page, media_type="text/html", headers=HEADERS)


@router.get("/logs/gpu", summary="What nvidia-smi says")
async def gpu(user: User = ADMIN) -> Response:
    program = shutil.which("nvidia-smi")
    if program is None:
        raise HTTPException(404, "this computer has no nvidia-smi, which tells about NVIDIA GPUs")
    try:
        run = subprocess.run([program], capture_output=True, timeout=NVIDIA_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HTTPException(503, f"nvidia-smi does not answer: {error}") from error
    return Response((run.stdout or run.stderr).decode(errors="replace"), media_type="text/plain")
