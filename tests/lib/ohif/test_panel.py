"""The panel with a made-up server (`lib/ohif/panel.js`, `sending.js`, `unfinished.js`, `meet.js`)."""

import json

import pytest

from small import ohif_scripts

FILES = (
    "geometry nodes steps review findings record merge watch server drafts segmentation windows dom list "
    "points layout meet unfinished opening sending deciding panel"
)
BEGIN = """
const grid = { size: [40, 20, 1], origin: [0, 0, 0], axes: [[2, 0, 0], [0, 2, 0], [0, 0, 2]] };
const node = (id, value, state, more = {}) => ({ id, state, value, center_mm: [0, 0, 0],
  radius_mm: 2, score: 0.9, stage_one_score: null, suv_max: null, distance_mm: null, zone: null,
  origin: 'model', tags: [], drawn: false, ...more });
const [told, asked, kept] = [[], [], {}];
globalThis.localStorage = { getItem: () => null, setItem() {} };
globalThis.location = { host: 'here' };
globalThis.markOnMip = () => {};
globalThis.VIEWPORTS = {};
globalThis.TOOL_GROUP = 'osln';
globalThis.followTumor = () => {};
// What the browser keeps, without IndexedDB.
inBrowser = async (mode, work) =>
  work({ put: (draft, key) => (kept[key] = draft), get: key => kept[key], delete: key => delete kept[key] });
showCase = panel => (panel.shownBase = panel.review.base);
element = () => ({ dataset: {}, append() {} });
let answers = [];
question = async (place, title, body, choices) => {
  asked.push([title, body.filter(part => typeof part === 'string'), choices.map(([value]) => value)]);
  const answer = answers.shift();
  return typeof answer === 'function' ? answer() : answer;
};
const server = { drafts: {}, stored: null, answered: async () => ({}) };
const replied = value => ({ ok: true, status: value === null ? 204 : 200, json: async () => value });
globalThis.fetch = async (path, options = {}) => {
  const { pathname, searchParams } = new URL(`http://here${path}`);
  const method = options.method ?? 'GET';
  const name = searchParams.get('annotator');
  if (pathname === '/osln/lease') return replied({ mine: true });
  if (pathname === '/datastore/label') {
    const bytes = new Uint8Array(await options.body.get('label').arrayBuffer());
    server.stored = { values: bytes.slice(-800), ...JSON.parse(options.body.get('params')) };
    return replied(await server.answered());
  }
  if (method === 'PUT') server.drafts[name] = JSON.parse(options.body);
  if (method === 'DELETE') delete server.drafts[name];
  return replied(method === 'GET' ? (server.drafts[name] ?? null) : null);
};
const tools = { active: 'WindowLevel' };
const toolGroup = { getActivePrimaryMouseButtonTool: () => tools.active };
const made = (map, candidates, name = 'Anna') => {
  const panel = Object.create(NodesPanel.prototype);
  const shown = Uint8Array.from(map);
  const labels = { shown, painted: null, color() {}, paint: value => (labels.painted = value),
    values: () => shown, put: (places, from) => places.forEach(place => (shown[place] = from[place])) };
  const follow = { checked: false };
  Object.assign(panel, { image: 'ct', case: 'one', title: 'one', labels, selected: null, unsaved: false,
    watch: new Watch(() => 0), list: { show() {} }, isLookedAt: () => true, showPoint() {},
    parts: { annotator: { value: name }, kept: {}, target: { value: 'node' }, order: { value: 'score' },
      left: {}, model: { value: 'osln' }, follow, advance: follow, said: {} },
    services: { toolGroupService: { getToolGroup: () => toolGroup } },
    use: tool => (tools.active = tool),
    enable(on) { this.idle = on; }, tell: (...all) => told.push(all), during: (kind, text, work) => work,
    trouble: async (error, before = '') => told.push([before + error.message, 'error']) });
  panel.review = new Review(grid, map, candidates);
  panel.review.onChange = places => panel.changed(places);
  return panel;
};
const paint = (panel, places, value) => {
  for (const place of places) panel.labels.shown[place] = value;
  tools.active = 'SphereBrush';
  panel.noteStroke();
};
const map = (...values) => Uint8Array.from({ length: 800 }, (_, n) => values[n] ?? 0);
const ids = panel => panel.review.candidates.map(({ id, state }) => `${id} ${state}`);
"""


def run(script):
    return ohif_scripts.run(FILES, BEGIN + script)


def test_the_label_says_which_tumor_was_edited_and_goes_on_from_the_one_that_was_stored():
    assert run("""
      const panel = made(map(1, 2), [node('c1', 1, 'accepted')]);
      panel.review.basedOn({ ...panel.review.base, revision: 4, tumorRevision: 2, tumorMark: 'ab' });
      const reply = { nodes_revision: 5, tumor_revision: 3, tumor_mark: 'cd', message: 'Stored.' };
      server.answered = async () => reply;
      await send(panel, 'unknown', true);
      const { base_revision, tumor_base_revision, tumor_base_mark } = server.stored;
      const { tumorRevision, tumorMark } = panel.review.base;
      return [base_revision, tumor_base_revision, tumor_base_mark, panel.revision, tumorRevision, tumorMark];
    """) == [4, 2, "ab", 5, 3, "cd"]


def test_where_nothing_is_told_of_the_tumor_the_one_that_is_shown_stays_the_base():
    assert run("""
      const panel = made(map(1, 2), [node('c1', 1, 'accepted')]);
      panel.review.basedOn({ ...panel.review.base, revision: 0, tumorRevision: 0, tumorMark: 'ab' });
      const reply = { nodes_revision: 1, tumor_revision: null, tumor_mark: null, message: 'Stored.' };
      server.answered = async () => reply;
      await send(panel, 'unknown', true);
      const { tumorRevision, tumorMark } = panel.review.base;
      return [panel.revision, tumorRevision, tumorMark];
    """) == [1, 0, "ab"]


STORING = """
  const panel = made(map(1), [node('c1', 1, 'accepted')]);
  await takePlace(panel);
  panel.keep();
  await panel.drafts.writing;
  panel.unsaved = true;
  server.answered = async () => {{
    {meanwhile}
    return {{ nodes_revision: 1, message: 'Stored.' }};
  }};
  await send(panel, 'unknown', true);
  const draft = Object.values(kept)[0];
  panel.drafts.stop();
  return [server.stored.values.includes(2), panel.unsaved, panel.revision, draft ? draft.base_revision : null,
    draft ? unpacked(draft.runs, 800).includes(2) : null, told.at(-1)[0],
    panel.parts.kept.textContent.slice(0, 5)];
"""


def test_what_is_drawn_while_the_label_is_being_stored_stays_unsaved_and_kept():
    assert run(STORING.format(meanwhile="paint(panel, [7, 8], 2);")) == [
        False,
        True,
        1,
        1,
        True,
        "Stored. What you drew meanwhile is not in it: submit again.",
        "draft",
    ]


def test_without_a_stroke_meanwhile_nothing_is_unsaved_and_the_draft_is_gone():
    assert run(STORING.format(meanwhile="")) == [False, False, 1, None, None, "Stored.", ""]


def test_the_stored_tumor_is_what_was_sent_not_what_was_drawn_since():
    assert run("""
      const panel = made(map(255, 255), []);
      const tumor = (...places) => { paint(panel, places, 255); };
      panel.parts.target.value = 'tumor';
      tumor(5);
      server.answered = async () => { tumor(6); return { message: 'Stored.' }; };
      await send(panel, 'unknown', true);
      return [panel.review.base.tumor, tumorDrawn(panel.review)];
    """) == [[0, 1, 5], True]


def test_a_node_without_a_voxel_is_not_sent():
    assert run("""
      const panel = made(map(1), [node('c1', 1, 'accepted'), node('c2', null, 'accepted')]);
      answers = ['send'];
      await sendCase(panel);
      return [server.stored, told.at(-1)[0], panel.selected];
    """) == [
        None,
        "c2 would count as nodes and have no outline, so nothing was submitted. Find nodes brings it back; "
        "if it does not, draw it or reject it. Then submit.",
        "c2",
    ]


@pytest.mark.parametrize(("erased", "says"), [([0, 1], True), ([0], False), ([], False)])
def test_a_tumor_that_was_erased_wholly_is_told_to_stay(erased, says):
    assert run(f"""
      const panel = made(map(255, 255, 1), [node('c1', 1, 'accepted')]);
      panel.parts.target.value = 'tumor';
      if ({erased}.length) paint(panel, {erased}, 0);
      answers = [null];
      await sendCase(panel);
      return asked.at(-1)[1].some(told => told.includes('the stored one stays'));
    """) is bool(says)


RENAMED = """
  const waiting = made(map(), [node('c1', null, 'added'), node('c2', null, 'added')]);
  const packing = draftOf(waiting.review, waiting.watch);
  server.drafts.Anna = { ...packing, runs: undefined, labels: null, saved_at: '2026-01-01T00:00:00Z' };
  const panel = made(map(), [node('c9', null, 'undecided')], '');
  await takePlace(panel);
  panel.review.decide('c9', 'rejected');
  let before = null;
  answers = [async () => {
    await new Promise(resolve => setTimeout(resolve, 20));
    before = [server.drafts.Anna.state.facts.candidates.length, Object.keys(kept)];
    return ANSWER;
  }];
  panel.parts.annotator.value = 'Anna';
  await renamed(panel);
  await panel.drafts.send();
  panel.drafts.stop();
  return [asked.map(([title, lines, choices]) => [title, lines.at(-1), choices]), before, ids(panel),
    panel.drafts.annotator, Object.keys(kept)];
"""


@pytest.mark.parametrize(
    ("answer", "candidates", "keeps"),
    [
        ("drop", ["c9 rejected"], ["here one ct Anna"]),
        ("go", ["c1 added", "c2 added"], ["here one ct ", "here one ct Anna"]),
    ],
)
def test_a_draft_that_waits_for_a_name_is_asked_about_before_anything_is_written_over_it(
    answer, candidates, keeps
):
    told, before, now, annotator, kept = run(RENAMED.replace("ANSWER", json.dumps(answer)))

    why = "It is not what you did here until now: one of the two can go on."
    assert told == [["Unfinished work", why, ["go", "drop"]]]
    assert before == [2, ["here one ct "]]
    assert (now, annotator, sorted(kept)) == (candidates, "Anna", keeps)


def test_without_a_draft_that_waits_what_was_begun_without_a_name_goes_with_it():
    assert run("""
      const panel = made(map(), [node('c9', null, 'undecided')], '');
      await takePlace(panel);
      panel.review.decide('c9', 'rejected');
      panel.parts.annotator.value = 'Anna';
      await renamed(panel);
      await panel.drafts.send();
      panel.drafts.stop();
      return [asked, Object.keys(kept), server.drafts.Anna.state.facts.candidates[0].state];
    """) == [[], ["here one ct Anna"], "rejected"]


def test_nothing_that_is_done_under_a_new_name_becomes_the_former_ones_draft_though_the_server_fails():
    assert run("""
      const panel = made(map(), [node('c9', null, 'undecided')], 'Bert');
      await takePlace(panel);
      const real = fetch;
      globalThis.fetch = async (path, options) => {
        if (path.startsWith('/osln/lease')) throw new Error('away');
        return real(path, options);
      };
      panel.parts.annotator.value = 'Anna';
      await renamed(panel);
      panel.review.decide('c9', 'rejected');
      await panel.drafts.send();
      panel.drafts.stop();
      return [panel.drafts.annotator, Object.keys(kept), Object.keys(server.drafts)];
    """) == ["Anna", ["here one ct Anna"], ["Anna"]]


def test_a_draft_whose_merge_is_put_off_stays_on_the_revision_that_it_was_begun_on():
    assert run("""
      const before = made(map(), [node('c1', null, 'rejected')]);
      const packing = draftOf(before.review, before.watch);
      server.drafts.Anna = { ...packing, runs: undefined, labels: null, saved_at: '2026-01-01T00:00:00Z' };
      const panel = made(map(1), [node('c7', 1, 'accepted')]);
      panel.review.basedOn({ ...panel.review.base, revision: 1, by: 'Bert' });
      const candidates = [node('c7', 1, 'accepted')];
      readTheirs = async () => ({ map: map(1), candidates, revision: 1, by: 'Bert' });
      answers = ['go', null];
      await takePlace(panel);
      panel.drafts.stop();
      return [asked.map(([title]) => title), panel.revision, ids(panel)];
    """) == [["Unfinished work", "Merge by node"], 0, ["c1 rejected"]]


def test_a_stroke_while_the_merge_is_asked_asks_again_with_it():
    assert run("""
      const panel = made(map(1), [node('c1', 1, 'accepted')]);
      const theirs = { map: map(0, 0, 3), candidates: [node('c3', 3, 'accepted', { center_mm: [-4, 0, 0] })],
        revision: 2, by: 'Bert' };
      answers = [() => { paint(panel, [7, 8], 2); return 'merge'; }, 'merge'];
      await meet(panel, theirs, 'Bert stored revision 2 meanwhile.');
      const [, [why]] = asked[1];
      const values = [0, 2, 7, 8].map(place => panel.review.map[place] !== 0);
      return [asked.length, why, values, panel.revision];
    """) == [
        2,
        "Bert stored revision 2 meanwhile. You changed something while this was asked: look at the nodes "
        "again.",
        [True, True, True, True],
        2,
    ]


@pytest.mark.parametrize(
    ("choice", "tumor"), [(None, [0, 1, 2, 9]), ("mine", [0, 1, 9]), ("theirs", [0, 1, 2])]
)
def test_which_tumor_holds_is_asked_in_a_line_of_its_own_if_both_painted_it(choice, tumor):
    lines, now = run(f"""
      const selects = [];
      element = (tag, attributes = {{}}) => {{
        const one = {{ ...attributes, dataset: {{}}, append() {{}} }};
        if (tag === 'select') selects.push(one);
        return one;
      }};
      const panel = made(map(255, 255), []);
      panel.parts.target.value = 'tumor';
      paint(panel, [9], 255);
      const theirs = {{ map: map(255, 255, 255), candidates: [], revision: 2, by: 'Bert' }};
      answers = [() => {{
        const value = {json.dumps(choice)};
        if (value) Object.assign(selects[0], {{ value }}).onchange();
        return 'merge';
      }}];
      await meet(panel, theirs, 'Bert stored revision 2 meanwhile.');
      return [selects.map(one => one['aria-label']), panel.review.places(255)];
    """)

    assert (lines, now) == (["tumor"], tumor)


MANY = """
  const all = Array.from({ length: 254 }, (_, n) => n + 1);
  const full = (more = {}) =>
    made(map(...all), all.map(n => node(`c${n}`, n, 'undecided', { score: n / 300, ...more })));
"""


def test_all_candidates_of_a_run_come_also_where_the_label_map_is_full():
    told, candidates, unsaved, kept, threshold = run(f"""{MANY}
      const panel = made(map(), []);
      await takePlace(panel);
      const entries = [...all, 255, 256, 257].map(n => ({{ value: n, score: n / 300,
        center_mm: [-2 * n, 0, 0], radius_mm: 1, kept: n > 100 }}));
      findAll = async () => ({{ labels: map(...all), grid, result: {{ candidates: entries, warnings: [],
        operating_point: '3 FP per patient', score_threshold: 0.5 }} }});
      readProposed = async () => {{}};
      await find(panel);
      panel.drafts.stop();
      const fresh = made(map(), []);
      restoreDraft(fresh.review, fresh.watch, Object.values(kept)[0]);
      return [told.at(-1), panel.review.candidates.length, panel.unsaved, fresh.review.candidates.length,
        fresh.review.threshold];
    """)

    assert told == [
        "254 candidates, 105 shown, 3 with the lowest scores left out, there is no room for them.",
        "good",
    ]
    assert (candidates, unsaved, kept, threshold) == (254, True, 254, 0.5)


def test_in_a_full_map_choosing_the_brush_makes_room_for_a_new_node():
    assert run(f"""{MANY}
      const panel = full();
      panel.review.threshold = 0.5;
      panel.parts.target.value = 'new';
      tools.active = 'SphereBrush';
      panel.aimAnew();
      const aimed = [panel.aimed, panel.labels.painted, panel.review.map[0], panel.labels.shown[0]];
      paint(panel, [700], panel.aimed);
      return [...aimed, panel.review.candidates.at(-1).value, panel.selected, told];
    """) == [1, 1, 0, 0, 1, "c255", []]


def test_where_no_room_can_be_made_the_brush_is_put_away_and_it_is_said():
    assert run(f"""{MANY}
      const panel = full({{ state: 'accepted' }});
      tools.active = 'SphereBrush';
      panel.refresh();
      const first = tools.active;
      tools.active = 'SphereBrush';
      panel.aimAnew();
      return [first, tools.active, told.map(([, kind]) => kind), panel.aimed, panel.labels.painted];
    """) == ["WindowLevel", "WindowLevel", ["error"], None, None]


def test_what_is_said_of_the_proposed_ones_tells_what_is_left_and_goes_with_the_next_decision():
    assert run("""
      const panel = made(map(), ['c1', 'c2', 'c3', 'c4'].map(id => node(id, null, 'undecided')));
      panel.tell = (text, kind) => { told.push(text); panel.parts.said.textContent = text; };
      panel.review.threshold = 0.95;
      panel.review.proposed = ['c1', 'c2'];
      panel.refresh();
      const left = [panel.parts.left.textContent];
      for (const id of ['c1', 'c2', 'c3']) {
        panel.selected = id;
        decide(panel, 'rejected');
        left.push(panel.parts.left.textContent);
      }
      return [told, left];
    """) == [
        ["All 2 proposed are decided, 2 others are not: submit in part, or decide them too.", ""],
        [
            "2 hidden, 2 of 2 to decide, 2 proposed",
            "2 hidden, 1 of 2 to decide, 1 proposed",
            "2 hidden, 0 of 2 to decide, 0 proposed",
            "1 hidden, 0 of 3 to decide, 0 proposed",
        ],
    ]


def test_what_else_was_said_stays_when_something_is_decided():
    assert (
        run("""
      const panel = made(map(), [node('c1', null, 'undecided'), node('c2', null, 'undecided')]);
      panel.parts.said.textContent = '2 candidates. There is no PET.';
      panel.selected = 'c1';
      decide(panel, 'rejected');
      return told;
    """)
        == []
    )


def test_two_pages_that_keep_one_draft_are_told_both():
    assert run("""
      const said = { one: [], two: [], other: [] };
      const page = (name, place) => new Drafts('ct', place, 'Anna', (...all) => said[name].push(all));
      const pages = [page('one', 'here one ct'), page('other', 'here two ct'), page('two', 'here one ct')];
      for (const one of pages) one.meetOthers();
      await new Promise(resolve => setTimeout(resolve, 200));
      pages.forEach(one => one.stop());
      return Object.values(said).map(sentences => sentences.length);
    """) == [1, 1, 0]


@pytest.mark.parametrize(("nodes", "refused"), [(254, False), (255, True), (300, True)])
def test_a_label_of_more_nodes_than_the_viewer_holds_is_refused(nodes, refused):
    found = run(f"""
      const values = new Uint16Array(800);
      for (let n = 1; n <= {nodes}; n++) values[n] = n;
      values[0] = 65535;
      const head = 'NRRD0004\\ntype: uint16\\ndimension: 3\\nspace: left-posterior-superior\\n'
        + 'sizes: 40 20 1\\nspace directions: (2,0,0) (0,2,0) (0,0,2)\\nendian: little\\nencoding: raw\\n'
        + 'space origin: (0,0,0)\\n\\n';
      const headers = new Map([['OSLN-Revision', '4'], ['OSLN-Tumor-Value', '65535']]);
      globalThis.fetch = async () => ({{ ok: true, status: 200, headers,
        arrayBuffer: () => new Blob([head, values]).arrayBuffer() }});
      const {{ labels }} = await storedLabel('ct');
      return [labels[0], labels[254]];
    """)

    assert found == (
        f"revision 4 has {nodes} nodes, and one label map of the viewer holds 254: submitted from here, the "
        "others would be lost. Review this case in 3D Slicer"
        if refused
        else [255, 254]
    )
