// How fast cases are reviewed, and how often annotators and the model agree.

import { chart } from './chart.js';
import { counted, duration, make, number, unbroken } from './dom.js';
import { ask } from './server.js';

const WINDOW = 10;

export class Quality {
  constructor(place, app) {
    this.app = app;
    this.place = place;
  }

  async show() {
    const found = await ask('osln/quality');
    this.place.replaceChildren(make('div', { className: 'page' }, ...tiles(found.summary), ...overTime(found.cases), ...annotators(found.cases), ...froc(found.froc)));
  }

  key({ key }) {
    if (key !== 'r') return false;
    this.app.attempt(() => this.show());
    return true;
  }
}

function tiles(all) {
  if (!all.cases) {
    return [make('p', { className: 'empty', textContent: 'No case was reviewed with decisions yet: open a case in OHIF, accept or reject its candidates, and submit it. Then seconds and agreement stand here.' })];
  }
  const share = typeof all.agreement === 'number' ? `${number(100 * all.agreement)} %` : 'not known';
  const shown = [
    [all.cases, 'cases reviewed with decisions'],
    [duration(all.seconds_per_case) || 'not measured', 'per case, mean'],
    [typeof all.seconds_per_node === 'number' ? `${number(all.seconds_per_node, 1)} s` : 'not measured', 'per decision, mean'],
    [share, all.offered ? `of ${all.offered} candidates offered and decided were accepted`
      : 'of what was offered was accepted: no review says from which score on candidates were shown'],
    [number(all.added_per_case, 1), 'nodes added per case'],
  ];
  return [make('div', { className: 'tiles' }, ...shown.map(([value, what]) =>
    make('div', { className: 'tile' }, make('b', { textContent: value }), make('span', { textContent: what }))))];
}

/** Means of the last WINDOW values at each point; numerator and divisor of each case. */
function running(cases, over, under) {
  return cases.map((_, n) => {
    const last = cases.slice(Math.max(0, n + 1 - WINDOW), n + 1);
    const below = last.reduce((sum, one) => sum + under(one), 0);
    return below ? [n + 1, last.reduce((sum, one) => sum + over(one), 0) / below] : null;
  }).filter(Boolean);
}

function overTime(cases) {
  if (!cases.length) return [];
  const timed = cases.filter(one => typeof one.seconds === 'number');
  const nodes = cases.filter(one => one.node_seconds.length);
  const sum = values => values.reduce((total, value) => total + value, 0);
  const judged = cases.filter(one => one.offered);
  const x = `reviewed cases in order, mean of ${WINDOW}`;
  const drawn = [];
  const add = (name, series, options) => drawn.push(figure(name, chart(series, { title: name, x, low: 0, whole: true, ...options })));
  if (timed.length) {
    add('Seconds per case', [{ points: timed.map((one, n) => [n + 1, one.seconds]), dots: true, kind: 'faint' },
      { points: running(timed, one => one.seconds, () => 1) }], { y: 's' });
  }
  if (nodes.length) {
    add('Seconds per decision', [{ points: nodes.map((one, n) => [n + 1, sum(one.node_seconds) / one.node_seconds.length]), dots: true, kind: 'faint' },
      { points: running(nodes, one => sum(one.node_seconds), one => one.node_seconds.length) }], { y: 's' });
  }
  if (judged.length) {
    add('Share accepted of what the model offered above the operating point',
      [{ points: running(judged, one => one.agreed, one => one.offered), kind: 'b' }], { y: 'share', high: 1 });
  }
  add('Nodes added per case', [{ points: running(cases, one => one.added, () => 1), kind: 'b' }], { y: 'nodes' });
  return [make('div', { className: 'charts' }, ...drawn)];
}

function annotators(cases) {
  if (!cases.length) return [];
  const names = [...new Set(cases.map(one => one.by || 'unknown'))].sort();
  const rows = names.map(name => {
    const own = cases.filter(one => (one.by || 'unknown') === name);
    const total = key => own.reduce((sum, one) => sum + one[key], 0);
    const timed = own.map(one => one.seconds).filter(value => typeof value === 'number');
    const share = total('offered') ? `${number((100 * total('agreed')) / total('offered'))} %` : 'not known';
    const mean = timed.length ? duration(timed.reduce((sum, value) => sum + value, 0) / timed.length) : 'not measured';
    return [name, String(own.length), mean, share, String(total('edited')), String(total('added'))];
  });
  const titles = ['Annotator', 'Cases', 'Per case', 'Accepted', 'Edited', 'Added'];
  return [make('table', { className: 'narrow' }, make('thead', {}, make('tr', {}, ...titles.map(textContent => make('th', { textContent })))),
    make('tbody', {}, ...rows.map(row => make('tr', {}, ...row.map(textContent => make('td', { textContent }))))))];
}

function froc(curve) {
  const title = make('h3', { textContent: 'FROC of the newest version in use' });
  if (!curve) {
    return [title, make('p', { className: 'empty', textContent: 'No version in use was validated on patients of this store: train a network of stage two once validation cases are approved. What shipped weights find is in the document results-shipped.' })];
  }
  const known = typeof curve.patients === 'number' ? `, ${counted(curve.patients, 'validation patient')}` : '';
  const patients = curve.shipped ? ', as shipped: on generated phantoms, not on patients' : known;
  const most = Math.max(...curve.points.map(point => point[0]));
  return [title, figure([unbroken(curve.network), ' ', unbroken(curve.version), patients],
    chart([{ points: curve.points }, { points: curve.points, dots: true }], { title: 'FROC', x: 'false positives per patient', y: 'sensitivity', low: 0, high: 1, xLow: 0, xHigh: most }))];
}

const figure = (text, svg) => make('figure', {}, make('figcaption', {}, ...[text].flat()), svg);
