"""Networks, their versions and trainings, what is in use; and how good what annotators get is."""

from typing import Any

from fastapi import APIRouter, Depends
from monailabel.config import settings
from monailabel.endpoints.user.auth import RBAC, User
from monailabel.interfaces.utils.app import app_instance
from pydantic import BaseModel, ConfigDict, Field

from lib.models.overview import networks, newest_curve
from lib.store.quality import reviewed_cases, summary
from osln.rows.experiments import DEFAULT_ROW, ROWS

router = APIRouter(prefix="/osln", tags=["OSLN"])
USER = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_USER))
REVIEWER = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_REVIEWER))


class Network(BaseModel):
    """Which network is changed."""

    model_config = ConfigDict(extra="forbid")
    network: str = Field(max_length=64)


class NetworkVersion(Network):
    """Which version is put into use."""

    version: str = Field(max_length=128)


@router.get("/models", summary="Networks with their versions, trainings and comparisons")
async def models(user: User = USER) -> dict[str, Any]:
    app = app_instance()
    store = app.published.store
    return {
        "networks": networks(store, app._trainers),
        "default_network": ROWS[DEFAULT_ROW].classifier,
        "tagger": app.published.tagger.describe(),
        "folder": str(store.root),
        "damaged": store.damage(),
    }


@router.post("/models/publish", summary="Put a stored version of a network into use")
async def publish(wanted: NetworkVersion, user: User = REVIEWER) -> dict[str, Any]:
    version = app_instance().published.store.publish(wanted.network, wanted.version)
    return _told(version.network, version.name, f"{version.network} now uses {version.name}.")


@router.post("/models/rollback", summary="Put the version before the present one into use again")
async def rollback(wanted: Network, user: User = REVIEWER) -> dict[str, Any]:
    told: list[str] = []
    version = app_instance().published.store.rollback(wanted.network, told.append)
    message = f"{version.network} is back to {version.name}." + "".join(f" {one}." for one in told)
    return _told(version.network, version.name, message)


@router.get("/quality", summary="Seconds, agreement and FROC from what annotators decided")
async def quality(user: User = USER) -> dict[str, Any]:
    app = app_instance()
    cases = reviewed_cases(app.datastore())
    # Of those that nobody has retrained, that of the row that answers by itself.
    classifiers = [row.classifier for row in app.published.rows.values() if row.classifier]
    curve = newest_curve(app.published.store, list(dict.fromkeys(classifiers)))
    return {"summary": summary(cases), "cases": cases, "froc": curve}


def _told(network: str, version: str, message: str) -> dict[str, Any]:
    return {"network": network, "version": version, "message": message}
