// Submitting: what counts is asked, what was stored is told, what somebody else stored meanwhile is merged.
// Uses geometry.js: writeNrrd; nodes.js: TUMOR, placesByValue; record.js: counted, submission, tumorErased, withoutOutline; server.js: submit; dom.js: question; unfinished.js: bringOver; opening.js: showCase.

const COUNT_AS = {
  accepted: 'they count as nodes',
  rejected: 'they count as no nodes',
  unknown: 'they stay unknown',
};

const undecidedKey = name => `osln-undecided ${name}`;

/** What undecided ones on offer count as: asked once, then told and changed on demand; null: not now. */
async function undecidedCount(panel, ask) {
  const left = panel.review.offered().length;
  const kept = localStorage.getItem(undecidedKey(panel.name));
  if (!left) return kept || 'unknown';
  if (kept && !ask) return kept;
  const answer = await question(
    panel.place,
    `${left} undecided`,
    [
      'These candidates are above the operating point and not decided. What shall they count as?',
      'Your answer is kept, and said each time.',
    ],
    [
      [null, 'Decide them first'],
      ['accepted', 'Count as nodes'],
      ['rejected', 'Count as no nodes'],
      ['unknown', 'Leave them unknown'],
    ]
  );
  if (answer) localStorage.setItem(undecidedKey(panel.name), answer);
  return answer;
}

/** Asks, sends; everything stays in the viewer whatever the server answers. */
async function sendCase(panel) {
  if (!panel.name) {
    panel.tell('Type your name first: it is kept with the label.', 'error');
    panel.parts.annotator.focus();
    return;
  }
  let undecided = await undecidedCount(panel, false);
  if (!undecided) return;
  const sure = () => {
    const left = panel.review.offered().length;
    const nodes = counted(panel.review, undecided).length;
    // What is on offer and stays unknown makes the case one in part; otherwise that is the annotator's choice.
    const complete = [['send', 'Submit']].filter(() => !left || undecided !== 'unknown');
    const told = left ? [`${left} undecided: ${COUNT_AS[undecided]}.`] : [];
    const rest = panel.review.candidates.filter(({ state }) => state === 'undecided').length - left;
    if (rest) told.push(`${rest} more below the operating point, not decided: they count as no nodes.`);
    if (tumorErased(panel.review)) told.push('Nothing is left of the tumor: the stored one stays until another is drawn.');
    return question(
      panel.place,
      `Submit ${nodes} ${nodes === 1 ? 'node' : 'nodes'}?`,
      [
        `${panel.title}, by ${panel.name}.`,
        ...told,
        complete.length && 'Submit: the case is complete, and what is no node in it teaches that it is none.',
        'Submit in part: only what you have decided counts, everything else in the case stays unknown.',
      ].filter(Boolean),
      [
        ...complete,
        ['part', 'Submit in part'],
        [null, 'Not yet'],
        ...(left ? [['change', 'Count them otherwise']] : []),
      ]
    );
  };
  let answer = await sure();
  while (answer === 'change') {
    undecided = (await undecidedCount(panel, true)) || undecided;
    answer = await sure();
  }
  if (!answer) return;
  const lost = withoutOutline(panel.review, answer === 'part' ? 'unknown' : undecided).map(({ id }) => id);
  if (lost.length) {
    panel.select(lost[0], false);
    panel.tell(
      `${lost.join(', ')} would count as nodes and have no outline, so nothing was submitted. Find nodes brings it ` +
        'back; if it does not, draw it or reject it. Then submit.',
      'error'
    );
    return;
  }
  if (answer === 'send') await send(panel, undecided, true);
  if (answer === 'part') await send(panel, 'unknown', false);
}

async function send(panel, undecided, complete) {
  panel.watch.tick(panel.isLookedAt());
  const { watch, review, drafts } = panel;
  // A stroke is possible while the server stores: it is not in what was sent.
  const { changes } = review;
  const {
    values,
    info,
    review: record,
  } = submission(review, undecided, { of: id => watch.of(id), total: watch.total }, complete);
  const { tumorRevision, tumorMark } = review.base;
  const tumorBases = { tumor_base_revision: tumorRevision, tumor_base_mark: tumorMark };
  const bases = { base_revision: panel.revision, ...tumorBases };
  const params = { label_info: info, client_id: panel.name, ...bases, review: record };
  panel.enable(false);
  try {
    const reply = await panel.during('submit', 'Storing', submit(panel.image, writeNrrd(values, review.grid), params));
    review.wasStored(
      {
        ...review.base,
        ...(reply.nodes_revision && {
          revision: reply.nodes_revision,
          by: reply.unchanged ? review.base.by : params.client_id,
        }),
        ...(reply.tumor_revision && { tumorRevision: reply.tumor_revision, tumorMark: reply.tumor_mark }),
        ...(values.includes(TUMOR) && { tumor: placesByValue(values).get(TUMOR) }),
      },
      record
    );
    showCase(panel);
    const more = review.changes !== changes;
    if (more) panel.keep();
    else {
      panel.unsaved = false;
      await drafts?.drop().catch(() => {});
    }
    const later = more && 'What you drew meanwhile is not in it: submit again.';
    panel.tell([reply.message, reply.pacs?.message, later].filter(Boolean).join(' '), 'good');
  } catch (error) {
    await panel.trouble(error, 'Not stored, and nothing is lost: ');
    if (error.status === 409) await afterConflict(panel);
  } finally {
    panel.enable(true);
  }
}

async function afterConflict(panel) {
  if (await bringOver(panel))
    panel.tell(['Merged. Look at it, then submit it.', ...panel.review.said].join(' '), 'good');
}
