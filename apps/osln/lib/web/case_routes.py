"""`GET /osln/case`: what a viewer should know of a case before its images are looked at."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Depends
from monailabel.config import settings
from monailabel.endpoints.user.auth import RBAC, User
from monailabel.interfaces.utils.app import app_instance

from lib.store.shown_labels import stored_file

router = APIRouter(prefix="/osln", tags=["OSLN"])
USER = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_USER))


@router.get("/case", summary="Study, CT and PET of a case as viewers show them")
async def case(image: str, user: User = USER) -> dict[str, Any]:
    """UIDs of study and CT, what becomes of the PET (with progress while it is registered), and warnings.

    Asking has a PET of another examination registered; ask again while `pet.state` is "registering".
    """
    store = app_instance().datastore()
    name = store.known(image)
    about = asdict(store.about_images(name))
    tumor = stored_file(store, name, "gtv").is_file()
    return {"case": name, "series": about["ct_series_uid"], "tumor": tumor, **about}
