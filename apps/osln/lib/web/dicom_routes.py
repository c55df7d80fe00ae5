"""Results as DICOM over HTTP: `GET /osln/export`, and `POST /infer/MODEL?output=dicom_seg`.

MONAI Label's own converter names segments by their position among the values that happen to be there, so that
a label without one class is called by the name of another; it is never asked.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends
from fastapi.responses import Response
from monailabel.config import settings
from monailabel.endpoints.user.auth import RBAC, User
from monailabel.interfaces.utils.app import app_instance
from pydicom.dataset import Dataset

from lib.errors import NotReadyError
from lib.pacs.datastore import PacsDatastore
from osln.dicom.writing.export import encoded
from osln.pacs.exporting import export_prediction, export_stored

router = APIRouter(prefix="/osln", tags=["OSLN"])
OF_THE_STOCK_CONVERTER = ("label_info",)
"""Options that clients send along for the converter that is not used."""


@router.get("/export", summary="Approved nodes or stored prediction of a case as DICOM SEG or RTSTRUCT")
async def export(
    image: str,
    what: str = "final",
    format: str = "seg",
    in_part: bool = False,
    user: User = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_USER)),  # noqa: B008
) -> Response:
    store = _pacs()
    case = store.known(image)
    made = export_stored(store.mirror, case, what, format, in_part=in_part)
    return _reply(made, f"{case}-{what}.{format}.dcm")


def infer_as_seg(model: str, image: str, options: Mapping[str, Any]) -> Response:
    """What an inference finds in a case, as a DICOM Segmentation.

    Args:
        model: Of the app.
        image: UID of a series of the case.
        options: Of the request.

    Raises:
        ValueError: If no case is named.
        NotReadyError: If the store is a folder.
    """
    if not image:
        raise ValueError("output=dicom_seg takes a case of the store (image=CASE), no session")
    store = _pacs()
    case = store.known(image)
    own = {key: value for key, value in options.items() if key not in OF_THE_STOCK_CONVERTER}
    result = app_instance().infer({**own, "model": model, "image": case})
    try:
        made = export_prediction(store.mirror, case, result["file"], result["params"])
    finally:
        Path(result["file"]).unlink(missing_ok=True)
    return _reply(made, f"{case}-{model}.seg.dcm")


def _pacs() -> PacsDatastore:
    store = app_instance().datastore()
    if not isinstance(store, PacsDatastore):
        raise NotReadyError(
            "the cases of this server lie in a folder, which does not know their DICOM series: run "
            "./scripts/osln export STORE CASE --ct FOLDER --out OUT, or start the server with --studies "
            "http(s)://PACS/dicom-web"
        )
    return store


def _reply(made: Dataset, name: str) -> Response:
    attached = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(encoded(made), media_type="application/dicom", headers=attached)
