// What of a review leaves the page: the submission, the draft; and what comes back from them.
// Uses nodes.js: TUMOR, boxed, fromRuns, inRuns, measured, packed, placesByValue, unpacked; review.js: COUNTED.

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

/** Those of them that have no voxel: a label cannot hold them. */
function withoutOutline(review, undecided) {
  const places = placesByValue(review.map);
  return counted(review, undecided).filter(({ value }) => !places.has(value));
}

const SCORE_FROM = / ?\(?score >= ([0-9.]+)\)?/;

/** Where the slider of a stored review stood; 0 if it does not say. */
const thresholdOf = record => Number(SCORE_FROM.exec(record?.model?.operating_point)?.[1] ?? 0);

/** The model of the record, with where the slider stands: candidates from there on are on offer. */
function modelTold({ facts: { model }, threshold }) {
  if (!model) return model;
  const point = (model.operating_point ?? '').replace(SCORE_FROM, '');
  // Rounded down, or the lowest candidate on offer would not be among them.
  return { ...model, operating_point: `${point} (score >= ${Math.floor(threshold * 1e4) / 1e4})`.trim() };
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
    model: modelTold(review),
    candidates,
    ...(review.lookedAt.length && { looked_at: review.lookedAt }),
  };
  return { values, info, review: record };
}

const hundredths = number => Math.round(number * 100) / 100;

/** Whether tumor was painted or erased; a node over the tumor does not make the tumor smaller. */
function tumorDrawn(review) {
  const gone = review.base.tumor.some(place => !review.map[place]);
  return gone || review.places(TUMOR).some(place => !review.wasTumor.has(place));
}

/** Whether nothing is left of a stored tumor: there is none to send then, and the stored one stays. */
function tumorErased(review) {
  return review.base.tumor.length > 0 && tumorDrawn(review) && !review.places(TUMOR).length;
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
    // What was drawn and has no outline any more may get that of a run.
    drawn: ['edited', 'added'].includes(candidate.state) && places.has(candidate.value),
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

/**
 * What is kept of unfinished work: {base_revision, state, runs}; the voxels as runs.
 *
 * With it goes which tumor was stored when it was drawn: a newer one is not taken for a change of the annotator's.
 */
function draftOf(review, watch) {
  const { facts, threshold, lookedAt, base } = review;
  const { revision, tumorRevision, tumorMark, by, tumor } = base;
  return {
    base_revision: revision,
    state: {
      facts,
      threshold,
      looked_at: lookedAt,
      seconds: watch.all(),
      base: { by, tumorRevision, tumorMark, tumor: inRuns(tumor) },
    },
    runs: packed(review.map),
  };
}

/** Puts kept work into a review that was made for the same image; it is based on what it was drawn on. */
function restoreDraft(review, watch, { base_revision: revision, state, runs }) {
  const map = unpacked(runs, review.map.length);
  review.threshold = state.threshold ?? review.threshold;
  review.lookedAt = state.looked_at ?? review.lookedAt;
  watch.begin(state.seconds);
  const places = [];
  map.forEach((value, place) => value !== review.map[place] && places.push(place));
  review.past = [];
  review.future = [];
  // Drafts of former versions do not say which tumor was stored, or not as which revision.
  const { by, tumor, ...ofTumor } = state.base ?? { by: review.base.by, tumor: inRuns(review.base.tumor) };
  review.apply(
    places,
    places.map(place => map[place]),
    { facts: state.facts, base: { revision, ...ofTumor, by, tumor: fromRuns(tumor) } }
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
    number(state.looked_at?.length, 'place looked at', 'places looked at'),
  ].filter(Boolean);
  return parts.join(', ') || `${states.length} candidates, nothing decided`;
}
