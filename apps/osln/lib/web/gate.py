"""Checks in front of MONAI Label's stock routes that no method of an app can make.

`/infer` lets `params` replace the model, the image and the session of its own URL, and starting a task
passes any key on to a subprocess, where a refusal is a stack trace in a log. Both are answered here,
before anything starts, with a sentence and a 4xx. Weights do not come in over HTTP at all: `PUT` and `DELETE
/model/{name}` would replace deployed weights past the comparison that every training here has to win; reading
them (`GET`) stays. The stock functions are looked up at call time by their
routes, so replacing the module attributes is enough; `install` may be called again after a reload.
"""

import json
import logging
import re
import threading
from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any

from fastapi import HTTPException
from monailabel.endpoints import activelearning as activelearning_endpoint
from monailabel.endpoints import datastore as datastore_endpoint
from monailabel.endpoints import infer as infer_endpoint
from monailabel.endpoints import model as model_endpoint
from monailabel.endpoints import scoring as scoring_endpoint
from monailabel.endpoints import train as train_endpoint
from monailabel.endpoints import wsi_infer as wsi_endpoint
from monailabel.interfaces.utils.app import app_instance
from monailabel.utils.async_tasks import utils as task_utils
from monailabel.utils.async_tasks.task import AsyncTask
from monailabel.utils.async_tasks.utils import tasks
from monailabel.utils.others.generic import file_checksum

from lib.errors import translated
from lib.models import jobs, node_click
from lib.options import BY_SERVER
from lib.web import answers
from lib.web.dicom_routes import infer_as_seg
from lib.who import author

logger = logging.getLogger(__name__)

OF_THE_URL = ("model", "image", "session", "session_id", "label", "description", "images", "job")
"""Keys that the URL or an upload decides, never the options of a request."""

LONGEST_TASK = 64 * 1024
"""Characters of a task's parameters: they travel on a command line, whose arguments end at 128 KiB."""
CHECKSUMS = ("SHA256", "SHA512", "MD5")
_starting = threading.Lock()


def install() -> None:
    """Puts the checks in place, once per process."""
    if not hasattr(infer_endpoint.run_inference, "__wrapped__"):
        infer_endpoint.run_inference = checked_inference(infer_endpoint.run_inference)
    if not hasattr(AsyncTask.run, "__wrapped__"):
        AsyncTask.run = staticmethod(checked_start(AsyncTask.run))
        AsyncTask.status = staticmethod(running_first(AsyncTask.status))
    if not hasattr(task_utils._task_func, "__wrapped__"):
        task_utils._task_func = ended(jobs.run_unless_canceled(task_utils._task_func))
    if not hasattr(activelearning_endpoint.sample, "__wrapped__"):
        activelearning_endpoint.sample = checked_sample(activelearning_endpoint.sample)
        for endpoint in (train_endpoint, scoring_endpoint):
            method = "train" if endpoint is train_endpoint else "scoring"
            endpoint.run = checked_start_of_all(endpoint.run, method)
    if not hasattr(datastore_endpoint.download_image, "__wrapped__"):
        datastore_endpoint.download_image = checked_download(datastore_endpoint.download_image)
    model_endpoint.update_model = refuse_weights
    model_endpoint.delete_model = refuse_weights
    wsi_endpoint.run_wsi_inference = refuse_slides


def options_of(text: str | None, model: str = "") -> dict[str, Any]:
    """The options of an inference request, which come as JSON text in a form field.

    Args:
        text: The field.
        model: That is asked. Viewers tell the one that answers clicks which segment they draw, by the key
            that elsewhere stands for an uploaded label.

    Raises:
        HTTPException: 422 if the text is no JSON object, or if it names something the URL decides.
    """
    try:
        options = json.loads(text) if text else {}
    except ValueError as error:
        raise HTTPException(
            422, f"params must be a JSON object such as {{}}, and it is not JSON: {error}"
        ) from error
    if not isinstance(options, dict):
        raise HTTPException(422, f"params must be a JSON object such as {{}}, not {type(options).__name__}")
    segment = {"label"} if model == node_click.NAME else set()
    refuse_keys_of_url({key: value for key, value in options.items() if key not in segment})
    return options


def refuse_keys_of_url(options: dict[str, Any]) -> None:
    """Raises HTTPException 422 if options try to replace what the URL says."""
    if taken := sorted(set(options) & set(OF_THE_URL)):
        raise HTTPException(
            422, f"params must not contain {', '.join(taken)}: the URL of the request decides it"
        )


def accepted(method: str, request: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    """The checked parameters of a task that is about to start.

    Args:
        method: "train", "batch_infer" or "scoring".
        request: What the URL says.
        params: The body of the request.

    Raises:
        HTTPException: 404 for an unknown model, 422 for a parameter that is not allowed or a training that
            has no case.
    """
    name, known = request.get(_named_by(method)), _known(method)
    if name not in known:
        there = ", ".join(known) or "none"
        raise HTTPException(404, f"there is no {method} task {name!r}; there are: {there}")
    # A bare POST /train/ starts every trainer and hands the options of all of them, by name, to each.
    own = {key: value for key, value in params.items() if key not in known}
    _check_options(method, request, own)
    return own


def _named_by(method: str) -> str:
    """Key of a request that names the task."""
    return "method" if method == "scoring" else "model"


def _known(method: str) -> dict[str, Any]:
    """The tasks of a kind, by name."""
    app = app_instance()
    return {"train": app._trainers, "batch_infer": app._infers, "scoring": app._scoring_methods}[method]


def _check_options(method: str, request: dict[str, Any], own: dict[str, Any]) -> None:
    refuse_keys_of_url(own)
    if taken := sorted(set(BY_SERVER) & set(own)):
        raise HTTPException(422, f"params must not contain {', '.join(taken)}: the server alone says it")
    gpus = own.get("gpus")
    if gpus is not None and not (isinstance(gpus, str) and re.fullmatch(r"all|[0-9, ]*", gpus)):
        raise HTTPException(422, 'gpus is "all" or numbers of GPUs as text, such as "0,1"')
    if (length := len(json.dumps(own))) > LONGEST_TASK:
        raise HTTPException(422, f"the parameters of a task have {length} characters, at most {LONGEST_TASK}")
    batch = method == "batch_infer"
    task = app_instance()._batch_infer if batch else _known(method)[request[_named_by(method)]]
    with translated():
        task.check(request | own)
        if method == "train":
            task.check_cases()


def checked_inference(stock: Callable) -> Callable:
    """MONAI Label's inference function behind a check of its parameters."""

    @wraps(stock)
    def run_inference(
        background_tasks: Any,
        model: str,
        image: str = "",
        session_id: str = "",
        params: str = "{}",
        file: Any = None,
        label: Any = None,
        output: Any = None,
    ) -> Any:
        if file or label:
            raise HTTPException(
                422,
                "files are not taken along with an inference: store a CT with PUT /datastore/image or PUT "
                "/session/, and a tumor contour with PUT /datastore/label?tag=gtv, then ask by id",
            )
        if not image and not session_id:
            raise HTTPException(422, "say which case: /infer/MODEL?image=CASE, or ?session_id=SESSION")
        options = options_of(params, model)
        if output == "dicom_seg":
            return infer_as_seg(model, image, options)
        if session_id:
            # The stock function would go on with a case of the store that has the image's name.
            answers.session_file({"session": {"name": session_id}}, app_instance().sessions())
        return stock(background_tasks, model, image, session_id, params, None, None, output)

    return run_inference


def checked_download(stock: Callable) -> Callable:
    """MONAI Label's download of an image; its own comparison with a checksum never finds them the same."""

    @wraps(stock)
    def download_image(image: str, check_only: bool = False, check_sum: str | None = None) -> Any:
        if check_sum:
            algorithm, _, digest = check_sum.rpartition(":")
            algorithm = algorithm or CHECKSUMS[0]
            if algorithm not in CHECKSUMS:
                raise HTTPException(422, f"check_sum is ALGORITHM:DIGEST with one of {', '.join(CHECKSUMS)}")
            path = app_instance().datastore().get_image_uri(image)
            if file_checksum(path, algo=algorithm) != f"{algorithm}:{digest}":
                raise HTTPException(404, f"the CT of case {image} has another checksum")
        return stock(image, check_only)

    return download_image


def checked_sample(stock: Callable) -> Callable:
    """MONAI Label's choice of the next case behind a check: the URL names the strategy, not the body."""

    @wraps(stock)
    def sample(strategy: str, params: dict[str, Any] | None = None, user: str | None = None) -> Any:
        if "strategy" in (params or {}):
            raise HTTPException(422, "the body must not contain strategy: the URL of the request decides it")
        return stock(strategy, params, user)

    return sample


def checked_start_of_all(stock: Callable, method: str) -> Callable:
    """MONAI Label's start of all tasks of a kind, whose options come by the name of the task.

    All are checked before the first one starts: a refusal says that nothing has started.
    """

    @wraps(stock)
    def run(params: dict[str, Any] | None = None, run_sync: bool | None = False) -> Any:
        known = _known(method)
        of_all = {key: value for key, value in (params or {}).items() if key not in known}
        for name in known:
            own = (params or {}).get(name, {})
            if not isinstance(own, dict):
                raise HTTPException(422, f"the options of {name} must be a JSON object such as {{}}")
            _check_options(method, {_named_by(method): name}, own | of_all)
        return stock(params, run_sync)

    return run


def checked_start(stock: Callable) -> Callable:
    """MONAI Label's start of a background task behind a check of its request.

    Two starts within the second that a process needs to come up are both accepted by the stock function;
    here the second one is told that a task is already there.
    """

    @wraps(stock)
    def run(
        method: str,
        request: dict[str, Any] | None = None,
        params: dict[str, Any] | None = None,
        force_sync: bool = False,
        enqueue: bool = False,
    ) -> Any:
        params = accepted(method, dict(request or {}), dict(params or {}))
        with _starting:
            busy = [task for task in tasks(method) if task["status"] in ("SUBMITTED", "RUNNING")]
            if busy and not enqueue:
                return (
                    None,
                    f"a {method} task is already {busy[-1]['status'].lower()}: stop it, or wait for its end",
                )
            if method == "train" and not busy:
                with translated():
                    app_instance()._trainers[request["model"]].check_free()
            if not force_sync:
                if method == "batch_infer":
                    request = {**request, "job": request.get("job") or _noted(request | params)}
                return stock(method, request, params, force_sync, enqueue)
        return stock(method, request, params, force_sync, enqueue)

    return run


def _noted(request: dict[str, Any]) -> str:
    """Id of the job that a batch inference becomes, so that it is listed and can be canceled like all."""
    app = app_instance()
    with translated():
        cases = app._batch_infer.wanted(request, app.datastore())
        return jobs.JobFiles(app.datastore().root).add(cases, request["model"], author(request))


def ended(stock: Callable) -> Callable:
    """MONAI Label's work on a background task, which has ended also if its process could not be started.

    The stock function leaves it as submitted, and no other task of its kind starts before the server does.
    """

    @wraps(stock)
    def work(task: dict[str, Any], method: str, callback: Callable | None = None) -> None:
        try:
            stock(task, method, callback)
        except Exception as error:
            logger.exception("The %s task came to no end of its own", method)
            task["status"], task["details"] = "ERROR", [f"{type(error).__name__}: {error}"]
            task["end_ts"] = datetime.today().strftime("%Y-%m-%d %H:%M:%S")

    return work


def running_first(stock: Callable) -> Callable:
    """MONAI Label's status of a task: that of the running one, if one runs.

    Of several in the queue the stock function tells the last one, which waits, and 3D Slicer takes the
    training for ended.
    """

    @wraps(stock)
    def status(method: str, all: bool = False, check_if_running: bool = False) -> Any:
        running = [task for task in tasks(method) if task["status"] == "RUNNING"]
        if running and not all and not check_if_running:
            return running[0], None
        return stock(method, all, check_if_running)

    return status


def refuse_weights(*_: Any, **__: Any) -> None:
    """In the place of MONAI Label's change of a model's weights."""
    raise HTTPException(
        403,
        "weights are not changed over HTTP: train (POST /train/<model>), or use ./scripts/osln models on the "
        "server (list, publish, rollback)",
    )


def refuse_slides(*_: Any, **__: Any) -> None:
    """In the place of MONAI Label's inference on slides, which answers 500 where no image is named."""
    raise HTTPException(404, "this app has no slides: POST /infer/MODEL?image=CASE runs a model on a case")
