"""Weights do not come in over HTTP.

MONAI Label lets an annotator replace or take away the deployed weights of any model (`PUT` and
`DELETE /model/{name}`), without a check and past the comparison that every training here has to win. Both are
refused; reading them (`GET`) stays.
"""

from typing import Any

from fastapi import HTTPException
from monailabel.endpoints import model as model_endpoint


def refuse_weight_changes() -> None:
    """Replaces the two functions that the routes look up when they are called."""
    model_endpoint.update_model = _refused
    model_endpoint.delete_model = _refused


def _refused(*_: Any, **__: Any) -> None:
    raise HTTPException(
        403,
        "weights are not changed over HTTP: train (POST /train/<model>), or use ./scripts/osln models on the "
        "server (list, publish, rollback)",
    )
