// The slider of the operating point: farther to the right more candidates are shown, at its end all of them.
//
// Its positions are the points of the curve that validation gave these weights ([{fp_per_patient, threshold,
// sensitivity}], by rising fp_per_patient) and all candidates; without a curve the score falls from 1 to 0.
// Uses none of the other files.

/** Its range: {min, max, step}. */
const sliderRange = curve =>
  curve.length ? { min: 0, max: curve.length, step: 1 } : { min: 0, max: 1, step: 0.01 };

/** Lowest score that is shown at a position. */
const thresholdAt = (curve, position) => (curve.length ? (curve[position]?.threshold ?? 0) : 1 - position);

/** Position of the slider for a threshold: that of the nearest point. */
function positionOf(curve, threshold) {
  if (!curve.length) return 1 - threshold;
  const gap = position => Math.abs(thresholdAt(curve, position) - threshold);
  return [...curve.keys(), curve.length].reduce((best, position) => (gap(position) < gap(best) ? position : best));
}

/** What is to be expected at a threshold: {text, title}. */
function pointTold(curve, threshold) {
  const score = `score from ${threshold.toFixed(2)}`;
  if (!curve.length) return { text: score, title: 'no validation curve of these weights here' };
  const title = 'as measured on validation patients, not on this one; as shipped, on generated phantoms';
  const point = curve[positionOf(curve, threshold)];
  if (!point) return { text: `all candidates, ${score}`, title };
  const found = typeof point.sensitivity === 'number' ? `, finds ${Math.round(100 * point.sensitivity)}%` : '';
  return { text: `${point.fp_per_patient} FP per patient${found}, ${score}`, title };
}
