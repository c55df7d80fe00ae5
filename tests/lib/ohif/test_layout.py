"""The panel's elements in Chromium with scrollbars (`lib/ohif/layout.js`, `style.js`, `list.js`)."""

import pytest

from lib.web.ohif_routes import SCRIPTS
from small.ohif_page import CHROMIUM, PATIENCE_MS, chromium

pytestmark = pytest.mark.browser
ADDRESS = "http://panel.test/"
FILES = "style keys dom list layout"
# As OHIF has it: 264 px beside the images, below two bars.
PAGE = """<!doctype html><style>* { box-sizing: border-box; }</style>
<div id=place style='position: fixed; top: 91px; bottom: 0; left: 0; width: 264px'></div>"""
SHOW = """
const list = new CandidateList(() => {});
const parts = layout(document.getElementById('place'), () => {}, list);
const say = text => parts.said.replaceChildren(element('div', { className: 'told', textContent: text }));
const node = { state: 'undecided', score: 0.96, radius_mm: 15.5, suv_max: 10.1, distance_mm: 100 };
const nodes = Array.from({ length: 24 }, (_, n) => ({ id: `c${n}`, zone: 'proximal', ...node }));
list.show(nodes, 'c0', null, ['c0']);
parts.about.replaceChildren(...['phantom-02: not approved yet', 'PET: as stored', 'Proposed'].map(line));
parts.pointText.textContent = '3 FP per patient, finds 78%, score from 0.62';
parts.left.textContent = '14 hidden, 10 of 24 to decide, 10 proposed';
say('24 candidates, 10 shown.');
"""
CUT = """() => [...document.querySelectorAll('.osln-line > span, .osln-small')]
  .filter(one => one.scrollWidth > one.clientWidth).map(one => one.textContent)"""
SIDEWAYS = (
    "() => [...document.querySelectorAll('.osln, .osln-list')].map(one => one.scrollWidth - one.clientWidth)"
)
OUT_OF_SIGHT = """() => [...document.querySelectorAll('.osln button, .osln input, .osln select, .osln .told')]
  .filter(one => {
    const { top, bottom } = one.getBoundingClientRect();
    return top < 91 || bottom > innerHeight;
  })
  .map(one => one.textContent || one.ariaLabel)"""


@pytest.fixture(scope="module")
def browser():
    if not CHROMIUM.is_file():
        pytest.skip("needs Chromium: apt-get install chromium")
    with chromium(hide_scrollbars=False) as running:
        yield running


@pytest.fixture(params=[625, 768])
def page(browser, request):
    """The panel with 24 candidates, on a screen of a laptop and on one without the browser's own bars."""
    page = browser.new_page(viewport={"width": 1366, "height": request.param})
    page.set_default_timeout(PATIENCE_MS)
    page.route(ADDRESS, lambda route: route.fulfill(body=PAGE, content_type="text/html"))
    page.goto(ADDRESS)
    source = "\n".join((SCRIPTS / f"{name}.js").read_text(encoding="utf-8") for name in FILES.split())
    page.add_script_tag(content=source + SHOW)
    yield page
    page.close()


def test_nothing_of_a_long_list_is_cut_and_nothing_scrolls_sideways(page):
    assert (
        page.evaluate(
            "() => { const { clientWidth, offsetWidth } = list.box; return offsetWidth - clientWidth; }"
        )
        > 2
    )
    assert page.evaluate(SIDEWAYS) == [0, 0]
    assert page.evaluate(CUT) == []


def test_all_controls_and_what_is_said_are_in_sight_without_scrolling(page):
    assert page.evaluate("parts.panel.scrollTop") == 0
    assert page.evaluate(OUT_OF_SIGHT) == []


def test_a_long_word_of_the_panel_is_seen_and_leaves_the_list_where_it_is(page):
    page.evaluate("say('A sentence of several lines that tells what is to be done. '.repeat(8))")
    assert page.evaluate("parts.panel.scrollTop") == 0
    box = page.locator(".told").bounding_box()
    assert box["y"] + box["height"] <= page.viewport_size["height"]


def test_the_keys_are_read_from_their_beginning(page):
    page.evaluate("parts.panel.scrollTop = 1000")
    page.evaluate("void question(parts.panel, 'Keys', [keyTable()], [[null, 'Close']])")
    assert page.evaluate("document.activeElement.textContent") == "Close"
    assert page.locator(".osln-box h3").bounding_box()["y"] >= 91
