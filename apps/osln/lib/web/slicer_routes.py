"""What 3D Slicer shows beside the CT, which MONAI Label has no route for: the PET, and the candidates."""

from enum import Enum
from typing import Any

from fastapi import APIRouter, Depends, HTTPException
from fastapi.responses import FileResponse, JSONResponse, Response
from monailabel.config import settings
from monailabel.endpoints.user.auth import RBAC, User
from monailabel.interfaces.utils.app import app_instance

from lib.store import offered
from lib.web.markups import markups
from osln.dicom.served.about import FAILED, NONE, REGISTERING
from osln.store.layout import companions

router = APIRouter(prefix="/osln", tags=["OSLN"])
USER = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_USER))


class Form(str, Enum):
    """Of the candidates."""

    json = "json"
    markups = "mrk.json"


@router.get("/pet", summary="The PET of a case as it lies on the CT: the file of the store, SUV")
async def pet(image: str, user: User = USER) -> FileResponse:
    """Its own grid, in the CT's frame of reference; registered if it is of another examination.

    404 if there is none or it cannot be shown, 409 while it is being registered: ask again.
    """
    store = app_instance().datastore()
    case = store.known(image)
    about = store.about_images(case).pet
    if about.state == REGISTERING:
        raise HTTPException(409, about.message)
    if about.state in (NONE, FAILED):
        raise HTTPException(404, about.message)
    # On a PACS this fetches the images if they are not here.
    store.get_image_uri(case)
    path = companions(store.root, case).pet
    if path is None:
        reasons = [one for one in store.about_images(case).warnings if "PET" in one]
        raise HTTPException(404, "; ".join(reasons) or f"the PET of case {case} could not be used")
    return FileResponse(
        path,
        media_type="application/octet-stream",
        filename=f"{case}-pet{path.name[len(case) :]}",
        headers={"Cache-Control": "no-cache"},
    )


@router.get("/candidates", summary="Candidates of the stored prediction with scores and decisions")
async def candidates(image: str, format: Form = Form.json, user: User = USER) -> Response:
    """See `lib.store.offered`; with `format=mrk.json` a file for Slicer's module Markups."""
    store = app_instance().datastore()
    found: dict[str, Any] = offered.offered(store, store.known(image))
    if format is Form.json:
        return JSONResponse(found, headers={"Cache-Control": "no-cache"})
    attached = {"Content-Disposition": f'attachment; filename="{found["case"]}.mrk.json"'}
    return JSONResponse(markups(found), headers=attached)
