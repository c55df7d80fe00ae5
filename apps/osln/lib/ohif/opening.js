// Opening a case: its images and its stored label with decisions.
// Uses geometry.js: onGrid; review.js: Review; record.js: storedCandidates, thresholdOf; server.js: account, caseFacts, foundBefore, giveBack, info, keptDraft, lease, proposedIn, storedLabel, storedReview; segmentation.js: EditedLabels; view.js: VIEWPORTS; hanging.js: TOOL_GROUP; dom.js: element, line, options; unfinished.js: takePlace.

const PET_LOOK_MS = 2000;

/**
 * Asks for everything about a CT at once, and before its images are asked for: the browser has six lines to the
 * server, and whoever asks later waits behind hundreds of images.
 *
 * @param image UID of the CT.
 * @param typed Name of the annotator where there are no accounts.
 * @return Promises: about, login, by (the annotator), facts, label [stored, record], and of the annotator held (the
 *     lease), draft.
 */
function askAbout(image, typed) {
  const login = account();
  const by = login.then(known => known ?? typed);
  const ofName = work => by.then(name => (name ? work(image, name, false) : null));
  const asked = {
    ...{ image, typed, by, about: info(), login, facts: caseFacts(image), label: readLabel(image) },
    ...{ held: ofName(lease), draft: ofName(keptDraft) },
  };
  // What fails is said where it is waited for.
  for (const one of Object.values(asked)) if (one?.catch) one.catch(() => {});
  return asked;
}

/** Gives back the lease of a case that was left before its images came. */
const leave = ({ image, by, held }) =>
  Promise.all([by, held]).then(
    ([name, lease]) => lease?.mine && giveBack(image, name),
    () => {}
  );

const readLabel = image => Promise.all([storedLabel(image), storedReview(image)]);

/** Everything about the CT that is shown. */
async function openCase(panel) {
  performance.mark('osln-planes');
  const { viewportGridService, displaySetService, toolGroupService } = panel.services;
  const [first] = viewportGridService.getState().viewports.get(VIEWPORTS.axial).displaySetInstanceUIDs;
  panel.ct = displaySetService.getDisplaySetByUID(first);
  panel.image = panel.ct.SeriesInstanceUID;
  panel.labels = new EditedLabels(panel.services, panel.ct, Object.values(VIEWPORTS));
  const asked = panel.asked?.image === panel.image ? panel.asked : askAbout(panel.image, panel.name);
  await panel.labels.show();
  const known = Promise.all([asked.about, asked.login, asked.facts]);
  const [about, login, facts] = await panel.during('open', 'Asking about the case', known);
  panel.facts = facts;
  panel.models = Object.fromEntries(Object.entries(about.models).filter(([, model]) => model.type === 'segmentation'));
  panel.parts.model.replaceChildren(...options(Object.keys(panel.models)));
  if (login) {
    panel.parts.annotator.value = login;
    panel.parts.annotator.readOnly = true;
  }
  await readStored(panel, asked.label);
  panel.mark(toolGroupService.getToolGroup(TOOL_GROUP).getActivePrimaryMouseButtonTool());
  await takePlace(panel, panel.name === (login ?? asked.typed) ? asked : {});
  await readProposed(panel);
  panel.enable(true);
  performance.mark('osln-usable');
  awaitPet(panel).catch(error => panel.trouble(error));
  panel.select(panel.review.shown(panel.order)[0]?.id ?? null, false);
  tellFound(panel).catch(error => panel.trouble(error));
}

/** Where nobody has begun and the server has found nodes before, how they come: by key, since work begins with it. */
async function tellFound(panel) {
  if (panel.review.candidates.length || panel.revision) return;
  const { candidates = [] } = await foundBefore(panel.image);
  if (panel.gone || !candidates.length || panel.review.candidates.length || panel.parts.said.textContent) return;
  panel.tell(`${candidates.length} candidates were found before: Find nodes (Shift+F) brings them.`);
}

/** The stored label with its decisions, from the server into the review and the viewer. */
async function readStored(panel, read = readLabel(panel.image)) {
  const [stored, record] = await panel.during('label', 'Reading the stored label', read);
  if ((stored.series || stored.case) !== panel.image) {
    throw new Error(
      'This CT was made for its PET; the case on the server is a planning CT. Open the study that has it.'
    );
  }
  const { grid } = panel.labels;
  const map = stored.labels
    ? onGrid(stored.labels, stored.grid, grid)
    : new Uint8Array(grid.size[0] * grid.size[1] * grid.size[2]);
  const review = new Review(grid, map, storedCandidates(map, grid, record?.review ?? null));
  review.threshold = thresholdOf(record?.review);
  review.lookedAt = record?.review?.looked_at ?? [];
  review.facts = { ...review.facts, model: record?.review?.model ?? null };
  panel.watch.begin(secondsOf(record?.review));
  panel.case = stored.case;
  const { revision, tumorRevision, tumorMark, by } = stored;
  review.basedOn({ ...review.base, revision, tumorRevision, tumorMark, by });
  panel.review = review;
  panel.selected = null;
  panel.unsaved = false;
  panel.labels.write(review.map);
  panel.labels.forgetLooks();
  review.onChange = places => panel.changed(places);
  showCase(panel);
  panel.refresh();
}

/** What the strategy asks first here; without an answer the candidates come by score. */
async function readProposed(panel) {
  try {
    const { why, candidates, windows } = await proposedIn(panel.image, panel.name);
    panel.review.propose(candidates);
    const { length } = panel.review.proposed;
    panel.proposed = { why: length || windows.length ? `Proposed: ${why}` : '', windows };
  } catch {
    panel.proposed = { why: '', windows: [] };
  }
  showCase(panel);
  panel.refresh();
}

/** Attention that the stored revision knows of, to be counted on. */
function secondsOf(record) {
  const by = (record?.candidates || []).filter(({ seconds }) => seconds).map(({ id, seconds }) => [id, seconds]);
  return { total: record?.seconds || 0, by: Object.fromEntries(by) };
}

/** What is shown, and who approved it. */
function showCase(panel) {
  const { pet, warnings = [] } = panel.facts || {};
  const { revision, by } = panel.review.base;
  panel.shownBase = panel.review.base;
  const { why, windows } = panel.proposed || { why: '', windows: [] };
  const approved = revision ? `revision ${revision} by ${by}` : 'nodes are not approved yet';
  const done = pet?.progress ? ` (${pet.progress.step}, ${Math.round(100 * pet.progress.fraction)}%)` : '';
  // On a PACS a case is called by a UID, which nobody reads.
  panel.title = panel.case === panel.image ? panel.ct.SeriesDescription || 'CT' : panel.case;
  const lines = [`${panel.title}: ${approved}`, pet && `${pet.message}${done}`, why, ...warnings];
  const places = windows.map(({ center_mm }, n) =>
    element('button', {
      textContent: `place ${n + 1}`,
      title: 'no candidate is here, and stage one is in doubt: goes there',
      onclick: () => {
        if (panel.review.lookAt(center_mm)) panel.keep();
        panel.jumpTo(center_mm);
      },
    })
  );
  const row = places.length ? [element('div', { className: 'osln-row' }, ...places)] : [];
  panel.parts.about.replaceChildren(...lines.filter(Boolean).map(line), ...row);
}

/** A PET that is being registered to the CT is waited for; shown is what the page was opened with. */
async function awaitPet(panel) {
  while (!panel.gone && panel.facts?.pet?.state === 'registering') {
    await new Promise(resolve => setTimeout(resolve, PET_LOOK_MS));
    if (panel.gone) return;
    panel.facts = await caseFacts(panel.image);
    if (panel.facts.pet.state === 'registered') {
      panel.facts.pet.message = `${panel.facts.pet.message}. Open the case again to see it; your work is kept.`;
    }
    showCase(panel);
  }
}
