// What each key and button does, by the names in the table of keys.
// Uses geometry.js: onGrid; touching.js: joinNode, splitNode; findings.js: mergeRun; server.js: findAll, query, worklist; windows.js: PET_UPPERS; view.js: LOOK, setCtWindow, setPetOpacity, setPetWindow, showTumor, toggleFill, toggleOverlay, togglePet; drawing.js: showBorder, showCrosshair; mip.js: showMip; dom.js: question; points.js: positionOf, thresholdAt; layout.js: keyTable; click.js: ClickedNode; past.js: showPast; opening.js: readProposed, readStored; sending.js: sendCase.

const WINDOW_KEYS = { 1: 'soft tissue', 2: 'mediastinum', 3: 'lung', 4: 'bone' };

// As the worklist keeps it.
const STRATEGY_KEY = 'osln-strategy';

const isOpen = ({ state }) => state === 'undecided';

/** What is said when the last proposed one is decided. */
function proposedDone({ proposed, candidates }) {
  const others = candidates.filter(isOpen).length;
  const all = `All ${proposed.length} proposed are decided`;
  if (!others) return `${all}, and so are all others. Ctrl+Enter submits.`;
  return others === 1
    ? `${all}, 1 other is not: submit in part, or decide it too.`
    : `${all}, ${others} others are not: submit in part, or decide them too.`;
}

/** Says how far the decisions are; what was said of that at the decision before holds no longer. */
function tellHowFar(panel, text) {
  if (text) panel.tell(text, 'good');
  else if (panel.howFar && panel.parts.said.textContent === panel.howFar) panel.tell('');
  panel.howFar = text;
}

/** Goes to the next or former candidate. */
function move(panel, step) {
  const next = panel.review.neighbor(panel.selected, step, panel.order);
  if (next) panel.select(next.id);
}

function decide(panel, state) {
  const { selected, review } = panel;
  const candidate = selected === null ? null : review.find(selected);
  if (!candidate) {
    panel.tell('Select a candidate first.');
    return;
  }
  if (state === 'accepted' && candidate.value === null) {
    panel.tell('Its outline was not stored. Find nodes brings it back; then accept it.', 'error');
    return;
  }
  // The order may change with the decision, so what comes next is looked up before.
  const goesOn = panel.parts.advance.checked && state !== 'undecided';
  const next = goesOn ? review.neighbor(selected, 1, panel.order, isOpen) : null;
  const follows = next && next.id !== selected;
  // With the decision the list shows both at once: drawing it twice costs as much as the decision.
  if (follows) panel.selected = next.id;
  const before = review.proposedLeft().length;
  const isNews = review.decide(selected, state);
  if (before && !review.proposedLeft().length) tellHowFar(panel, proposedDone(review));
  else tellHowFar(panel, goesOn && !follows ? 'All that is shown is decided. Ctrl+Enter submits.' : '');
  if (follows) panel.select(next.id, undefined, isNews);
}

function step(panel, way, none) {
  const done = panel.review[way]();
  panel.tell(done ? `${way === 'undo' ? 'Taken back' : 'Done again'}: ${done}.` : none);
}

/** All candidates of the chosen model; what was decided stays. */
async function find(panel) {
  const name = panel.parts.model.value;
  panel.enable(false);
  try {
    const { result, labels, grid } = await panel.during(
      `find ${name}`,
      `${name} is looking`,
      findAll(name, panel.image, {})
    );
    if (panel.gone) return;
    const found = onGrid(labels, grid, panel.review.grid);
    const curve = result.operating_curve || [];
    panel.review.threshold = startingThreshold(result, curve);
    const model = {
      name,
      versions: versionsOf(result.models),
      operating_point: result.operating_point,
    };
    const { fresh, kept, left } = mergeRun(panel.review, result.candidates, found, model, { curve });
    await readProposed(panel);
    const shown = panel.review.shown(panel.order);
    const told = [
      `${fresh} candidates`,
      kept && `${kept} more that were decided before`,
      shown.length < panel.review.candidates.length && `${shown.length} shown`,
      left && `${left} with the lowest scores left out, there is no room for them`,
    ];
    panel.select(shown.find(isOpen)?.id ?? null);
    // Last: who reads it presses the next key, which means nothing before the panel is idle.
    panel.tell([`${told.filter(Boolean).join(', ')}.`, ...result.warnings].join(' '), 'good');
  } catch (error) {
    await panel.trouble(error, 'Nothing was changed: ');
  } finally {
    panel.enable(true);
  }
}

const versionsOf = models =>
  Object.fromEntries(Object.entries(models || {}).map(([network, about]) => [network, about?.version ?? null]));

/** Where the list begins: the operating point of the run, or the lowest score that it kept. */
function startingThreshold({ score_threshold: score, candidates }, curve) {
  const start =
    typeof score === 'number' ? score : Math.min(...candidates.filter(({ kept }) => kept).map(one => one.score), 1);
  return curve.length ? thresholdAt(curve, positionOf(curve, start)) : start;
}

function addByClick(panel) {
  if (panel.clicking) {
    panel.clicking.end();
    return;
  }
  panel.clicking = new ClickedNode(panel.services, {
    image: panel.image,
    labels: panel.labels,
    review: panel.review,
    tell: (sentence, kind) => panel.tell(sentence, kind),
    during: (...all) => panel.during(...all),
    onTaken: (places, suv) => {
      const id = panel.review.add(places, 'click', suv);
      if (id) panel.select(id, false);
      panel.tell(['Added.', ...panel.review.said].join(' '), 'good');
    },
    onEnd: () => {
      panel.clicking = null;
      panel.parts.add.classList.remove('on');
      panel.labels.forgetLooks();
      panel.refresh();
    },
  });
  panel.parts.add.classList.add('on');
}

async function nextCase(panel) {
  const { next, cases } = await panel.during('worklist', 'Asking for the next case', worklist(panel.name));
  if (!next) {
    panel.tell('There is no further case to do.', 'good');
    return;
  }
  const { study_uid: study, series_uid: ct } = cases.find(one => one.case === next.case);
  if (next.case === panel.case) {
    panel.tell(`This case is the next one: ${next.why}.`);
    return;
  }
  const lost = panel.unsaved ? ['What you did here was not submitted; it is kept as a draft.'] : [];
  const answer = await question(panel.place, `Open ${next.case}?`, [next.why, ...lost].filter(Boolean), [
    ['go', 'Open it'],
    [null, 'Stay'],
  ]);
  if (answer !== 'go') return;
  await panel.drafts?.send();
  panel.unsaved = false;
  window.location.assign(`/ohif/osln?${query({ StudyInstanceUIDs: study, ct: ct ?? undefined })}`);
}

const ACTS = {
  next: panel => move(panel, 1),
  previous: panel => move(panel, -1),
  accept: panel => decide(panel, 'accepted'),
  reject: panel => decide(panel, 'rejected'),
  undecide: panel => decide(panel, 'undecided'),
  undo: panel => step(panel, 'undo', 'There is nothing to take back.'),
  redo: panel => step(panel, 'redo', 'There is nothing to do again.'),
  add: addByClick,
  take: panel => panel.clicking?.take(),
  drop: panel => panel.clicking?.end(),
  remove: panel => panel.selected !== null && panel.review.remove(panel.selected),
  split: panel =>
    splitNode(panel.review, panel.selected) || panel.tell('Select a node of two voxels or more to split it.'),
  join: panel => joinNode(panel.review, panel.selected) || panel.tell('The selected node touches no other one.'),
  jump: panel => panel.selected !== null && panel.select(panel.selected, true),
  details: panel => {
    panel.detailed = panel.detailed === panel.selected ? null : panel.selected;
    panel.refresh();
  },
  brush: panel => panel.use('SphereBrush'),
  erase: panel => panel.use('SphereEraser'),
  look: panel => panel.use('WindowLevel'),
  find,
  submit: sendCase,
  nextCase,
  past: panel => showPast(pastOf(panel)),
  help: panel => question(panel.place, 'Keys', [keyTable()], [[null, 'Close']]),
  overlay: panel => toggleOverlay(panel.services),
  fill: panel => toggleFill(panel.services),
  pet: panel => togglePet(panel.services),
  window: (panel, { key }) => panel.tell(`CT window: ${setCtWindow(panel.services, WINDOW_KEYS[key])}.`),
  suv: panel => {
    const upper = PET_UPPERS[(PET_UPPERS.indexOf(LOOK.petUpper) + 1) % PET_UPPERS.length];
    setPetWindow(panel.services, upper);
    panel.tell(`PET: SUV 0 to ${upper}.`);
  },
  opacity: (panel, { key }) => setPetOpacity(panel.services, LOOK.opacity + (key === ',' ? -0.1 : 0.1)),
  border: panel => showBorder(panel.services) || panel.tell('No border is shown: it needs a tumor.'),
  tumor: panel => showTumor(panel.services),
  crosshair: panel => showCrosshair(panel.services),
  mip: panel => showMip(panel.services),
};

/** What the history needs of the panel. */
const pastOf = panel => ({
  place: panel.place,
  image: panel.image,
  name: panel.name,
  revision: panel.revision,
  unsaved: panel.unsaved,
  tell: (...all) => panel.tell(...all),
  jumpTo: point => panel.jumpTo(point),
  during: (...all) => panel.during(...all),
  reopen: async () => {
    await panel.drafts?.drop();
    await readStored(panel);
    await readProposed(panel);
  },
});
