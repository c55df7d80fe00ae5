"""From a request for inference to the reply: which image may be read, and what becomes of the label map."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import HTTPException
from monailabel.interfaces.datastore import Datastore, DefaultLabelTag
from monailabel.interfaces.tasks.infer_v2 import InferTask

from lib.errors import translated
from lib.models.infers import EVIDENCE
from lib.options import BY_ITSELF, listed
from lib.store.evidence import marks
from lib.web.sessions import OslnSessions
from osln.files.images import split_suffix


def answer(
    request: Mapping[str, Any],
    tasks: Mapping[str, InferTask],
    datastore: Datastore,
    sessions: OslnSessions | None,
) -> dict[str, Any]:
    """Runs an inference request on a case of the store or the upload of a session, and on nothing else.

    Args:
        request: `model`, `image` (a case id) or `session`, and options.
        tasks: From `build`.
        datastore: Knows the case ids.
        sessions: MONAI Label's sessions; None if they are switched off.

    Returns:
        What MONAI Label's routes expect: `file`, `label`, `tag`, `params`.

    Raises:
        HTTPException: 404 for an unknown model, case or session, 4xx otherwise; the detail says what to do.
    """
    name = request.get("model")
    if name not in tasks:
        raise HTTPException(404, f"there is no model {name!r}; the models are: {listed(tasks)}")
    with translated():
        image = request.get("image")
        in_session = bool(request.get("session"))
        path = session_file(request, sessions) if in_session else case_file(image, datastore)
        left_out = ("description", "session", BY_ITSELF)
        own = {key: value for key, value in request.items() if key not in left_out}
        own |= {"image": path} | ({"session": True} if in_session else {})
        keep = own.get("save_label") and not in_session
        read = marks(Path(path).parent, split_suffix(path)[0]) if keep else ""
        file, result = tasks[name](own)
        evidence = result.pop(EVIDENCE, None)
        label = file
        if keep:
            info = {"model": name, "params": result}
            # Nobody has chosen the row of a prediction that the server made by itself.
            info |= {BY_ITSELF: True} if request.get(BY_ITSELF) else {}
            try:
                label = datastore.save_prediction(image, file, info, read)
            except BaseException:
                Path(file).unlink(missing_ok=True)
                raise
            if evidence is not None:
                datastore.keep_evidence(image, evidence, read)
    return {"label": label, "tag": DefaultLabelTag.ORIGINAL.value, "file": file, "params": result}


def case_file(case: Any, datastore: Datastore) -> str:
    """The CT of a case; anything that the store does not know as a case, a path for instance, is refused."""
    path = datastore.get_image_uri(case) if isinstance(case, str) else ""
    if not path:
        raise HTTPException(
            404, f"there is no case {case!r} in the store: GET /datastore/?output=all lists the cases"
        )
    return path


def session_file(request: Mapping[str, Any], sessions: OslnSessions | None) -> str:
    """The upload of the session that a request names, taken from the session store, not from the request."""
    named = request["session"]
    key = str(named.get("name", "")) if isinstance(named, Mapping) else ""
    session = sessions.get_session(key) if sessions is not None else None
    if session is None:
        raise HTTPException(
            404,
            "there is no such session, or it has ended: send the image again with PUT /session/ (in 3D "
            "Slicer: close the scene and load the CT again)",
        )
    return str(session.image)
