"""A case submitted in part in a real browser on a real server, opened again and completed."""

import importlib.util
import shutil
from pathlib import Path

import pytest
import requests

from local_server import LocalServer
from osln.dicom.served.uids import study_uid
from osln.store.parts import part_of, partial_cases
from small import ohif_page
from small.ohif_page import SIZE, OhifPage, chromium

pytestmark = [pytest.mark.browser, pytest.mark.server, pytest.mark.slow]

SAMPLES = Path(__file__).resolve().parents[2] / "sample-datastore"
CASE = "phantom-02"


@pytest.fixture
def server(tmp_path):
    if importlib.util.find_spec("playwright") is None or not ohif_page.CHROMIUM.is_file():
        pytest.skip("needs Playwright and Chromium: pip install playwright, apt-get install chromium")
    shutil.copytree(SAMPLES, tmp_path / "store")
    with LocalServer(
        tmp_path / "store", tmp_path / "server.log", {"device": "cpu", "threads": "1"}
    ) as running:
        yield running


def test_what_is_left_undecided_stays_unknown_until_the_case_is_completed(server, tmp_path):
    def asked(path: str):
        return requests.get(f"{server.url}{path}", timeout=120).json()

    def row() -> dict:
        return next(one for one in asked("/osln/worklist")["cases"] if one["case"] == CASE)

    with chromium() as browser:
        viewer = OhifPage(browser.new_context(viewport=SIZE).new_page())
        viewer.open(server.url, study_uid(CASE))
        viewer.say_name("Anna")
        assert "candidates" in viewer.told("Find nodes")
        names = list(viewer.candidates())
        assert len(names) >= 3, "one to accept, one to reject, one to leave"
        viewer.key("a")
        viewer.key("r")
        told = viewer.submit("Leave them unknown", last="Submit in part")
        assert told.startswith("Stored as revision 1 in part: ")

        review = asked(f"/osln/review?image={CASE}")["review"]
        assert not review["complete"] and review["undecided"] == "unknown"
        # What the slider hides is not decided either.
        left = [one["state"] for one in review["candidates"]].count("undecided")
        assert left >= len(names) - 2 and f"in part: {left} undecided" in told
        part = part_of(tmp_path / "store", CASE)
        assert (len(part.rejected), len(part.undecided)) == (1, left)
        assert (part.undecided[:, 1] > part.undecided[:, 0]).all()
        assert (row()["state"], row()["undecided"]) == ("partly", left)

        # Opened again nothing is lost, and it can be completed.
        viewer.open(server.url, study_uid(CASE))
        states = viewer.candidates()
        assert states[names[0]] == "accepted" and states[names[1]] == "rejected"
        boxes = [one["box_mm"] for one in review["candidates"]]
        viewer.key("Control+Enter")
        viewer.answer("Count them otherwise")
        viewer.forget()
        viewer.answer("Count as no nodes")
        viewer.answer("Submit")
        assert "Stored as revision 2. " in viewer.said()
        again = asked(f"/osln/review?image={CASE}")["review"]
        assert again["complete"] and [one["box_mm"] for one in again["candidates"]] == boxes
        assert partial_cases(tmp_path / "store", [CASE]) == []
        assert viewer.errors == [] and viewer.elsewhere == []
