// The list of candidates: a listbox that is read and used without a mouse.
// Uses dom.js: element, round.

const SIGNS = { undecided: '·', accepted: '✓', rejected: '✗', edited: '✎', added: '+' };
const HEADS = [
  ['', 'state'],
  ['score', 'score of the model'],
  ['ø mm', 'diameter of the sphere of the same volume'],
  ['SUV', 'SUVmax'],
  ['dist', 'millimeters from the tumor, measured up to 100'],
  ['zone', 'proximal: at most 70 mm from the tumor'],
];

/** Distances end at 100 mm (osln/imaging/distance.py). */
const beyond = distance => (distance >= 100 ? '>100' : round(distance, 0));

const millimeters = ({ radius_mm }) => (typeof radius_mm === 'number' ? 2 * radius_mm : null);

/** A candidate in one sentence, for who cannot see the columns. */
function inWords(candidate) {
  const { id, state, score, suv_max, distance_mm, zone } = candidate;
  const parts = [
    `candidate ${id.slice(1)}, ${state}`,
    score !== null && `score ${round(score, 2)}`,
    `${round(millimeters(candidate))} millimeters`,
    suv_max !== null && `SUV ${round(suv_max)}`,
    distance_mm !== null && `${beyond(distance_mm)} millimeters from the tumor`,
    zone,
  ];
  return parts.filter(Boolean).join(', ');
}

class CandidateList {
  /** @param onSelect Called with the id of a line that was clicked. */
  constructor(onSelect) {
    this.head = element('div', { className: 'osln-line osln-head', 'aria-hidden': 'true' });
    this.head.append(...HEADS.map(([textContent, title]) => element('span', { textContent, title })));
    this.box = element('div', { role: 'listbox', tabIndex: 0, className: 'osln-list', 'aria-label': 'candidates' });
    this.box.addEventListener('click', event => {
      const option = event.target.closest('[role=option]');
      if (option) onSelect(option.dataset.id);
    });
  }

  /**
   * @param candidates In their order.
   * @param selected Id, or null.
   * @param detailed Id of the one whose tags are shown, or null.
   * @param proposed Ids of those that a strategy asks first.
   * @param below Ids of those that count as nodes only if they are accepted.
   */
  show(candidates, selected, detailed, proposed = [], below = []) {
    this.proposed = new Set(proposed);
    this.below = new Set(below);
    const options = candidates.map(candidate => this.option(candidate, selected, detailed));
    if (!options.length)
      options.push(element('div', { className: 'osln-none', textContent: 'No candidates: find nodes, or add them.' }));
    this.box.replaceChildren(...options);
    const at = this.box.querySelector('[aria-selected=true]');
    if (at) this.box.setAttribute('aria-activedescendant', at.id);
    else this.box.removeAttribute('aria-activedescendant');
    at?.scrollIntoView({ block: 'nearest' });
  }

  option(candidate, selected, detailed) {
    const { id, state, score, suv_max, distance_mm, zone } = candidate;
    const cells = [
      SIGNS[state],
      round(score, 2),
      round(millimeters(candidate)),
      round(suv_max),
      beyond(distance_mm),
      zone ?? '–',
    ];
    const option = element('div', {
      role: 'option',
      id: `osln-option-${id}`,
      className: state,
      'aria-selected': String(id === selected),
      'aria-label': [
        inWords(candidate),
        ...(this.proposed.has(id) ? ['proposed'] : []),
        ...(this.below.has(id) ? ['below the operating point'] : []),
      ].join(', '),
    });
    if (this.below.has(id)) {
      option.dataset.below = '';
      option.title = 'below the operating point: a node only if you accept it';
    }
    option.dataset.id = id;
    if (this.proposed.has(id)) option.dataset.proposed = '';
    option.append(
      element('div', { className: 'osln-line' }, ...cells.map(textContent => element('span', { textContent })))
    );
    if (id === detailed)
      option.append(element('div', { className: 'osln-details', textContent: this.details(candidate) }));
    return option;
  }

  details({ id, state, origin, tags, stage_one_score }) {
    const from = { model: 'found by the model', annotator: 'drawn', click: 'added by click' }[origin];
    const first = stage_one_score === null ? '' : `, first stage ${round(stage_one_score, 2)}`;
    const named = tags.map(([name, probability]) => `${name} ${Math.round(100 * probability)}%`).join(', ');
    return `${id}: ${state}, ${from}${first}. ${named || 'No tags.'}`;
  }
}
