// A run of a model comes to what is there by position: what the annotator has decided or drawn stays as it is.
// Uses nodes.js: MAX_VALUE, TUMOR, placesByValue, sameNode.

/** What is known about a candidate of the server's answer, for the list. */
function candidateOf(entry, id, value) {
  const known = name => (typeof entry[name] === 'number' ? entry[name] : null);
  return {
    id,
    state: 'undecided',
    value,
    center_mm: [...entry.center_mm],
    radius_mm: entry.radius_mm,
    score: known('score'),
    stage_one_score: known('stage_one_score'),
    suv_max: known('suv_max'),
    distance_mm: known('distance_mm'),
    zone: entry.zone ?? null,
    origin: 'model',
    tags: (entry.tags || []).map(tag =>
      Array.isArray(tag) ? tag : [tag.name ?? tag.tag, tag.probability ?? tag.score ?? 0]
    ),
    drawn: false,
  };
}

/** The decided one with what the new run knows about it; drawings and origin stay. */
function updated(candidate, fresh) {
  const { score, stage_one_score, suv_max, tags } = fresh;
  return { ...candidate, score, stage_one_score, suv_max, tags };
}

/** Puts values on voxels that no decided node holds. */
class Drawing {
  constructor(review, held) {
    this.review = review;
    this.held = held;
    this.edits = new Map();
  }

  clear(places) {
    for (const place of places) this.edits.set(place, this.review.under(place));
  }

  /** Draws what is free of some places; returns those. */
  draw(places, value) {
    const free = places.filter(place => {
      const now = this.edits.get(place) ?? this.review.map[place];
      return !now || now === TUMOR || !this.held.has(now);
    });
    for (const place of free) this.edits.set(place, value);
    if (free.length) this.held.add(value);
    return free;
  }
}

/**
 * Brings the candidates of a run into a review, as one step that can be taken back.
 *
 * @param review What is there.
 * @param entries Candidates as the server tells them, each with its value in `found`.
 * @param found Label map of the run, on the review's grid.
 * @param model {name, versions, operating_point} for the record.
 * @param more Other facts of the run.
 * @returns {fresh, kept, left}: numbers of new candidates, of decided and stored ones that it found again, and of
 *   candidates that the label map has no room for (those with the lowest scores).
 */
function mergeRun(review, entries, found, model, more = {}) {
  const places = placesByValue(found);
  const mine = placesByValue(review.map);
  const sizes = new Map([...mine].map(([value, all]) => [value, all.length]));
  // An undecided one that the stored label holds is a node: a run takes none away.
  const isHeld = ({ state, counted }) => state !== 'undecided' || Boolean(counted);
  const decided = review.candidates.filter(isHeld);
  const undecided = review.candidates.filter(candidate => !isHeld(candidate));
  const drawing = new Drawing(review, new Set(decided.map(({ value }) => value).filter(Boolean)));
  for (const { value } of undecided) drawing.clear(mine.get(value) || []);
  const values = freeValues(decided);
  const result = new Map(decided.map(candidate => [candidate.id, candidate]));
  const [again, fresh, reused] = [new Set(), [], new Set()];
  let left = 0;
  for (const entry of [...entries].sort((a, b) => b.score - a.score)) {
    const node = { ...entry, places: places.get(entry.value) || [] };
    const same = sameNode(node, decided, review.map, sizes);
    if (same) {
      // A second part of a node that was decided as one belongs to it and is no candidate of its own.
      if (!again.has(same.id))
        result.set(same.id, drawnAgain(updated(same, candidateOf(entry, '', null)), node, drawing, values));
      again.add(same.id);
      continue;
    }
    if (!values.length || !(entry.value <= MAX_VALUE)) {
      left++;
      continue;
    }
    const free = drawing.draw(node.places, values[0]);
    if (node.places.length && !free.length) continue;
    const former = sameNode(
      node,
      undecided.filter(({ id }) => !reused.has(id)),
      review.map,
      sizes
    );
    if (former) reused.add(former.id);
    fresh.push({ entry, id: former?.id, value: free.length ? values.shift() : null });
  }
  let number = 0;
  const added = fresh.map(({ entry, id, value }) => candidateOf(entry, id ?? review.freeId(number++), value));
  review.change(
    `Find nodes (${model.name})`,
    { candidates: [...result.values(), ...added], model, ...more },
    drawing.edits
  );
  return { fresh: added.length, kept: again.size, left };
}

function freeValues(candidates) {
  const taken = new Set(candidates.map(({ value }) => value));
  return Array.from({ length: MAX_VALUE }, (_, n) => n + 1).filter(value => !taken.has(value));
}

/** A decided one whose outline was not stored (a rejected one, opened again) gets the run's. */
function drawnAgain(candidate, node, drawing, values) {
  if (candidate.value !== null || candidate.drawn || !values.length) return candidate;
  return drawing.draw(node.places, values[0]).length ? { ...candidate, value: values.shift() } : candidate;
}
