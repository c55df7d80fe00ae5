// Curves as SVG of our own: axes with round numbers, lines and dots.

const SVG = 'http://www.w3.org/2000/svg';
const LEFT = 44, RIGHT = 12, TOP = 26, BOTTOM = 34;

function draw(tag, attributes = {}, text = '') {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text) made.textContent = text;
  return made;
}

/** Round numbers from low to high, about `count` of them. */
export function ticks(low, high, count = 4) {
  if (!(high > low)) return [low];
  const raw = (high - low) / count, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map(factor => factor * power).find(one => one >= raw * 0.999);
  const found = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + step * 1e-9; n += 1) found.push(Number((n * step).toPrecision(12)));
  return found;
}

/**
 * A chart.
 *
 * series: [{name, points: [[x, y], ...], dots: draw points instead of a line, kind: 'a' | 'b' | 'faint'}].
 * options: {title, x, y: names of the axes, low, high: of the y axis, xLow, xHigh, whole: the x axis counts, width, height}.
 */
export function chart(series, { title, x, y, low, high, xLow, xHigh, whole = false, width = 440, height = 200 }) {
  const points = series.flatMap(one => one.points);
  const range = (index, from, to) => {
    const values = points.map(point => point[index]);
    const start = from ?? Math.min(...values), end = to ?? Math.max(...values);
    if (end > start) return [start, end];
    // All values alike: the end that was asked for stays.
    return from === undefined ? [start - 0.5, start + 0.5] : [from, from + 1];
  };
  const [x0, x1] = range(0, xLow, xHigh), [y0, y1] = range(1, low, high);
  const across = value => LEFT + ((value - x0) / (x1 - x0)) * (width - LEFT - RIGHT);
  const up = value => height - BOTTOM - ((value - y0) / (y1 - y0)) * (height - TOP - BOTTOM);
  const svg = draw('svg', { viewBox: `0 0 ${width} ${height}`, class: 'chart', role: 'img', 'aria-label': title });
  for (const value of ticks(y0, y1)) {
    svg.append(draw('line', { x1: LEFT, x2: width - RIGHT, y1: up(value), y2: up(value), class: 'grid' }));
    svg.append(draw('text', { x: LEFT - 6, y: up(value) + 4, 'text-anchor': 'end' }, String(value)));
  }
  // Epochs and cases are counted: no half ones between them.
  for (const value of ticks(x0, x1, 6).filter(one => !whole || Number.isInteger(one))) {
    svg.append(draw('text', { x: across(value), y: height - BOTTOM + 15, 'text-anchor': 'middle' }, String(value)));
  }
  svg.append(draw('text', { x: width - RIGHT, y: height - 4, 'text-anchor': 'end', class: 'axis' }, x));
  svg.append(draw('text', { x: 4, y: 12, class: 'axis' }, y));
  for (const { points: own, dots, kind = 'a' } of series) {
    if (dots || own.length === 1) {
      for (const [a, b] of own) svg.append(draw('circle', { cx: across(a), cy: up(b), r: dots ? 2 : 3, class: kind }));
    } else {
      svg.append(draw('polyline', { points: own.map(([a, b]) => `${across(a)},${up(b)}`).join(' '), class: kind }));
    }
  }
  return svg;
}

/**
 * A difference with its interval on a line from -reach to +reach, 0 in the middle.
 *
 * Green where the interval lies above 0, red where it lies below, amber where it holds 0. Without an interval a dot.
 */
export function interval({ difference, low = null, high = null, reach, title, width = 190 }) {
  const [height, middle, foot] = [34, 11, 20];
  const across = value => width / 2 + (Math.max(-reach, Math.min(reach, value)) / reach) * (width / 2 - 6);
  const kind = low === null || (low <= 0 && high >= 0) ? 'open' : low > 0 ? 'better' : 'worse';
  const svg = draw('svg', { viewBox: `0 0 ${width} ${height}`, width, height, class: `chart interval ${kind}`, role: 'img', 'aria-label': title });
  svg.append(draw('line', { x1: across(-reach), x2: across(reach), y1: foot, y2: foot, class: 'grid' }));
  svg.append(draw('line', { x1: across(0), x2: across(0), y1: 2, y2: foot, class: 'zero' }));
  for (const [value, anchor] of [[-reach, 'start'], [0, 'middle'], [reach, 'end']]) {
    const x = across(value) + 6 * Math.sign(value);
    svg.append(draw('text', { x, y: height - 3, 'text-anchor': anchor }, value ? signed(value, 2) : '0'));
  }
  if (low !== null) {
    svg.append(draw('line', { x1: across(low), x2: across(high), y1: middle, y2: middle, class: 'reach' }));
    for (const end of [low, high]) svg.append(draw('line', { x1: across(end), x2: across(end), y1: middle - 4, y2: middle + 4, class: 'reach' }));
  }
  svg.append(draw('circle', { cx: across(difference), cy: middle, r: 4 }));
  return svg;
}

/** A number with its sign: +0.052, \u22120.010. */
export const signed = (value, digits = 3) => `${value < 0 ? '\u2212' : '+'}${Math.abs(value).toFixed(digits)}`;
