// Touching nodes: one made two, two made one; each a step that can be taken back.
// Uses nodes.js: contacts, halves, pieces.

/** Makes two of one: its parts if it has several, else two halves. Returns whether that was possible. */
function splitNode(review, id) {
  const candidate = review.find(id);
  const places = candidate ? review.places(candidate.value) : [];
  if (places.length < 2) return false;
  const parts = pieces(places, review.grid);
  const [first, ...others] = parts.length > 1 ? [parts[0], parts.slice(1).flat()] : halves(places, review.grid);
  if (!others.length) return false;
  const other = review.made(review.freeId(), review.freeValue(id), others[0], 'annotator');
  const state = candidate.origin === 'model' ? 'edited' : 'added';
  const kept = { ...candidate, ...review.geometry(first), state, drawn: true };
  const edits = new Map(others[0].map(place => [place, other.value]));
  review.change(`${id} split`, { candidates: [...review.replaced([kept]), other] }, edits);
  return true;
}

/** Makes one of two: with the shown node that it touches most. Returns the other's id, null if it touches none. */
function joinNode(review, id) {
  const candidate = review.find(id);
  const places = candidate ? review.places(candidate.value) : [];
  if (!places.length) return null;
  const touching = contacts(review.map, places, review.grid);
  const others = review.candidates.filter(
    other => touching.has(other.value) && review.isShown(other) && other.state !== 'rejected'
  );
  if (!others.length) return null;
  const other = others.reduce((best, one) => (touching.get(one.value) > touching.get(best.value) ? one : best));
  const more = review.places(other.value);
  const state = candidate.origin === 'model' ? 'edited' : 'added';
  const kept = { ...candidate, ...review.geometry([...places, ...more]), state, drawn: true };
  const edits = new Map(more.map(place => [place, candidate.value]));
  review.change(
    `${id} and ${other.id} merged`,
    { candidates: review.replaced([kept]).filter(one => one.id !== other.id) },
    edits
  );
  return other.id;
}
