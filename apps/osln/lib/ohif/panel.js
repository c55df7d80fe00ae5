// The panel on the right: all candidates of a case, one after another, decided by keys, corrected, submitted.
//
// It is plain DOM. OHIF keeps React to itself, so one React element is made by hand to get a place in its page.
// Uses record.js: draftOf; watch.js: Watch; server.js: giveBack; segmentation.js: COLORS; view.js: jumpTo; hanging.js: TOOL_GROUP; drawing.js: followTumor; mip.js: markOnMip, onMipPick; images.js: watchImages; keys.js: listenToKeys; leave.js: guardLeaving; dom.js: during, element, isAsked, question; list.js: CandidateList; points.js: pointTold, positionOf, sliderRange, thresholdAt; layout.js: CONTROLS, layout; unfinished.js: renamed; opening.js: askAbout, leave, openCase, showCase; deciding.js: ACTS.

class NodesPanel {
  constructor(place, services, commandsManager) {
    this.services = services;
    this.commandsManager = commandsManager;
    this.unsaved = false;
    this.selected = null;
    this.detailed = null;
    this.watch = new Watch();
    this.list = new CandidateList(id => this.select(id));
    this.parts = layout(place, action => this.act(action), this.list);
    this.place = this.parts.panel;
    this.listen();
    this.enable(false);
  }

  listen() {
    const { parts, services } = this;
    const { toolGroupService } = services;
    const tools = toolGroupService.subscribe(toolGroupService.EVENTS.PRIMARY_TOOL_ACTIVATED, ({ toolName }) =>
      this.mark(toolName)
    );
    const away = new AbortController();
    const on = (target, names, listener) =>
      names.split(' ').forEach(name => target.addEventListener(name, listener, { signal: away.signal, capture: true }));
    on(document, 'mouseup', () => setTimeout(() => this.noteStroke(), 0));
    on(document, 'mousemove keydown wheel visibilitychange', () => this.watch.tick(this.isLookedAt()));
    on(window, 'focus blur', () => this.watch.tick(this.isLookedAt()));
    // The next key is a decision again, not a choice in the list that was just used.
    on(this.place, 'change', ({ target }) => target.tagName === 'SELECT' && !isAsked(this.place) && target.blur());
    on(window, 'pagehide', () => this.drafts?.stop());
    this.endings = [
      () => tools.unsubscribe(),
      () => away.abort(),
      listenToKeys((action, event) => this.onKey(action, event)),
      guardLeaving(() => this.unsaved),
    ];
    const images = watchImages(services, {
      chosen: image => (this.asked = askAbout(image, this.name)),
      ready: () => openCase(this).catch(error => this.trouble(error)),
      failed: sentence => this.tell(sentence, 'error'),
    });
    this.endings.push(images);
    onMipPick(({ id, point_mm: point }) => {
      if (this.review?.find(id)) this.select(id, false);
      // Also where the ring is of somebody who drives the page, and whatever "jump" says: the picture promises it.
      this.jumpTo(point);
    });
    parts.order.onchange = () => this.refresh();
    parts.point.oninput = () => this.movePoint(Number(parts.point.value));
    parts.target.onchange = () => this.aimAnew();
    parts.annotator.onchange = () => renamed(this).catch(error => this.trouble(error));
    parts.radius.oninput = () => {
      parts.millimeters.textContent = `${parts.radius.value} mm`;
      const toolNames = ['SphereBrush', 'SphereEraser', 'CircularBrush', 'CircularEraser'];
      this.commandsManager.runCommand('setBrushSize', { value: Number(parts.radius.value), toolNames });
    };
  }

  destroy() {
    this.gone = true;
    this.clicking?.end();
    this.drafts?.stop();
    if (this.leased) giveBack(this.image, this.leased);
    else if (this.asked) leave(this.asked);
    this.endings.forEach(end => end());
  }

  isLookedAt() {
    return document.visibilityState === 'visible' && document.hasFocus();
  }

  get name() {
    return this.parts.annotator.value.trim();
  }

  /** Of the nodes that are edited; 0 says that none is stored yet. */
  get revision() {
    return this.review?.base.revision ?? 0;
  }

  get order() {
    return this.parts.order.value;
  }

  /** Controls that need images and an idle server. */
  enable(on) {
    this.idle = on;
    for (const name of CONTROLS) this.parts[name].disabled = !on;
  }

  tell(text, kind = '') {
    this.parts.said.replaceChildren(element('div', { className: `told ${kind}`, textContent: text }));
  }

  /** An error in words; a login that has ended is asked for, without leaving the page. */
  async trouble(error, before = '') {
    this.tell(`${before}${error.message}`, 'error');
    if (error.status !== 401 || isAsked(this.place)) return;
    const answer = await question(
      this.place,
      'Log in again',
      ['Your login has ended. Everything you decided and drew is kept in this page and in this browser.'],
      [
        ['login', 'Log in in a new tab'],
        [null, 'Later'],
      ]
    );
    if (answer === 'login') window.open('/login?next=/', '_blank');
  }

  during(kind, text, work) {
    let told = null;
    const tell = sentence => {
      told = sentence;
      if (!this.gone) this.tell(sentence);
    };
    // What was being done is over then; whatever else was said meanwhile stays.
    const isSaid = () => told !== null && !this.gone && this.parts.said.textContent === told;
    return during(kind, text, work, tell).finally(() => isSaid() && this.tell(''));
  }

  /** A key of the table; none means anything while a question is open or the server works. */
  onKey(action, event) {
    if (this.gone || isAsked(this.place)) return false;
    // Enter and Escape belong to whatever has the focus, unless a click waits for them.
    if (['take', 'drop'].includes(action) && !this.clicking) return false;
    this.act(action, event);
    return true;
  }

  act(action, event) {
    if (!this.idle && action !== 'help') return;
    Promise.resolve(ACTS[action](this, event)).catch(error => this.trouble(error));
  }

  /** After every change of the review: what is seen, what is listed, what is kept. */
  changed(places) {
    this.labels.put(places, this.review.map);
    this.unsaved = true;
    if (this.shownBase !== this.review.base) showCase(this);
    this.refresh();
    this.keep();
    if (this.review.said.length) this.tell(this.review.said.join(' '));
  }

  keep() {
    this.watch.tick(this.isLookedAt());
    this.drafts?.keep(draftOf(this.review, this.watch));
  }

  refresh() {
    const { review, parts } = this;
    if (!review) return;
    if (this.selected !== null && !review.find(this.selected)) this.selected = null;
    const shown = review.shown(this.order);
    const below = shown.filter(one => one.state === 'undecided' && !review.isOffered(one)).map(({ id }) => id);
    this.list.show(shown, this.selected, this.detailed, review.proposed, below);
    const hidden = review.candidates.length - shown.length;
    const told = [
      hidden && `${hidden} hidden`,
      `${review.left().length} of ${shown.length} to decide`,
      review.proposed.length && `${review.proposedLeft().length} proposed`,
    ];
    parts.left.textContent = told.filter(Boolean).join(', ');
    this.labels.color(review.candidates, candidate => review.isShown(candidate), this.selected);
    markOnMip(shown.map(one => this.onMip(one)));
    this.showPoint();
    this.aim();
  }

  /** A candidate as the PET's maximum shows it. */
  onMip(candidate) {
    const selected = candidate.id === this.selected;
    const { id, center_mm, radius_mm, state } = candidate;
    return { id, center_mm, radius_mm, selected, color: `rgb(${COLORS[state].slice(0, 3).join()})` };
  }

  get curve() {
    return this.review.facts.curve || [];
  }

  /** Shows and hides; nothing else. */
  movePoint(position) {
    this.review.threshold = thresholdAt(this.curve, position);
    this.refresh();
    this.keep();
  }

  showPoint() {
    const { point, pointText } = this.parts;
    const { threshold } = this.review;
    Object.assign(point, sliderRange(this.curve));
    point.value = positionOf(this.curve, threshold);
    const { text, title } = pointTold(this.curve, threshold);
    Object.assign(pointText, { textContent: text, title });
  }

  /** Selects a candidate and, unless that was switched off, goes there; `seen`: the list shows it already. */
  select(id, jump = this.parts.follow.checked, seen = false) {
    this.selected = id;
    this.watch.look(id, this.isLookedAt());
    if (!seen) this.refresh();
    const candidate = id === null ? null : this.review.find(id);
    if (candidate && jump) this.jumpTo(candidate.center_mm);
  }

  /** Centers the planes on a point of the patient (RAS mm). */
  jumpTo(point) {
    jumpTo(this.services, point);
  }

  get tool() {
    return this.services.toolGroupService.getToolGroup(TOOL_GROUP)?.getActivePrimaryMouseButtonTool() ?? '';
  }

  /** The value that the brush paints: the selected node's, a new one's, or the tumor's; null if there is no room. */
  aim() {
    const target = this.parts.target.value;
    const candidate = target === 'node' && this.selected !== null ? this.review.find(this.selected) : null;
    const value = target === 'tumor' ? TUMOR : (candidate?.value ?? this.review?.openValue() ?? null);
    if (value !== null && value !== this.aimed) this.labels?.paint(value);
    this.aimed = value;
    // It would go on in the node that it was in before.
    if (value === null && this.review && /Brush/.test(this.tool)) this.use('WindowLevel');
  }

  /** The brush was chosen, or what it paints: for a new node room is made, if need be. */
  aimAnew() {
    this.aimed = null;
    try {
      const selected = this.parts.target.value === 'node' && this.review?.find(this.selected)?.value;
      const isNew = this.parts.target.value !== 'tumor' && !selected;
      if (this.review && isNew && /Brush/.test(this.tool)) this.review.freeValue();
    } catch (error) {
      this.tell(error.message, 'error');
    }
    this.aim();
  }

  /** Makes a tool the one of the left mouse button, by the toolbar's own button. */
  use(tool) {
    const { toolbarService, viewportGridService } = this.services;
    const refreshProps = { viewportId: viewportGridService.getActiveViewportId() };
    toolbarService.recordInteraction({ ...toolbarService.getButtonProps(tool), itemId: tool }, { refreshProps });
  }

  /** Shows which tool the left mouse button has, whoever chose it. */
  mark(tool) {
    this.aimAnew();
    for (const [name, action] of [
      ['SphereBrush', 'brush'],
      ['SphereEraser', 'erase'],
      ['WindowLevel', 'look'],
    ]) {
      this.parts[action].classList.toggle('on', name === tool);
    }
  }

  noteStroke() {
    if (this.gone || !this.review || this.clicking || !/Brush|Eraser/.test(this.tool)) return;
    const now = this.labels.values();
    const done = this.review.stroke(now);
    if (!done) return;
    if (done.places.length) this.labels.put(done.places, this.review.map);
    followTumor(this.services);
    if (done.id && this.parts.target.value === 'new') this.parts.target.value = 'node';
    if (done.id) this.select(done.id, false);
  }
}

/** What OHIF's React draws as the panel. */
function panelComponent(services, commandsManager) {
  let panel = null;
  const mount = place => {
    panel?.destroy();
    panel = place ? new NodesPanel(place, services, commandsManager) : null;
  };
  const props = { style: { height: '100%' } };
  return () => ({
    $$typeof: Symbol.for('react.element'),
    type: 'div',
    key: null,
    ref: mount,
    props,
    _owner: null,
    _store: {},
  });
}
