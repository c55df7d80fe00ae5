// A missed node by one click: the server outlines what was clicked; the wheel, clicks, Enter, Escape the rest.
// Uses geometry.js: placesOf; nodes.js: measured, turned; server.js: infer; view.js: VIEWPORTS, cornerstoneViewport.

const WHEEL_STEP = 1.1;
const WHEEL_REST_MS = 60;
// Radii that the model can be asked for.
const [SMALLEST_MM, LARGEST_MM] = [1, 45];
const CLICK_HELP =
  'Click into the node. Shift+click: not there. Wheel: larger, smaller. Enter: take it. Escape: drop it.';

class ClickedNode {
  /**
   * @param services OHIF's.
   * @param panel {image, labels, review, tell(sentence, kind), during(kind, text, work), onTaken(places, suv), onEnd()}.
   */
  constructor(services, panel) {
    this.services = services;
    this.panel = panel;
    this.inside = [];
    this.outside = [];
    this.radius = null;
    // As answered, and those of it that are free, which are drawn.
    this.outline = [];
    this.places = [];
    this.number = 0;
    this.asking = null;
    this.value = panel.review.freeValue();
    this.listeners = [
      ['mousedown', event => this.onMouse(event)],
      ['pointerdown', event => this.swallow(event)],
      ['mouseup', event => this.swallow(event)],
      ['contextmenu', event => this.swallow(event)],
      ['wheel', event => this.onWheel(event)],
    ];
    for (const [name, listener] of this.listeners)
      document.addEventListener(name, listener, { capture: true, passive: false });
    panel.labels.colorProposal(this.value);
    panel.tell(CLICK_HELP);
  }

  /** The viewport under the mouse, null outside of them. */
  viewportAt({ target }) {
    const viewports = Object.values(VIEWPORTS).map(id => cornerstoneViewport(this.services, id));
    return viewports.find(viewport => viewport?.element?.contains(target)) || null;
  }

  /** OHIF's tools do not see what is meant for the node; the right button and the middle one stay theirs. */
  swallow(event) {
    const viewport = this.viewportAt(event);
    if (!viewport || (event.button && event.type !== 'wheel')) return null;
    // A pointer that is prevented gives no mouse event.
    if (event.type !== 'pointerdown') event.preventDefault();
    event.stopImmediatePropagation();
    return viewport;
  }

  onMouse(event) {
    const viewport = this.swallow(event);
    if (!viewport) return;
    const { left, top } = viewport.canvas.getBoundingClientRect();
    const point = turned([...viewport.canvasToWorld([event.clientX - left, event.clientY - top])]);
    (event.shiftKey ? this.outside : this.inside).push(point);
    // A further click changes the shape; the size that the wheel gave stays.
    if (this.inside.length) this.ask(point);
    else this.panel.tell('First click into the node.');
  }

  onWheel(event) {
    if (!this.places.length || !this.swallow(event)) return;
    const now = this.radius ?? measured(this.places, this.panel.review.grid).radius_mm;
    this.radius = Math.min(Math.max(now * (event.deltaY < 0 ? WHEEL_STEP : 1 / WHEEL_STEP), SMALLEST_MM), LARGEST_MM);
    clearTimeout(this.resting);
    this.resting = setTimeout(() => this.ask(), WHEEL_REST_MS);
  }

  /**
   * Asks the server; of several answers under way only the newest is drawn.
   *
   * @param added The point that was clicked, if one was: it is taken out again if the server refuses it.
   */
  ask(added = null) {
    clearTimeout(this.resting);
    this.resting = null;
    this.asking = this.answered(++this.number, added);
    return this.asking;
  }

  async answered(number, added) {
    const { image, review, tell } = this.panel;
    const asked = {
      foreground: [],
      background: [],
      foreground_mm: [...this.inside],
      background_mm: [...this.outside],
      crop: true,
    };
    if (this.radius !== null) asked.radius_mm = this.radius;
    try {
      const { result, labels, grid } = await this.panel.during('click', 'Outlining', infer('node-click', image, asked));
      if (number !== this.number || this.ended) return;
      this.outline = placesOf(labels, grid, review.grid);
      this.draw(this.outline.filter(place => review.isFree(place)));
      this.suv = result.node?.suv_max ?? null;
      const size = measured(this.places, review.grid);
      if (size) tell(`${(2 * size.radius_mm).toFixed(1)} mm. ${CLICK_HELP}`);
      else tell(`Nothing that could be a node is free there. ${CLICK_HELP}`);
    } catch (error) {
      if (this.ended) return;
      const isRefused = error.status >= 400 && error.status < 500;
      const stand = [...asked.foreground_mm, ...asked.background_mm].every(point => this.has(point));
      // One bad point would have every further question refused.
      if (isRefused && stand) this.forget(added);
      if (number !== this.number) return;
      if (isRefused && !stand && this.inside.length) {
        await this.ask();
        return;
      }
      this.failed = true;
      tell(`No outline: ${error.message}. Click again, or draw with the brush.`, 'error');
    }
  }

  has(point) {
    return this.inside.includes(point) || this.outside.includes(point);
  }

  forget(point) {
    this.inside = this.inside.filter(other => other !== point);
    this.outside = this.outside.filter(other => other !== point);
  }

  /** Shows the proposal in place of the former one. */
  draw(places) {
    const { labels, review } = this.panel;
    const shown = new Uint8Array(review.map);
    for (const place of places) shown[place] = this.value;
    labels.put([...new Set([...this.places, ...places])], shown);
    this.places = places;
  }

  /** Takes the outline: the one of the last click or turn of the wheel, whose answer is waited for. */
  async take() {
    this.failed = false;
    for (let waited = null; !this.ended && (this.resting || waited !== this.asking); ) {
      if (this.resting) this.ask();
      waited = this.asking;
      await waited;
    }
    // What failed was told; the outline that is still drawn is not what was asked for last.
    if (this.ended || this.failed) return;
    if (!this.places.length) {
      this.panel.tell(`There is no outline yet. ${CLICK_HELP}`);
      return;
    }
    this.end();
    this.panel.onTaken(this.outline, this.suv);
  }

  /** Ends without a node. */
  end() {
    this.ended = true;
    clearTimeout(this.resting);
    for (const [name, listener] of this.listeners) document.removeEventListener(name, listener, { capture: true });
    this.draw([]);
    this.panel.onEnd();
  }
}
