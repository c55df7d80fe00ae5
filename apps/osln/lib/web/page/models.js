// Networks: trainings with live curves, versions, comparisons, publish and roll back.

import { chart, interval, signed, ticks } from './chart.js';
import { button, counted, duration, listed, make, number, question, time, unbroken } from './dom.js';
import { ask } from './server.js';

const LIVE_MS = 2000;
const AGAIN_MS = 15000;
const AT_WORK = ['waiting', 'running'];

export class Models {
  constructor(place, app) {
    this.app = app;
    this.chosen = null;
    this.networks = [];
    this.list = make('div', { className: 'list', role: 'listbox', 'aria-label': 'Networks', tabIndex: 0 });
    this.detail = make('div', { className: 'detail' });
    place.replaceChildren(make('div', { className: 'two' }, this.list, this.detail));
  }

  async show() {
    clearTimeout(this.timer);
    try {
      const found = await ask('osln/models');
      Object.assign(this, found);
    } finally {
      const live = this.networks.some(one => AT_WORK.includes(one.training?.state));
      this.timer = setTimeout(() => this.app.shows('models') && this.show().catch(error => this.app.tell(error.message, 'error')),
        live ? LIVE_MS : AGAIN_MS);
    }
    if (this.chosen === null) this.choose(this.opening());
    else this.draw();
  }

  /** The network that the page opens on: that is being trained, the last that was, or the one of the default model. */
  opening() {
    const live = this.networks.find(one => AT_WORK.includes(one.training?.state));
    const trained = this.networks.filter(one => one.training?.began).sort((a, b) => b.training.began - a.training.began);
    const usual = this.networks.find(one => one.name === this.default_network);
    return (live ?? trained[0] ?? usual ?? this.networks[0])?.name ?? null;
  }

  draw() {
    this.list.replaceChildren(...this.networks.map(one => this.entry(one)));
    const network = this.networks.find(one => one.name === this.chosen);
    if (!network) return this.detail.replaceChildren(make('p', { className: 'empty', textContent: 'This server offers no network.' }));
    // What somebody types or opens stays while the figures around it are renewed.
    if (this.detail.dataset.network !== network.name) {
      this.detail.dataset.network = network.name;
      this.top = make('div');
      this.form = this.trainingForm(network);
      this.versions = make('div');
      this.detail.replaceChildren(this.top, this.form, this.versions);
    }
    this.top.replaceChildren(...this.heading(network), ...this.training(network));
    this.form.hidden = !this.app.who.may('reviewer');
    this.running(network);
    this.versions.replaceChildren(...this.history(network));
  }

  entry(network) {
    const used = network.versions.find(one => one.in_use), state = network.training?.state;
    const about = used ? [unbroken(used.version), `, ${used.trained_on}`] : ['no weights: train it first'];
    return make('div', { className: `entry${network.name === this.chosen ? ' chosen' : ''}`, role: 'option',
      'aria-selected': String(network.name === this.chosen), onclick: () => this.choose(network.name) },
      make('b', {}, unbroken(network.name)),
      AT_WORK.includes(state) || state === 'failed' ? make('span', { className: `chip ${state}`, textContent: state }) : null,
      make('small', {}, ...about));
  }

  choose(name) {
    this.chosen = name;
    this.draw();
    this.list.querySelector('.chosen')?.scrollIntoView({ block: 'nearest' });
  }

  heading(network) {
    const used = network.used_by.length ? ['Used by ', ...listed(network.used_by.map(unbroken)), '. '] : [];
    return [
      make('h2', {}, unbroken(network.name)),
      make('p', { className: 'faint' }, `${network.about}. `, ...used, `Weights lie in ${this.folder}.`),
      ...this.damaged.map(textContent => make('p', { className: 'error', textContent })),
    ];
  }

  training({ training, metric_name: metric }) {
    if (!training) {
      return [make('p', { className: 'empty', textContent: 'Not trained by this server yet: approve cases, then start a training here.' })];
    }
    const live = training.state === 'running' && training.seconds_left ? `, ${duration(training.seconds_left)} left` : '';
    const told = [
      make('h3', { textContent: `Training of ${time(training.began) || 'now'}` }),
      make('p', { className: training.state === 'failed' || training.state === 'ended' ? 'error' : '' },
        make('span', { className: `chip ${training.state}`, textContent: training.state }), ` ${training.sentence}${live}`),
      training.next_step ? make('p', { className: 'note', textContent: `What to do: ${training.next_step}` }) : null,
      training.state === 'running' && training.total_epochs
        ? make('progress', { max: training.total_epochs, value: training.epoch || 0, 'aria-label': 'epochs done' }) : null,
    ];
    return [...told.filter(Boolean), ...curves(training.curve, metric, training.total_epochs)];
  }

  trainingForm(network) {
    const fields = network.options.map(option => ({ option, field: fieldOf(option) }));
    this.start = button('Start training', () => this.train(network.name, fields), { className: 'main' });
    this.stop = button('Stop', () => this.halt(network.name));
    const explained = network.options.filter(option => option.words).map(option =>
      make('li', {}, make('b', { textContent: spaced(option.name) }), `: ${option.words}`));
    return make('div', {},
      make('div', { className: 'row form' },
        ...fields.map(({ option, field }) => make('label', { title: option.words }, `${spaced(option.name)} `, field)), this.start, this.stop),
      make('details', { className: 'note' }, make('summary', { textContent: 'What these options are' }), make('ul', {}, ...explained)));
  }

  running(network) {
    const here = AT_WORK.includes(network.training?.state);
    const busy = this.networks.find(one => AT_WORK.includes(one.training?.state));
    this.start.disabled = Boolean(busy);
    this.start.title = busy ? `${busy.name} is being trained` : 'trains on the approved cases; numbers of 0 leave the choice to the training';
    this.stop.hidden = !here;
  }

  async train(name, fields) {
    await this.app.attempt(async () => {
      const body = { client_id: this.app.who.name };
      for (const { option, field } of fields) body[option.name] = option.kind === 'switch' ? field.checked : field.value;
      await ask(`train/${encodeURIComponent(name)}`, { method: 'POST', body });
      this.app.tell(`The training of ${name} has been started.`);
      await this.show();
    });
  }

  async halt(name) {
    await this.app.attempt(async () => {
      if (!(await question(`Stop the training of ${name}?`, { text: 'Started again with the same options and cases, it goes on where it was.', yes: 'Stop' }))) return;
      await ask('train/', { method: 'DELETE' });
      this.app.tell(`The training of ${name} was stopped.`);
      await this.show();
    });
  }

  history(network) {
    const shown = network.versions.filter(one => !one.stands_for);
    if (!shown.length) return [make('p', { className: 'empty', textContent: 'There is no version yet.' })];
    const titles = ['Version', network.metric_name, 'Weights from', 'Learned from', 'Compared', ''];
    const back = network.back_to && this.app.who.may('reviewer')
      ? button(`Roll back to ${network.back_to}`, () => this.rollback(network), { className: 'unbroken' }) : null;
    return [
      make('h3', { textContent: 'Versions' }),
      make('table', {}, make('thead', {}, make('tr', {}, ...titles.map(textContent => make('th', { textContent })))),
        make('tbody', {}, ...shown.map(version => this.version(network, version, reachOf(shown))))),
      ...[back].filter(Boolean).map(one => make('div', { className: 'row' }, one)),
      ...pastCurve(network),
    ];
  }

  version(network, version, reach) {
    const cell = (...content) => make('td', {}, ...content);
    const name = make('span', {}, unbroken(version.version), version.in_use ? make('span', { className: 'chip approved', textContent: 'in use' }) : '');
    const base = version.base_version && make('span', {}, 'from ', unbroken(version.base_version));
    const origin = listed([version.origin, `trained on ${version.trained_on}`, base, version.created && time(version.created)].filter(Boolean));
    const learned = version.train_cases ? `${counted(version.train_cases, 'case')}${version.seconds ? ` in ${duration(version.seconds)}` : ''}` : 'not noted';
    const publish = !version.in_use && this.app.who.may('reviewer') ? button('Publish', () => this.publish(network, version)) : '';
    return make('tr', {}, cell(name), cell(number(version.metric, 3) || 'none'), cell(...origin), cell(learned),
      cell(...compared(version.report, reach)), cell(publish));
  }

  async publish(network, { version, report, metric }) {
    const judged = report ? report.sentence : metric === null ? 'It was not compared with what is in use on any patient.' : '';
    const text = `${judged} Operating points stay as they are.`.trim();
    await this.change(`Put ${version} of ${network.name} into use?`, text, 'Publish', 'publish', { network: network.name, version });
  }

  async rollback(network) {
    await this.change(`Put ${network.back_to} of ${network.name} back into use?`, 'Cases that are stored stay as they are.', 'Roll back',
      'rollback', { network: network.name });
  }

  async change(title, text, yes, what, body) {
    await this.app.attempt(async () => {
      if (!(await question(title, { text, yes }))) return;
      this.app.tell('Looking at the weights ...');
      const { message } = await ask(`osln/models/${what}`, { method: 'POST', body });
      this.app.tell(message);
      await this.show();
    });
  }

  key({ key }) {
    const place = this.networks.findIndex(one => one.name === this.chosen);
    const step = { ArrowDown: 1, ArrowUp: -1 }[key];
    const wanted = step && this.networks[place + step];
    if (wanted) this.choose(wanted.name);
    if (key === 'r') this.app.attempt(() => this.show());
    return Boolean(step) || key === 'r';
  }
}

/** What a version was compared with, on how many patients, and what came out. */
function compared(report, reach) {
  if (!report) return [make('span', { className: 'faint', textContent: 'not noted here' })];
  const than = report.version_before ? ['compared with ', unbroken(report.version_before)] : ['nothing to compare with'];
  const figures = typeof report.metric_before === 'number' && typeof report.metric === 'number'
    ? `: ${number(report.metric, 3)} against ${number(report.metric_before, 3)}` : '';
  return [
    make('span', {}, ...than, ` on ${counted(report.patients, 'patient')}${figures}`),
    ...Object.entries(report.judgments || {}).map(([rival, judged]) => judgment(rival, judged, reach)).filter(Boolean),
    make('small', { textContent: report.sentence }),
  ];
}

/** The paired difference from a rival ("in use", "stage one alone") with its interval over patients, drawn and in numbers. */
function judgment(rival, { difference, low, high, risk, patients, nodes, patients_to_tell: more }, reach) {
  if (typeof difference !== 'number') return null;
  const range = typeof low === 'number' ? ` [${signed(low)}, ${signed(high)}]` : ', no interval';
  const than = rival === 'in use' ? 'what was in use' : rival;
  const words = [
    `${signed(difference)}${range} against ${than}`,
    `${counted(patients, 'patient')}, ${counted(nodes, 'node')}`,
    typeof risk === 'number' ? `worse with a probability of ${Math.round(100 * risk)}%` : 'no probability from so few patients',
    more && `about ${more} patients would tell`,
  ];
  const text = words.filter(Boolean);
  return make('div', { className: 'judgment' },
    interval({ difference, low, high, reach, title: text.join(', ') }),
    make('div', {}, ...text.map(textContent => make('small', { textContent }))));
}

/** How far the lines of a network's judgments reach to both sides: the same for all of its versions. */
function reachOf(versions) {
  const judged = versions.flatMap(({ report }) => Object.values(report?.judgments || {}));
  const far = Math.max(0.01, ...judged.flatMap(({ difference, low, high }) => [difference, low, high].map(value => Math.abs(value ?? 0))));
  const step = ticks(0, far, 2)[1] ?? far;
  return Math.ceil(far / step) * step;
}

function curves(points, metric, epochs) {
  const x = { x: 'epoch', xLow: 0, xHigh: epochs, whole: true };
  const loss = points.filter(one => typeof one.loss === 'number').map(one => [one.epoch, one.loss]);
  const seen = points.filter(one => typeof one.metric === 'number').map(one => [one.epoch, one.metric]);
  const drawn = [];
  if (loss.length) drawn.push(figure('Loss', chart([{ points: loss }], { ...x, title: 'Loss by epoch', y: 'loss', low: Math.min(0, ...loss.map(one => one[1])) })));
  if (seen.length) drawn.push(figure(`${metric} on validation patients`, chart([{ points: seen, kind: 'b' }], { ...x, title: `${metric} by epoch`, y: metric, low: 0, high: 1 })));
  return drawn.length ? [make('div', { className: 'charts' }, ...drawn)] : [];
}

/** Losses that the version in use was stored with, where no training of this server is shown above. */
function pastCurve({ training, versions }) {
  const used = versions.find(one => one.in_use);
  if (training || !used?.losses.length) return [];
  const svg = chart([{ points: used.losses }], { title: 'Loss', x: 'steps or epochs', y: 'loss', low: 0, xLow: 0 });
  return [make('div', { className: 'charts' }, figure(['Loss of ', unbroken(used.version), ', in use'], svg))];
}

const figure = (text, svg) => make('figure', {}, make('figcaption', {}, ...[text].flat()), svg);

const spaced = name => name.replaceAll('_', ' ');

function fieldOf(option) {
  if (option.kind === 'choice') return make('select', {}, ...option.values.map(value => make('option', { value, textContent: value })));
  if (option.kind === 'switch') return make('input', { type: 'checkbox', checked: option.default });
  return make('input', { type: 'number', value: option.default, min: option.low, max: option.high, step: option.whole ? 1 : 'any' });
}
