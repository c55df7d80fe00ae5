// Two annotators on one case: node by node, theirs, mine, or both.
// Uses nodes.js: MAX_VALUE, TUMOR, placesByValue, sameNode; steps.js: mostCommon; review.js: COUNTED; record.js: tumorDrawn.

/** Whether a candidate is a node: by its state, or as an undecided one that the stored label holds. */
const isCounted = candidate =>
  Boolean(
    candidate && (COUNTED.includes(candidate.state) || (candidate.state === 'undecided' && candidate.counted))
  );

/**
 * Which nodes of two people are one, and where they disagree.
 *
 * @param mine {map, candidates} of the page.
 * @param theirs {map, candidates} as they are stored now.
 * @returns [{mine, theirs, same}, ...]: candidates, one of them null if the other has none there. `same` where nothing
 *   is to be asked: both hold the same voxels, neither holds a node, or nobody decided about theirs.
 */
function pairs(mine, theirs) {
  const [mySets, theirSets] = [mine, theirs].map(({ map }) => placesByValue(map));
  const sizes = new Map([...mySets].map(([value, all]) => [value, all.length]));
  const left = new Set(mine.candidates);
  const found = theirs.candidates.map(candidate => {
    const node = { ...candidate, places: theirSets.get(candidate.value) || [] };
    const match = sameNode(node, [...left], mine.map, sizes);
    left.delete(match);
    return { mine: match, theirs: candidate };
  });
  for (const candidate of left) found.push({ mine: candidate, theirs: null });
  const equal = ({ mine: a, theirs: b }) => {
    // Nobody decided about it: what is stored holds.
    if (a?.state === 'undecided' && b?.state === 'undecided' && isCounted(b)) return true;
    if (!isCounted(a) && !isCounted(b)) return true;
    if (!isCounted(a) || !isCounted(b)) return false;
    const [first, second] = [mySets.get(a.value) || [], theirSets.get(b.value) || []];
    return first.length === second.length && first.every((place, n) => place === second[n]);
  };
  return found.map(pair => ({ ...pair, same: equal(pair) }));
}

/** Both tumors as {mine, theirs} (places) if both painted, and not the same; null if nothing is to be asked. */
function tumorPair(review, theirs) {
  if (!tumorDrawn(review)) return null;
  const [mine, other] = [review.map, theirs.map].map(map => placesByValue(map).get(TUMOR) || []);
  const [now, before] = [other, review.base.tumor].map(String);
  return now === before || now === String(mine) ? null : { mine, theirs: other };
}

/** What a pair becomes: {candidate, places} of whoever was chosen; null if it is no candidate at all. */
function chosenOf({ mine, theirs, same }, choice, myPlaces, theirPlaces) {
  // Where they agree, whoever decided is remembered.
  if (same)
    return mine && (!theirs || mine.state !== 'undecided')
      ? { candidate: mine, places: myPlaces }
      : { candidate: theirs, places: theirPlaces };
  if (choice === 'mine') return mine ? { candidate: mine, places: myPlaces } : rejected(theirs);
  if (choice === 'theirs') return theirs ? { candidate: theirs, places: theirPlaces } : rejected(mine);
  if (!isCounted(mine)) return { candidate: theirs, places: theirPlaces };
  if (!isCounted(theirs)) return { candidate: mine, places: myPlaces };
  const drawn = { ...mine, state: mine.origin === 'model' ? 'edited' : 'added', drawn: true };
  return { candidate: drawn, places: [...new Set([...myPlaces, ...theirPlaces])] };
}

/** A node that only the other one had and that is not wanted: of the model it stays in the list, rejected. */
const rejected = candidate =>
  candidate.origin === 'model' ? { candidate: { ...candidate, state: 'rejected' }, places: [] } : null;

/**
 * Merges the stored label of somebody else into a review, as one step that can be taken back.
 *
 * @param review Mine.
 * @param theirs {map, candidates, revision, tumorRevision, tumorMark, by}: what the result is based on.
 * @param found What `pairs` gave.
 * @param choices 'mine', 'theirs' or 'both' for each of them.
 * @param ofTumor The same for the tumor, if both painted it.
 */
function mergeTheirs(review, theirs, found, choices, ofTumor = 'mine') {
  const [mySets, theirSets] = [review.map, theirs.map].map(placesByValue);
  const result = new Uint8Array(review.map.length);
  // A tumor that was painted here is kept; otherwise the stored one is the newer.
  const held = tumorDrawn(review) ? ofTumor : 'theirs';
  for (const [sets, other] of [
    [mySets, 'theirs'],
    [theirSets, 'mine'],
  ])
    if (held !== other) for (const place of sets.get(TUMOR) || []) result[place] = TUMOR;
  const places = (sets, candidate) => (candidate ? sets.get(candidate.value) || [] : []);
  const chosen = found
    .map((pair, n) => chosenOf(pair, choices[n], places(mySets, pair.mine), places(theirSets, pair.theirs)))
    .filter(Boolean);
  // Of two that overlap the first keeps the voxels, and what counts comes before what does not.
  chosen.sort((a, b) => isCounted(b.candidate) - isCounted(a.candidate));
  const candidates = [];
  const ids = new Set();
  const said = [];
  for (const { candidate, places: wanted } of chosen) {
    const free = wanted.filter(place => !result[place] || result[place] === TUMOR);
    if (wanted.length && !free.length && isCounted(candidate)) {
      const value = mostCommon(wanted.map(place => result[place]));
      said.push(`${candidate.id} lies in ${candidates.find(other => other.value === value).id} and is part of it now.`);
      continue;
    }
    const value = free.length ? candidates.length + 1 : null;
    if (value > MAX_VALUE) throw new Error(`one label map holds ${MAX_VALUE} nodes; delete some first`);
    for (const place of free) result[place] = value;
    let { id } = candidate;
    for (let n = 1; ids.has(id); n++) id = `c${found.length + n}`;
    ids.add(id);
    candidates.push({ ...candidate, id, value });
  }
  const edits = new Map();
  result.forEach((now, place) => now !== review.map[place] && edits.set(place, now));
  const { revision, tumorRevision, tumorMark, by } = theirs;
  const base = { revision, tumorRevision, tumorMark, by, tumor: theirSets.get(TUMOR) || [] };
  review.change('merged with the stored label', { candidates }, edits, { base, said });
}
