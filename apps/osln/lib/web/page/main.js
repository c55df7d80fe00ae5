// The page: three views, who is there, keys, and the line that says what happened.

import { button, make } from './dom.js';
import { Models } from './models.js';
import { Quality } from './quality.js';
import { Who, ask } from './server.js';
import { Worklist } from './worklist.js';

const VIEWS = { worklist: Worklist, models: Models, quality: Quality };
const KEYS = [
  ['\u2191 \u2193, Page, Home, End', 'choose a case'],
  ['Enter', 'open it in OHIF'],
  ['n', 'next case, as the strategy proposes'],
  ['/', 'search; Esc leaves the field'],
  ['f', 'find nodes in the marked cases, or in the chosen one'],
  ['Space', 'mark the case; a marks all that are shown, or none'],
  ['s', 'skip the case with a reason, or take it back'],
  ['c', 'copy what 3D Slicer needs'],
  ['r', 'ask the server again'],
  ['1 2 3', 'Worklist, Models, Quality'],
  ['?', 'this help'],
];

const byId = id => document.getElementById(id);

/** Says what happened, for a while; an error stays until the next word. */
function tell(text, kind = '') {
  const told = byId('told');
  told.textContent = text;
  told.className = kind;
  clearTimeout(tell.timer);
  if (kind !== 'error') tell.timer = setTimeout(() => (told.textContent = ''), 12000);
}

/** Runs work; what goes wrong is told. */
async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    tell(error.message, 'error');
    return null;
  }
}

function showWho(who) {
  if (who.accounts) {
    const leave = make('form', { method: 'post', action: '/logout' },
      make('button', { type: 'submit', textContent: 'Log out' }));
    return byId('who').replaceChildren(make('span', { textContent: who.account }), leave);
  }
  const field = make('input', { type: 'text', id: 'annotator', value: who.name, placeholder: 'your name', maxLength: 64,
    onchange: () => (who.name = field.value) });
  byId('who').replaceChildren(make('label', { htmlFor: 'annotator', textContent: 'Annotator' }), field);
}

function showState(state) {
  const { total, approved } = state.cases;
  byId('progress').textContent = `${approved} of ${total} cases approved`;
  byId('note').textContent = `${state.app}. Research software, not for clinical use.`;
}

function showHelp(state) {
  const dialog = byId('keys');
  const keys = make('dl', {}, ...KEYS.flatMap(([key, what]) =>
    [make('dt', {}, make('kbd', { textContent: key })), make('dd', { textContent: what })]));
  const links = [['docs', 'All endpoints, to be tried by hand'],
    ...Object.entries(state?.documents || {}).map(([name, title]) => [`osln/docs/${name}`, title])];
  const told = [state?.studies, ...(state?.remarks || []), ...(state?.notes || []), state?.warning,
    ...(state?.left_out || []).map(reason => `Left out: ${reason}`), state?.pacs?.error].filter(Boolean);
  dialog.replaceChildren(
    make('h2', { textContent: 'Keys' }), keys,
    make('h2', { textContent: 'Store' }), ...told.map(textContent => make('p', { textContent, className: 'faint' })),
    make('h2', { textContent: 'Documents' }),
    make('p', { className: 'links' }, ...links.map(([href, textContent]) => make('a', { href, textContent }))),
    make('div', { className: 'row' }, button('Close', () => dialog.close())));
  dialog.showModal();
}

function typing(event) {
  return event.target.closest('input[type=text], input[type=search], input[type=number], textarea, select');
}

async function start() {
  const app = { tell, attempt, who: new Who(), state: null };
  await app.who.load();
  showWho(app.who);
  app.refreshState = async () => {
    app.state = await ask('osln/state');
    showState(app.state);
  };
  const views = Object.fromEntries(Object.entries(VIEWS).map(([name, View]) => [name, new View(byId(name), app)]));
  const shown = () => (location.hash.slice(1) in views ? location.hash.slice(1) : 'worklist');
  app.shows = name => shown() === name && !document.hidden;
  const show = () => {
    for (const [name, view] of Object.entries(views)) {
      byId(name).hidden = name !== shown();
      document.querySelector(`nav a[href="#${name}"]`).toggleAttribute('aria-current', name === shown());
      if (name === shown()) attempt(() => view.show());
    }
  };
  const help = () => showHelp(app.state);
  byId('help').onclick = help;
  addEventListener('hashchange', show);
  addEventListener('visibilitychange', () => document.hidden || show());
  addEventListener('keydown', event => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
    if (typing(event)) {
      if (event.key !== 'Escape') return;
      // The browser would empty a search without a word.
      event.preventDefault();
      event.target.blur();
      return;
    }
    const page = Object.keys(VIEWS)[Number(event.key) - 1];
    if (event.key === '?') help();
    else if (page) location.hash = page;
    else if (!views[shown()].key?.(event)) return;
    event.preventDefault();
  });
  show();
  if (shown() !== 'worklist') await attempt(app.refreshState);
}

start().catch(error => tell(error.message, 'error'));
