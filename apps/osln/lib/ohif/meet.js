// Somebody else stored this case meanwhile: both are shown node by node, and the annotator says what holds.
// Uses geometry.js: onGrid; record.js: storedCandidates; merge.js: isCounted, mergeTheirs, pairs; server.js: storedLabel, storedReview; dom.js: choice, element, question, round; list.js: millimeters.

const CHOICES = [
  ['both', 'both'],
  ['mine', 'mine'],
  ['theirs', 'theirs'],
];

/** The stored label and its decisions as {map, candidates, revision, by}. */
async function readTheirs(image, grid) {
  const [label, record] = await Promise.all([storedLabel(image), storedReview(image)]);
  const map = label.labels
    ? onGrid(label.labels, label.grid, grid)
    : new Uint8Array(grid.size[0] * grid.size[1] * grid.size[2]);
  return {
    map,
    candidates: storedCandidates(map, grid, record?.review ?? null),
    revision: label.revision,
    by: label.by,
  };
}

const sideText = candidate =>
  candidate
    ? `${candidate.state}${isCounted(candidate) ? `, ${round(millimeters(candidate))} mm` : ''}`
    : 'nothing there';

/**
 * Asks which nodes hold and merges them into the review.
 *
 * @param panel {place, review, jumpTo(point RAS)}.
 * @param theirs What `readTheirs` gave.
 * @param why First line of the question.
 * @returns Whether it was merged.
 */
async function meet(panel, theirs, why) {
  const { review } = panel;
  const found = pairs({ map: review.map, candidates: review.candidates }, theirs);
  const differing = found.map((pair, n) => [pair, n]).filter(([pair]) => !pair.same);
  const choices = found.map(() => 'both');
  const selects = [];
  const rows = differing.map(([pair, n], position) => {
    const select = choice(CHOICES, {
      'aria-label': `node ${position + 1}`,
      onchange: () => (choices[n] = select.value),
    });
    selects.push([select, n]);
    const go = element('button', {
      textContent: `${position + 1}`,
      title: 'go there',
      onclick: () => panel.jumpTo((pair.mine || pair.theirs).center_mm),
    });
    return element(
      'li',
      {},
      go,
      element('span', { textContent: `mine: ${sideText(pair.mine)}; ${theirs.by}: ${sideText(pair.theirs)}` }),
      select
    );
  });
  const all = (value, text) =>
    element('button', {
      textContent: text,
      onclick: () =>
        selects.forEach(([select, n]) => {
          select.value = value;
          choices[n] = value;
        }),
    });
  const same = found.length - differing.length;
  const body = [
    why,
    `${same} ${same === 1 ? 'node is' : 'nodes are'} the same in both, ${differing.length} differ.`,
    '"Both" keeps a node that either has, with the voxels of both.',
    element(
      'div',
      { className: 'osln-row' },
      all('mine', 'All mine'),
      all('theirs', 'All theirs'),
      all('both', 'All both')
    ),
    element('ol', { className: 'osln-past osln-meet' }, ...rows),
  ];
  const answer = await question(panel.place, 'Merge by node', body, [
    ['merge', 'Merge'],
    [null, 'Not now'],
  ]);
  if (answer !== 'merge') return false;
  mergeTheirs(review, theirs, found, choices);
  return true;
}
