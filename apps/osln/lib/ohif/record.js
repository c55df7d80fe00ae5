// What of a review leaves the page: the submission, the draft; and what comes back from them.
// Uses nodes.js: TUMOR, boxed, measured, packed, placesByValue, unpacked; review.js: COUNTED.

const FIELDS = [
  'id',
  'state',
  'value',
  'center_mm',
  'radius_mm',
  'score',
  'stage_one_score',
  'suv_max',
  'distance_mm',
  'zone',
  'origin',
  'tags',
  'box_mm',
];

/** Which nodes the label will hold: what was accepted, edited, added, and undecided ones on offer if they count. */
function counted(review, undecided) {
  return review.candidates.filter(
    candidate =>
      COUNTED.includes(candidate.state) ||
      (undecided === 'accepted' && candidate.state === 'undecided' && review.isOffered(candidate))
  );
}

/**
 * What is submitted: {values, info, review}; `info` names the values, `review` is the record beside the label.
 *
 * A tumor that was only shown is not sent; one that was painted is sent whole.
 *
 * @param review The review.
 * @param undecided What undecided candidates at or above the threshold count as: 'accepted', 'rejected' or 'unknown'.
 * @param seconds {of(id), total}: measured attention.
 * @param complete False for a case in part: what is undecided, on offer or not, is unknown (`undecided` 'unknown').
 */
function submission(review, undecided, seconds, complete = true) {
  const nodes = new Set(counted(review, undecided).map(({ value }) => value));
  const drawn = tumorDrawn(review);
  const present = new Set();
  const values = review.map.map((value, place) => {
    let sent = value;
    if (value && value !== TUMOR && !nodes.has(value)) sent = review.under(place);
    if (sent === TUMOR && !drawn) sent = 0;
    if (sent) present.add(sent);
    return sent;
  });
  const inside = [...present].filter(value => value !== TUMOR).sort((a, b) => a - b);
  const info = inside.map((idx, n) => ({ name: `lymph node ${n + 1}`, idx }));
  // Nodes are named even if there are none: a patient without nodes is an answer too.
  if (!info.length) info.push({ name: 'lymph node', idx: 1 });
  if (present.has(TUMOR)) info.push({ name: 'tumor', idx: TUMOR });
  const places = placesByValue(review.map);
  const candidates = review.candidates.map(candidate => ({
    ...Object.fromEntries(FIELDS.map(name => [name, candidate[name]])),
    value: nodes.has(candidate.value) && present.has(candidate.value) ? candidate.value : null,
    seconds: hundredths(seconds.of(candidate.id)),
    box_mm: boxed(places.get(candidate.value), review.grid) ?? candidate.box_mm ?? null,
  }));
  const record = {
    complete,
    seconds: hundredths(seconds.total),
    undecided,
    model: review.facts.model,
    candidates,
    ...(review.lookedAt.length && { looked_at: review.lookedAt }),
  };
  return { values, info, review: record };
}

const hundredths = number => Math.round(number * 100) / 100;

/** Whether tumor was painted or erased; a node over the tumor does not make the tumor smaller. */
function tumorDrawn(review) {
  const gone = review.storedTumor.some(place => !review.map[place]);
  return gone || review.places(TUMOR).some(place => !review.wasTumor.has(place));
}

/**
 * Candidates of a stored label: those of its record, and a node for every value that the record does not name.
 *
 * @param values The label map with a value for each node.
 * @param grid Its grid.
 * @param record The stored review, null if the label has none.
 */
function storedCandidates(values, grid, record) {
  const places = placesByValue(values);
  places.delete(TUMOR);
  const known = (record?.candidates || []).map(candidate => ({
    ...Object.fromEntries(FIELDS.map(name => [name, candidate[name] ?? null])),
    tags: candidate.tags || [],
    value: places.has(candidate.value) ? candidate.value : null,
    // A node of the label: no operating point may hide it, or the next submission would take it away unseen.
    counted: candidate.state === 'undecided' && places.has(candidate.value),
    drawn: ['edited', 'added'].includes(candidate.state),
  }));
  // An undecided one that was counted is a node of the label; its state stays what the annotator left.
  const named = new Set(known.map(({ value }) => value));
  const numbers = known.map(({ id }) => Number(/^c(\d+)$/.exec(id)?.[1] ?? 0));
  let number = Math.max(0, ...numbers);
  const others = [...places]
    .filter(([value]) => !named.has(value))
    .map(([value, all]) => ({
      ...Object.fromEntries(FIELDS.map(name => [name, null])),
      ...measured(all, grid),
      id: `c${++number}`,
      state: 'accepted',
      value,
      origin: 'annotator',
      tags: [],
      drawn: true,
    }));
  return [...known, ...others];
}

/** What is kept of unfinished work: {state, runs}; the voxels as runs. */
function draftOf(review, watch) {
  const { facts, threshold } = review;
  return { state: { facts, threshold, seconds: watch.all() }, runs: packed(review.map) };
}

/** Puts kept work into a review that was made for the same image. */
function restoreDraft(review, watch, { state, runs }) {
  const map = unpacked(runs, review.map.length);
  review.facts = state.facts;
  review.threshold = state.threshold ?? review.threshold;
  watch.begin(state.seconds);
  const places = [];
  map.forEach((value, place) => value !== review.map[place] && places.push(place));
  review.past = [];
  review.future = [];
  review.apply(
    places,
    places.map(place => map[place]),
    review.facts
  );
}

/** How much work a draft holds, in words. */
function described({ state }) {
  const states = state.facts.candidates.map(candidate => candidate.state);
  const number = (some, one, more) => some && `${some} ${some === 1 ? one : more}`;
  const count = kinds => states.filter(one => kinds.includes(one)).length;
  const parts = [
    number(count(['accepted', 'rejected']), 'decision', 'decisions'),
    number(count(['edited']), 'edited node', 'edited nodes'),
    number(count(['added']), 'added node', 'added nodes'),
  ].filter(Boolean);
  return parts.join(', ') || `${states.length} candidates, nothing decided`;
}
