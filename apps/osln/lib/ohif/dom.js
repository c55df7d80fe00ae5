// Elements, questions and messages of the panel: plain DOM.
// Uses watch.js: expectedSeconds, rememberSeconds.

const QUIET_MS = 500;

/** An element with attributes (aria-... too), listeners (on...) and children. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name in made && !name.startsWith('aria-')) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

const line = textContent => element('div', { textContent });

const options = values =>
  values
    .map(value => (Array.isArray(value) ? value : [value, value]))
    .map(([value, textContent]) => element('option', { value, textContent }));

const choice = (values, attributes = {}) => element('select', attributes, ...options(values));

// Adding 0 makes a 0 of what rounds to -0.
const round = (value, digits = 1) =>
  typeof value === 'number' ? (Number(value.toFixed(digits)) + 0).toFixed(digits) : '–';

/**
 * Asks inside the panel; everything else waits.
 *
 * @param place Element that the question covers.
 * @param title What is asked.
 * @param body Lines (strings) or elements.
 * @param answers [[value, text], ...]; the first has the focus. Escape answers null.
 * @returns The value, as a promise.
 */
function question(place, title, body, answers) {
  return new Promise(resolve => {
    const before = document.activeElement;
    const close = value => {
      shade.remove();
      before?.focus?.();
      resolve(value);
    };
    const buttons = answers.map(([value, textContent], n) =>
      element('button', { textContent, className: n ? '' : 'main', onclick: () => close(value) })
    );
    const box = element(
      'div',
      { role: 'dialog', 'aria-modal': 'true', 'aria-label': title, className: 'osln-box' },
      element('h3', { textContent: title }),
      ...body.map(part => (typeof part === 'string' ? line(part) : part)),
      element('div', { className: 'osln-row' }, ...buttons)
    );
    const shade = element('div', { className: 'osln-shade' }, box);
    shade.addEventListener('keydown', event => {
      event.stopPropagation();
      if (event.key === 'Escape') close(null);
      const stops = [...box.querySelectorAll('button, select, input')];
      const edge = event.shiftKey ? stops[0] : stops[stops.length - 1];
      if (event.key !== 'Tab' || document.activeElement !== edge) return;
      event.preventDefault();
      (event.shiftKey ? stops[stops.length - 1] : stops[0]).focus();
    });
    place.append(shade);
    // What is asked is read from its beginning, also where the answers lie below it.
    place.scrollTop = 0;
    buttons[0]?.focus({ preventScroll: true });
  });
}

const isAsked = place => Boolean(place.querySelector('.osln-shade'));

/**
 * Waits for work; what takes longer than half a second says what it is and how long it will take.
 *
 * @param kind What kept times are called, as 'find osln'.
 * @param text What is being done.
 * @param work The promise.
 * @param tell Called with a sentence while it lasts.
 */
async function during(kind, text, work, tell) {
  const begun = performance.now();
  const expected = expectedSeconds(kind);
  const passed = () => (performance.now() - begun) / 1000;
  const told = () => {
    const whole = expected ? ` of about ${Math.ceil(expected)} s` : ', not timed here yet';
    tell(`${text}: ${Math.round(passed())} s${whole} ...`);
  };
  let clock = null;
  const waiting = setTimeout(() => {
    told();
    clock = setInterval(told, 1000);
  }, QUIET_MS);
  try {
    const result = await work;
    rememberSeconds(kind, passed());
    return result;
  } finally {
    clearTimeout(waiting);
    clearInterval(clock);
  }
}
