// What an annotator has decided and drawn: candidates with their states and one label map.
//
// A candidate is {id, state, value, center_mm, radius_mm, score, stage_one_score, suv_max, distance_mm, zone, origin,
// tags}; its voxels are those of its value (null: it has none).
// Uses nodes.js: MAX_VALUE, TUMOR, measured, nearest, placesByValue; steps.js: Steps.

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

class Review extends Steps {
  /**
   * @param grid Of the label map.
   * @param values Label map as it is stored (nodes 1 to 254, tumor 255).
   * @param candidates What is known about its nodes.
   */
  constructor(grid, values, candidates = []) {
    super(grid, values, { candidates, model: null });
    this.threshold = 0;
    // Ids of the candidates that a strategy asks first, in that order.
    this.proposed = [];
    // Places outside candidates that were proposed and looked at (RAS, mm).
    this.lookedAt = [];
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

  /** Notes that a place was looked at; returns whether that is news. */
  lookAt(point) {
    const isNews = !this.lookedAt.some(other => String(other) === String(point));
    if (isNews) this.lookedAt = [...this.lookedAt, point];
    return isNews;
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

  /** A value that no candidate has; null if all are taken. */
  openValue() {
    const taken = new Set(this.candidates.map(({ value }) => value));
    for (let value = 1; value <= MAX_VALUE; value++) if (!taken.has(value)) return value;
    return null;
  }

  /**
   * A value for a new node. Where all are taken, the outline of the candidate with the lowest score that is rejected or
   * hidden makes room, as a step of its own; *Find nodes* brings it back. What was drawn never makes room.
   *
   * @param kept Id of one that must not.
   * @throws {Error} if all are on the list and not rejected, or were drawn.
   */
  freeValue(kept = null) {
    const open = this.openValue();
    if (open !== null) return open;
    const spare = this.candidates
      .filter(one => !one.drawn && one.id !== kept && (one.state === 'rejected' || !this.isShown(one)))
      .reduce((least, one) => (least && (least.score ?? 0) <= (one.score ?? 0) ? least : one), null);
    if (!spare)
      throw new Error(
        `One label map holds ${MAX_VALUE} nodes and has no room for another: reject some of the model's, or move the ` +
          'slider to the left, then draw it.'
      );
    const edits = new Map(this.places(spare.value).map(place => [place, this.under(place)]));
    this.change(`outline of ${spare.id} put away`, { candidates: this.replaced([{ ...spare, value: null }]) }, edits);
    return spare.value;
  }

  freeId(more = 0) {
    const numbers = this.candidates.map(({ id }) => Number(/^c(\d+)$/.exec(id)?.[1] ?? 0));
    return `c${Math.max(0, ...numbers) + 1 + more}`;
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

  /**
   * The label was stored and is what the work is based on from now on; no step that can be taken back.
   *
   * @param base As of `basedOn`.
   * @param record The decisions that were stored with it: undecided ones that are nodes of the label stay on offer.
   */
  wasStored(base, record) {
    const nodes = new Set(record.candidates.filter(({ value }) => value !== null).map(({ id }) => id));
    const isNode = ({ id, state }) => state === 'undecided' && nodes.has(id);
    this.facts = { ...this.facts, candidates: this.candidates.map(one => ({ ...one, counted: isNode(one) })) };
    this.storedAs(base);
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

  /**
   * Adds a node; of its places those that no other node holds. Returns its id, null if nothing is left.
   *
   * @param suv_max Of all places: that of fewer is not known, it may be the neighbor's.
   */
  add(places, origin, suv_max = null) {
    const free = [...places].filter(place => this.isFree(place));
    if (!free.length) return null;
    const suv = free.length === [...places].length ? suv_max : null;
    const node = this.made(this.freeId(), this.freeValue(), free, origin, suv);
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
   * What the annotator does not see, the eraser leaves: hidden and rejected candidates. Under a node that it takes, the
   * stored tumor is there again.
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
      const value = !now[n] && owner ? this.under(n) : now[n];
      if (value !== now[n]) back.push(n);
      edits.set(n, value);
      if (now[n] && now[n] !== TUMOR) touched.add(now[n]);
      if (owner && !unseen && (!now[n] || owner.state !== 'undecided')) touched.add(this.map[n]);
    }
    if (!edits.size) return back.length ? { places: back, id: null } : null;
    const drawn = [...edits.values()].find(value => value && value !== TUMOR);
    const after = placesByValue(now);
    const candidates = this.candidates
      .map(candidate => (touched.has(candidate.value) ? this.redrawn(candidate, after) : candidate));
    if (drawn && !owners.has(drawn)) candidates.push(this.made(this.freeId(), drawn, after.get(drawn), 'annotator'));
    const node = list => list.find(({ value }) => value === (drawn || [...touched][0]))?.id ?? null;
    const id = node(candidates);
    this.change(
      drawn || !touched.size ? `drawing of ${id ?? 'the tumor'}` : `erasing in ${id ?? 'a node'}`,
      { candidates },
      edits
    );
    return { places: back, id: node(this.candidates) };
  }

  redrawn(candidate, after) {
    const places = after.get(candidate.value);
    if (!places) return candidate;
    const state = candidate.origin === 'model' ? 'edited' : 'added';
    return { ...candidate, ...this.geometry(places), state, drawn: true };
  }
}
