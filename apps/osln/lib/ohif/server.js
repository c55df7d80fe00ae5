// What the mode asks the server that it was loaded from.
// Uses geometry.js: readNrrd.

/** Fetches; an error of the server is thrown with the sentence that the server gives. */
async function ask(path, options) {
  let reply;
  try {
    reply = await fetch(path, options);
  } catch {
    throw new Error('the server does not answer; is it running? Try again');
  }
  if (reply.ok) return reply;
  const text = await reply.text();
  let detail = text;
  try {
    detail = JSON.parse(text).detail;
  } catch {
    // No JSON: shown as it came.
  }
  throw new Error(typeof detail === 'string' && detail ? detail : `the server answered with status ${reply.status}`);
}

const inUrl = encodeURIComponent;

/** Models, their options, and what the server is called. */
const info = async () => (await ask('/info/')).json();

/** Runs a model: {result, labels, grid}, or throws. */
async function infer(model, series, options) {
  const form = new FormData();
  // Kept as the prediction too, so that what is approved later says which node was found by whom, with its score.
  const file = { result_extension: '.nrrd', result_dtype: 'uint8', result_compress: false, save_label: true };
  form.append('params', JSON.stringify({ ...options, ...file }));
  const reply = await ask(`/infer/${inUrl(model)}?image=${inUrl(series)}&output=all`, { method: 'POST', body: form });
  const parts = await reply.formData();
  const image = parts.get('image') || parts.get('file');
  return { result: JSON.parse(parts.get('params')), ...readNrrd(await image.arrayBuffer()) };
}

/** The stored label of a CT, nodes 1 and tumor 2 (no `labels` if there is none), and the revision of its nodes. */
async function storedLabel(series) {
  const reply = await ask(`/osln/label?image=${inUrl(series)}`);
  const about = name => decodeURIComponent(reply.headers.get(`OSLN-${name}`));
  const known = { case: about('Case'), series: about('Series'), revision: Number(about('Revision')), by: about('By') };
  return reply.status === 204 ? known : { ...known, ...readNrrd(await reply.arrayBuffer()) };
}

/** Stores a label as approved; returns the server's reply. */
async function submit(series, file, labelInfo, revision, annotator) {
  const form = new FormData();
  const about = { label_info: labelInfo, client_id: annotator, base_revision: revision };
  form.append('params', JSON.stringify(about));
  form.append('label', file, 'label.nrrd');
  return (await ask(`/datastore/label?image=${inUrl(series)}&tag=final`, { method: 'PUT', body: form })).json();
}
