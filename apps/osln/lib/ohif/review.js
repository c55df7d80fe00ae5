// What an annotator has decided and drawn: candidates with their states, one label map, and 100 steps back.
//
// A candidate is {id, state, value, center_mm, radius_mm, score, stage_one_score, suv_max, distance_mm, zone, origin,
// tags}; its voxels are those of its value (null: it has none). Candidates are never changed in place, so that a step
// back is the former list and the former voxels.
// Uses nodes.js: MAX_VALUE, TUMOR, measured, nearest, placesByValue.

const STEPS = 100;
const PROXIMAL_MM = 70;
// Farther is told as this, as the models do.
const FAR_MM = 100;
const COUNTED = ['accepted', 'edited', 'added'];
const SAID = {
  undecided: 'undecided',
  accepted: 'accepted',
  rejected: 'rejected',
  edited: 'edited',
  added: 'added',
};

/** Order of the list: {score, place, doubt}, each a comparison of two candidates for a threshold. */
const ORDERS = {
  score: (a, b) => (b.score ?? 2) - (a.score ?? 2),
  // From the head down, then from right to left.
  place: (a, b) => b.center_mm[2] - a.center_mm[2] || b.center_mm[0] - a.center_mm[0],
  doubt: (a, b, threshold) => Math.abs((a.score ?? 2) - threshold) - Math.abs((b.score ?? 2) - threshold),
};

class Review {
  /**
   * @param grid Of the label map.
   * @param values Label map as it is stored (nodes 1 to 254, tumor 255); kept as it is.
   * @param candidates What is known about its nodes.
   */
  constructor(grid, values, candidates = []) {
    this.grid = grid;
    this.map = values;
    this.facts = { candidates, model: null };
    this.threshold = 0;
    // Ids of the candidates that a strategy asks first, in that order.
    this.proposed = [];
    // Places outside candidates that were proposed and looked at (RAS, mm).
    this.lookedAt = [];
    this.past = [];
    this.future = [];
    this.storedIs(values);
    // Called with the places whose value has changed, after every change.
    this.onChange = () => {};
  }

  /** Notes which tumor the stored label has: only what differs from it was painted. */
  storedIs(values) {
    this.storedTumor = placesByValue(values).get(TUMOR) || [];
    this.wasTumor = new Set(this.storedTumor);
  }

  get candidates() {
    return this.facts.candidates;
  }

  find(id) {
    return this.candidates.find(candidate => candidate.id === id) || null;
  }

  places(value) {
    return value === null ? [] : placesByValue(this.map).get(value) || [];
  }

  /**
   * Notes which candidates are asked first; each place means the candidate nearest to it, within the larger radius.
   *
   * @param places {center_mm, radius_mm} in the order to be asked.
   */
  propose(places) {
    const apart = (one, { center_mm }) => Math.hypot(...one.center_mm.map((along, axis) => along - center_mm[axis]));
    const nearest = place =>
      this.candidates
        .filter(one => apart(one, place) <= Math.max(one.radius_mm, place.radius_mm))
        .sort((a, b) => apart(a, place) - apart(b, place))[0];
    this.proposed = [...new Set(places.map(place => nearest(place)?.id).filter(Boolean))];
  }

  /** Proposed ones that wait for a decision. */
  proposedLeft() {
    return this.proposed.filter(id => this.find(id)?.state === 'undecided');
  }

  /** Whether a candidate is on the list: what was decided or is proposed, and what is on offer. */
  isShown(candidate) {
    return candidate.state !== 'undecided' || this.isOffered(candidate) || this.proposed.includes(candidate.id);
  }

  /** Whether an undecided one may count as a node: from the threshold on, or if it counted before. */
  isOffered({ score, counted }) {
    return score === null || score >= this.threshold || Boolean(counted);
  }

  /** Undecided ones that somebody has to say about what they count as; a proposed one below the threshold counts as none. */
  offered() {
    return this.candidates.filter(candidate => candidate.state === 'undecided' && this.isOffered(candidate));
  }

  shown(by = 'score') {
    const turn = ({ id }) => (this.proposed.includes(id) ? this.proposed.indexOf(id) : this.proposed.length);
    const proposed = (a, b) => turn(a) - turn(b) || ORDERS.score(a, b);
    return this.candidates
      .filter(candidate => this.isShown(candidate))
      .sort((a, b) => (by === 'proposed' ? proposed(a, b) : ORDERS[by](a, b, this.threshold)));
  }

  /** Those on the list that wait for a decision. */
  left() {
    return this.candidates.filter(candidate => candidate.state === 'undecided' && this.isShown(candidate));
  }

  /** The one after (step 1) or before (step -1) another in the list, round and round; null for an empty list. */
  neighbor(id, step, by, only = () => true) {
    const list = this.shown(by);
    const at = list.findIndex(candidate => candidate.id === id);
    for (let n = 1; n <= list.length; n++) {
      const place = at < 0 && step < 0 ? -n : at + n * step;
      const next = list[((place % list.length) + list.length) % list.length];
      if (only(next)) return next;
    }
    return null;
  }

  freeValue() {
    const taken = new Set(this.candidates.map(({ value }) => value));
    for (let value = 1; value <= MAX_VALUE; value++) if (!taken.has(value)) return value;
    throw new Error(`one label map holds ${MAX_VALUE} nodes; delete or reject some first`);
  }

  freeId(more = 0) {
    const numbers = this.candidates.map(({ id }) => Number(/^c(\d+)$/.exec(id)?.[1] ?? 0));
    return `c${Math.max(0, ...numbers) + 1 + more}`;
  }

  /**
   * Every change goes through here: one step that can be taken back.
   *
   * @param label What was done, in words.
   * @param facts The new facts; only what changes.
   * @param edits Map of place to new value.
   */
  change(label, facts, edits = new Map()) {
    const places = [...edits.keys()].filter(place => this.map[place] !== edits.get(place));
    const step = {
      label,
      places: Uint32Array.from(places),
      old: Uint8Array.from(places, place => this.map[place]),
      now: Uint8Array.from(places, place => edits.get(place)),
      before: this.facts,
      after: { ...this.facts, ...facts },
    };
    this.past.push(step);
    if (this.past.length > STEPS) this.past.shift();
    this.future = [];
    this.apply(step.places, step.now, step.after);
  }

  apply(places, values, facts) {
    places.forEach((place, n) => (this.map[place] = values[n]));
    this.facts = facts;
    this.onChange(places);
  }

  /** Takes the last step back; returns what it was, or null. */
  undo() {
    const step = this.past.pop();
    if (!step) return null;
    this.future.push(step);
    this.apply(step.places, step.old, step.before);
    return step.label;
  }

  redo() {
    const step = this.future.pop();
    if (!step) return null;
    this.past.push(step);
    this.apply(step.places, step.now, step.after);
    return step.label;
  }

  replaced(changed) {
    const by = new Map(changed.map(candidate => [candidate.id, candidate]));
    return this.candidates.map(candidate => by.get(candidate.id) || candidate);
  }

  /** Accepts, rejects or makes undecided again; what was drawn stays drawn. Returns whether that is news. */
  decide(id, state) {
    const candidate = this.find(id);
    if (!candidate) return false;
    const drawn = candidate.origin !== 'model' ? 'added' : candidate.drawn ? 'edited' : 'accepted';
    const next = state === 'accepted' ? drawn : state;
    if (candidate.state === next) return false;
    this.change(`${candidate.id} ${SAID[next]}`, { candidates: this.replaced([{ ...candidate, state: next }]) });
    return true;
  }

  /** What lies under a node that goes: the stored tumor, or nothing. */
  under(place) {
    return this.wasTumor.has(place) ? TUMOR : 0;
  }

  /** Takes a node that the annotator made out of the list; one of the model's is rejected. */
  remove(id) {
    const candidate = this.find(id);
    if (!candidate) return;
    if (candidate.origin === 'model') {
      this.decide(id, 'rejected');
      return;
    }
    const edits = new Map(this.places(candidate.value).map(place => [place, this.under(place)]));
    this.change(`${id} deleted`, { candidates: this.candidates.filter(other => other.id !== id) }, edits);
  }

  /** Center, size, distance to the tumor and zone of places. */
  geometry(places) {
    const near = places.length ? nearest(measured(places, this.grid).center_mm, this.places(TUMOR), this.grid) : null;
    const far = near === null ? null : Math.min(near, FAR_MM);
    const zone = far === null ? null : far <= PROXIMAL_MM ? 'proximal' : 'distal';
    return { ...measured(places, this.grid), distance_mm: far, zone };
  }

  made(id, value, places, origin, suv_max = null) {
    const known = { score: null, stage_one_score: null, suv_max, tags: [] };
    return { id, state: 'added', value, ...this.geometry(places), ...known, origin, drawn: true };
  }

  /** Whether a voxel may be taken by a new node: free, tumor, or of a candidate that is hidden or rejected. */
  isFree(place) {
    const value = this.map[place];
    if (!value || value === TUMOR) return true;
    const owner = this.candidates.find(candidate => candidate.value === value);
    return !owner || owner.state === 'rejected' || !this.isShown(owner);
  }

  /** Adds a node; of its places those that no other node holds. Returns its id, null if nothing is left. */
  add(places, origin, suv_max = null) {
    const free = [...places].filter(place => this.isFree(place));
    if (!free.length) return null;
    const node = this.made(this.freeId(), this.freeValue(), free, origin, suv_max);
    this.change(
      `${node.id} added`,
      { candidates: [...this.candidates, node] },
      new Map(free.map(place => [place, node.value]))
    );
    return node.id;
  }

  /**
   * Takes over what brush or eraser did to a copy of the map.
   *
   * What the annotator does not see, the eraser leaves: hidden and rejected candidates.
   *
   * @param now The map after the stroke.
   * @returns {places, id}: places to be put back in the copy, and the node that was drawn; null if nothing changed.
   */
  stroke(now) {
    const owners = new Map(
      this.candidates.filter(({ value }) => value !== null).map(candidate => [candidate.value, candidate])
    );
    const edits = new Map();
    const back = [];
    const touched = new Set();
    for (let n = 0; n < now.length; n++) {
      if (now[n] === this.map[n]) continue;
      const owner = owners.get(this.map[n]);
      const unseen = owner && (owner.state === 'rejected' || !this.isShown(owner));
      if (!now[n] && unseen) {
        back.push(n);
        continue;
      }
      edits.set(n, now[n]);
      if (now[n] && now[n] !== TUMOR) touched.add(now[n]);
      if (owner && !unseen && (!now[n] || owner.state !== 'undecided')) touched.add(this.map[n]);
    }
    if (!edits.size) return back.length ? { places: back, id: null } : null;
    const drawn = [...edits.values()].find(value => value && value !== TUMOR);
    const after = placesByValue(now);
    const candidates = this.candidates
      .map(candidate => (touched.has(candidate.value) ? this.redrawn(candidate, after) : candidate))
      .filter(Boolean);
    if (drawn && !owners.has(drawn)) candidates.push(this.made(this.freeId(), drawn, after.get(drawn), 'annotator'));
    const id = candidates.find(({ value }) => value === (drawn || [...touched][0]))?.id ?? null;
    this.change(
      drawn || !touched.size ? `drawing of ${id ?? 'the tumor'}` : `erasing in ${id ?? 'a node'}`,
      { candidates },
      edits
    );
    return { places: back, id };
  }

  redrawn(candidate, after) {
    const places = after.get(candidate.value) || [];
    if (places.length) {
      const state = candidate.origin === 'model' ? 'edited' : 'added';
      return { ...candidate, ...this.geometry(places), state, drawn: true };
    }
    return candidate.origin === 'model' ? { ...candidate, state: 'rejected', value: null, drawn: true } : null;
  }
}
