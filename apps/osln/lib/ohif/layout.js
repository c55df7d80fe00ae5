// The panel's elements: where they stand and what they are called.
// Uses style.js: STYLE; keys.js: KEYS; dom.js: choice, element.

const BRUSH_MM = 4;
const ANNOTATOR_KEY = 'osln-annotator';

// Those that need images and an idle server.
const CONTROLS = [
  'find',
  'accept',
  'reject',
  'undo',
  'redo',
  'add',
  'remove',
  'split',
  'join',
  'brush',
  'erase',
  'look',
  'submit',
  'past',
  'nextCase',
  'point',
];

/** Keys of an action as they are shown: "n, ArrowDown". */
const keysOf = action => KEYS.find(([, name]) => name === action)?.[0].join(', ') ?? '';

/** The table of all keys. */
function keyTable() {
  const rows = KEYS.map(([keys, , text]) =>
    element(
      'tr',
      {},
      element('td', { textContent: keys[1] === '2' ? `${keys[0]} to ${keys.at(-1)}` : keys.slice(0, 2).join(' or ') }),
      element('td', { textContent: text })
    )
  );
  return element('table', { className: 'osln-keys' }, ...rows);
}

/**
 * Fills a place with the panel.
 *
 * @param act Called with the name of an action, as in the table of keys.
 * @param list The list's two elements, head and box.
 * @returns The elements that change, by name.
 */
function layout(place, act, list) {
  const parts = {};
  const part = (name, value) => {
    parts[name] = value;
    return value;
  };
  const button = (textContent, action, attributes = {}) => {
    const keys = keysOf(action);
    return part(
      action,
      element('button', { textContent, title: keys && `key ${keys}`, onclick: () => act(action), ...attributes })
    );
  };
  const slider = (name, attributes) => part(name, element('input', { type: 'range', ...attributes }));
  const row = (...controls) => element('div', { className: 'osln-row' }, ...controls);
  place.replaceChildren(
    element('style', { textContent: STYLE }),
    part(
      'panel',
      element(
        'div',
        { className: 'osln' },
        part('about', element('div', { className: 'osln-about', textContent: 'Loading the images ...' })),
        row(part('model', choice([], { 'aria-label': 'model' })), button('Find nodes', 'find', { className: 'main' })),
        row(slider('point', { 'aria-label': 'operating point' })),
        part('pointText', element('div', { className: 'osln-small' })),
        row(
          part(
            'order',
            choice(
              [
                ['proposed', 'proposed first'],
                ['score', 'by score'],
                ['place', 'by place'],
                ['doubt', 'by doubt'],
              ],
              { 'aria-label': 'order', className: 'osln-wide' }
            )
          ),
          button('?', 'help', { 'aria-label': 'keys', className: 'osln-narrow' })
        ),
        part('left', element('div', { className: 'osln-small', 'aria-live': 'polite' })),
        list.head,
        list.box,
        row(button('Accept', 'accept'), button('Reject', 'reject'), button('Undo', 'undo'), button('Redo', 'redo')),
        row(button('Add', 'add'), button('Delete', 'remove'), button('Split', 'split'), button('Merge', 'join')),
        row(
          button('Brush', 'brush'),
          button('Eraser', 'erase'),
          button('Look', 'look'),
          part(
            'target',
            choice(
              [
                ['node', 'this node'],
                ['new', 'new node'],
                ['tumor', 'tumor'],
              ],
              { 'aria-label': 'what the brush paints', className: 'osln-wide' }
            )
          )
        ),
        row(
          slider('radius', { min: 1, max: 20, step: 0.5, value: BRUSH_MM, 'aria-label': 'radius of brush and eraser' }),
          part('millimeters', element('small', { textContent: `${BRUSH_MM} mm` })),
          element(
            'label',
            { title: 'after accept and reject' },
            part('advance', element('input', { type: 'checkbox', checked: true })),
            'advance'
          ),
          element(
            'label',
            { title: 'selecting centers and zooms' },
            part('follow', element('input', { type: 'checkbox', checked: true })),
            'jump'
          )
        ),
        row(
          part(
            'annotator',
            element('input', {
              type: 'text',
              placeholder: 'your name',
              'aria-label': 'annotator',
              value: localStorage.getItem(ANNOTATOR_KEY) || '',
            })
          ),
          button('Submit', 'submit', { className: 'main' })
        ),
        row(
          button('History', 'past'),
          button('Next case', 'nextCase'),
          part('kept', element('span', { className: 'osln-small' }))
        ),
        part('said', element('div', { className: 'osln-said', role: 'status', 'aria-live': 'polite' })),
        element('div', { className: 'osln-small', textContent: 'Research software, not for clinical use.' })
      )
    )
  );
  return parts;
}
