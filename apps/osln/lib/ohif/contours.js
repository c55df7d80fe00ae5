// Distance from the tumor and its contour in a plane, in the browser: it follows strokes that nobody has sent yet.
//
// Points are LPS in mm, grids as in geometry.js.
// Uses geometry.js: dot, minus, pointAt, voxelAt.

/**
 * Distance from the nearest voxel center of a mask, exact at samples that are a few mm apart.
 *
 * The mask keeps all of its voxels; only the places where the distance is asked for are coarse. Between them
 * interpolation is off by step ** 2 / (8 * distance) at most: 0.03 mm at 70 mm.
 *
 * @param values Label map in the order of the grid.
 * @param grid Of the CT; its axes are perpendicular.
 * @param wanted Value of the mask in the map.
 * @param reachMm How far around the mask the distance is wanted.
 * @param stepMm Between samples.
 * @return {grid, values}: coarse grid and its distances in mm, Float32Array; null if the mask is empty.
 */
function distanceField(values, grid, wanted, reachMm, stepMm = 4) {
  const box = boxOf(values, grid.size, wanted);
  if (!box) return null;
  const spacing = grid.axes.map(axis => Math.hypot(...axis));
  const places = spacing.map((mm, n) => {
    const step = Math.max(1, Math.round(stepMm / mm));
    const first = Math.max(0, box.low[n] - Math.ceil((reachMm + stepMm) / mm));
    const last = Math.min(grid.size[n] - 1, box.high[n] + Math.ceil((reachMm + stepMm) / mm));
    return Array.from({ length: Math.ceil((last - first) / step) + 1 }, (_, place) => first + place * step);
  });
  const size = places.map(({ length }) => length);
  const step = places.map((place, n) => (place.length > 1 ? place[1] - place[0] : 1));
  const coarse = {
    size,
    origin: pointAt(grid, places.map(([first]) => first)),
    axes: grid.axes.map((axis, n) => axis.map(part => part * step[n])),
  };
  return { grid: coarse, values: squared(values, grid.size, wanted, box, places, spacing).map(Math.sqrt) };
}

/** First and last voxel of a mask along each axis; null if there is none. */
function boxOf(values, size, wanted) {
  const low = [...size];
  const high = [-1, -1, -1];
  let n = 0;
  for (let k = 0; k < size[2]; k++) {
    for (let j = 0; j < size[1]; j++) {
      for (let i = 0; i < size[0]; i++, n++) {
        if (values[n] !== wanted) continue;
        [i, j, k].forEach((at, axis) => {
          low[axis] = Math.min(low[axis], at);
          high[axis] = Math.max(high[axis], at);
        });
      }
    }
  }
  return high[0] < 0 ? null : { low, high };
}

/** Squared distances, one axis after the other: from all voxels of the mask's box to the samples of that axis. */
function squared(values, size, wanted, { low, high }, places, spacing) {
  const length = low.map((first, n) => high[n] - first + 1);
  let from = new Float32Array(length[0] * length[1] * length[2]).fill(Infinity);
  let n = 0;
  for (let k = low[2]; k <= high[2]; k++) {
    for (let j = low[1]; j <= high[1]; j++) {
      const row = (k * size[1] + j) * size[0];
      for (let i = low[0]; i <= high[0]; i++, n++) if (values[row + i] === wanted) from[n] = 0;
    }
  }
  const shape = [...length];
  for (let axis = 0; axis < 3; axis++) {
    from = nearestAlong(from, shape, axis, places[axis].map(place => place - low[axis]), spacing[axis]);
    shape[axis] = places[axis].length;
  }
  return from;
}

/** Along one axis: the least of what is there plus the squared way to it, at each of the samples. */
function nearestAlong(from, shape, axis, samples, mm) {
  const stride = shape.slice(0, axis).reduce((product, length) => product * length, 1);
  const outer = shape.slice(axis + 1).reduce((product, length) => product * length, 1);
  const result = new Float32Array(stride * samples.length * outer);
  const there = new Int32Array(shape[axis]);
  for (let block = 0; block < outer; block++) {
    for (let inner = 0; inner < stride; inner++) {
      const start = block * shape[axis] * stride + inner;
      let count = 0;
      for (let n = 0; n < shape[axis]; n++) if (from[start + n * stride] < Infinity) there[count++] = n;
      for (let s = 0; s < samples.length; s++) {
        let least = Infinity;
        for (let t = 0; t < count; t++) {
          const way = (samples[s] - there[t]) * mm;
          least = Math.min(least, from[start + there[t] * stride] + way * way);
        }
        result[(block * samples.length + s) * stride + inner] = least;
      }
    }
  }
  return result;
}

/** Value of a field at a point, between its samples; Infinity outside. */
function sampled({ grid, values }, point) {
  const { size } = grid;
  const place = voxelAt(grid, point);
  const base = place.map((at, n) => Math.min(Math.max(Math.floor(at), 0), Math.max(size[n] - 2, 0)));
  const part = place.map((at, n) => at - base[n]);
  if (part.some(at => at < -1e-6 || at > 1 + 1e-6)) return Infinity;
  let sum = 0;
  for (let corner = 0; corner < 8; corner++) {
    const up = [corner & 1, (corner >> 1) & 1, corner >> 2];
    const weight = up.reduce((product, on, n) => product * (on ? part[n] : 1 - part[n]), 1);
    if (weight < 1e-9) continue;
    const [i, j, k] = base.map((first, n) => first + up[n]);
    sum += weight * values[(k * size[1] + j) * size[0] + i];
  }
  return sum;
}

/**
 * Lines of one value in a plane.
 *
 * @param field Of `distanceField`.
 * @param level In mm.
 * @param plane {point, right, up}: a point of it, and two perpendicular unit vectors.
 * @param stepMm Between the places that are looked at.
 * @return Lines, each a list of points in mm; a closed one ends where it begins.
 */
function isolines(field, level, { point, right, up }, stepMm = 4) {
  const { size } = field.grid;
  const corners = [0, 1, 2, 3, 4, 5, 6, 7].map(n =>
    minus(pointAt(field.grid, size.map((length, axis) => ((n >> axis) & 1) * (length - 1))), point)
  );
  const range = along => [Math.min(...corners.map(c => dot(c, along))), Math.max(...corners.map(c => dot(c, along)))];
  const [[left, rightEnd], [low, high]] = [range(right), range(up)];
  const columns = Math.ceil((rightEnd - left) / stepMm) + 1;
  const rows = Math.ceil((high - low) / stepMm) + 1;
  const at = (u, v) => point.map((c, n) => c + (left + u * stepMm) * right[n] + (low + v * stepMm) * up[n]);
  const seen = new Float32Array(columns * rows);
  for (let v = 0; v < rows; v++) for (let u = 0; u < columns; u++) seen[v * columns + u] = sampled(field, at(u, v));
  return joined(crossings(seen, columns, rows, level)).map(line => line.map(([u, v]) => at(u, v)));
}

/** Marching squares: pieces of the line as pairs of [edge's name, [u, v]]; a square with a place outside has none. */
function crossings(seen, columns, rows, level) {
  const pieces = [];
  for (let v = 0; v + 1 < rows; v++) {
    for (let u = 0; u + 1 < columns; u++) {
      const square = [[u, v], [u + 1, v], [u + 1, v + 1], [u, v + 1]];
      const values = square.map(([a, b]) => seen[b * columns + a]);
      if (!values.every(Number.isFinite)) continue;
      const cut = [];
      for (let edge = 0; edge < 4; edge++) {
        const [a, b] = [values[edge], values[(edge + 1) % 4]];
        if (a < level === b < level) continue;
        const [from, to] = [square[edge], square[(edge + 1) % 4]];
        const part = (level - a) / (b - a);
        const name = [from, to].map(([x, y]) => y * columns + x).sort((one, other) => one - other).join();
        cut.push([name, [from[0] + part * (to[0] - from[0]), from[1] + part * (to[1] - from[1])]]);
      }
      for (let n = 0; n + 1 < cut.length; n += 2) pieces.push([cut[n], cut[n + 1]]);
    }
  }
  return pieces;
}

/** Pieces that share an edge become one line, so that dashes run through. */
function joined(pieces) {
  const ends = new Map();
  pieces.forEach((piece, n) => piece.forEach(([name]) => ends.set(name, [...(ends.get(name) || []), n])));
  const used = new Set();
  const grow = (line, name) => {
    for (;;) {
      const next = (ends.get(name) || []).find(n => !used.has(n));
      if (next === undefined) return line;
      used.add(next);
      const [one, other] = pieces[next];
      const [far, place] = one[0] === name ? other : one;
      line.push(place);
      name = far;
    }
  };
  const lines = [];
  pieces.forEach(([one, other], n) => {
    if (used.has(n)) return;
    used.add(n);
    const ahead = grow([one[1], other[1]], other[0]);
    lines.push([...grow([], one[0]).reverse(), ...ahead]);
  });
  return lines;
}
