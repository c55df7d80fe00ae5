"""The page as an annotator uses it: worklist, models and quality by mouse and keys, in headless Chromium."""

import json

import pytest
from fastapi import APIRouter

from lib.models import jobs, overview
from lib.models.jobs import JobFiles, Report
from lib.pacs.datastore import PacsDatastore
from lib.store import reviews
from lib.store.datastore import OslnDatastore
from lib.store.found import in_short
from lib.web import model_routes, worklist_routes
from lib.web.door import Door, House
from lib.web.logins import Logins
from osln.accounts.users import UsersFile
from osln.store import skips
from small.ohif_page import CHROMIUM
from small.parts import partial_review
from small.store import untrained
from small.web_app import served, small_app
from small.worklist_page import browsing, listening

pytestmark = pytest.mark.browser
CASES = ("p1", "p2", "p3", "p10")


@pytest.fixture
def app(tmp_path, monkeypatch, require):
    """An app whose p1 is approved and whose p2 has candidates; jobs wait for ever."""
    if not CHROMIUM.is_file():
        require("Chromium", "apt-get install chromium")
    app = small_app(tmp_path, CASES)
    store = app.datastore()
    reviews._known.clear()
    store.register_label("p1", "final", {"by": "Änna", "revision": 1})
    result = {"candidates": [{"score": 0.5, "kept": True}, {"score": 0.5, "kept": False}]}
    store.register_label("p2", "original", {"model": "osln", "found": in_short(result)})
    asked = []
    monkeypatch.setattr(jobs, "tasks", lambda method: asked)
    monkeypatch.setattr(jobs, "processes", lambda method: {})

    def run(method, request, params, enqueue):
        asked.append({"id": "1", "status": "RUNNING", "request": request})
        return asked[-1], None

    monkeypatch.setattr(worklist_routes.AsyncTask, "run", staticmethod(run))
    app.asked, app.posted = asked, []
    told = {"state": "running", "done": 1, "total": 3, "failed": {}, "message": "1 of 3, one is computed"}
    app.evidence = lambda: told
    return app


def stock_routes(app):
    """What the page asks of MONAI Label: strategies, the next case, start and end of a training."""
    router = APIRouter()

    @router.get("/info/")
    async def info():
        return {"strategies": {name: one.info() for name, one in app._strategies.items()}}

    @router.post("/activelearning/{strategy}")
    async def sample(strategy: str, body: dict):
        app.posted.append((strategy, body))
        return app._strategies[strategy]({"strategy": strategy}, app.datastore())

    @router.post("/train/{model}")
    async def train(model: str, body: dict):
        app.posted.append((model, body))
        return {}

    @router.get("/favicon.ico")
    async def icon():
        return ""

    @router.get("/ohif/osln")
    async def viewer():
        return "the viewer"

    return router


@pytest.fixture
def page(app, monkeypatch):
    made = served(monkeypatch, app)
    made.include_router(stock_routes(app))
    with listening(made) as url, browsing(url) as page:
        page.wait_for_selector(".line")
        # By name, so that a test knows which case is next.
        page.evaluate("localStorage.setItem('osln-strategy', 'first')")
        page.reload()
        page.wait_for_selector(".line")
        yield page
        assert page.problems == []


def names(page):
    return page.locator(".line .case").all_inner_texts()


def chosen(page):
    return page.inner_text("aside h2")


def test_a_label_that_nobody_submitted_comes_from_a_file(page, app):
    app.datastore().register_label("p3", "final", {})
    page.reload()
    page.wait_for_selector(".line .chip.approved >> nth=1")
    assert page.locator(".line .by").all_inner_texts() == ["Änna", "", "osln", "a file"]


def test_cases_are_listed_chosen_by_key_and_opened_in_the_viewer(page, app):
    assert names(page) == ["p1", "p10", "p2", "p3"], "as the server gives them"
    assert chosen(page) == "p10", "the one that is next"
    assert "first by name of 3 without an approved label" in page.inner_text("aside")
    page.keyboard.press("ArrowUp")
    assert chosen(page) == "p1" and "approved, by Änna" in page.inner_text("aside")
    page.keyboard.press("End")
    assert chosen(page) == "p3"
    page.keyboard.press("ArrowUp")
    assert "1 kept of 2, doubt 2.0 bits" in page.inner_text("aside")

    page.keyboard.press("Enter")
    page.wait_for_url("**/ohif/osln?StudyInstanceUIDs=2.25.*")
    study = next(one for one in worklist_routes.worklist(app.datastore()) if one["case"] == "p2")["study_uid"]
    assert page.url.endswith(study)


def test_who_has_chosen_no_strategy_has_the_default(page):
    page.evaluate("localStorage.clear()")
    page.reload()
    page.wait_for_selector(".line")
    assert page.input_value("select[aria-label='Strategy of the next case']") == "mixed"
    assert "next: by chance out of 3" in page.inner_text("aside")
    assert "Scores: 1 of 3, one is computed" in page.inner_text("[aria-label='Scores for the strategies']")


def test_search_sort_and_states_narrow_the_list(page):
    page.keyboard.press("/")
    page.keyboard.type("p1")
    assert names(page) == ["p1", "p10"]
    page.keyboard.press("Escape")
    page.fill("input[type=search]", "")
    page.click(".thead button:has-text('Case')")
    assert names(page) == ["p1", "p2", "p3", "p10"], "numbers in names by size"
    page.click(".thead button:has-text('Case')")
    assert names(page) == ["p10", "p3", "p2", "p1"]
    page.click(".thead button:has-text('Doubt')")
    assert names(page)[0] == "p2", "what is not known comes last"
    page.click(".chips button:has-text('new')")
    assert sorted(names(page)) == ["p1", "p2"]
    page.fill("input[type=search]", "änna nothing")
    assert page.inner_text(".empty:visible") == "No case fits the search and the states that are shown."


def test_the_next_case_is_the_one_that_the_strategy_names(page, app):
    page.fill("#annotator", "Bert")
    page.press("#annotator", "Tab")
    page.keyboard.press("n")
    page.wait_for_selector("#told:has-text('Next: p10')")
    assert app.posted == [("first", {"client_id": "Bert"})]
    assert "Enter opens it" in page.inner_text("#told") and chosen(page) == "p10"
    page.keyboard.press("Enter")
    page.wait_for_url("**/ohif/osln?StudyInstanceUIDs=2.25.*")


def test_enter_opens_the_next_case_also_after_the_button(page, app):
    page.click("button:text-is('Next case')")
    page.wait_for_selector("#told:has-text('Enter opens it')")
    page.keyboard.press("Enter")
    page.wait_for_url("**/ohif/osln?StudyInstanceUIDs=2.25.*")
    assert len(app.posted) == 1


def test_a_case_in_part_says_what_is_left_and_the_list_how_far_retraining_is(page, app):
    folder = app.datastore().root / ".osln"
    (folder / "p3").mkdir(parents=True, exist_ok=True)
    left = partial_review(undecided=[[[0.0, 0.0, 0.0], [5.0, 5.0, 5.0]]] * 2)
    (folder / "p3" / "0001.review.json").write_text(json.dumps(left))
    (folder / "splits.json").write_text(json.dumps({"seed": 0, "cases": {"p3": "validation"}}))
    app.datastore().register_label("p3", "final", {"by": "Änna", "revision": 1})
    app.retraining = lambda: {"message": "Retraining by itself: ct-proximal (1 of 5)."}
    page.keyboard.press("r")
    page.wait_for_selector("text=Retraining by itself: ct-proximal (1 of 5).")
    page.keyboard.press("End")
    assert "partly, by Änna" in page.inner_text("aside")
    told = "2 candidates undecided: complete it, validation needs complete cases"
    assert told in page.inner_text("aside") and told in page.inner_text(".line:has-text('p3')")


def test_nodes_are_looked_for_in_marked_cases_with_progress_and_an_end(page, app):
    page.keyboard.press("End")
    page.keyboard.press("Space")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Space")
    page.click("button:text-is('Find nodes in 2 marked cases')")
    page.wait_for_selector(".job:has-text('the program starts')")
    files = JobFiles(app.datastore().root)
    number = files.asked()[0]["id"]
    assert sorted(files.cases(number)) == ["p2", "p3"]

    report = Report(files, number, 2)
    report.begin("p2")
    report.end("p2", "PET is missing: add it")
    report.begin("p3")
    page.wait_for_selector(".job:has-text('1 of 2 cases, 1 failed, now p3')")
    page.click(".job button:text-is('Why')")
    assert page.inner_text("#told") == "p2: PET is missing: add it"
    page.click(".job button:text-is('Cancel')")
    page.wait_for_selector(".job.canceled:has-text('canceled after 1 of 2 cases')")
    assert app.asked[0]["status"] == "STOPPED"


def test_a_case_is_skipped_with_a_reason_and_taken_back(page, app):
    page.fill("#annotator", "Bert")
    page.press("#annotator", "Tab")
    page.locator(".scroll").focus()
    page.keyboard.press("s")
    page.keyboard.type("metal in the neck")
    page.keyboard.press("Enter")
    page.wait_for_selector("#told:has-text('p10 is skipped: metal in the neck')")
    assert app.datastore().skipped()["p10"]["by"] == "Bert"
    page.wait_for_selector("aside:has-text('skipped, by Bert')")
    assert "first by name of 2" in page.inner_text(".line:has-text('p2')")

    page.keyboard.press("s")
    page.wait_for_selector("#told:has-text('p10 is no longer skipped')")
    assert app.datastore().skipped() == {}


def test_a_skip_of_a_case_in_part_is_shown_and_taken_back(page, app):
    store = app.datastore()
    (store.root / ".osln" / "p3").mkdir(parents=True)
    (store.root / ".osln" / "p3" / "0001.review.json").write_text(json.dumps(partial_review()))
    store.register_label("p3", "final", {"by": "Anna", "revision": 1})
    skips.skip(store.root, "p3", "Bert", "metal")
    page.reload()
    page.wait_for_selector(".line .chip.partly")
    page.click(".line:has-text('p3') .state")
    assert "skipped: metal" in page.inner_text(".line:has-text('p3')")
    page.click("text=Take back the skip")
    page.wait_for_selector("#told:has-text('p3 is no longer skipped')")
    assert store.skipped() == {}


def test_an_approved_case_cannot_be_skipped_and_the_page_says_so(page, app):
    page.click(".line:has-text('p1') .state >> nth=0")
    assert chosen(page) == "p1"
    assert not page.is_visible("text=Skip ...")
    page.keyboard.press("s")
    page.wait_for_selector("#told:has-text('has an approved label and is not proposed any more')")


def test_the_heading_counts_anew_with_the_list(page, app):
    page.wait_for_selector("#progress:has-text('1 of 4 cases approved')")
    app.datastore().register_label("p2", "final", {"by": "Anna", "revision": 1})
    page.locator(".scroll").focus()
    page.keyboard.press("r")
    page.wait_for_selector("#progress:has-text('2 of 4 cases approved')")


class Keeper:
    """Of a PACS that is away while labels wait."""

    def status(self):
        error = "the PACS at pacs.hospital cannot be reached"
        return {"error": error, "waiting": 3, "last_error": "it has no room left", "left_out": 0}


def test_what_is_wrong_with_the_pacs_stands_above_the_list(tmp_path, monkeypatch, app):
    other = small_app(tmp_path / "other", (), ())
    other._keeper = Keeper()
    made = served(monkeypatch, other)
    made.include_router(stock_routes(app))
    with listening(made) as url, browsing(url) as page:
        page.wait_for_selector("[aria-label=PACS]:visible")
        assert page.inner_text("[aria-label=PACS]") == (
            "The PACS could not be listed: the PACS at pacs.hospital cannot be reached. Cases that were "
            "fetched before can be opened. 3 labels on the way to the PACS. The last try failed: it has no "
            "room left."
        )
        assert page.inner_text(".empty:visible").startswith("No CT of the PACS is known yet")


def test_two_cts_of_a_study_have_addresses_of_their_own(page, app, monkeypatch):
    monkeypatch.setattr(OslnDatastore, "names_in", PacsDatastore.names_in)
    for case, described in (("p2", "soft tissue"), ("p3", "lung")):
        told = {"StudyInstanceUID": "1.1", "SeriesInstanceUID": f"1.2.{case}", "SeriesDescription": described}
        app.datastore()._datastore.objects[case].image.info.update(told)
    page.reload()
    page.wait_for_selector(".line:has-text('p3, lung')")
    addresses = [page.locator(f".line:has-text('{name}') a").get_attribute("href") for name in ("p2", "p3")]

    assert addresses == [f"/ohif/osln?StudyInstanceUIDs=1.1&ct=1.2.{case}" for case in ("p2", "p3")]


def test_what_goes_wrong_is_said_in_the_words_of_the_server(page, app):
    page.click(".line:has-text('p3')")
    (app.datastore().root / "p3.nii.gz").unlink()
    app.datastore().refresh()
    page.locator(".scroll").focus()
    page.keyboard.press("f")
    page.wait_for_selector("#told.error")
    assert page.inner_text("#told") == "these cases are not in the store: p3"
    # The browser notes the refused request by itself.
    page.problems.clear()


def test_help_names_the_keys_and_the_documents(page):
    page.keyboard.press("?")
    told = page.inner_text("dialog[open]")
    assert "open it in OHIF" in told and "next case, as the strategy proposes" in told
    assert page.locator("dialog[open] a[href='osln/docs/slicer.md']").count() == 1
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0


def test_models_show_a_live_curve_and_publish_and_roll_back(page, app, monkeypatch):
    store, trainer = app.published.store, app._trainers["ct"]
    first, second = store.published("ct").name, store.add(untrained("ct", seed=1), 0.5).name
    monkeypatch.setattr(overview, "tasks", lambda method: [{"status": "RUNNING", "request": {"model": "ct"}}])
    state = {"start_ts": 1, "status": "running", "epoch": 1, "total_epochs": 4, "seconds_left": 90}
    curve = [{"epoch": 1, "loss": 2.0, "metric": 0.25}]
    trainer.record.parent.mkdir(parents=True, exist_ok=True)
    trainer.record.write_text(json.dumps({**state, "curve": curve}))

    page.keyboard.press("2")
    page.wait_for_selector(".detail:has-text('epoch 1 of 4, 90 s left')")
    assert page.locator(".chart circle").count() == 2, "one point of loss and one of mRecall"
    curve.append({"epoch": 2, "loss": 1.0, "metric": 0.5})
    trainer.record.write_text(json.dumps({**state, "epoch": 2, "curve": curve}))
    page.wait_for_selector(".detail:has-text('epoch 2 of 4')")
    assert page.locator(".chart polyline").count() == 2
    assert page.locator("button:text-is('Start training')").is_disabled()

    # A name that is copied from here is typed into a command: its hyphens are the real ones.
    assert second in page.evaluate("document.querySelector('.detail').textContent")
    page.click(f"tr:has-text('{second}') button:text-is('Publish')")
    page.click("dialog[open] button:text-is('Publish')")
    page.wait_for_selector(f"#told:has-text('ct now uses {second}.')")
    assert store.published("ct").name == second
    page.click("button:has-text('Roll back to')")
    page.click("dialog[open] button:text-is('Roll back')")
    page.wait_for_selector(f"#told:has-text('ct is back to {first}.')")
    assert store.published("ct").name == first


def test_models_open_on_the_network_of_the_default_model_and_the_choice_stays_in_sight(
    page, app, monkeypatch
):
    monkeypatch.setattr(overview, "tasks", lambda method: [])
    monkeypatch.setattr(model_routes, "DEFAULT_ROW", "osln-local-ct")
    # So low that the list has room for one of both.
    page.set_viewport_size({"width": 1000, "height": 160})
    page.keyboard.press("2")
    for name, key in (("local-ct", "ArrowUp"), ("ct", "ArrowDown"), ("local-ct", "ArrowUp")):
        page.wait_for_selector(f".entry.chosen b span:text-is('{name}')")
        inside, place = (page.locator(one).bounding_box() for one in (".list", ".entry.chosen"))
        assert place["y"] >= inside["y"] - 1
        assert place["y"] + place["height"] <= inside["y"] + inside["height"] + 1
        page.keyboard.press(key)


JUDGED = {"difference": 0.052, "low": 0.01, "high": 0.094, "risk": 0.012, "patients": 12, "nodes": 43}
"""Against what was in use."""
DOUBTFUL = {"difference": -0.02, "low": -0.12, "high": 0.08, "risk": 0.66, "patients": 12, "nodes": 43}


def test_each_version_shows_how_it_was_judged_with_the_interval_drawn(page, app):
    store, trainer = app.published.store, app._trainers["ct"]
    before, version = store.published("ct").name, store.add(untrained("ct", seed=1), 0.5).name
    trainer.reports.mkdir(parents=True)
    about = {"metric": 0.55, "metric_before": 0.5, "version_before": before, "validation_cases": ["a"] * 12}
    told = {"sentence": f"{version} is published: mRecall 0.550", **about}
    judgments = {"in use": JUDGED, "stage one alone": DOUBTFUL | {"patients_to_tell": 90}}
    (trainer.reports / f"{version}.json").write_text(json.dumps({**told, "judgments": judgments}))
    one = {"difference": 0.1, "low": None, "high": None, "risk": None, "patients": 1, "nodes": 2}
    few = {"sentence": "stored", "validation_cases": ["a"], "judgments": {"in use": one}}
    (trainer.reports / f"{before}.json").write_text(json.dumps(few))

    page.keyboard.press("2")
    row = page.locator(f"tr:has-text('{version}')").first
    row.locator(".interval.better").wait_for()
    better, open_ = (text.split("\n") for text in row.locator(".judgment > div").all_inner_texts())
    assert better[:2] == ["+0.052 [+0.010, +0.094] against what was in use", "12 patients, 43 nodes"]
    assert better[2:] == ["worse with a probability of 1%"]
    assert open_[0] == "\u22120.020 [\u22120.120, +0.080] against stage one alone"
    assert open_[-1] == "about 90 patients would tell"
    assert row.locator(".interval.open line.reach").count() == 3
    # All lines of a network have one scale, in round numbers: 0.12 is the farthest.
    assert set(page.locator(".interval text:last-of-type").all_text_contents()) == {"+0.20"}
    alone = page.locator(".judgment:has-text('no interval')")
    assert alone.locator("line.reach").count() == 0 and "from so few patients" in alone.inner_text()


def test_a_failed_training_says_why_and_another_is_started_with_its_options(page, app, monkeypatch):
    monkeypatch.setattr(overview, "tasks", lambda method: [])
    trainer = app._trainers["ct"]
    trainer.record.parent.mkdir(parents=True, exist_ok=True)
    told = {"start_ts": 1, "status": "failed", "error": "no approved label: review a case"}
    trainer.record.write_text(json.dumps(told))
    page.keyboard.press("2")
    page.wait_for_selector(".detail .error:has-text('no approved label: review a case')")
    page.fill("label:has-text('iterations') input", "20")
    page.check("label:has-text('from scratch') input")
    page.click("button:text-is('Start training')")
    page.wait_for_selector("#told:has-text('The training of ct has been started.')")
    options = {"iterations": "20", "learning_rate": "0", "from_scratch": True, "device": "cpu"}
    options |= {"highest_risk": "0.2", "cross_fit": True}
    assert app.posted == [("ct", {"client_id": "", **options})]


def test_quality_is_words_before_the_first_review_and_figures_after(page, app):
    page.keyboard.press("3")
    page.wait_for_selector("#quality .empty:has-text('No case was reviewed with decisions yet')")
    assert "No version in use was validated" in page.inner_text("#quality")

    store = app.datastore()
    candidate = {"origin": "model", "seconds": 2.0, "score": 0.5}
    candidates = [{"state": state, **candidate} for state in ("accepted", "rejected")]
    model = {"name": "osln", "operating_point": "2 FP per patient (score >= 0.5)"}
    review = {"complete": True, "seconds": 30.0, "model": model, "candidates": candidates}
    folder = store.root / ".osln" / "p1"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "0002.review.json").write_text(json.dumps(review))
    store.register_label("p1", "final", {"by": "Änna", "revision": 2})
    page.keyboard.press("r")
    page.wait_for_selector(".tile:has-text('30 s')")
    assert "50 %" in page.inner_text(".tiles") and "2.0 s" in page.inner_text(".tiles")
    assert page.locator("#quality table td").all_inner_texts() == ["Änna", "1", "30 s", "50 %", "0", "0"]
    # Nobody added a node: the axis begins at none all the same.
    ticks = page.locator(
        ".chart[aria-label='Nodes added per case'] text[text-anchor=end]"
    ).all_text_contents()
    assert ticks[0] == "0"


def test_an_empty_store_says_what_to_do(tmp_path, monkeypatch, app):
    made = served(monkeypatch, small_app(tmp_path / "other", (), ()))
    made.include_router(stock_routes(app))
    with listening(made) as url, browsing(url) as page:
        page.wait_for_selector(".empty:visible")
        assert "put CT volumes as CASE.nii.gz into the folder" in page.inner_text(".empty:visible")


def test_with_accounts_the_page_asks_for_a_login_and_shows_what_the_role_may(tmp_path, monkeypatch, app):
    users = UsersFile(tmp_path / "accounts" / "users.json")
    users.path.parent.mkdir()
    users.add("anna", "annotator", "a long password")
    logins = Logins(users)
    made = served(monkeypatch, app, logins)
    made.include_router(stock_routes(app))
    with listening(Door(made, House(logins=logins))) as url, browsing(f"{url}/#models") as page:
        page.fill("input[name=username]", "anna")
        page.fill("input[name=password]", "a long password")
        page.click("button:text-is('Log in')")
        page.wait_for_selector("#who:has-text('anna') button:text-is('Log out')")
        assert page.locator("#annotator").count() == 0, "the account is the name"

        page.locator("nav a:text-is('Models')").click()
        page.wait_for_selector(".detail h3")
        assert page.locator("button:text-is('Start training'):visible").count() == 0
        assert page.locator("button:text-is('Publish')").count() == 0
        body = {"network": "ct"}
        reply = page.request.post(f"{url}/osln/models/rollback", data=body)
        assert reply.status == 403 and "this takes the role reviewer" in reply.json()["detail"]

        page.locator("nav a:text-is('Worklist')").click()
        page.click("button:text-is('Find nodes'):visible")
        page.wait_for_selector(".job")
        assert JobFiles(app.datastore().root).asked()[0]["by"] == "anna"

        page.click("button:text-is('Log out')")
        page.wait_for_selector("input[name=password]")
        assert page.problems == []
