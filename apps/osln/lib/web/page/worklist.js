// Every case, which is next, and what can be done with it.

import { button, copy, counted, duration, make, number, question, time } from './dom.js';
import { JobsLine } from './jobs.js';
import { ask } from './server.js';
import { Table } from './table.js';

const STATES = ['new', 'found', 'in review', 'partly', 'approved', 'skipped'];
const AGAIN_MS = 20000;
const MOST_REASONS = 2;

/** In OHIF; of several CTs of a study, the one that is the case (`hanging.js`). */
const address = row => `/ohif/osln?${new URLSearchParams({ StudyInstanceUIDs: row.study_uid, ...(row.series_uid && { ct: row.series_uid }) })}`;

const chip = state => make('span', { className: `chip ${state.replace(' ', '-')}`, textContent: state });

/** Who made the state what it is; a label that was imported or copied into the store has nobody's name. */
const by = row => row.by || (['approved', 'partly'].includes(row.state) ? 'a file' : '');

/** What is left to do in a case in part. */
const rest = row => row.state === 'partly' && row.undecided !== null
  && `${counted(row.undecided, 'candidate')} undecided${row.to_complete ? `: complete it, ${row.split} needs complete cases` : ''}`;

/** Why a case is put aside; a state that says more comes before that one. */
const skipped = row => row.skip_reason && (row.state === 'skipped' ? row.skip_reason : `skipped: ${row.skip_reason}`);

/** A skip can be taken back whatever the state; an approved case is not proposed, so that there is nothing to skip. */
const maySkip = row => row.state !== 'approved' || Boolean(row.skip_reason);

/** What is wrong with the PACS, and what is on its way there; '' if nothing. */
function aboutPacs({ error, waiting, last_error: reason }) {
  const sentence = text => text && (/[.!?]$/.test(text) ? text : `${text}.`);
  return [
    error && `The PACS could not be listed: ${sentence(error)} Cases that were fetched before can be opened.`,
    waiting > 0 && `${counted(waiting, 'label')} on the way to the PACS.`,
    reason && `The last try failed: ${sentence(reason)}`,
  ].filter(Boolean).join(' ');
}

export class Worklist {
  constructor(place, app) {
    this.app = app;
    this.cases = [];
    this.hidden = new Set();
    this.table = new Table(this.columns(), {
      choose: row => this.showCase(row),
      open: row => this.open(row),
      mark: () => this.showActions(),
    });
    this.jobs = new JobsLine(app, () => this.load());
    this.build(place);
    setInterval(() => app.shows('worklist') && this.load().catch(() => {}), AGAIN_MS);
  }

  columns() {
    const remark = row => skipped(row) || row.why || rest(row) || row.warnings[0] || '';
    return [
      { name: 'mark', title: '', className: 'mark', cell: row => (this.table.marked.has(row.case) ? '\u2611' : '\u2610') },
      { name: 'case', title: 'Case', className: 'case', sort: row => row.name, cell: row => this.caseCell(row) },
      { name: 'state', title: 'State', className: 'state', sort: row => STATES.indexOf(row.state), cell: row => chip(row.state) },
      { name: 'by', title: 'By', className: 'by', sort: by, cell: by, hint: 'a file: the label lies in labels/final, and nobody submitted it here' },
      { name: 'at', title: 'When', className: 'at', sort: row => row.at, cell: row => time(row.at) },
      { name: 'candidates', title: 'Candidates', className: 'figure', sort: row => row.kept, hint: 'kept at the operating point, of all',
        cell: row => (row.candidates === null ? '' : `${row.kept} of ${row.candidates}`) },
      { name: 'doubt', title: 'Doubt', className: 'figure', sort: row => row.doubt,
        hint: 'bits of entropy of the scores: 1 for each candidate that could be either', cell: row => number(row.doubt, 1) },
      { name: 'seconds', title: 'Time', className: 'figure', sort: row => row.seconds, cell: row => duration(row.seconds) },
      { name: 'remark', title: 'Remark', className: 'remark', sort: remark, cell: remark },
    ];
  }

  caseCell(row) {
    const name = [row.name, row.series].filter(Boolean).join(', ');
    if (!row.study_uid) return name;
    return make('a', { href: address(row), textContent: name, tabIndex: -1, title: `open ${row.case} in OHIF` });
  }

  build(place) {
    this.search = make('input', { type: 'search', placeholder: 'Search case, name, remark', 'aria-label': 'Search', oninput: () => this.filter() });
    this.chips = make('div', { className: 'chips', role: 'group', 'aria-label': 'States that are shown' });
    this.strategy = make('select', { 'aria-label': 'Strategy of the next case', onchange: () => this.changeStrategy() });
    this.actions = make('div', { className: 'row actions' });
    this.detail = make('aside', { 'aria-label': 'Chosen case' });
    this.empty = make('p', { className: 'empty', hidden: true });
    this.leftOut = make('p', { className: 'note', hidden: true });
    this.pacs = make('p', { className: 'note', hidden: true, 'aria-label': 'PACS' });
    this.retraining = make('span', { className: 'faint', 'aria-label': 'Retraining by itself' });
    this.evidence = make('span', { className: 'faint', 'aria-label': 'Scores for the strategies' });
    place.replaceChildren(
      make('div', { className: 'bar' }, this.search, this.chips, make('span', { className: 'space' }), this.strategy,
        button('Next case', () => this.next(), { className: 'main', title: 'asks the strategy (n)' })),
      this.pacs,
      this.leftOut,
      make('div', { className: 'two' }, make('div', { className: 'left' }, this.table.element, this.empty), this.detail),
      make('div', { className: 'bar' }, this.actions, make('span', { className: 'space' }), this.evidence, this.retraining, this.jobs.element));
  }

  /** How far the scores are that strategies go by. */
  showEvidence(told) {
    this.evidence.hidden = !told?.total;
    if (!told) return;
    this.evidence.textContent = `Scores: ${told.message}`;
    this.evidence.title = Object.entries(told.failed).map(([name, reason]) => `${name}: ${reason}`).join('\n');
    if (told.state === 'running') this.evidence.append(' ', make('progress', { max: told.total || 1, value: told.done }));
  }

  async show() {
    if (!this.strategy.options.length) await this.loadStrategies();
    await this.load();
    this.table.view.focus({ preventScroll: true });
  }

  async loadStrategies() {
    const { strategies } = await ask('info/');
    const kept = localStorage.getItem('osln-strategy');
    this.strategy.replaceChildren(...Object.entries(strategies).map(([value, { description }]) =>
      make('option', { value, textContent: value, title: description })));
    this.strategy.value = kept in strategies ? kept : Object.keys(strategies)[0];
  }

  async changeStrategy() {
    localStorage.setItem('osln-strategy', this.strategy.value);
    await this.app.attempt(() => this.load());
  }

  async load() {
    // By chance, each question has another answer: only the button asks.
    const strategy = this.strategy.value === 'random' ? 'first' : this.strategy.value;
    const asked = new URLSearchParams({ ...(strategy && { strategy }), annotator: this.app.who.name });
    const turn = (this.turn = (this.turn ?? 0) + 1);
    const [found] = await Promise.all([ask(`osln/worklist?${asked}`), this.app.refreshState()]);
    // A later question was answered before this one.
    if (turn !== this.turn) return;
    this.cases = found.cases;
    if (this.strategy.value === 'random') for (const row of this.cases) row.why = null;
    const there = new Set(this.cases.map(row => row.case));
    for (const name of this.table.marked) if (!there.has(name)) this.table.marked.delete(name);
    this.jobs.show(found.jobs);
    this.showLeftOut(found.left_out);
    this.pacs.textContent = this.app.state.pacs ? aboutPacs(this.app.state.pacs) : '';
    this.pacs.hidden = !this.pacs.textContent;
    this.retraining.textContent = found.retraining?.message ?? '';
    this.showEvidence(found.evidence);
    if (this.table.chosen === null) this.table.chosen = found.next?.case ?? this.cases[0]?.case ?? null;
    this.showChips();
    this.filter();
  }

  /** Files that are served as no case; somebody would look for them in vain. */
  showLeftOut(reasons) {
    const more = reasons.length > MOST_REASONS ? ` And ${counted(reasons.length - MOST_REASONS, 'more file')}.` : '';
    this.leftOut.hidden = !reasons.length;
    this.leftOut.textContent = `${reasons.slice(0, MOST_REASONS).map(one => `${one}.`).join(' ')}${more}`;
  }

  showChips() {
    const counts = Object.fromEntries(STATES.map(state => [state, 0]));
    for (const row of this.cases) counts[row.state] += 1;
    this.chips.replaceChildren(...STATES.map(state => button(`${state} ${counts[state]}`, () => {
      if (!this.hidden.delete(state)) this.hidden.add(state);
      this.showChips();
      this.filter();
    }, { className: `chip ${state.replace(' ', '-')}`, 'aria-pressed': String(!this.hidden.has(state)) })));
  }

  filter() {
    const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const text = row => `${row.case} ${row.name} ${row.by || ''} ${row.split || ''} ${row.series || ''} ${row.skip_reason || ''} ${row.warnings.join(' ')}`.toLowerCase();
    const rows = this.cases.filter(row => !this.hidden.has(row.state) && words.every(word => text(row).includes(word)));
    this.table.fill(rows);
    this.empty.hidden = rows.length > 0;
    this.empty.textContent = this.cases.length
      ? 'No case fits the search and the states that are shown.'
      : this.app.state?.pacs ? 'No CT of the PACS is known yet: send images to it, or look at the search filter; documents (?) say how.'
      : 'There is no case yet: put CT volumes as CASE.nii.gz into the folder of the studies, or import DICOM; documents (?) say how.';
    this.showCase(rows.find(row => row.case === this.table.chosen) || null);
  }

  chosen() {
    return this.table.rows[this.table.place()] || null;
  }

  showCase(row) {
    this.showActions();
    if (!row) return this.detail.replaceChildren(make('p', { className: 'faint', textContent: 'No case is chosen.' }));
    const facts = [
      ['State', [row.state, by(row) && `by ${by(row)}`, row.at && time(row.at)].filter(Boolean).join(', ')],
      ['Proposed', row.why && `next: ${row.why}`],
      ['Skipped', row.skip_reason],
      ['In part', rest(row)],
      ['Candidates', row.candidates !== null && `${row.kept} kept of ${row.candidates}, doubt ${number(row.doubt, 1)} bits`],
      ['Revision', row.revision || null],
      ['Reviewed in', duration(row.seconds)],
      ['Split', row.split],
      ['Series', row.series],
      ['Case', row.name === row.case ? null : row.case],
      ['In review until', row.lease && time(row.lease.until)],
    ].filter(([, value]) => value);
    const may = this.app.who.may('annotator');
    this.detail.replaceChildren(
      make('h2', { textContent: row.name }),
      make('dl', {}, ...facts.flatMap(([name, value]) => [make('dt', { textContent: name }), make('dd', { textContent: value })])),
      ...row.warnings.map(textContent => make('p', { className: 'note', textContent })),
      make('div', { className: 'stack' },
        button('Open in OHIF', () => this.open(row), { className: 'main', disabled: !row.study_uid, title: 'Enter' }),
        button('Find nodes', () => this.find([row.case]), { hidden: !may, title: 'f' }),
        button(row.skip_reason ? 'Take back the skip' : 'Skip ...', () => this.skip(row), { hidden: !may || !maySkip(row), title: 's' }),
        button('Copy for 3D Slicer', () => this.copy(row), { title: 'c' })));
  }

  showActions() {
    const { marked } = this.table, waiting = this.cases.filter(row => row.state === 'new').map(row => row.case);
    const hidden = !this.app.who.may('annotator');
    this.actions.replaceChildren(
      make('span', { className: 'faint', textContent: `${this.table.rows.length} of ${counted(this.cases.length, 'case')} shown` }),
      button(`Find nodes in ${counted(marked.size, 'marked case')}`, () => this.find([...marked]), { hidden: hidden || !marked.size }),
      button(`Find nodes in ${counted(waiting.length, 'new case')}`, () => this.find(waiting), { hidden: hidden || !waiting.length || marked.size > 0 }),
      button('Unmark', () => this.table.unmark(), { hidden: !marked.size }));
  }

  open(row) {
    if (!row.study_uid) return this.app.tell('This case has no study that OHIF could open.', 'error');
    location.assign(address(row));
  }

  async next() {
    await this.app.attempt(async () => {
      this.app.tell('Asking for the next case ...');
      const from = document.activeElement;
      const body = { client_id: this.app.who.name };
      const found = await ask(`activelearning/${encodeURIComponent(this.strategy.value)}`, { method: 'POST', body });
      if (!found?.id) {
        const left = this.cases.filter(row => row.to_complete);
        const more = left.length ? ` ${counted(left.length, 'case')} of validation or test in part still to be completed: ${left[0].name}.` : '';
        return this.app.tell(`Every case has an approved label.${more}`);
      }
      this.hidden.clear();
      this.search.value = '';
      await this.load();
      this.table.choose(found.id);
      // Enter opens it now, whatever asked; who went into a field meanwhile types on there.
      if ([from, document.body].includes(document.activeElement)) this.table.view.focus({ preventScroll: true });
      this.app.tell(`Next: ${found.PatientID || found.id}, ${found.why}. Enter opens it.`);
    });
  }

  async find(cases) {
    await this.app.attempt(async () => {
      const annotator = this.app.who.name;
      await ask('osln/jobs', { method: 'POST', body: { kind: 'find', cases, annotator } });
      this.table.marked.clear();
      this.app.tell(`Nodes of ${counted(cases.length, 'case')} are looked for in the background.`);
      await this.load();
    });
  }

  async skip(row) {
    await this.app.attempt(async () => {
      const path = `osln/skip?image=${encodeURIComponent(row.case)}`;
      if (row.skip_reason) {
        await ask(path, { method: 'DELETE' });
        this.app.tell(`${row.name} is no longer skipped.`);
      } else {
        const reason = await question(`Skip ${row.name}`, { text: 'It is proposed after all others.', input: 'why, for whoever comes next', yes: 'Skip' });
        if (reason === null) return;
        await ask(path, { method: 'POST', body: { annotator: this.app.who.name || 'unknown', reason } });
        this.app.tell(`${row.name} is skipped: ${reason}`);
      }
      await this.load();
    });
  }

  async copy(row) {
    await this.app.attempt(async () => {
      await copy(`Server: ${location.origin}\nCase: ${row.case}`);
      this.app.tell(`Copied: server ${location.origin}, case ${row.case}`);
    });
  }

  /** A key of this view; returns whether it was one. */
  key(event) {
    const row = this.chosen(), { key } = event;
    // Enter and Space belong to the button or link that has the focus.
    if (['Enter', ' '].includes(key) && event.target.closest('button, a')) return false;
    const may = this.app.who.may('annotator');
    const works = {
      '/': () => this.search.focus(),
      n: () => this.next(),
      r: () => this.app.attempt(() => this.load()),
      a: () => this.table.markAll(),
      Enter: () => row && this.open(row),
      ' ': () => row && this.table.mark(row),
      f: () => may && (row || this.table.marked.size) && this.find(this.table.marked.size ? [...this.table.marked] : [row.case]),
      s: () => may && row && (maySkip(row) ? this.skip(row) : this.app.tell(`${row.name} has an approved label and is not proposed any more: nothing to skip.`)),
      c: () => row && this.copy(row),
    };
    if (!works[key]) return this.table.move(key);
    works[key]();
    return true;
  }
}
