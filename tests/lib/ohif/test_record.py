"""What of a review leaves the page, and two people's as one (`lib/ohif/record.js`, `merge.js`)."""

import pytest

from small import ohif_scripts

FILES = "geometry nodes steps review watch record merge"
BEGIN = """
const grid = { size: [20, 1, 1], origin: [0, 0, 0], axes: [[2, 0, 0], [0, 2, 0], [0, 0, 2]] };
const line = text => Uint8Array.from(text, sign => (sign === '.' ? 0 : sign === 'T' ? 255 : Number(sign)));
const text = map => [...map].map(value => (value === 255 ? 'T' : value || '.')).join('');
const unknown = { stage_one_score: null, suv_max: null, distance_mm: null, zone: null };
const node = (id, value, state, place, more = {}) => ({ id, state, value, center_mm: [-2 * place, 0, 0],
  radius_mm: 2, score: 0.5, ...unknown, origin: 'model', tags: [], drawn: false, ...more });
const none = { of: () => 0, total: 0 };
"""


def run(script):
    return ohif_scripts.run(FILES, BEGIN + script)


@pytest.mark.parametrize(
    ("undecided", "sent", "names"),
    [
        ("rejected", "11........33........", ["lymph node 1 = 1", "lymph node 2 = 3"]),
        ("accepted", "11..22....33........", ["lymph node 1 = 1", "lymph node 2 = 2", "lymph node 3 = 3"]),
    ],
)
def test_sent_is_what_counts_and_a_tumor_only_if_it_was_painted(undecided, sent, names):
    found = run(f"""
      const candidates = [node('c1', 1, 'accepted', 0.5), node('c2', 2, 'undecided', 4.5),
        node('c3', 3, 'edited', 10.5), node('c4', 4, 'rejected', 13.5)];
      const review = new Review(grid, line('11..22....33.44..TT.'), candidates);
      const seconds = {{ of: id => ({{ c1: 2.344 }})[id] || 0, total: 12.344 }};
      const {{ values, info, review: record }} = submission(review, '{undecided}', seconds);
      return [text(values), info.map(({{ name, idx }}) => `${{name}} = ${{idx}}`), record.complete,
        record.seconds, record.candidates.map(({{ value, state, seconds }}) => [state, value, seconds])];
    """)

    assert found == [
        sent,
        names,
        True,
        12.34,
        [
            ["accepted", 1, 2.34],
            ["undecided", 2 if undecided == "accepted" else None, 0],
            ["edited", 3, 0],
            ["rejected", None, 0],
        ],
    ]


def test_in_part_only_what_was_decided_is_sent_and_told_is_where_the_rest_lies():
    found = run("""
      const candidates = [node('c1', 1, 'accepted', 0.5), node('c2', 2, 'undecided', 4.5, { score: 0.1 }),
        node('c3', 3, 'rejected', 10.5), node('c5', null, 'undecided', 17),
        node('c4', null, 'undecided', 15, { box_mm: [[1, 1, 1], [2, 2, 2]] })];
      const review = new Review(grid, line('11..222...33........'), candidates);
      review.threshold = 0.4;
      const { values, review: record } = submission(review, 'unknown', none, false);
      return [text(values), record.complete, record.undecided, record.candidates.map(({ box_mm }) => box_mm)];
    """)

    sent, complete, undecided, boxes = found
    assert (sent, complete, undecided) == ("11..................", False, "unknown")
    # Voxels of 2 mm from 0 on, in LPS; x in RAS runs the other way, and faces lie 1 mm from the centers.
    assert boxes == [
        [[-3, -1, -1], [1, 1, 1]],
        [[-13, -1, -1], [-7, 1, 1]],
        [[-23, -1, -1], [-19, 1, 1]],
        None,
        [[1, 1, 1], [2, 2, 2]],
    ]


def test_opened_again_a_candidate_without_voxels_keeps_its_box():
    assert run("""
      const record = { candidates: [node('c1', null, 'undecided', 9, { box_mm: [[0, 0, 0], [4, 4, 4]] })] };
      return storedCandidates(line('11..................'), grid, record).map(({ box_mm }) => box_mm);
    """) == [[[0, 0, 0], [4, 4, 4]], None]


def test_a_painted_tumor_is_sent_whole_also_under_a_rejected_candidate():
    assert run("""
      const review = new Review(grid, line('TTT.................'));
      review.change('run', { candidates: [node('c1', 1, 'rejected', 0)] }, new Map([[0, 1]]));
      const now = Uint8Array.from(review.map);
      now[3] = 255;
      review.stroke(now);
      const { values, info } = submission(review, 'rejected', none);
      return [text(values), info];
    """) == [
        "TTTT................",
        [{"name": "lymph node", "idx": 1}, {"name": "tumor", "idx": 255}],
    ]


def test_opened_again_the_states_are_there_and_unnamed_nodes_are_accepted():
    assert run("""
      const record = { candidates: [node('c1', 1, 'edited', 0.5), node('c2', null, 'rejected', 9)] };
      const found = storedCandidates(line('11..22..........T...'), grid, record);
      return found.map(({ id, state, value, origin, center_mm }) => [id, state, value, origin, center_mm]);
    """) == [
        ["c1", "edited", 1, "model", [-1, 0, 0]],
        ["c2", "rejected", None, "model", [-18, 0, 0]],
        ["c3", "accepted", 2, "annotator", [-9, 0, 0]],
    ]


def test_an_undecided_one_that_was_counted_stays_a_node_below_the_operating_point():
    assert run("""
      const record = { candidates: [
        { ...node('c1', 1, 'undecided', 0.5), score: 0.2 },
        { ...node('c2', null, 'undecided', 9), score: 0.2 },
      ] };
      const map = line('11..................');
      const review = new Review(grid, map, storedCandidates(map, grid, record));
      review.threshold = 0.9;
      const { values } = submission(review, 'accepted', none);
      return [review.shown().map(({ id }) => id), text(values)];
    """) == [["c1"], "11.................."]


def test_a_proposed_one_below_the_operating_point_counts_as_no_node_unless_it_is_accepted():
    assert run("""
      const review = new Review(grid, line('11..22....33........'), [
        { ...node('c1', 1, 'undecided', 0.5), score: 0.2, center_mm: [0, 0, 0] },
        { ...node('c2', 2, 'undecided', 4), score: 0.95, center_mm: [-4, 0, 0] },
        { ...node('c3', 3, 'undecided', 10), score: 0.2, center_mm: [-10, 0, 0] },
      ]);
      review.threshold = 0.9;
      review.propose([0, -10].map(x => ({ center_mm: [x, 0, 0], radius_mm: 1 })));
      review.decide('c3', 'accepted');
      const { values } = submission(review, 'accepted', none);
      const ids = list => list.map(({ id }) => id);
      return [ids(review.shown('proposed')), ids(review.left()), ids(review.offered()), text(values)];
    """) == [["c1", "c3", "c2"], ["c1", "c2"], ["c2"], "....22....33........"]


def test_places_that_were_looked_at_go_with_the_decisions():
    assert run("""
      const review = new Review(grid, line('11..................'), [node('c1', 1, 'accepted', 0.5)]);
      const before = submission(review, 'unknown', none, false).review;
      review.lookedAt.push([1, 2, 3]);
      return ['looked_at' in before, submission(review, 'unknown', none, false).review.looked_at];
    """) == [False, [[1, 2, 3]]]


def test_a_draft_comes_back_with_drawings_decisions_and_seconds():
    assert run("""
      const review = new Review(grid, line('11..................'), [node('c1', 1, 'undecided', 0.5)]);
      review.threshold = 0.3;
      review.decide('c1', 'rejected');
      review.add([5, 6], 'click');
      const watch = new Watch(() => 0);
      watch.begin({ total: 7, by: { c1: 3 } });
      const kept = draftOf(review, watch);
      const json = { ...JSON.parse(JSON.stringify({ ...kept, runs: null })), runs: kept.runs };
      const fresh = new Review(grid, line('11..................'), [node('c1', 1, 'undecided', 0.5)]);
      const clock = new Watch(() => 0);
      restoreDraft(fresh, clock, json);
      const seen = [text(fresh.map), fresh.candidates.map(({ state }) => state), fresh.threshold];
      return [...seen, clock.all(), described(json), fresh.undo()];
    """) == [
        "11...22.............",
        ["rejected", "added"],
        0.3,
        {"total": 7, "by": {"c1": 3}},
        "1 decision, 1 added node",
        None,
    ]


def test_attention_is_counted_only_while_the_page_is_looked_at():
    # 2 s on c1, 3 s away, 4 s on c2, then 10 minutes without a hand on it: counted as one.
    assert run("""
      let at = 0;
      const watch = new Watch(() => at * 1000);
      watch.look('c1', true); at = 2; watch.tick(false); at = 5; watch.tick(true);
      watch.look('c2', true); at = 9; watch.look(null, true); at = 609; watch.tick(true);
      return watch.all();
    """) == {"total": 66, "by": {"c1": 2, "c2": 4}}


MINE_AND_THEIRS = """
const mine = new Review(grid, line('11..22....33........'), [node('c1', 1, 'accepted', 0.5),
  node('c2', 2, 'edited', 4.5), node('c3', 3, 'added', 10.5, { origin: 'click' })]);
const theirs = { map: line('11..222.....4.......'), candidates: [node('c1', 1, 'accepted', 0.5),
  node('c2', 2, 'edited', 5), node('c9', null, 'rejected', 16),
  node('c4', 4, 'added', 12, { origin: 'annotator' })] };
const found = pairs(mine, theirs);
"""


def test_two_reviews_are_paired_by_place_and_asked_where_they_differ():
    told = "return found.map(({ mine, theirs, same }) => [mine?.id ?? null, theirs?.id ?? null, same])"

    assert run(MINE_AND_THEIRS + told) == [
        ["c1", "c1", True],
        ["c2", "c2", False],
        [None, "c9", True],
        [None, "c4", False],
        ["c3", None, False],
    ]


@pytest.mark.parametrize(
    ("choice", "drawn"),
    [("mine", "11..22....33........"), ("theirs", "11..222.....3......."), ("both", "11..222...443.......")],
)
def test_merged_by_node(choice, drawn):
    found = run(f"""{MINE_AND_THEIRS}
      mergeTheirs(mine, theirs, found, found.map(() => '{choice}'));
      const merged = text(mine.map);
      const rejected = mine.candidates.filter(({{ state }}) => state === 'rejected').length;
      mine.undo();
      return [merged, rejected, text(mine.map), new Set(mine.candidates.map(({{ id }}) => id)).size];
    """)

    merged, rejected, before, ids = found
    # Values are counted anew: what is compared is which voxels are one node.
    assert [merged.replace("4", "3") if choice != "both" else merged][0] == drawn
    assert rejected == 1
    assert before == "11..22....33........"
    assert ids == 3


def test_a_draft_holds_places_that_were_looked_at_and_the_label_it_was_begun_on():
    # The tumor was painted anew by somebody else meanwhile: it is not taken for painted here.
    assert run("""
      const review = new Review(grid, line('TT......TTT.........'));
      review.basedOn({ ...review.base, revision: 3, tumorRevision: 0, tumorMark: 'ab', by: 'Anna' });
      review.lookAt([1, 2, 3]);
      const kept = draftOf(review, new Watch(() => 0));
      const json = { ...JSON.parse(JSON.stringify({ ...kept, runs: null })), runs: kept.runs };
      const fresh = new Review(grid, line('TTTTTTT.............'));
      fresh.basedOn({ ...fresh.base, revision: 4, tumorRevision: 2, tumorMark: 'cd', by: 'Bert' });
      restoreDraft(fresh, new Watch(() => 0), json);
      return [fresh.lookedAt, fresh.base, tumorDrawn(fresh), described(json)];
    """) == [
        [[1, 2, 3]],
        {"revision": 3, "tumorRevision": 0, "tumorMark": "ab", "by": "Anna", "tumor": [0, 1, 8, 9, 10]},
        False,
        "1 place looked at",
    ]


def test_a_draft_of_a_former_version_is_restored():
    assert run("""
      const review = new Review(grid, line('TT..................'));
      const state = { facts: { candidates: [], model: null }, threshold: 0.2, seconds: {} };
      const runs = packed(line('TT.1.............'));
      restoreDraft(review, new Watch(() => 0), { base_revision: 2, state, runs });
      return [text(review.map), review.base];
    """) == ["TT.1................", {"revision": 2, "by": "", "tumor": [0, 1]}]


@pytest.mark.parametrize(
    ("point", "told"),
    [
        ("'3 FP per patient'", "3 FP per patient (score >= 0.1)"),
        ("'3 FP per patient (score >= 0.5)'", "3 FP per patient (score >= 0.1)"),
        ("null", "(score >= 0.1)"),
    ],
)
def test_the_record_says_where_the_slider_stands(point, told):
    assert run(f"""
      const review = new Review(grid, line('11..................'), [node('c1', 1, 'accepted', 0.5)]);
      review.facts.model = {{ name: 'osln', versions: {{}}, operating_point: {point} }};
      review.threshold = 0.10004;
      const record = submission(review, 'unknown', none).review;
      return [record.model.operating_point, thresholdOf(record), thresholdOf(null)];
    """) == [told, 0.1, 0]


def test_what_counts_without_a_voxel_is_told_before_it_is_sent():
    # As a record of a former version has it: accepted, and no voxel.
    assert run("""
      const record = { candidates: [node('c1', 1, 'accepted', 0.5), node('c2', null, 'accepted', 9),
        node('c3', null, 'undecided', 12), node('c4', null, 'undecided', 14, { score: 0.1 })] };
      const map = line('11..................');
      const review = new Review(grid, map, storedCandidates(map, grid, record));
      review.threshold = 0.3;
      return ['unknown', 'accepted'].map(undecided => withoutOutline(review, undecided).map(({ id }) => id));
    """) == [["c2"], ["c2", "c3"]]


def test_an_edited_one_without_a_voxel_may_get_the_outline_of_a_run():
    assert run("""
      const record = { candidates: [node('c1', 1, 'edited', 0.5), node('c2', null, 'edited', 9)] };
      return storedCandidates(line('11..................'), grid, record).map(({ drawn }) => drawn);
    """) == [True, False]


def test_undecided_ones_that_were_stored_as_nodes_stay_on_offer():
    assert run("""
      const review = new Review(grid, line('11..22..............'), [node('c1', 1, 'undecided', 0.5),
        node('c2', 2, 'undecided', 4.5, { score: 0.1 })]);
      review.threshold = 0.3;
      const { review: record } = submission(review, 'accepted', none);
      review.wasStored({ revision: 2, by: 'Anna', tumor: [] }, record);
      review.threshold = 0.9;
      return [review.offered().map(({ id }) => id), review.base.revision];
    """) == [["c1"], 2]


def test_what_is_taken_back_after_a_submission_is_based_on_what_was_submitted():
    # Tumor of two voxels, two more painted, submitted as revision 5, and the stroke taken back.
    assert run("""
      const review = new Review(grid, line('11........TT........'), [node('c1', 1, 'accepted', 0.5)]);
      review.basedOn({ revision: 4, by: 'Bob', tumor: [10, 11] });
      review.stroke(line('11........TTTT......'));
      const sent = submission(review, 'rejected', none);
      const tumor = placesByValue(sent.values).get(TUMOR);
      review.wasStored({ revision: 5, by: 'Anna', tumor }, sent.review);
      review.undo();
      const taken = [text(submission(review, 'rejected', none).values), review.base.revision];
      review.redo();
      return [...taken, text(submission(review, 'rejected', none).values), review.base.revision];
    """) == ["11........TT........", 5, "11..................", 5]


COUNTED = """
const map = line('.....111............');
const theirs = { revision: 4, by: 'Bert', map, candidates: storedCandidates(map, grid,
  { candidates: [node('c1', 1, 'undecided', 6)] }) };
const mine = new Review(grid, line('.....111............'), [node('c1', 1, 'rejected', 6)]);
const found = pairs(mine, theirs);
"""


@pytest.mark.parametrize(
    ("choice", "map"),
    [("mine", "...................."), ("theirs", ".....111............"), ("both", ".....111............")],
)
def test_a_node_of_their_label_that_nobody_decided_is_asked_about(choice, map):
    assert run(f"""{COUNTED}
      mergeTheirs(mine, theirs, found, ['{choice}']);
      return [found.map(({{ same }}) => same), text(submission(mine, 'accepted', none).values)];
    """) == [[False], map]


def test_a_node_of_their_label_that_neither_decided_is_taken_over_unasked():
    assert run(f"""{COUNTED}
      const open = new Review(grid, line('.....111............'), [node('c1', 1, 'undecided', 6)]);
      const both = pairs(open, theirs);
      mergeTheirs(open, theirs, both, ['both']);
      const held = open.candidates.map(({{ state, counted }}) => [state, counted]);
      return [both.map(({{ same }}) => same), held];
    """) == [[True], [["undecided", True]]]


def test_a_node_that_lies_wholly_in_another_after_a_merge_is_part_of_it():
    # Mine are joined, theirs are apart.
    assert run("""
      const both = [node('c1', 1, 'accepted', 6), node('c2', 2, 'accepted', 8.5)];
      const theirs = { revision: 2, by: 'Bert', map: line('.....11122..........'), candidates: both };
      const mine = new Review(grid, line('.....11111..........'), [{ ...both[0], state: 'edited' }]);
      mergeTheirs(mine, theirs, pairs(mine, theirs), ['both', 'both']);
      return [text(mine.map), mine.candidates.map(({ id, value }) => [id, value]), mine.said,
        withoutOutline(mine, 'unknown')];
    """) == [".....11111..........", [["c1", 1]], ["c2 lies in c1 and is part of it now."], []]


def test_a_merge_that_is_taken_back_is_based_on_the_former_revision_and_tumor():
    assert run("""
      const mine = new Review(grid, line('TT..................'));
      mine.basedOn({ ...mine.base, revision: 1, by: 'Anna' });
      const theirs = { revision: 2, by: 'Bert', map: line('TTTTTTTTTT....1.....'), candidates:
        [node('c1', 1, 'accepted', 14)] };
      const base = () => [mine.base.revision, mine.base.by, mine.base.tumor.length, tumorDrawn(mine)];
      const based = [];
      mine.onChange = () => based.push(mine.base.revision);
      mergeTheirs(mine, theirs, pairs(mine, theirs), ['theirs']);
      const merged = base();
      mine.undo();
      const undone = base();
      mine.redo();
      // What is kept with a step already names its revision.
      return [merged, undone, base(), based];
    """) == [[2, "Bert", 10, False], [1, "Anna", 2, False], [2, "Bert", 10, False], [2, 1, 2]]


TUMORS = """
const mine = new Review(grid, line('TT..................'));
const paint = place => {{ const now = Uint8Array.from(mine.map); now[place] = 255; mine.stroke(now); }};
const theirs = {{ revision: 2, by: 'Bert', map: line('{theirs}'), candidates: [] }};
{paint}
"""


@pytest.mark.parametrize(
    ("theirs", "paint", "asked"),
    [
        ("TTTT................", "paint(9);", True),
        # Only one of both painted.
        ("TT..................", "paint(9);", False),
        ("TTTT................", "", False),
        # Both painted the same.
        ("TT.......T..........", "paint(9);", False),
    ],
)
def test_the_tumor_is_asked_about_if_both_painted_it(theirs, paint, asked):
    begin = TUMORS.format(theirs=theirs, paint=paint)
    assert run(f"{begin} return tumorPair(mine, theirs) !== null;") == asked


@pytest.mark.parametrize(
    ("choice", "map", "is_sent"),
    [
        ("mine", "TT.......T..........", True),
        ("theirs", "TTTT................", False),
        ("both", "TTTT.....T..........", True),
    ],
)
def test_the_tumor_that_was_chosen_holds(choice, map, is_sent):
    assert run(f"""{TUMORS.format(theirs="TTTT................", paint="paint(9);")}
      mergeTheirs(mine, theirs, [], [], '{choice}');
      return [text(mine.map), tumorDrawn(mine)];
    """) == [map, is_sent]
