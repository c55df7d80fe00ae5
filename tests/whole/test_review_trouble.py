"""What goes wrong while a case is open: logins that end, restarts, a full disk, closed pages, other files."""

import contextlib
import importlib.util
import json
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import requests

from local_server import LocalServer
from osln.accounts.users import UsersFile
from osln.dicom.served.uids import study_uid
from small import ohif_page
from small.ohif_page import OhifPage, chromium
from small.reviews import BESIDE, candidate
from small.reviews import review as decisions
from small.store import AFFINE_LPS, FAINT_NODE, NODE, SHAPE, ct, make_case, write

pytestmark = [pytest.mark.browser, pytest.mark.server, pytest.mark.slow]

SIZE = {"width": 1000, "height": 640}
"""Fewer pixels than elsewhere: they are drawn in software."""
NAME, PASSWORD = "Änna", "correct horse battery"
CASES = ("ends", "restart", "full", "closed", "petless", "changed", "touching", "back")
LONG = "long"
SLICES = 600
DISK_MB = 48
KEPT = ".osln [title='Draft kept here and on the server.']"
VALUES = {"c1": 3, "c2": 9, "c3": 5}
BOXES = {"c1": NODE, "c2": BESIDE, "c3": FAINT_NODE}
"""Nodes of each case; the first two touch."""


class Place:
    """A server with accounts on a folder, and what a browser needs to work there."""

    def __init__(self, folder: Path, small_disk: bool) -> None:
        self.store = folder / "store"
        self.small_disk = small_disk
        users = folder / "users.json"
        UsersFile(users).add(NAME, "reviewer", PASSWORD)
        self.conf = {"device": "cpu", "threads": "1", "users": str(users)}
        self.log = folder / "server.log"
        self.server = LocalServer(self.store, self.log, self.conf)

    def __enter__(self) -> "Place":
        self.server.__enter__()
        return self

    def __exit__(self, *error) -> None:
        self.server.__exit__(None, None, None)

    @contextlib.contextmanager
    def stopped(self):
        """While the server is away; it starts again on the same port."""
        self.__exit__()
        try:
            yield
        finally:
            self.__enter__()

    @property
    def url(self) -> str:
        return self.server.url

    def ask(self, method: str, path: str, **request):
        """The reply to a request of the annotator's."""
        login = {"username": NAME, "password": PASSWORD}
        token = requests.post(f"{self.url}/auth/token", data=login, timeout=60).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        reply = requests.request(method, f"{self.url}{path}", headers=headers, timeout=120, **request)
        assert reply.ok, reply.text
        return reply

    def log_in(self, context) -> None:
        """Gives a browser the cookie of a login."""
        form = {"username": NAME, "password": PASSWORD}
        assert context.request.post(f"{self.url}/login", form=form).ok

    def revision(self, case: str) -> int:
        """Of the newest stored label."""
        return self.ask("GET", f"/osln/review?image={case}").json()["revision"]

    def draft(self, case: str) -> dict[str, str] | None:
        """State by id of the candidates in the draft that the server has."""
        reply = self.ask("GET", f"/osln/draft?image={case}")
        if reply.status_code == 204:
            return None
        return {one["id"]: one["state"] for one in reply.json()["state"]["facts"]["candidates"]}

    def nodes(self, case: str) -> np.ndarray:
        """(x, y, z) value of each stored node in the order of the file; 0 outside."""
        reply = self.ask("GET", f"/osln/label?image={case}&instances=true")
        values = np.frombuffer(reply.content[-np.prod(SHAPE) :], np.uint8).reshape(SHAPE, order="F")
        return np.where(values == int(reply.headers["OSLN-Tumor-Value"]), 0, values)


def fill(root: Path) -> None:
    """The cases, each with three approved nodes; a long one; a file whose name is no case id."""
    for case in CASES:
        make_case(root, case, faint=True)
    write(root / f"{LONG}.nii.gz", long_ct())
    write(root / "Müller-東京.nii.gz", ct())


def long_ct() -> np.ndarray:
    """Many slices, each with a brightness of its own."""
    hu = np.full((32, 32, SLICES), -1000, dtype=np.int16)
    hu[6:-6, 6:-6] = np.arange(SLICES) - 200
    return hu


def approve(place: Place, case: str, folder: Path) -> None:
    label = np.zeros(SHAPE, dtype=np.uint8)
    known = []
    for name, box in BOXES.items():
        label[box] = VALUES[name]
        middle = [(part.start + part.stop - 1) / 2 for part in box]
        center = nib.affines.apply_affine(AFFINE_LPS, middle).tolist()
        known.append(candidate(name, "accepted", VALUES[name], center_mm=center))
    names = [{"name": f"lymph node {n}", "idx": value} for n, value in enumerate(VALUES.values(), 1)]
    params = {"label_info": names, "client_id": NAME, "review": decisions(*known)}
    with write(folder / "label.nii.gz", label).open("rb") as file:
        place.ask(
            "PUT",
            f"/datastore/label?image={case}&tag=final",
            data={"params": json.dumps(params)},
            files={"label": ("label.nii.gz", file)},
        )


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """One server for all tests, on a small disk of its own where this computer lets one be mounted."""
    if importlib.util.find_spec("playwright") is None or not ohif_page.CHROMIUM.is_file():
        pytest.skip("needs Playwright and Chromium: pip install playwright, apt-get install chromium")
    folder = tmp_path_factory.mktemp("trouble")
    store = folder / "store"
    store.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m,mode=0700", "osln-test", str(store)]
    mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        fill(store)
        with Place(folder, mounted) as running:
            for case in CASES:
                approve(running, case, folder)
            yield running
    finally:
        if mounted:
            subprocess.run(["umount", str(store)], check=True)


@pytest.fixture(scope="module")
def browser():
    with chromium() as running:
        yield running


@pytest.fixture
def context(place, browser):
    """A browser of its own, logged in."""
    made = browser.new_context(viewport=SIZE)
    place.log_in(made)
    yield made
    made.close()


def opened(place, context, case, answer=None) -> OhifPage:
    viewer = OhifPage(context.new_page())
    viewer.open(place.url, study_uid(case), answer)
    return viewer


def decide(viewer: OhifPage, name: str, key: str, state: str) -> None:
    """Selects a candidate, presses a key and waits for what it makes of it."""
    viewer.page.click(f".osln-list [data-id={name}]")
    viewer.key(key)
    viewer.page.wait_for_selector(f".osln-list [data-id={name}].{state}")


def reject(viewer: OhifPage, name: str) -> None:
    decide(viewer, name, "r", "rejected")


def refused(viewer: OhifPage) -> str:
    """The sentence about what could not be done, once there is one."""
    return viewer.page.text_content(".osln .told.error")


def test_a_login_that_ends_in_mid_work_is_told_and_costs_nothing(place, context):
    viewer = opened(place, context, "ends")
    reject(viewer, "c1")
    viewer.page.wait_for_selector(KEPT)

    context.request.post(f"{place.url}/logout")
    reject(viewer, "c2")
    with context.expect_page() as login:
        assert "Everything you decided and drew is kept" in viewer.answer("Log in in a new tab")
    login.value.fill("[name=username]", NAME)
    login.value.fill("[name=password]", PASSWORD)
    login.value.click("button")
    login.value.wait_for_selector("text=Worklist")
    login.value.close()

    assert place.draft("ends") == {"c1": "rejected", "c2": "accepted", "c3": "accepted"}
    reject(viewer, "c3")
    viewer.page.wait_for_selector(KEPT)
    assert place.draft("ends") == dict.fromkeys(VALUES, "rejected")
    assert "revision 2" in viewer.submit()
    assert not place.nodes("ends").any() and viewer.errors == []


def test_a_restart_leaves_the_work_that_is_open_and_another_browser_goes_on(place, context, browser):
    viewer = opened(place, context, "restart")
    with place.stopped():
        viewer.forget()
        reject(viewer, "c1")
        assert "Draft kept in this browser only: the server does not answer" in refused(viewer)
    # Logins end with the process.
    place.log_in(context)
    reject(viewer, "c2")
    viewer.page.wait_for_selector(KEPT)
    viewer.page.close(run_before_unload=False)
    other = browser.new_context(viewport=SIZE)
    place.log_in(other)
    back = opened(place, other, "restart", answer="Go on with it")
    assert back.candidates() == {"c1": "rejected", "c2": "rejected", "c3": "accepted"}
    assert back.errors == viewer.errors == []
    other.close()


def test_a_full_disk_is_told_and_the_draft_stays_in_the_browser(place, context):
    if not place.small_disk:
        pytest.skip("mounting a small disk takes root")
    viewer = opened(place, context, "full")
    ballast = place.store / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(1 << 16)):
            pass
    try:
        viewer.forget()
        reject(viewer, "c1")
        told = refused(viewer)
        assert "Draft kept in this browser only" in told and "full" in told
        assert place.draft("full") is None
    finally:
        ballast.unlink()
    reject(viewer, "c2")
    viewer.page.wait_for_selector(KEPT)
    assert place.draft("full") == {"c1": "rejected", "c2": "rejected", "c3": "accepted"}
    assert viewer.errors == []


def test_a_page_that_is_closed_while_it_submits_has_stored_all_or_nothing(place, context):
    viewer = opened(place, context, "closed")
    reject(viewer, "c1")
    submission = "**/datastore/label*"

    def closing(arrives):
        def handle(route):
            if arrives:
                route.fetch()
            else:
                # One that is only held back is let through when the page closes.
                route.abort()
            viewer.page.close(run_before_unload=False)

        return handle

    for arrives in (False, True):
        viewer.page.route(submission, closing(arrives))
        viewer.key("Control+Enter")
        with viewer.page.expect_event("close"):
            viewer.answer("Submit")
        assert place.revision("closed") == 1 + arrives
        viewer = opened(place, context, "closed", None if arrives else "Go on with it")
        assert viewer.candidates() == {"c1": "rejected", "c2": "accepted", "c3": "accepted"}
    # What was stored is not offered as unfinished.
    assert "What you submitted was stored as revision 2" in viewer.said()
    assert place.draft("closed") is None
    assert not place.nodes("closed")[NODE].any() and place.nodes("closed")[FAINT_NODE].all()
    assert viewer.errors == []


def test_a_pet_that_vanishes_is_told_and_the_work_goes_on(place, context):
    viewer = opened(place, context, "petless")
    reject(viewer, "c1")
    (place.store / "pet" / "petless.nii.gz").unlink()
    viewer.forget()
    viewer.key("Shift+F")
    told = refused(viewer)
    assert told.startswith("Nothing was changed: ") and "PET" in told
    assert viewer.candidates() == {"c1": "rejected", "c2": "accepted", "c3": "accepted"}
    assert "revision 2" in viewer.submit()
    assert viewer.errors == []


def test_work_on_a_ct_that_was_replaced_is_told_and_never_laid_onto_the_new_one(place, context):
    viewer = opened(place, context, "changed")
    reject(viewer, "c1")
    viewer.page.wait_for_selector(KEPT)
    other = ct(faint=True)
    other.flat[0] += 1
    write(place.store / "changed.nii.gz", other)
    viewer.forget()
    reject(viewer, "c2")
    assert "the CT of case changed has changed since it was opened" in refused(viewer)
    viewer.page.close(run_before_unload=False)

    viewer = opened(place, context, "changed")
    assert "drawn on another CT" in refused(viewer)
    assert set(viewer.candidates().values()) == {"accepted"}
    assert viewer.errors == []


def test_touching_nodes_are_merged_and_split_and_both_revisions_compared(place, context):
    viewer = opened(place, context, "touching")
    decide(viewer, "c1", "m", "edited")
    assert set(viewer.candidates()) == {"c1", "c3"}
    assert "revision 2" in viewer.submit()
    stored = place.nodes("touching")
    assert np.unique(stored[NODE]).tolist() == np.unique(stored[BESIDE]).tolist() == [stored[NODE].max()]

    viewer.page.click(".osln-list [data-id=c1]")
    viewer.key("s")
    viewer.page.wait_for_selector(".osln-list .added")
    assert "revision 3" in viewer.submit()
    stored = place.nodes("touching")
    both = np.concatenate([stored[NODE].ravel(), stored[BESIDE].ravel()])
    assert len(np.unique(both)) == 2 and both.min() > 0 and len(np.unique(stored)) == 4

    viewer.press("History")
    viewer.page.select_option(".osln-box select >> nth=0", "1")
    viewer.page.select_option(".osln-box select >> nth=1", "2")
    viewer.answer("Compare both")
    told = viewer.page.inner_text(".osln-box:has-text('Revision 1 and revision 2')")
    # 24 voxels and 12 of 18.75 mm3 are one node of 36 then: Dice 2 * 24 / (24 + 36).
    assert "450 and 675 mm³, Dice 0.80" in told
    assert "only in revision 1: 225 mm³" in told
    assert "the same: 338 mm³" in told
    viewer.answer("Close")
    assert viewer.errors == []


def test_the_next_case_is_the_one_that_the_strategy_of_the_worklist_proposes(place, context):
    viewer = opened(place, context, "touching")
    viewer.page.evaluate("localStorage.setItem('osln-strategy', 'first')")
    with viewer.page.expect_response("**/osln/worklist?*") as asked:
        viewer.key("Shift+N")
    assert "strategy=first" in asked.value.url and "annotator=%C3%84nna" in asked.value.url
    proposed = asked.value.json()["next"]
    assert proposed["case"] == LONG, "the only one without a label"
    viewer.page.wait_for_selector(f".osln-box:has-text('{proposed['why']}')")
    with viewer.page.expect_navigation(url=f"**{study_uid(LONG)}"):
        viewer.answer("Open it")
    viewer.page.wait_for_selector(".osln button.main:enabled")

    # 600 slices arrive as they are in the file.
    shown = viewer.image(0, (32, 32, SLICES), AFFINE_LPS)
    np.testing.assert_array_equal(shown, long_ct())
    assert viewer.errors == []


def test_back_asks_and_loses_no_stroke(place, context):
    viewer = OhifPage(context.new_page())
    page = viewer.page
    page.goto(f"{place.url}/ohif/")
    page.click("text=back")
    page.click("text=Lymph nodes")
    page.wait_for_selector(".osln button.main:enabled")
    page.click(".osln-list [data-id=c3]")
    viewer.press("Brush")
    middle = viewer.center_mm()
    viewer.stroke([middle, middle + np.array([6.0, 0, 0])])
    page.wait_for_selector(".osln-list [data-id=c3].edited")
    drawn = viewer.label(SHAPE, AFFINE_LPS)
    (value,) = np.unique(drawn[FAINT_NODE])
    assert np.count_nonzero(drawn == value) > drawn[FAINT_NODE].size

    asked, here = [], page.url
    page.once("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    with page.expect_event("dialog"):
        page.evaluate("history.back()")
    page.wait_for_url(here)
    np.testing.assert_array_equal(viewer.label(SHAPE, AFFINE_LPS), drawn)

    page.once("dialog", lambda dialog: (asked.append(dialog.message), dialog.accept()))
    with page.expect_event("dialog"):
        page.evaluate("history.back()")
    page.wait_for_url(f"{place.url}/ohif/*")
    assert len(asked) == 2 and all("kept as a draft" in text for text in asked)
    viewer.open(place.url, study_uid("back"), answer="Go on with it")
    np.testing.assert_array_equal(viewer.label(SHAPE, AFFINE_LPS), drawn)
    assert viewer.errors == []


def test_a_file_whose_name_is_no_case_id_is_told_on_the_worklist(place, context):
    page = context.new_page()
    page.goto(f"{place.url}/")
    page.wait_for_selector("text=touching")
    page.wait_for_selector("#worklist .note:has-text('Müller-東京.nii.gz cannot be a case, rename it')")
