// Whether the images come: without this a study whose images never arrive looks as if it were loading for ever.
//
//   watchImages(services, {chosen, ready, failed})
//     chosen(uid)       once, when it is known which CT will be shown, before its images are asked for
//     ready()           once, when the CT is in all planes
//     failed(sentence)  whenever something is known to be missing: what it is and what to do. Images may still come
//     returns what ends it
// Uses view.js: VIEWPORTS, planes.

const PATIENCE_MS = 15000;
const MOST_ASKED = 4;
const IMAGES_LOOK_MS = 200;
const CHOICE_LOOK_MS = 20;

function watchImages(services, { chosen = () => {}, ready, failed, patience = PATIENCE_MS }) {
  const lost = new Map();
  let [over, known, shown, told, since, asked] = [false, false, false, 0, Date.now(), 0];
  const onLost = ({ detail }) => lost.set(detail.imageId, detail.error?.error ?? detail.error);
  const { eventTarget, EVENTS } = window.cornerstone;
  const names = [EVENTS.IMAGE_LOAD_FAILED, EVENTS.IMAGE_LOAD_ERROR];
  for (const name of names) eventTarget.addEventListener(name, onLost);
  const look = async () => {
    if (over) return;
    if (!known && (known = chosenCt(services))) chosen(known);
    if (!shown && planes(services).length === Object.keys(VIEWPORTS).length) {
      shown = true;
      ready();
    }
    // Told anew only if more is missing than before, and not for each image.
    if (lost.size > told) {
      told = lost.size;
      failed(lostText(told, [...lost.values()].find(error => error?.status ?? error?.request)));
    }
    if (!shown && Date.now() - since > patience) {
      since = Date.now();
      asked += 1;
      const why = await whyNothing(services).catch(error => error.message);
      const sentence = why ?? (asked >= MOST_ASKED ? lateText((asked * patience) / 1000) : null);
      if (sentence && !shown && !over) failed(sentence);
    }
    setTimeout(look, told ? 2000 : known ? IMAGES_LOOK_MS : CHOICE_LOOK_MS);
  };
  look();
  return () => {
    over = true;
    for (const name of names) eventTarget.removeEventListener(name, onLost);
  };
}

/** UID of the CT that the layout has chosen; undefined before. */
function chosenCt({ viewportGridService, displaySetService }) {
  const [first] = viewportGridService.getState().viewports.get(VIEWPORTS.axial)?.displaySetInstanceUIDs ?? [];
  return first && displaySetService.getDisplaySetByUID(first)?.SeriesInstanceUID;
}

/** What is said of images that were asked for and did not arrive. */
function lostText(count, error) {
  const status = error?.status ?? error?.request?.status;
  const why = status ? ` (status ${status})` : '';
  const what = count === 1 ? 'One image did not arrive' : `${count} images did not arrive`;
  return `${what}${why}: what is shown has gaps. Reload the page; if it stays so, look at the server's log.`;
}

const lateText = seconds =>
  `Nothing is shown after ${Math.round(seconds)} s, though the server has the images: this computer is busy, ` +
  'or the viewer failed. Wait, or reload the page.';

/** Why no plane shows anything: asks the server for the study as the viewer did. Null if all seems well. */
async function whyNothing(services) {
  const study = new URLSearchParams(window.location.search).get('StudyInstanceUIDs')?.split(',')[0];
  if (!study) return 'The address names no study: open one from the list.';
  const reply = await fetch(`/proxy/dicom/wado/studies/${encodeURIComponent(study)}/metadata`).catch(() => null);
  const sets = services.displaySetService.getActiveDisplaySets();
  return nothingText(reply && { status: reply.status, text: await reply.text() }, sets);
}

/**
 * What is said of a study of which nothing is shown.
 *
 * @param reply {status, text} of the server; null if it did not answer.
 * @param sets What the viewer made of the images: {Modality, isReconstructable}.
 * @return A sentence; null if images are there and may still be loading.
 */
function nothingText(reply, sets) {
  if (!reply) return 'The server does not answer: it was stopped, or the network is gone. Start it, then reload.';
  if (reply.status >= 400) {
    let detail = '';
    try {
      ({ detail } = JSON.parse(reply.text));
    } catch {
      // No JSON, no sentence.
    }
    const why = typeof detail === 'string' && detail ? detail : `it answered with status ${reply.status}`;
    return `The server has no images of this study: ${why}. Choose the study in the list.`;
  }
  if (!sets.length) return null;
  if (!sets.some(({ Modality }) => Modality === 'CT')) return 'This study has no CT: choose another one in the list.';
  if (!sets.some(({ Modality, isReconstructable }) => Modality === 'CT' && isReconstructable)) {
    return 'The CT of this study is no volume: its slices do not lie at even distances, or there are too few.';
  }
  return null;
}
