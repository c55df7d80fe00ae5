// Work on a case begins or goes on: who else works on it, what was left unfinished, what was stored meanwhile.
// Uses nodes.js: TUMOR, placesByValue, unpacked; record.js: described, restoreDraft; merge.js: pairs; server.js: giveBack, lease; drafts.js: Drafts; dom.js: question; layout.js: ANNOTATOR_KEY; meet.js: meet, readTheirs.

/** Who else is at it is told, and what was left unfinished is offered; `asked` as of `askAbout`. */
async function takePlace(panel, { held, draft } = {}) {
  const { name, drafts: former } = panel;
  const drafts = draftsOf(panel);
  try {
    if (name && !(await leased(panel, held)))
      panel.tell('You look on: somebody else works on this case. What you submit is merged by node.');
  } catch (error) {
    // Nobody knows then who else is at it; what is drawn here is kept all the same.
    panel.trouble(error);
  }
  const kept = await drafts.newest(draft);
  // Until this is answered, what is done here is kept where it was: it would write over the draft that waits.
  const outdated = kept && kept.base_revision !== panel.revision;
  const answer = kept && (await askedOf(panel, kept, outdated));
  if (panel.gone) return;
  former?.channel?.close();
  panel.drafts = drafts;
  drafts.meetOthers();
  if (answer === 'go') {
    restoreDraft(panel.review, panel.watch, kept);
    if (outdated) await bringOver(panel);
    panel.tell(['Your unfinished work is back.', ...panel.review.said].join(' '), 'good');
    return;
  }
  if (answer) await drafts.drop();
  if (answer === 'stored') panel.tell(`What you submitted was stored as revision ${panel.revision}.`, 'good');
  if (!panel.unsaved) return;
  // What was begun without a name goes with it.
  if (former && !former.annotator && former.key !== drafts.key) await former.drop();
  panel.keep();
}

/** Where the panel's annotator keeps unfinished work on this case. */
function draftsOf(panel) {
  const place = `${location.host} ${panel.case} ${panel.image}`;
  return new Drafts(panel.image, place, panel.name, (kept, sentence, error) => {
    panel.parts.kept.textContent = kept
      ? `draft ${new Date().toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' })}`
      : '';
    panel.parts.kept.title = sentence ?? '';
    if (kept === false) panel.trouble(Object.assign(new Error(sentence), { status: error?.status }));
  });
}

/** Whether this annotator has the case; whoever else has it is named first. */
async function leased(panel, asked = null) {
  const { name } = panel;
  let held = await (asked ?? lease(panel.image, name, false));
  if (!held.mine) {
    const since = new Date(held.since).toLocaleTimeString();
    const answer = await question(
      panel.place,
      `${held.by} is working on this case`,
      [`Since ${since}. Two may work on one case; whoever submits second merges by node.`],
      [
        [null, 'Look on'],
        ['take', 'Take it over'],
      ]
    );
    if (answer === 'take') held = await lease(panel.image, name, true);
  }
  panel.leased = held.mine ? name : null;
  return held.mine;
}

/** What becomes of a draft: 'go', 'drop', 'stored' (it is the stored label by now), null if the page is left. */
async function askedOf(panel, draft, outdated) {
  if (outdated && !panel.unsaved && isStored(panel.review, draft)) return 'stored';
  const when = new Date(draft.saved_at).toLocaleString();
  const later = outdated
    ? [
        `It was begun on ${draft.base_revision ? `revision ${draft.base_revision}` : 'the case without a label'}.`,
        `Now revision ${panel.revision} is stored: both are merged by node.`,
      ]
    : [];
  const here = panel.unsaved ? ['It is not what you did here until now: one of the two can go on.'] : [];
  let answer = null;
  // A draft that waits would be written over by the next decision, so this has to be answered.
  while (!answer && !panel.gone) {
    answer = await question(panel.place, 'Unfinished work', [`${described(draft)}, kept ${when}.`, ...later, ...here], [
      ['go', outdated ? 'Bring it onto the new state' : 'Go on with it'],
      ['drop', panel.unsaved ? 'Go on with what is here' : 'Throw it away'],
    ]);
  }
  return answer;
}

/** Whether a draft is what is stored by now: the page was closed before the server's answer came. */
function isStored(review, { state, runs }) {
  const mine = { map: unpacked(runs, review.map.length), candidates: state.facts.candidates };
  const tumor = ({ map }) => (placesByValue(map).get(TUMOR) || []).join();
  return (
    tumor(mine) === tumor(review) &&
    pairs(mine, review).every(({ mine: one, theirs, same }) => same && one?.state === theirs?.state)
  );
}

/** Mine on a former revision, theirs stored now. Returns whether they were merged. */
async function bringOver(panel) {
  const theirs = await panel.during('label', 'Reading the stored label', readTheirs(panel.image, panel.review.grid));
  const news =
    theirs.revision === panel.revision
      ? 'Another tumor was stored meanwhile.'
      : `${theirs.by} stored revision ${theirs.revision} meanwhile.`;
  return meet(panel, theirs, news);
}

/** The annotator's name was typed: it is remembered, and drafts and lease are theirs. */
async function renamed(panel) {
  localStorage.setItem(ANNOTATOR_KEY, panel.name);
  if (!panel.review) return;
  if (panel.leased && panel.leased !== panel.name) giveBack(panel.image, panel.leased);
  panel.leased = null;
  // Nothing that is done under this name may become the draft of another one.
  if (panel.drafts?.annotator && panel.drafts.annotator !== panel.name) {
    panel.drafts.stop();
    panel.drafts = undefined;
  }
  await takePlace(panel);
}
