// What the mode asks the server that it was loaded from.
// Uses geometry.js: readNrrd; nodes.js: MAX_VALUE, TUMOR.

/** A refusal of the server, with its sentence. Attributes: status (0: no answer). */
class Refusal extends Error {
  constructor(sentence, status) {
    super(sentence);
    this.status = status;
  }
}

/** Fetches; an error of the server is thrown as a Refusal with the sentence that the server gives. */
async function ask(path, options) {
  let reply;
  try {
    reply = await fetch(path, options);
  } catch {
    throw new Refusal('the server does not answer; is it running? Try again', 0);
  }
  if (reply.ok) return reply;
  const text = await reply.text();
  let detail = text;
  try {
    detail = JSON.parse(text).detail;
  } catch {
    // No JSON: shown as it came.
  }
  throw new Refusal(
    typeof detail === 'string' && detail ? detail : `the server answered with status ${reply.status}`,
    reply.status
  );
}

const inUrl = encodeURIComponent;

const query = values =>
  new URLSearchParams(Object.entries(values).filter(([, value]) => value !== undefined)).toString();

const json = async (path, options) => {
  const reply = await ask(path, options);
  return reply.status === 204 ? null : reply.json();
};

const sent = (method, body) => ({
  method,
  headers: { 'Content-Type': 'application/json' },
  body: JSON.stringify(body),
});

/** Models, their options, and what the server is called. */
const info = () => json('/info/');

/** Name of the account that is logged in; null where there are no accounts. */
async function account() {
  const { enabled } = await json('/auth/');
  return enabled ? (await json('/auth/token/valid')).name : null;
}

/** What is known about a case, its PET above all. */
const caseFacts = image => json(`/osln/case?${query({ image })}`);

/** Runs a model: {result, labels, grid}, or throws. */
async function infer(model, series, options) {
  const form = new FormData();
  form.append('params', JSON.stringify({ ...options, result_extension: '.nrrd', result_compress: false }));
  const reply = await ask(`/infer/${inUrl(model)}?image=${inUrl(series)}&output=all`, { method: 'POST', body: form });
  const parts = await reply.formData();
  const image = parts.get('image') || parts.get('file');
  return { result: JSON.parse(parts.get('params')), ...readNrrd(await image.arrayBuffer()) };
}

/** Every candidate of a model; kept as the prediction too, so that what is approved says who found it. */
async function findAll(model, series, options) {
  const found = await infer(model, series, { ...options, candidates: 'all', save_label: true });
  // Values beyond a byte are candidates with the lowest scores, for which the map in the viewer has no room.
  return { ...found, labels: asBytes(found.labels, 0) };
}

/** Label map with the tumor as 255, nodes 1 to 254; others are left out. */
function asBytes(labels, tumor) {
  if (labels.BYTES_PER_ELEMENT === 1 && (!tumor || tumor === TUMOR)) return labels;
  return Uint8Array.from(labels, value => (tumor && value === tumor ? TUMOR : value > MAX_VALUE ? 0 : value));
}

/** What the server found in a case before it was opened: {model, candidates, ...}; {} if nothing. */
const foundBefore = image =>
  json(`/osln/candidates?${query({ image })}`).catch(error => {
    if (error.status !== 404) throw error;
    return {};
  });

/**
 * A stored label of a CT, each node a value, the tumor 255: {case, series, revision, tumorRevision, tumorMark, by, labels, grid}, without
 * `labels` and `grid` if there is none. One with more nodes than the viewer's label map holds is refused.
 *
 * @param revision Number; the newest one if left out.
 */
async function storedLabel(image, revision) {
  const reply = await ask(`/osln/label?${query({ image, instances: true, revision })}`);
  const about = name => decodeURIComponent(reply.headers.get(`OSLN-${name}`) ?? '');
  const [revisionOfNodes, tumorRevision] = ['Revision', 'Tumor-Revision'].map(name => Number(about(name)));
  const tumors = { tumorRevision, tumorMark: about('Tumor-Mark') };
  const known = { case: about('Case'), series: about('Series'), revision: revisionOfNodes, ...tumors, by: about('By') };
  if (reply.status === 204) return known;
  const { labels, grid } = readNrrd(await reply.arrayBuffer());
  const tumor = Number(about('Tumor-Value'));
  const most = (highest, value) => (value > highest && value !== tumor ? value : highest);
  const nodes = labels.BYTES_PER_ELEMENT > 1 ? labels.reduce(most, 0) : 0;
  if (nodes > MAX_VALUE)
    throw new Refusal(
      `revision ${known.revision} has ${nodes} nodes, and one label map of the viewer holds ${MAX_VALUE}: submitted ` +
        'from here, the others would be lost. Review this case in 3D Slicer',
      0
    );
  return { ...known, labels: asBytes(labels, tumor), grid };
}

/** The decisions that were stored with a revision: {case, revision, by, at, review}. */
const storedReview = (image, revision) => json(`/osln/review?${query({ image, revision })}`);

/** Stores a label as approved; returns the server's reply. */
async function submit(image, file, params) {
  const form = new FormData();
  form.append('params', JSON.stringify(params));
  form.append('label', file, 'label.nrrd');
  return json(`/datastore/label?${query({ image, tag: 'final' })}`, { method: 'PUT', body: form });
}

const draftPath = (image, annotator) => `/osln/draft?${query({ image, annotator })}`;
const keptDraft = (image, annotator) => json(draftPath(image, annotator));
const keepDraft = (image, annotator, draft) => json(draftPath(image, annotator), sent('PUT', draft));
const dropDraft = (image, annotator) => json(draftPath(image, annotator), { method: 'DELETE' });

const lease = (image, annotator, take) => json(`/osln/lease?${query({ image })}`, sent('POST', { annotator, take }));
/** Gives a lease back, also while the page is being closed. */
const giveBack = (image, annotator) =>
  fetch(`/osln/lease?${query({ image, annotator })}`, { method: 'DELETE', keepalive: true }).catch(() => {});

const storedHistory = image => json(`/osln/history?${query({ image })}`);
const compareRevisions = (image, a, b) => json(`/osln/history/compare?${query({ image, a, b })}`);
const restoreRevision = (image, revision, base, annotator) =>
  json(`/osln/history/restore?${query({ image })}`, sent('POST', { revision, base_revision: base, annotator }));

// Kept by the worklist, where it is chosen.
const chosenStrategy = () => localStorage.getItem('osln-strategy') ?? undefined;
const worklist = annotator => json(`/osln/worklist?${query({ strategy: chosenStrategy(), annotator })}`);
/** What the strategy asks first in a case: {why, candidates, windows}; no candidates: it asks for all. */
const proposedIn = (image, annotator) =>
  json(`/osln/proposed?${query({ image, strategy: chosenStrategy(), annotator })}`);
