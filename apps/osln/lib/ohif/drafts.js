// Unfinished work of one annotator on one case: in this browser at once, on the server when the hands rest.
// Uses server.js: dropDraft, keepDraft, keptDraft.

const REST_MS = 3000;

/** A request of IndexedDB as a promise. */
const settled = request =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

async function database() {
  const request = indexedDB.open('osln', 1);
  request.onupgradeneeded = () => request.result.createObjectStore('drafts');
  return settled(request);
}

/** Does one thing with the drafts of this browser. */
async function inBrowser(mode, work) {
  const open = await database();
  try {
    return await settled(work(open.transaction('drafts', mode).objectStore('drafts')));
  } finally {
    open.close();
  }
}

/** Bytes as base64 of their gzip. */
async function packedText(runs) {
  const packing = new Blob([runs]).stream().pipeThrough(new CompressionStream('gzip'));
  const bytes = new Uint8Array(await new Response(packing).arrayBuffer());
  let text = '';
  for (let n = 0; n < bytes.length; n += 32768) text += String.fromCharCode(...bytes.subarray(n, n + 32768));
  return btoa(text);
}

async function unpackedText(text) {
  const bytes = Uint8Array.from(atob(text), sign => sign.charCodeAt(0));
  const opening = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
  return new Uint32Array(await new Response(opening).arrayBuffer());
}

class Drafts {
  /**
   * @param image How the server knows the CT.
   * @param place What the drawing belongs to: case and series, whose UID changes with the image.
   * @param annotator Name.
   * @param tell Called with (kept, sentence): where the draft is, or why it is not; (null) once there is none.
   */
  constructor(image, place, annotator, tell) {
    Object.assign(this, { image, annotator, tell });
    this.key = `${place} ${annotator}`;
    this.last = null;
    this.timer = null;
    this.writing = Promise.resolve();
  }

  /** Keeps a draft {base_revision, state, runs}: here now, on the server after a rest of three seconds. */
  keep(draft) {
    // The server keeps it for the case: a CT that takes the place of this one must not get it.
    const state = { ...draft.state, image: this.image };
    this.last = { ...draft, state, saved_at: new Date().toISOString() };
    const { last } = this;
    this.writing = this.writing.then(() => (last === this.last ? this.write(last) : undefined));
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.send(), REST_MS);
    return this.writing;
  }

  async write(draft) {
    try {
      await inBrowser('readwrite', store => store.put(draft, this.key));
      this.tell(true, 'Draft kept in this browser.');
    } catch (error) {
      this.tell(
        false,
        `This browser keeps no draft (${error?.message || error}); the server does, 3 s after each change.`
      );
    }
  }

  /** Sends what was not sent yet. */
  async send() {
    clearTimeout(this.timer);
    this.timer = null;
    const { last } = this;
    if (!last || !this.annotator) return;
    const { runs, ...others } = last;
    try {
      await keepDraft(this.image, this.annotator, { ...others, labels: await packedText(runs) });
      if (last === this.last) this.tell(true, 'Draft kept here and on the server.');
    } catch (error) {
      this.tell(false, `Draft kept in this browser only: ${error.message}.`, error);
    }
  }

  /**
   * The newer of the two drafts: {base_revision, saved_at, state, runs}; null if there is none, or if it was drawn on
   * another CT, which is told.
   *
   * @param asked That of the server, if it was asked for already.
   */
  async newest(asked = this.annotator ? keptDraft(this.image, this.annotator) : null) {
    const [here, there] = await Promise.all([
      inBrowser('readonly', store => store.get(this.key)).catch(() => null),
      asked,
    ]);
    const found = [here, there].filter(Boolean).sort((a, b) => b.saved_at.localeCompare(a.saved_at))[0];
    if (found && found.state.image && found.state.image !== this.image) {
      this.tell(false, 'Unfinished work of yours was drawn on another CT, in whose place this one came: it is not shown.');
      return null;
    }
    if (!found || found.runs) return found ?? null;
    return { ...found, runs: found.labels ? await unpackedText(found.labels) : new Uint32Array() };
  }

  /** Forgets the draft, here and on the server. */
  async drop() {
    clearTimeout(this.timer);
    this.last = null;
    // In turn with the writing: what is drawn meanwhile is kept after it.
    this.writing = this.writing.then(() => inBrowser('readwrite', store => store.delete(this.key)).catch(() => {}));
    await this.writing;
    this.tell(null);
    if (this.annotator) await dropDraft(this.image, this.annotator);
  }

  /** Tells both pages of this browser that keep one draft: each writes over the other's. */
  meetOthers() {
    this.channel = new BroadcastChannel(`osln-draft ${this.key}`);
    this.channel.onmessage = ({ data }) => {
      if (data === 'here?') this.channel.postMessage('here');
      this.tell(
        false,
        'This case is open under your name in another tab, too. Both keep one draft, and the last change has it: go on ' +
          'in one of them alone, and close the other.'
      );
    };
    this.channel.postMessage('here?');
  }

  stop() {
    this.channel?.close();
    if (this.timer !== null) this.send();
  }
}
