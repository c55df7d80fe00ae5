// Seconds that somebody looked: in all and for each candidate, only while the page is visible and has the focus.
// Uses none of the other files.

const IDLE_S = 60;

class Watch {
  /** @param now Clock in milliseconds. */
  constructor(now = () => performance.now()) {
    this.now = now;
    this.begin();
  }

  /** Begins anew, or goes on from what was kept. */
  begin(kept = {}) {
    this.total = kept.total || 0;
    this.by = new Map(Object.entries(kept.by || {}));
    this.id = null;
    this.since = null;
  }

  /** Counts what has passed since the last call, at most a minute: nobody looks longer without a key or a mouse. */
  tick(active) {
    const at = this.now();
    if (this.since !== null) {
      const seconds = Math.min((at - this.since) / 1000, IDLE_S);
      this.total += seconds;
      if (this.id !== null) this.by.set(this.id, this.of(this.id) + seconds);
    }
    this.since = active ? at : null;
  }

  /** From now on this candidate is looked at; null for none. */
  look(id, active) {
    this.tick(active);
    this.id = id;
  }

  of(id) {
    return this.by.get(id) || 0;
  }

  all() {
    return { total: this.total, by: Object.fromEntries(this.by) };
  }
}

/** How long a kind of work took here before, in seconds; null if it was never done in this browser. */
function expectedSeconds(kind) {
  const kept = Number(localStorage.getItem(`osln-seconds-${kind}`));
  return kept > 0 ? kept : null;
}

const rememberSeconds = (kind, seconds) => localStorage.setItem(`osln-seconds-${kind}`, String(seconds));
