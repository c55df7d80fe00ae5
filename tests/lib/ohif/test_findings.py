"""A new run comes to what is there by position (`lib/ohif/findings.js`), run by Node.js."""

import pytest

from small import ohif_scripts

FILES = "geometry nodes steps review findings"
BEGIN = """
const grid = { size: [20, 1, 1], origin: [0, 0, 0], axes: [[2, 0, 0], [0, 2, 0], [0, 0, 2]] };
const line = text => Uint8Array.from(text, sign => (sign === '.' ? 0 : sign === 'T' ? 255 : Number(sign)));
const shown = review => [...review.map].map(value => (value === 255 ? 'T' : value || '.')).join('');
const entry = (value, place, score) =>
  ({ value, score, center_mm: [-2 * place, 0, 0], radius_mm: 2, suv_max: 5 });
const run = (review, text, ...entries) => mergeRun(review, entries, line(text), { name: 'osln' });
const begin = () => {
  const review = new Review(grid, line('....................'));
  run(review, '11...222....3.......', entry(1, 0.5, 0.9), entry(2, 6, 0.5), entry(3, 12, 0.2));
  return review;
};
const states = review =>
  Object.fromEntries(review.candidates.map(({ id, state, score }) => [id, [state, score]]));
"""


def run(script):
    return ohif_scripts.run(FILES, BEGIN + script)


def test_a_first_run_brings_all_candidates():
    assert run("const review = begin(); return [shown(review), states(review)]") == [
        "11...222....3.......",
        {"c1": ["undecided", 0.9], "c2": ["undecided", 0.5], "c3": ["undecided", 0.2]},
    ]


def test_decisions_and_drawings_stay_when_another_run_finds_the_same_nodes():
    # The second run draws node 2 larger and finds node 3 no more; 1 is rejected, 2 edited, 3 undecided.
    assert run("""
      const review = begin();
      review.decide('c1', 'rejected');
      const now = Uint8Array.from(review.map);
      now[8] = 2;
      review.stroke(now);
      const second = [entry(1, 6.5, 0.8), entry(2, 1.5, 0.7), entry(3, 16, 0.6)];
      const told = run(review, '2222.1111.......3...', ...second);
      const after = [told, shown(review), states(review)];
      review.undo();
      return [...after, shown(review)];
    """) == [
        {"fresh": 1, "kept": 2, "left": 0},
        # The drawings of 1 and 2 are as they were; 3 is the new candidate, the former 3 is no more.
        "11...2222.......3...",
        {"c1": ["rejected", 0.7], "c2": ["edited", 0.8], "c4": ["undecided", 0.6]},
        "11...2222...3.......",
    ]


def test_two_candidates_on_one_decided_node_are_that_node():
    assert run("""
      const review = begin();
      const now = Uint8Array.from(review.map);
      now.fill(2, 5, 11);
      review.stroke(now);
      run(review, '.....11.22..........', entry(1, 5.5, 0.8), entry(2, 8.5, 0.7));
      return [shown(review), states(review)];
    """) == [".....222222.........", {"c2": ["edited", 0.8]}]


def test_undecided_ones_take_the_new_drawing_and_keep_their_name():
    assert run("""
      const review = begin();
      run(review, '....11111...........', entry(1, 6, 0.95));
      return [shown(review), states(review)];
    """) == ["....11111...........", {"c2": ["undecided", 0.95]}]


def test_a_rejected_one_without_outline_is_found_by_its_place():
    # As after opening a stored label again, which holds no voxel of what was rejected.
    assert run("""
      const gone = { id: 'c1', state: 'rejected', value: null, center_mm: [-12, 0, 0], radius_mm: 3,
        score: 0.5, origin: 'model', tags: [], drawn: false };
      const review = new Review(grid, line('....................'), [gone]);
      run(review, '.....111....2.......', entry(1, 6, 0.4), entry(2, 12, 0.3));
      return [shown(review), states(review), review.find('c1').value];
    """) == [".....111....2.......", {"c1": ["rejected", 0.4], "c2": ["undecided", 0.3]}, 1]


def test_the_tumor_stays_and_candidates_without_room_are_counted():
    assert run("""
      const review = new Review(grid, line('TT..................'));
      run(review, '11..................', entry(1, 0.5, 0.9));
      const over = shown(review);
      run(review, '....................');
      const back = shown(review);
      const far = n => ({ ...entry(n + 1, 1000 + 10 * n, 0.5), radius_mm: 1 });
      const many = Array.from({ length: 300 }, (_, n) => far(n));
      return [over, back, mergeRun(review, many, line('....................'), { name: 'ct' })];
    """) == ["11..................", "TT..................", {"fresh": 254, "kept": 0, "left": 46}]


@pytest.mark.parametrize(
    ("found", "entries"),
    [("...............1....", "entry(1, 15, 0.9)"), ("..........11........", "entry(1, 10.5, 0.1)")],
    ids=["not found again", "found below the threshold"],
)
def test_a_node_of_the_stored_label_is_not_taken_away_because_nobody_decided_it(found, entries):
    assert run(f"""
      const map = line('..........11........');
      const node = {{ ...entry(4, 10.5, 0.6), id: 'c1', state: 'undecided', value: 1, origin: 'model',
        tags: [], drawn: false, counted: true }};
      const review = new Review(grid, map, [node]);
      review.threshold = 0.5;
      run(review, '{found}', {entries});
      return [shown(review).slice(10, 12), review.offered().some(({{ id }}) => id === 'c1')];
    """) == ["11", True]


def test_what_was_erased_whole_gets_its_outline_back():
    assert run("""
      const review = begin();
      const now = Uint8Array.from(review.map);
      now.fill(0, 5, 8);
      review.stroke(now);
      const erased = [review.find('c2').state, review.find('c2').value];
      run(review, '.....111............', entry(1, 6, 0.5));
      return [...erased, shown(review).slice(5, 8).length, review.find('c2').value !== null,
        review.places(review.find('c2').value)];
    """) == ["rejected", None, 3, True, [5, 6, 7]]
