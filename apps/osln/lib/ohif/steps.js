// What was done on one label map, as steps that can be taken back, and the stored label that it was done on.
//
// Candidates are never changed in place, so that a step back is the former list, the former voxels and the former base.
// Uses nodes.js: TUMOR, placesByValue.

const STEPS = 100;

/** What is there most often; null of nothing. */
function mostCommon(values) {
  const counts = new Map();
  for (const value of values) counts.set(value, (counts.get(value) || 0) + 1);
  return [...counts].reduce((best, one) => (one[1] > best[1] ? one : best), [null, 0])[0];
}

class Steps {
  /**
   * @param grid Of the label map.
   * @param values Label map as it is stored (nodes 1 to 254, tumor 255); changed by every step.
   * @param facts {candidates, model}, and what else a run knew.
   */
  constructor(grid, values, facts) {
    this.grid = grid;
    this.map = values;
    this.facts = facts;
    this.past = [];
    this.future = [];
    // Grows with every change: whoever waited sees whether something was done meanwhile.
    this.changes = 0;
    // Sentences about the last change that nobody would see in the planes.
    this.said = [];
    // Called with the places whose value has changed, after every change.
    this.onChange = () => {};
    this.basedOn({ revision: 0, by: '', tumor: placesByValue(values).get(TUMOR) || [] });
  }

  /**
   * Notes which stored label the work is based on.
   *
   * @param base {revision, by, tumor, tumorRevision, tumorMark}: of the nodes (0: none is stored), its author, and the places
   *   of the stored tumor: only what differs from it was painted; its revision and its mark, which tells a copied contour
   *   from none where the revision is 0, are undefined where that is not known.
   */
  basedOn(base) {
    this.base = base;
    this.wasTumor = new Set(base.tumor);
  }

  /** The work was stored: whatever step is taken back or again, it is based on that label from now on. */
  storedAs(base) {
    for (const { before, after } of [...this.past, ...this.future]) before.base = after.base = base;
    this.basedOn(base);
  }

  get candidates() {
    return this.facts.candidates;
  }

  /**
   * Every change goes through here: one step that can be taken back.
   *
   * @param label What was done, in words.
   * @param facts The new facts; only what changes.
   * @param edits Map of place to new value.
   * @param more {base, said}: what the work is based on from now on, sentences about the change.
   */
  change(label, facts, edits = new Map(), { base = this.base, said = [] } = {}) {
    const places = [...edits.keys()].filter(place => this.map[place] !== edits.get(place));
    const now = Uint8Array.from(places, place => edits.get(place));
    const left = this.withoutLost(facts.candidates ?? this.candidates, places, now);
    const step = {
      label,
      places: Uint32Array.from(places),
      old: Uint8Array.from(places, place => this.map[place]),
      now,
      before: { facts: this.facts, base: this.base },
      after: { facts: { ...this.facts, ...facts, candidates: left.candidates }, base },
    };
    this.past.push(step);
    if (this.past.length > STEPS) this.past.shift();
    this.future = [];
    this.apply(step.places, step.now, step.after, [...said, ...left.said]);
  }

  apply(places, values, { facts, base }, said = []) {
    places.forEach((place, n) => (this.map[place] = values[n]));
    this.facts = facts;
    if (base !== this.base) this.basedOn(base);
    this.changes++;
    this.said = said;
    this.onChange(places);
  }

  /**
   * What becomes of candidates that a change takes the last voxel of, so that nothing counts as a node without one:
   * what another node was drawn over is part of that; what was erased or became tumor is no node.
   *
   * @returns {candidates, said}.
   */
  withoutLost(candidates, places, now) {
    const values = new Set(candidates.map(({ value }) => value).filter(Boolean));
    const stays = new Set(now);
    const taken = new Map();
    places.forEach((place, n) => {
      const value = this.map[place];
      if (!values.has(value) || stays.has(value)) return;
      if (taken.has(value)) taken.get(value).push(now[n]);
      else taken.set(value, [now[n]]);
    });
    if (!taken.size) return { candidates, said: [] };
    const before = placesByValue(this.map);
    const said = [];
    const left = candidates.map(candidate => {
      const by = taken.get(candidate.value);
      if (!by || by.length < before.get(candidate.value).length) return candidate;
      // Without an outline, so that the next run may bring it back.
      const none = { ...candidate, state: 'rejected', value: null, drawn: false };
      if (candidate.state === 'rejected') return none;
      const taker = mostCommon(by);
      const other = candidates.find(({ value }) => value === taker);
      if (other) said.push(`${candidate.id} was painted over and is part of ${other.id} now.`);
      else if (taker === TUMOR) said.push(`${candidate.id} was painted over as tumor and is no node now.`);
      return !other && candidate.origin === 'model' ? none : null;
    });
    return { candidates: left.filter(Boolean), said };
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
}
