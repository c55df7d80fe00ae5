"""The worklist: every case with its state, the next one, and the jobs that find nodes in the background."""

import json
import logging
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException
from fastapi.responses import Response
from monailabel.config import settings
from monailabel.endpoints.user.auth import RBAC, User
from monailabel.interfaces.utils.app import app_instance
from monailabel.utils.async_tasks.task import AsyncTask
from pydantic import BaseModel, ConfigDict, Field

from lib.models import jobs
from lib.models.strategies import Active, Proposing
from lib.options import listed
from lib.store.worklist import worklist
from lib.who import author
from osln.active.strategies import DEFAULT
from osln.store.layout import check_case

logger = logging.getLogger(__name__)

router = APIRouter(prefix="/osln", tags=["OSLN"])
USER = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_USER))
ANNOTATOR = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR))
MOST_NAMED = 5
"""Cases that a refusal lists."""
CaseName = Annotated[str, Field(min_length=1, max_length=128)]


class Wanted(BaseModel):
    """A job that is asked for."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["find"] = "find"
    cases: Literal["all"] | list[CaseName]
    model: str = Field("", max_length=64)
    """Empty for the first of the rows."""
    annotator: str = Field("", max_length=128)


@router.get("/worklist", summary="Every case with its state, the next one to annotate, and the jobs")
async def cases(strategy: str = DEFAULT, annotator: str = "", user: User = USER) -> Response:
    """See `lib.store.worklist`; `next` is {"case", "strategy", "why"} with what the strategy asks, or null.

    `left_out` has a sentence for each file of the folder that is served as no case, or as no label of one.
    `retraining` says how far retraining by itself is; null where it is off.
    `evidence` says how far the scores are that strategies go by.
    """
    app = app_instance()
    store = app.datastore()
    found = worklist(store)
    proposal = _proposal(app, strategy, annotator)
    told = None
    if proposal is not None:
        told = {"case": proposal.case, "strategy": strategy, "why": proposal.why, **proposal.about}
    background = jobs.told(jobs.JobFiles(store.root))
    failed = jobs.failed_last(background)
    for entry in found:
        if told and entry["case"] == told["case"]:
            entry["why"] = told["why"]
        when, why = failed.get(entry["case"], ("", ""))
        if why and entry["state"] not in ("approved", "partly") and (entry["found_at"] or "") < when:
            entry["warnings"] = [why, *entry["warnings"]]
    content = {"cases": found, "next": told, "jobs": background}
    content["left_out"] = store.left_out
    content["retraining"] = app.retraining()
    content["evidence"] = app.evidence()
    # Thousands of entries: the check of a response model takes longer than all the rest.
    return Response(json.dumps(content), media_type="application/json", headers={"Cache-Control": "no-cache"})


@router.get("/proposed", summary="What a strategy asks first in a case")
async def proposed(
    image: str, strategy: str = DEFAULT, annotator: str = "", user: User = USER
) -> dict[str, Any]:
    """`why`, `value`, `candidates` and `windows`; both lists are empty where the strategy asks for all."""
    app = app_instance()
    store, task = app.datastore(), _strategy(app, strategy)
    case = store.known(image)
    if not isinstance(task, Active):
        return {"case": case, "why": task.description, "value": None, "candidates": [], "windows": []}
    return {"case": case, **task.within({"strategy": strategy, "annotator": annotator}, store, case)}


@router.get("/jobs", summary="Background jobs, newest first")
async def all_jobs(user: User = USER) -> dict[str, Any]:
    return {"jobs": jobs.told(jobs.JobFiles(app_instance().datastore().root))}


@router.post("/jobs", summary="Find nodes in the background")
async def start(wanted: Wanted, user: User = ANNOTATOR) -> dict[str, Any]:
    """Cases are taken in the order given; "all" means every case without an approved label."""
    app = app_instance()
    store, files = app.datastore(), jobs.JobFiles(app.datastore().root)
    model = wanted.model or next(iter(app.published.rows))
    if model not in app._infers:
        raise HTTPException(404, f"there is no model {model!r}; the models are: {listed(app._infers)}")
    number = files.add(_cases(store, wanted.cases), model, author(wanted.model_dump()))
    try:
        AsyncTask.run("batch_infer", {"model": model, "job": number}, {}, enqueue=True)
    except BaseException:
        files.drop(number)
        raise
    return next(one for one in jobs.told(files) if one["id"] == number)


@router.delete("/jobs/{number}", summary="Cancel a background job")
async def stop(number: str, user: User = ANNOTATOR) -> dict[str, Any]:
    files = jobs.JobFiles(app_instance().datastore().root)
    jobs.cancel(files, number)
    return next(one for one in jobs.told(files) if one["id"] == number)


def _cases(store: Any, wanted: str | list[str]) -> list[str]:
    """The cases of a job, each once.

    Raises:
        HTTPException: 404 if the store has not all of them, 409 if there is none.
    """
    if wanted == "all":
        found = sorted(store.get_unlabeled_images())
        if not found:
            raise HTTPException(409, "every case has an approved label: name the cases to run the model on")
        return found
    if not wanted:
        raise HTTPException(422, 'cases is a list of case ids, or "all"; this list is empty')
    for case in wanted:
        check_case(case)
    there = set(store.list_images())
    if strange := [case for case in dict.fromkeys(wanted) if case not in there]:
        more = f" and {len(strange) - MOST_NAMED} more" if len(strange) > MOST_NAMED else ""
        raise HTTPException(404, f"these cases are not in the store: {listed(strange[:MOST_NAMED])}{more}")
    return list(dict.fromkeys(wanted))


def _proposal(app: Any, strategy: str, annotator: str) -> Any:
    task = _strategy(app, strategy)
    return task.propose({"strategy": strategy, "annotator": annotator}, app.datastore())


def _strategy(app: Any, strategy: str) -> Proposing:
    task = app._strategies.get(strategy)
    if not isinstance(task, Proposing):
        raise HTTPException(
            404, f"there is no strategy {strategy!r}; the strategies are: {listed(app._strategies)}"
        )
    return task
