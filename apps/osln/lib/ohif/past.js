// What was stored of a case before: who, when, what changed; two revisions compared; an old one stored again.
// Uses server.js: compareRevisions, restoreRevision, storedHistory; dom.js: choice, element, question, round.

/** Seconds as minutes and seconds. */
const lasting = seconds =>
  seconds === null || seconds === undefined ? '' : `, ${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;

/** A revision in one line. */
function revisionLine({ revision, by, at, nodes, changes, complete, undecided, seconds, restored_from: from }) {
  const changed =
    changes &&
    [
      changes.added && `${changes.added} new`,
      changes.removed && `${changes.removed} left out`,
      changes.changed && `${changes.changed} changed`,
    ]
      .filter(Boolean)
      .join(', ');
  const when = new Date(at).toLocaleString();
  const parts = [
    nodes === 1 ? '1 node' : `${nodes} nodes`,
    changed,
    complete === false && `in part, ${undecided ?? 'some'} undecided`,
    from && `revision ${from} restored`,
  ];
  return `${revision}: ${by}, ${when}, ${parts.filter(Boolean).join('; ')}${lasting(seconds)}`;
}

/**
 * Shows the history of a case.
 *
 * @param panel {place, image, name, revision, unsaved, tell, jumpTo(point RAS), during(kind, text, work), reopen()}.
 */
async function showPast(panel) {
  const { revisions } = await panel.during('history', 'Reading the history', storedHistory(panel.image));
  if (!revisions.length) {
    panel.tell('Nothing was stored of this case yet.');
    return;
  }
  const numbers = revisions.map(({ revision }) => [revision, `revision ${revision}`]);
  const first = choice(numbers, { 'aria-label': 'one revision' });
  const second = choice(numbers, { 'aria-label': 'another revision' });
  first.selectedIndex = Math.min(1, revisions.length - 1);
  const list = element(
    'ol',
    { className: 'osln-past' },
    ...revisions.map(one => element('li', { textContent: revisionLine(one) }))
  );
  const against = 'Changes are counted against the revision before, those of the first against the prediction.';
  // The only one is compared with nothing, and is the newest already.
  const several = revisions.length > 1;
  const answer = await question(
    panel.place,
    'History',
    [list, against, ...(several ? [element('div', { className: 'osln-row' }, first, second)] : [])],
    [
      [null, 'Close'],
      ...(several
        ? [
            ['compare', 'Compare both'],
            ['restore', 'Restore the first'],
          ]
        : []),
    ]
  );
  const [a, b] = [Number(first.value), Number(second.value)];
  if (answer === 'compare') await showCompared(panel, a, b);
  if (answer === 'restore') await restoreOld(panel, a);
}

async function showCompared(panel, a, b) {
  const { nodes } = await panel.during('compare', 'Comparing', compareRevisions(panel.image, a, b));
  const told = ({ in_a: inA, in_b: inB, mm3_a: from, mm3_b: to, dice }) => {
    if (inA === null) return `only in revision ${b}: ${round(to, 0)} mm³`;
    if (inB === null) return `only in revision ${a}: ${round(from, 0)} mm³`;
    return dice === 1
      ? `the same: ${round(to, 0)} mm³`
      : `${round(from, 0)} and ${round(to, 0)} mm³, Dice ${round(dice, 2)}`;
  };
  const jump = node => element('button', { textContent: told(node), onclick: () => panel.jumpTo(node.center_mm) });
  const lines = nodes.length
    ? nodes.map(node => element('li', {}, jump(node)))
    : [element('li', { textContent: 'no node in either' })];
  await question(
    panel.place,
    `Revision ${a} and revision ${b}`,
    [element('ol', { className: 'osln-past' }, ...lines)],
    [[null, 'Close']]
  );
}

async function restoreOld(panel, revision) {
  if (!panel.name) throw new Error('type your name first: it is kept with the restored revision');
  const lost = panel.unsaved ? ['What was not submitted here is replaced by it.'] : [];
  const sure = await question(
    panel.place,
    `Restore revision ${revision}?`,
    [`It is stored again as the newest revision, with its decisions. None is overwritten.`, ...lost],
    [
      [null, 'No'],
      ['yes', 'Restore'],
    ]
  );
  if (sure !== 'yes') return;
  const reply = await panel.during(
    'restore',
    'Restoring',
    restoreRevision(panel.image, revision, panel.revision, panel.name)
  );
  await panel.reopen();
  panel.tell(reply.message || `Revision ${revision} is the newest one again.`, 'good');
}
