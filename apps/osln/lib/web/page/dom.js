// Elements, times and numbers as this page writes them.

/** An element with attributes, listeners (on...) and children; what is null or undefined is left out. */
export function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined) continue;
    if (name.includes('-') || name === 'role') made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children.filter(child => child !== null && child !== undefined));
  return made;
}

export const button = (textContent, onclick, attributes = {}) =>
  make('button', { type: 'button', textContent, onclick, ...attributes });

/** 2026-11-28 14:05 in this computer's time; '' for none. */
export function time(value) {
  if (value === null || value === undefined || value === '') return '';
  const date = typeof value === 'number' ? new Date(value * 1000) : new Date(value);
  if (Number.isNaN(date.getTime())) return '';
  const two = number => String(number).padStart(2, '0');
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}`;
}

/** A number with so many digits; '' for none. */
export const number = (value, digits = 0) => (typeof value === 'number' ? value.toFixed(digits) : '');

/** 84 s, 3 min, 2 h. */
export function duration(seconds) {
  if (typeof seconds !== 'number') return '';
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}

/** '1 case', '3 cases'. */
export const counted = (count, what) => `${count} ${what}${count === 1 ? '' : 's'}`;

/** A name with hyphens that no line is broken at; copied, it is the name. */
export const unbroken = text => make('span', { className: 'unbroken', textContent: text });

/** Parts, texts or elements, with a comma between them. */
export const listed = parts => parts.flatMap((part, n) => (n ? [', ', part] : [part]));

/** Puts text on the clipboard, also where the browser keeps its own way for pages with TLS. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const place = make('textarea', { value: text, className: 'away' });
    document.body.append(place);
    place.select();
    const done = document.execCommand('copy');
    place.remove();
    if (!done) throw new Error('the browser does not let this page write to the clipboard');
  }
}

/** Asks in a dialog; the answer is the text, true where nothing is to be typed, or null. */
export function question(title, { text = '', input = null, yes = 'Yes' } = {}) {
  const dialog = document.getElementById('question');
  const field = input === null ? null : make('input', { type: 'text', placeholder: input, maxLength: 200 });
  return new Promise(resolve => {
    const answer = value => {
      dialog.onclose = null;
      dialog.close();
      resolve(value);
    };
    const form = make('form', { onsubmit: event => {
      event.preventDefault();
      if (!field) answer(true);
      else if (field.value.trim()) answer(field.value.trim());
    } },
      make('h2', { textContent: title }),
      text ? make('p', { textContent: text }) : null,
      field,
      make('div', { className: 'row' },
        make('button', { type: 'submit', className: 'main', textContent: yes }),
        button('Cancel', () => answer(null))));
    dialog.replaceChildren(form);
    dialog.onclose = () => resolve(null);
    dialog.showModal();
  });
}
