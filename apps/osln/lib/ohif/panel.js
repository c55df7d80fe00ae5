// The panel on the right: find nodes, look at them one by one, correct, submit.
//
// It is plain DOM. OHIF keeps React to itself, so one React element is made by hand to get a place in its page.
// Uses geometry.js: onGrid; server.js: info, infer, storedLabel, submit; segmentation.js: TUMOR, EditedLabels; view.js: VIEWPORTS, TOOL_GROUP, PET_OPACITY, cornerstoneViewport, centerOn, setPetOpacity; style.js: STYLE.

const BRUSH_MM = 4;
const ANNOTATOR_KEY = 'osln-annotator';

/** An element with attributes, listeners (on...) and children. */
function element(tag, attributes = {}, ...children) {
  const made = Object.assign(document.createElement(tag), attributes);
  made.append(...children);
  return made;
}

const row = (name, ...controls) => element('label', {}, element('span', { textContent: name }), ...controls);

const options = values => values.map(value => element('option', { value, textContent: value }));

const choice = values => element('select', {}, ...options(values));

const round = (value, digits) => (typeof value === 'number' ? value.toFixed(digits) : '?');

class NodesPanel {
  constructor(place, services, commandsManager) {
    this.place = place;
    this.services = services;
    this.commandsManager = commandsManager;
    // Revision of the nodes that are edited; 0 says that none is stored yet.
    this.revision = 0;
    this.unsaved = false;
    this.build();
    const { toolGroupService } = services;
    this.tools = toolGroupService.subscribe(toolGroupService.EVENTS.PRIMARY_TOOL_ACTIVATED, ({ toolName }) => this.mark(toolName));
    this.whenReady(() => this.open().catch(error => this.tell(error.message, 'error')));
    this.onRelease = () => setTimeout(() => this.noteStroke(), 0);
    document.addEventListener('mouseup', this.onRelease);
    this.onLeave = event => {
      if (this.unsaved) event.preventDefault();
    };
    window.addEventListener('beforeunload', this.onLeave);
  }

  destroy() {
    this.gone = true;
    document.removeEventListener('mouseup', this.onRelease);
    window.removeEventListener('beforeunload', this.onLeave);
    this.tools.unsubscribe();
  }

  build() {
    const part = (name, value) => {
      this[name] = value;
      return value;
    };
    const act = (textContent, work, className = '') => element('button', { textContent, className, onclick: work });
    this.place.replaceChildren(
      element('style', { textContent: STYLE }),
      element(
        'div',
        { className: 'osln' },
        element('h3', { textContent: 'Case' }),
        part('about', element('div', { className: 'about', textContent: 'Loading the images ...' })),
        part('petRow', row('PET', part('pet', element('input', { type: 'range', min: 0, max: 1, step: 0.05, value: PET_OPACITY })))),
        element('h3', { textContent: 'Find nodes' }),
        row('Model', part('model', choice([]))),
        row('Operating point', part('point', choice([]))),
        row('Show rejected', part('rejected', element('input', { type: 'checkbox' }))),
        element('div', { className: 'osln-row' }, part('run', act('Find nodes', () => this.find(), 'main'))),
        part('list', element('ol')),
        element('h3', { textContent: 'Correct' }),
        row('Segment', part('segment', choice(['lymph node', 'tumor']))),
        element(
          'div',
          { className: 'osln-row' },
          part('brush', act('Brush', () => this.use('SphereBrush'))),
          part('eraser', act('Eraser', () => this.use('SphereEraser'))),
          part('look', act('Look', () => this.use('WindowLevel'))),
          part('back', act('Undo', () => this.takeBack()))
        ),
        row('Radius', part('radius', element('input', { type: 'range', min: 1, max: 20, step: 0.5, value: BRUSH_MM })), part('millimeters', element('small', { textContent: `${BRUSH_MM} mm` }))),
        element('h3', { textContent: 'Approve' }),
        row('Annotator', part('annotator', element('input', { type: 'text', placeholder: 'your name', value: localStorage.getItem(ANNOTATOR_KEY) || '' }))),
        element('div', { className: 'osln-row' }, part('send', act('Submit', () => this.submit(), 'main'))),
        part('said', element('div')),
        element('small', { textContent: 'Research software, not for clinical use.' })
      )
    );
    this.pet.oninput = () => setPetOpacity(this.services, Number(this.pet.value));
    this.model.onchange = () => this.showOptions();
    this.segment.onchange = () => this.labels?.paint(this.segment.selectedIndex + 1);
    this.radius.oninput = () => {
      this.millimeters.textContent = `${this.radius.value} mm`;
      const toolNames = ['SphereBrush', 'SphereEraser', 'CircularBrush', 'CircularEraser'];
      this.commandsManager.runCommand('setBrushSize', { value: Number(this.radius.value), toolNames });
    };
    this.annotator.onchange = () => localStorage.setItem(ANNOTATOR_KEY, this.annotator.value.trim());
    this.enable(false);
  }

  /** Controls that need images and an idle server. */
  enable(on) {
    for (const control of [this.run, this.brush, this.eraser, this.look, this.back, this.send]) control.disabled = !on;
  }

  tell(text, kind = '') {
    this.said.replaceChildren(element('div', { className: `told ${kind}`, textContent: text }));
    this.said.scrollIntoView({ block: 'nearest' });
  }

  /** Calls back once, when the CT is in all planes. */
  whenReady(then) {
    const look = () => {
      if (this.gone) return;
      const shown = Object.values(VIEWPORTS).map(id => cornerstoneViewport(this.services, id));
      if (shown.every(viewport => viewport?.getAllVolumeIds?.().length)) then();
      else setTimeout(look, 200);
    };
    look();
  }

  /** Everything about the CT that is shown: its stored label, and what the server can do with it. */
  async open() {
    const { viewportGridService, displaySetService } = this.services;
    const [first, ...others] = viewportGridService.getState().viewports.get(VIEWPORTS.axial).displaySetInstanceUIDs;
    this.ct = displaySetService.getDisplaySetByUID(first);
    this.petRow.hidden = !others.length;
    this.showCase();
    this.labels = new EditedLabels(this.services, this.ct, Object.values(VIEWPORTS));
    await this.labels.show();
    this.mark(this.services.toolGroupService.getToolGroup(TOOL_GROUP).getActivePrimaryMouseButtonTool());
    const [about, stored] = await Promise.all([info(), storedLabel(this.ct.SeriesInstanceUID)]);
    if (stored.series !== this.ct.SeriesInstanceUID) {
      throw new Error('This CT was made for its PET; the case on the server is a planning CT. Open the study that has it.');
    }
    this.models = Object.fromEntries(Object.entries(about.models).filter(([, model]) => model.type === 'segmentation'));
    this.model.replaceChildren(...options(Object.keys(this.models)));
    this.showOptions();
    if (stored.labels) {
      this.labels.load(onGrid(stored.labels, stored.grid, this.labels.grid));
    }
    this.revision = stored.revision;
    this.showCase(stored);
    this.labels.color();
    this.enable(true);
  }

  /** What is shown, and who approved it. */
  showCase(stored) {
    const { SeriesDescription, SeriesNumber, numImageFrames, instances } = this.ct;
    const lines = [`CT ${SeriesNumber ?? ''} ${SeriesDescription ?? ''}: ${numImageFrames ?? instances.length} slices`];
    lines.push(this.petRow.hidden ? 'no PET in the frame of reference of this CT: it is shown alone' : 'PET on top of it');
    if (stored?.revision) lines.push(`approved nodes: revision ${stored.revision} by ${stored.by}`);
    else if (stored) lines.push('nodes are not approved yet');
    this.about.replaceChildren(...lines.map(textContent => element('div', { textContent })));
  }

  showOptions() {
    const { config = {} } = this.models[this.model.value] || {};
    this.point.replaceChildren(...options(config.operating_point || []));
    this.point.parentElement.hidden = !config.operating_point;
    this.rejected.parentElement.hidden = !('show_rejected' in config);
  }

  /** Runs the model and shows what it found; the annotator's tumor stays. */
  async find() {
    const begun = Date.now();
    const model = this.model.value;
    const chosen = {};
    if (!this.point.parentElement.hidden) chosen.operating_point = this.point.value;
    if (!this.rejected.parentElement.hidden) chosen.show_rejected = this.rejected.checked;
    this.enable(false);
    const clock = setInterval(() => this.tell(`${model} is looking, ${Math.round((Date.now() - begun) / 1000)} s ...`), 500);
    try {
      const { result, labels, grid } = await infer(model, this.ct.SeriesInstanceUID, chosen);
      if (this.gone) return;
      const found = onGrid(labels, grid, this.labels.grid);
      const rejected = result.label_names?.['rejected candidate'];
      if (rejected) found.forEach((value, n) => value === rejected && (found[n] = 3));
      this.labels.replace(found, [TUMOR]);
      this.unsaved = true;
      this.showCandidates(result.candidates);
      const kept = result.candidates.filter(candidate => candidate.kept).length;
      const seconds = Math.round((Date.now() - begun) / 1000);
      this.tell([`${kept} of ${result.candidates.length} candidates kept, ${seconds} s.`, ...result.warnings].join(' '), 'good');
    } catch (error) {
      this.tell(`Nothing was changed: ${error.message}`, 'error');
    } finally {
      clearInterval(clock);
      this.enable(true);
    }
  }

  showCandidates(candidates) {
    const shown = candidates.filter(candidate => candidate.kept || this.rejected.checked);
    this.list.replaceChildren(
      ...shown.map(candidate => {
        const { score, zone, radius_mm, suv_max, kept, center_mm } = candidate;
        const suv = typeof suv_max === 'number' && `SUV ${round(suv_max, 1)}`;
        const text = [zone, `${round(radius_mm, 1)} mm`, suv, !kept && 'rejected'].filter(Boolean).join(', ');
        return element(
          'li',
          {
            className: kept ? '' : 'rejected',
            title: 'score of the network, zone, radius, SUVmax; click to go there',
            onclick: event => {
              this.list.querySelector('.at')?.classList.remove('at');
              event.currentTarget.classList.add('at');
              // The server speaks RAS, DICOM and OHIF LPS.
              centerOn(this.services, [-center_mm[0], -center_mm[1], center_mm[2]]);
            },
          },
          element('b', { textContent: round(score, 2) }),
          element('span', { textContent: text })
        );
      })
    );
  }

  /** Makes a tool the one of the left mouse button, by the toolbar's own button. */
  use(tool) {
    const { toolbarService, viewportGridService } = this.services;
    const refreshProps = { viewportId: viewportGridService.getActiveViewportId() };
    toolbarService.recordInteraction({ ...toolbarService.getButtonProps(tool), itemId: tool }, { refreshProps });
  }

  /** Shows which tool the left mouse button has, whoever chose it. */
  mark(tool) {
    this.labels?.paint(this.segment.selectedIndex + 1);
    for (const [name, button] of [['SphereBrush', this.brush], ['SphereEraser', this.eraser], ['WindowLevel', this.look]]) {
      button.classList.toggle('on', name === tool);
    }
  }

  noteStroke() {
    const tool = this.services.toolGroupService.getToolGroup(TOOL_GROUP)?.getActivePrimaryMouseButtonTool();
    if (this.labels?.before && /Brush|Eraser/.test(tool) && this.labels.remember()) this.unsaved = true;
  }

  takeBack() {
    if (!this.labels.undo()) this.tell('There is nothing to take back.');
  }

  /** Sends the label; it stays in the viewer whatever the server answers. */
  async submit() {
    const name = this.annotator.value.trim();
    if (!name) {
      this.tell('Type your name first: it is kept with the label.', 'error');
      this.annotator.focus();
      return;
    }
    this.enable(false);
    this.tell('Sending ...');
    try {
      const { file, info: labelInfo } = this.labels.submission();
      const reply = await submit(this.ct.SeriesInstanceUID, file, labelInfo, this.revision, name);
      this.unsaved = false;
      if (reply.nodes_revision) {
        this.revision = reply.nodes_revision;
        this.showCase({ revision: this.revision, by: name });
      }
      this.tell([reply.message, reply.pacs?.message].filter(Boolean).join(' '), 'good');
    } catch (error) {
      this.tell(`Not stored: ${error.message}. Your label is still here.`, 'error');
    } finally {
      this.enable(true);
    }
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
  return () => ({ $$typeof: Symbol.for('react.element'), type: 'div', key: null, ref: mount, props, _owner: null, _store: {} });
}
