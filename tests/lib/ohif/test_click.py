"""A node by clicks (`lib/ohif/click.js`): what is refused, and what Enter takes; run by Node.js."""

from small import ohif_scripts

FILES = "geometry nodes steps review server windows view click"
BEGIN = """
const grid = { size: [8, 4, 4], origin: [0, 0, 0], axes: [[2, 0, 0], [0, 2, 0], [0, 0, 2]] };
const map = new Uint8Array(128);
const HOT = 3 + 8 * (1 + 4);
map[HOT] = 1;
const review = new Review(grid, map, [{ id: 'c1', state: 'accepted', value: 1, center_mm: [-6, -2, 2],
  radius_mm: 2, score: 0.9, origin: 'model', tags: [], drawn: true }]);
const [asked, told, taken] = [[], [], []];
// Voxels from (1, 1, 1) on, as many as `answer` says, after its milliseconds; beyond -100 mm there is air.
let answer = () => ({ voxels: 1, after: 1 });
globalThis.fetch = async (path, { body }) => {
  const params = JSON.parse(body.get('params'));
  asked.push([params.foreground_mm.map(([x]) => x), params.background_mm.map(([x]) => x)]);
  const { voxels, after, status } = answer(params);
  await new Promise(resolve => setTimeout(resolve, after));
  const air = params.foreground_mm.some(([x]) => x < -100);
  if (air || status) return { ok: false, status: status ?? 422,
    text: async () => JSON.stringify({ detail: 'the click lies in air' }) };
  const head = 'NRRD0004\\ntype: uint8\\ndimension: 3\\nspace: left-posterior-superior\\n'
    + `sizes: ${voxels} 1 1\\n`
    + 'space directions: (2,0,0) (0,2,0) (0,0,2)\\nencoding: raw\\nspace origin: (2,2,2)\\n\\n';
  const form = new FormData();
  form.append('params', JSON.stringify({ node: { suv_max: 12 } }));
  form.append('image', new Blob([head, new Uint8Array(voxels).fill(1)]), 'a');
  return { ok: true, formData: async () => form };
};
globalThis.document = { addEventListener() {}, removeEventListener() {} };
const viewport = { element: { contains: () => true }, canvasToWorld: ([x, y]) => [x, y, 0],
  canvas: { getBoundingClientRect: () => ({ left: 0, top: 0 }) } };
const services = { cornerstoneViewportService: { getCornerstoneViewport: () => viewport } };
const clicked = new ClickedNode(services, { image: 'ct', review, labels: { colorProposal() {}, put() {} },
  tell: (...all) => told.push(all), during: (kind, text, work) => work, onEnd() {},
  onTaken: (places, suv) => taken.push(review.find(review.add(places, 'click', suv))) });
const rest = ms => new Promise(resolve => setTimeout(resolve, ms));
const event = more =>
  ({ target: {}, clientY: 2, button: 0, preventDefault() {}, stopImmediatePropagation() {}, ...more });
const click = (x, shiftKey = false) => clicked.onMouse(event({ type: 'mousedown', clientX: x, shiftKey }));
const size = node => review.places(node.value).length;
"""


def run(script):
    return ohif_scripts.run(FILES, BEGIN + script)


def test_a_point_that_is_refused_is_in_no_further_question():
    asked, error, refused = run("""
      for (const x of [2, 200, 4]) { click(x); await rest(20); }
      const errors = told.filter(([, kind]) => kind === 'error').map(([sentence]) => sentence);
      return [asked, errors.length, errors[0]];
    """)

    assert asked == [[[-2], []], [[-2, -200], []], [[-2, -4], []]]
    assert (error, refused) == (
        1,
        "No outline: the click lies in air. Click again, or draw with the brush.",
    )


def test_a_good_click_after_a_bad_one_whose_refusal_is_under_way_is_not_lost():
    assert run("""
      answer = ({ foreground_mm: { length } }) => ({ voxels: length, after: length === 1 ? 5 : 30 });
      click(200);
      click(4);
      await rest(100);
      return [asked, clicked.places.length, told.at(-1)[1] ?? null];
    """) == [[[[-200], []], [[-200, -4], []], [[-4], []]], 1, None]


def test_a_server_that_does_not_answer_makes_no_point_a_bad_one():
    assert run("""
      answer = () => ({ after: 1, status: 503 });
      click(2);
      await rest(20);
      answer = () => ({ voxels: 1, after: 1 });
      click(4);
      await rest(20);
      return asked.at(-1);
    """) == [[-2, -4], []]


def test_enter_takes_what_was_asked_for_last():
    # Two voxels first, one after the click outside, whose answer is under way.
    assert run("""
      answer = ({ background_mm: { length } }) => ({ voxels: length ? 1 : 2, after: length ? 40 : 1 });
      click(2);
      await rest(20);
      click(4, true);
      clicked.take();
      await clicked.take();
      await rest(60);
      return taken.map(node => [size(node), node.suv_max]);
    """) == [[1, 12]]


def test_enter_takes_the_size_that_the_wheel_was_just_turned_to():
    assert run("""
      answer = ({ radius_mm }) => ({ voxels: radius_mm ? 2 : 1, after: 1 });
      click(2);
      await rest(20);
      clicked.onWheel(event({ type: 'wheel', deltaY: -1 }));
      await clicked.take();
      return taken.map(size);
    """) == [2]


def test_enter_takes_nothing_if_the_correction_fails_and_then_what_is_shown():
    assert run("""
      click(2);
      await rest(20);
      click(200);
      await clicked.take();
      const first = [taken.length, told.at(-1)[1]];
      await clicked.take();
      return [...first, taken.length];
    """) == [0, "error", 1]


def test_escape_drops_what_enter_waits_for():
    assert (
        run("""
      click(2);
      const waits = clicked.take();
      clicked.end();
      await waits;
      return taken.length;
    """)
        == 0
    )


def test_a_node_that_leaves_out_a_neighbors_voxels_has_no_suv_max():
    # The third voxel is the accepted neighbor's, which is the hot one.
    assert run("""
      answer = () => ({ voxels: 3, after: 1 });
      click(2);
      await clicked.take();
      return taken.map(node => [size(node), node.suv_max]);
    """) == [[2, None]]
