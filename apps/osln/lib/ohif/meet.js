// Somebody else stored this case meanwhile: both are shown node by node, and the annotator says what holds.
// Uses geometry.js: onGrid; nodes.js: measured; record.js: storedCandidates; merge.js: isCounted, mergeTheirs, pairs, tumorPair; server.js: storedLabel, storedReview; dom.js: choice, element, question, round; list.js: millimeters.

const CHOICES = [
  ['both', 'both'],
  ['mine', 'mine'],
  ['theirs', 'theirs'],
];

/** The stored label and its decisions as {map, candidates, revision, tumorRevision, tumorMark, by}. */
async function readTheirs(image, grid) {
  const [label, record] = await Promise.all([storedLabel(image), storedReview(image)]);
  const map = label.labels
    ? onGrid(label.labels, label.grid, grid)
    : new Uint8Array(grid.size[0] * grid.size[1] * grid.size[2]);
  return {
    map,
    candidates: storedCandidates(map, grid, record?.review ?? null),
    revision: label.revision,
    tumorRevision: label.tumorRevision,
    tumorMark: label.tumorMark,
    by: label.by,
  };
}

const sideText = candidate =>
  candidate
    ? `${candidate.state}${isCounted(candidate) ? `, ${round(millimeters(candidate))} mm` : ''}`
    : 'nothing there';

/**
 * Asks which nodes hold, and which tumor if both painted it, and merges them into the review.
 *
 * @param panel {place, review, jumpTo(point RAS)}.
 * @param theirs What `readTheirs` gave.
 * @param why First line of the question.
 * @returns Whether it was merged.
 */
async function meet(panel, theirs, why) {
  const { review } = panel;
  const { changes } = review;
  const tumor = tumorPair(review, theirs);
  const found = pairs({ map: review.map, candidates: review.candidates }, theirs);
  const differing = found.map((pair, n) => [pair, n]).filter(([pair]) => !pair.same);
  const choices = found.map(() => 'both');
  const selects = [];
  // The tumor's choice comes after those of the pairs.
  if (tumor) choices.push('both');
  const row = (n, name, shown, center_mm, [mine, other]) => {
    const select = choice(CHOICES, { 'aria-label': name, onchange: () => (choices[n] = select.value) });
    selects.push([select, n]);
    const go = element('button', { textContent: shown, title: 'go there', onclick: () => panel.jumpTo(center_mm) });
    return element('li', {}, go, element('span', { textContent: `mine: ${mine}; ${theirs.by}: ${other}` }), select);
  };
  const rows = differing.map(([pair, n], position) =>
    row(n, `node ${position + 1}`, `${position + 1}`, (pair.mine || pair.theirs).center_mm, [
      sideText(pair.mine),
      sideText(pair.theirs),
    ])
  );
  if (tumor) {
    const [mine, other] = [tumor.mine, tumor.theirs].map(places => measured(places, review.grid));
    const size = side => (side ? `tumor, ${round(millimeters(side))} mm` : 'no tumor');
    rows.push(row(found.length, 'tumor', 'tumor', (mine ?? other).center_mm, [size(mine), size(other)]));
  }
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
    ...(tumor ? ['Both of you painted the tumor: it has a line of its own.'] : []),
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
  // A stroke is possible while this is asked: what was asked is not what is there any more.
  if (review.changes !== changes)
    return meet(panel, theirs, `${why} You changed something while this was asked: look at the nodes again.`);
  mergeTheirs(review, theirs, found, choices.slice(0, found.length), tumor ? choices[found.length] : 'mine');
  return true;
}
