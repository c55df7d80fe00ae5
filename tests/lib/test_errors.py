"""Which error becomes which reply."""

import errno
import json

import numpy as np
import pytest
from fastapi import HTTPException
from monailabel.interfaces.exception import ImageNotFoundException, MONAILabelError, MONAILabelException

from lib.errors import NotReadyError, UnknownCaseError, translated
from osln.store.layout import check_case
from osln.store.revisions import ConflictError, DiskFullError


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ConflictError("sentence"), 409),
        (NotReadyError("sentence"), 409),
        (DiskFullError("sentence"), 507),
        (MONAILabelException(MONAILabelError.INVALID_INPUT, "sentence"), 404),
        (ImageNotFoundException("sentence"), 404),
    ],
)
def test_refusals_have_their_status_and_keep_their_sentence(error, status):
    with pytest.raises(HTTPException) as caught, translated():
        raise error
    assert (caught.value.status_code, caught.value.detail) == (status, "sentence")


def test_a_value_error_of_osln_is_a_422():
    with pytest.raises(HTTPException) as caught, translated():
        check_case("../x")
    assert caught.value.status_code == 422
    assert "is not a case id" in caught.value.detail


def test_a_full_disk_is_told_wherever_it_happens():
    with pytest.raises(HTTPException) as caught, translated():
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.status_code == 507


def test_broken_json_of_a_request_is_a_422():
    with pytest.raises(HTTPException) as caught, translated():
        json.loads("{")
    assert caught.value.status_code == 422


@pytest.mark.parametrize(
    ("slip", "kind"),
    [
        (lambda: {}["a"], KeyError),
        (lambda: [][0], IndexError),
        (lambda: np.stack([np.zeros(2), np.zeros(3)]), ValueError),
    ],
)
def test_errors_of_other_packages_stay_what_they_are(slip, kind):
    with pytest.raises(kind), translated():
        slip()


def test_it_works_as_a_decorator():
    @translated()
    def refuse():
        raise ConflictError("sentence")

    for _ in range(2):
        with pytest.raises(HTTPException):
            refuse()


def test_an_unknown_case_is_a_404_when_ours_and_http_errors_pass_through():
    with pytest.raises(HTTPException) as caught, translated():
        raise HTTPException(418, "teapot")
    assert caught.value.status_code == 418
    assert issubclass(UnknownCaseError, LookupError)
