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


FULL = 507, "the disk is full: nothing was stored; free some space and try again"
READ_ONLY = (
    503,
    "the server may not write to the folder of its files (read-only, or without the right): nothing was "
    "stored; give it the right to write, or mount the folder for writing, and try again",
)
ACCIDENTS = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: FULL,
    errno.EROFS: READ_ONLY,
    errno.EACCES: READ_ONLY,
    errno.EPERM: READ_ONLY,
}
"""Status and sentence for what the file system can do to a server that did nothing wrong."""


class StoreGoneError(Exception):
    """The folder of the cases is not there, or another one lies in its place."""


class UnfinishedError(Exception):
    """Something was done, and a part of it is left; the sentence says which and who ends it."""


class UnknownCaseError(LookupError):
    """The store has no such case, or refuses to serve it."""


@contextmanager
def translated() -> Iterator[None]:
    """Turns refusals into `fastapi.HTTPException`; usable as `with translated():` and as `@translated()`.

    404 unknown case, label, model or revision; 409 conflict, or something is not there yet; 422 anything else
    that the request got wrong; 502 the PACS does not do its part; 503 the store is gone or cannot be written,
    also in the middle of the work, or the memory is used up; 507 disk full.
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
    except (StoreGoneError, UnfinishedError) as error:
        raise HTTPException(503, str(error)) from error
    except MemoryError as error:
        raise HTTPException(503, "the memory of this computer is used up: try again later") from error
    except OSError as error:
        if error.errno not in ACCIDENTS:
            raise
        raise HTTPException(*ACCIDENTS[error.errno]) from error
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
