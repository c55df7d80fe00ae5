"""Known remarks are silenced, and nothing else is."""

import logging
import runpy
import traceback
import warnings

import pytest

from lib.web import quiet
from lib.web.quiet import LOGGERS, silence


@pytest.fixture(autouse=True)
def put_back():
    levels = {name: logging.getLogger(name).level for name in LOGGERS}
    with warnings.catch_warnings():
        yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    for name in ("timeloop", "uvicorn.error"):
        logging.getLogger(name).filters.clear()


def test_requests_and_their_parameters_do_not_reach_the_log(caplog):
    silence()
    with caplog.at_level(logging.INFO, logger="root"):
        logging.getLogger("monailabel.endpoints.datastore").info("Save Label params: of anna")
        logging.getLogger("timeloop").info("Starting Timeloop..")
        logging.getLogger("monailabel.endpoints.datastore").warning("something is wrong")
    assert [record.message for record in caplog.records] == ["something is wrong"]


def test_a_known_warning_is_not_shown_and_an_unknown_one_is():
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        silence()
        warnings.warn("`torch.jit.interface` is deprecated. Please use `torch.compile`.", stacklevel=1)
        warnings.warn("the disk is nearly full", stacklevel=1)
    assert [str(warning.message) for warning in shown] == ["the disk is nearly full"]


def test_a_refusal_to_start_is_a_sentence_and_an_accident_keeps_its_traceback(tmp_path, monkeypatch, caplog):
    path = tmp_path / "slip.py"
    path.write_text(
        "def refuse():\n    raise ValueError('huge is none')\n\n\ndef slip():\n    int('nothing')\n"
    )
    monkeypatch.setattr(quiet, "APP", tmp_path)
    silence()
    log = logging.getLogger("uvicorn.error")
    app = runpy.run_path(str(path))
    for fail in (app["refuse"], app["slip"]):
        try:
            fail()
        except ValueError:
            log.error(traceback.format_exc())
    refused, accident = (record.message for record in caplog.records)
    assert refused == "The server does not start: huge is none"
    assert accident.startswith("Traceback") and "invalid literal" in accident
