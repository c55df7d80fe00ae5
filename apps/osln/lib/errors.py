"""From the errors of `osln` to HTTP replies with a sentence, in one place.

The science raises `ValueError` and says what was expected, what came and what to do. A client must see
that sentence, and not "Internal Server Error". Errors that third-party code raises by itself are bugs or
accidents: they stay what they are, and the log keeps their traceback.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import HTTPException
from monailabel.interfaces.exception import (
    ImageNotFoundException,
    LabelNotFoundException,
    MONAILabelError,
    MONAILabelException,
)

from osln.dicom.web.client import PacsError
from osln.published import NotReadyError as NotReadyError
from osln.store.revisions import ConflictError, DiskFullError
from osln.weights.model_store import BusyError

OUR_PACKAGES = ("osln", "lib", "main")

MONAI_LABEL_STATUS = {MONAILabelError.INVALID_INPUT: 404, MONAILabelError.APP_INIT_ERROR: 404}
"""What MONAI Label raises for a model, strategy or method that does not exist."""


class UnknownCaseError(LookupError):
    """The store has no such case, or refuses to serve it."""


@contextmanager
def translated() -> Iterator[None]:
    """Turns refusals into `fastapi.HTTPException`; usable as `with translated():` and as `@translated()`.

    404 unknown case, label, model or revision; 409 conflict, or something is not there yet; 422 anything else
    that the request got wrong; 502 the PACS does not do its part; 507 disk full.
    """
    try:
        yield
    except (BusyError, ConflictError, NotReadyError) as error:
        raise HTTPException(409, str(error)) from error
    except PacsError as error:
        raise HTTPException(502, str(error)) from error
    except DiskFullError as error:
        raise HTTPException(507, str(error)) from error
    except MONAILabelException as error:
        if (status := _status_of(error)) is None:
            raise
        raise HTTPException(status, error.msg) from error
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        message = "the disk is full: nothing was stored; free some space and try again"
        raise HTTPException(507, message) from error
    except LookupError as error:
        # A plain KeyError or IndexError is a slip in code, not an answer to a client.
        if type(error) in (KeyError, IndexError) or not _is_ours(error):
            raise
        raise HTTPException(404, str(error)) from error
    except ValueError as error:
        if not _is_ours(error):
            raise
        raise HTTPException(422, str(error)) from error


def _status_of(error: MONAILabelException) -> int | None:
    if isinstance(error, (ImageNotFoundException, LabelNotFoundException)):
        return 404
    return MONAI_LABEL_STATUS.get(error.error)


def _is_ours(error: BaseException) -> bool:
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    module = frame.tb_frame.f_globals.get("__name__", "") if frame is not None else ""
    return module.split(".")[0] in OUR_PACKAGES or module.startswith("json")
