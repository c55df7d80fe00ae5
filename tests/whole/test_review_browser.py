"""Reviewing in a real browser on a real server and a folder: keys, drafts, history, two annotators."""

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import requests

from local_server import LocalServer
from osln.dicom.served.uids import study_uid
from osln.rows.experiments import DEFAULT_ROW, ROWS
from small import ohif_page
from small.ohif_page import SIZE, OhifPage, chromium
from small.ohif_volumes import nodes_of_server

pytestmark = [pytest.mark.browser, pytest.mark.server, pytest.mark.slow]

SAMPLES = Path(__file__).resolve().parents[2] / "sample-datastore"
TUMOR = 255


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server on a copy of the sample cases; each test takes another one of them."""
    if importlib.util.find_spec("playwright") is None or not ohif_page.CHROMIUM.is_file():
        pytest.skip("needs Playwright and Chromium: pip install playwright, apt-get install chromium")
    folder = tmp_path_factory.mktemp("reviewed")
    shutil.copytree(SAMPLES, folder / "store")
    for place in (".", "pet", "labels/gtv"):
        case = folder / "store" / place / "phantom-04.nii.gz"
        shutil.copy(case, case.with_name("found-before.nii.gz"))
    with LocalServer(folder / "store", folder / "server.log", {"device": "cpu", "threads": "1"}) as running:
        yield running


@pytest.fixture
def browser():
    with chromium() as running:
        yield running


def page_of(context) -> OhifPage:
    return OhifPage(context.new_page())


def asked(server, path):
    reply = requests.get(f"{server.url}{path}", timeout=120)
    assert reply.ok, reply.text
    return reply.json()


def shipped_curve(classifier):
    """What validation gave the weights that come with the software."""
    manifest = json.loads(
        (SAMPLES.parent / "apps" / "osln" / "model" / "shipped" / "manifest.json").read_text()
    )
    return manifest["curves"][classifier]["points"]


def states(review):
    """How many candidates have each state."""
    found = [one["state"] for one in review["candidates"]]
    return {state: found.count(state) for state in sorted(set(found))}


def found(viewer, server, case, name):
    """Opens a case, says who annotates, finds nodes, and shows all of them."""
    viewer.open(server.url, study_uid(case))
    viewer.say_name(name)
    assert "candidates" in viewer.told("Find nodes")
    viewer.show("all")
    return viewer.candidates()


def test_what_the_server_found_before_is_said_when_a_case_is_opened(server, browser):
    params = {"save_label": True}
    reply = requests.post(
        f"{server.url}/infer/osln-numbers?image=found-before&output=json",
        data={"params": json.dumps(params)},
        timeout=120,
    )
    assert reply.ok, reply.text

    viewer = page_of(browser.new_context(viewport=SIZE))
    viewer.open(server.url, study_uid("found-before"))
    found = len(reply.json()["candidates"])
    viewer.page.wait_for_selector(f".osln .told:has-text('{found} candidates were found before')")
    # Who looks and goes has left no unfinished work.
    assert viewer.candidates() == {} and not viewer.errors


def test_five_accepted_five_rejected_one_added_submitted_and_restored(server, browser):
    case = "phantom-02"
    viewer = page_of(browser.new_context(viewport=SIZE))
    viewer.open(server.url, study_uid(case))
    assert "not approved yet" in viewer.about()
    viewer.say_name("Änna Nadel")
    assert "candidates" in viewer.told("Find nodes")
    few = viewer.candidates()
    (point,) = [one for one in shipped_curve(ROWS[DEFAULT_ROW].classifier) if one["fp_per_patient"] == 3]
    share = round(100 * point["sensitivity"])
    assert viewer.point() == f"3 FP per patient, finds {share}%, score from {point['threshold']:.2f}"
    viewer.show("all")
    assert viewer.point() == "all candidates, score from 0.00"
    every = viewer.candidates()
    assert 1 <= len(few) < len(every) and set(few) <= set(every), "the slider shows and hides"
    assert len(every) >= 10 and set(every.values()) == {"undecided"}
    assert viewer.height(".osln-list") >= 15 * viewer.height("[role=option]")

    volume = nodes_of_server(server, case)
    first = list(every)[:10]
    assert viewer.selected() == first[0]
    for number, key in enumerate("aaaaarrrrr"):
        assert viewer.selected() == first[number], "the next undecided one comes by itself"
        viewer.key(key)
    told = (
        f"All 10 proposed are decided, {len(every) - 10} others are not: submit in part, or decide them too."
    )
    assert viewer.said() == told
    expected = dict.fromkeys(first[:5], "accepted") | dict.fromkeys(first[5:], "rejected")
    assert {name: viewer.candidates()[name] for name in first} == expected
    for _ in range(10):
        viewer.key("z")
    assert set(viewer.candidates().values()) == {"undecided"}
    for _ in range(10):
        viewer.key("y")
    viewer.show("fewest")
    assert viewer.candidates() == expected, "what was decided stays on screen and in mind"

    # A click beside the first node, where nothing is.
    before = viewer.label(volume.shape, volume.affine)
    viewer.page.click(f".osln-list [data-id={first[0]}]")
    node = viewer.center_mm()
    viewer.forget()
    viewer.key("+")
    viewer.click_at(node + np.array([0, -25, 0]))
    viewer.page.wait_for_selector(".osln .told:has-text(' mm. ')")
    viewer.key("Enter")
    assert viewer.said() == "Added."
    seen = viewer.label(volume.shape, volume.affine)
    added = (seen != before) & (seen != TUMOR)
    assert added.any() and not before[added].any()
    (new,) = [name for name, state in viewer.candidates().items() if state == "added"]
    assert np.unique(seen[added]).size == 1

    told = viewer.submit()
    assert "revision 1" in told and "revision 1 by Änna Nadel" in viewer.about()
    stored, review = nodes_of_server(server, case), asked(server, f"/osln/review?image={case}")["review"]
    assert (
        states(review)["accepted"] == 5 and states(review)["rejected"] == 5 and states(review)["added"] == 1
    )
    assert review["complete"] and review["seconds"] > 0 and review["model"]["name"] == DEFAULT_ROW
    by_id = {one["id"]: one for one in review["candidates"]}
    assert by_id[new]["origin"] == "click" and by_id[first[5]]["value"] is None
    assert sum(by_id[name]["seconds"] for name in first) > 0
    counted = [one["value"] for one in review["candidates"] if one["value"] is not None]
    assert sorted(counted) == list(range(1, 7))
    for value in counted:
        # Each node of the store is one value of the viewer, voxel by voxel.
        (shown,) = np.unique(seen[stored.values == value])
        np.testing.assert_array_equal(seen == shown, stored.values == value)
    np.testing.assert_array_equal(stored.values[added] > 0, True)

    # Opened again the list is there without a run, and the same once more is nothing new.
    viewer.open(server.url, study_uid(case))
    again = viewer.candidates()
    assert {name: again[name] for name in [*first, new]} == {**expected, new: "added"}
    assert "Nothing has changed since revision 1" in viewer.submit()

    # Another run keeps what was decided; a rejected one has its outline back.
    viewer.told("Find nodes")
    viewer.show("all")
    assert {name: viewer.candidates()[name] for name in [*first, new]} == {**expected, new: "added"}
    viewer.page.click(f".osln-list [data-id={first[0]}]")
    viewer.key("r")
    assert "revision 2" in viewer.submit("Count as no nodes")
    assert np.unique(nodes_of_server(server, case).values).size - 1 == 5

    viewer.press("History")
    viewer.page.select_option(".osln-box select >> nth=0", "1")
    viewer.answer("Restore the first")
    viewer.forget()
    asked_first = viewer.answer("Restore")
    assert "Restore revision 1?" in asked_first
    viewer.said()
    np.testing.assert_array_equal(nodes_of_server(server, case).values, stored.values)
    assert {name: viewer.candidates()[name] for name in [*first, new]} == {**expected, new: "added"}
    assert asked(server, f"/osln/history?image={case}")["revisions"][0]["restored_from"] == 1
    assert viewer.errors == [] and viewer.elsewhere == []


def test_unfinished_work_survives_a_crash_and_another_browser_and_is_offered_in_its_case_only(
    server, browser
):
    case = "phantom-03"
    context = browser.new_context(viewport=SIZE)
    viewer = page_of(context)
    every = list(found(viewer, server, case, "Bert"))
    volume = nodes_of_server(server, case)
    viewer.key("a")
    viewer.key("r")
    viewer.page.click(f".osln-list [data-id={every[0]}]")
    viewer.press("Brush")
    node = viewer.center_mm()
    viewer.stroke([node, node + np.array([8, 0, 0])])
    viewer.page.wait_for_selector(f".osln-list [data-id={every[0]}].edited")
    kept = "/osln/draft"
    with viewer.page.expect_response(lambda one: kept in one.url and one.request.method == "PUT"):
        seen, decided = viewer.label(volume.shape, volume.affine), viewer.candidates()
    assert decided[every[1]] == "rejected"
    # Closed like a crash: no handler of the page runs.
    viewer.page.close()

    for same in (context, browser.new_context(viewport=SIZE)):
        back = page_of(same)
        if same is not context:
            back.page.add_init_script("localStorage.setItem('osln-annotator', 'Bert')")
        back.open(server.url, study_uid(case), answer="Go on with it")
        back.page.wait_for_selector(f".osln-list [data-id={every[0]}].edited")
        np.testing.assert_array_equal(back.label(volume.shape, volume.affine), seen)
        assert back.candidates() == decided
        assert back.errors == []
        back.page.close()

    other = page_of(context)
    other.open(server.url, study_uid("phantom-01"))
    assert other.page.query_selector(".osln-box") is None
    assert set(other.candidates().values()) == {"accepted"}, "its own label, and nothing of the draft"


def test_two_annotators_are_told_of_each_other_and_the_later_one_merges(server, browser):
    case = "phantom-04"
    anna, bert = (page_of(browser.new_context(viewport=SIZE)) for _ in range(2))
    every = list(found(anna, server, case, "Anna"))
    bert.open(server.url, study_uid(case))
    bert.say_name("Bert")
    assert "Anna is working on this case" in bert.answer("Look on")
    assert "candidates" in bert.told("Find nodes")
    bert.show("all")
    volume = nodes_of_server(server, case)

    anna.key("a")
    assert "revision 1" in anna.submit("Count as no nodes")
    bert.page.click(f".osln-list [data-id={every[1]}]")
    bert.key("a")
    bert.forget()
    bert.key("Control+Enter")
    bert.answer("Count as no nodes")
    bert.answer("Submit")
    merging = bert.answer("Merge")
    assert "Anna stored revision 1 meanwhile" in merging
    bert.page.wait_for_selector(".osln .told.good:has-text('Merged')")
    seen = bert.label(volume.shape, volume.affine)
    assert {bert.candidates()[name] for name in every[:2]} == {"accepted"}
    assert "revision 2" in bert.submit()
    stored = nodes_of_server(server, case).values
    assert np.unique(stored).tolist() == [0, 1, 2]
    assert set(np.unique(seen[stored > 0])) == {1, 2}
    assert asked(server, f"/osln/review?image={case}&revision=1")["by"] == "Anna"
    assert anna.errors == bert.errors == []
