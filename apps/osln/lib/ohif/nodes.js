// Nodes as voxels of one label map: where they lie, how large they are, what touches, what is one piece.
//
// A label map is a Uint8Array in the order of its grid (i fastest); a node is one value of it, a place is the index of
// a voxel. Points are millimeters: RAS as the server speaks, LPS as the grids do.
// Uses geometry.js: minus, pointAt.

const TUMOR = 255;
const MAX_VALUE = 254;
const SAME_NODE_SHARE = 0.3;
const SAME_NODE_MM = 2;
const ROUNDS = 20;

/** LPS to RAS and back. */
const turned = ([x, y, z]) => [-x, -y, z];

const distance = (a, b) => Math.hypot(...minus(a, b));

/** Voxel (i, j, k) of a place. */
function voxelOf(place, [width, height]) {
  const rest = Math.floor(place / width);
  return [place % width, rest % height, Math.floor(rest / height)];
}

/** Calls back with (place, value) for every voxel but 0, in order; almost all are 0, so four are skipped at once. */
function eachVoxel(values, visit) {
  const whole = values.byteOffset % 4 ? 0 : Math.floor(values.length / 4);
  const fours = new Uint32Array(values.buffer, whole ? values.byteOffset : 0, whole);
  for (let four = 0; four < whole; four++) {
    if (!fours[four]) continue;
    for (let n = 4 * four; n < 4 * four + 4; n++) if (values[n]) visit(n, values[n]);
  }
  for (let n = 4 * whole; n < values.length; n++) if (values[n]) visit(n, values[n]);
}

/** Places of every value but 0: Map of value to array, ascending; empty for an empty map. */
function placesByValue(values) {
  const found = new Map();
  eachVoxel(values, (place, value) => {
    const places = found.get(value);
    if (places) places.push(place);
    else found.set(value, [place]);
  });
  return found;
}

/** Center of mass (RAS mm) and radius of the sphere of the same volume; null for no voxels. */
function measured(places, grid) {
  if (!places?.length) return null;
  const sum = [0, 0, 0];
  for (const place of places) voxelOf(place, grid.size).forEach((value, c) => (sum[c] += value));
  const voxel = grid.axes.map(axis => Math.hypot(...axis)).reduce((product, length) => product * length, 1);
  const radius = Math.cbrt((3 * places.length * voxel) / (4 * Math.PI));
  return {
    center_mm: turned(
      pointAt(
        grid,
        sum.map(value => value / places.length)
      )
    ),
    radius_mm: radius,
  };
}

/** Lowest and highest corner (RAS mm) of the voxels; null for no voxels. */
function boxed(places, grid) {
  if (!places?.length) return null;
  const voxels = places.map(place => voxelOf(place, grid.size));
  const edges = [0, 1, 2].map(c => {
    const along = voxels.map(voxel => voxel[c]);
    return [along.reduce((a, b) => Math.min(a, b)) - 0.5, along.reduce((a, b) => Math.max(a, b)) + 0.5];
  });
  const [i, j, k] = edges;
  const corners = i.flatMap(x => j.flatMap(y => k.map(z => turned(pointAt(grid, [x, y, z])))));
  return [Math.min, Math.max].map(end => [0, 1, 2].map(c => end(...corners.map(corner => corner[c]))));
}

/** Millimeters from a point (RAS) to the nearest voxel center of some places; null for no places. */
function nearest(point, places, grid) {
  if (!places?.length) return null;
  const from = turned(point);
  let best = Infinity;
  for (const place of places) best = Math.min(best, distance(from, pointAt(grid, voxelOf(place, grid.size))));
  return best;
}

/** Label map as runs [first place, length, value, ...] (Uint32Array): some kilobytes for a whole CT. */
function packed(values) {
  const runs = [];
  let end = -1;
  eachVoxel(values, (place, value) => {
    if (place === end && value === runs[runs.length - 1]) runs[runs.length - 2]++;
    else runs.push(place, 1, value);
    end = place + 1;
  });
  return Uint32Array.from(runs);
}

/**
 * The label map of runs.
 *
 * @throws {Error} if a run leaves the map: it was made for another image.
 */
function unpacked(runs, length) {
  const values = new Uint8Array(length);
  for (let n = 0; n < runs.length; n += 3) {
    if (runs[n] + runs[n + 1] > length) throw new Error('the kept drawing belongs to another image');
    values.fill(runs[n + 2], runs[n], runs[n] + runs[n + 1]);
  }
  return values;
}

/** Ascending places as runs [first place, length, ...], and back. */
function inRuns(places) {
  const runs = [];
  for (const place of places) {
    if (runs.length && runs.at(-2) + runs.at(-1) === place) runs[runs.length - 1]++;
    else runs.push(place, 1);
  }
  return runs;
}

function fromRuns(runs) {
  const places = [];
  for (let n = 0; n < runs.length; n += 2) for (let more = 0; more < runs[n + 1]; more++) places.push(runs[n] + more);
  return places;
}

/** 26 neighbors of a place that lie inside the grid. */
function neighbors(place, size) {
  const [i, j, k] = voxelOf(place, size);
  const found = [];
  for (let c = Math.max(k - 1, 0); c <= Math.min(k + 1, size[2] - 1); c++) {
    for (let b = Math.max(j - 1, 0); b <= Math.min(j + 1, size[1] - 1); b++) {
      for (let a = Math.max(i - 1, 0); a <= Math.min(i + 1, size[0] - 1); a++) {
        const next = a + size[0] * (b + size[1] * c);
        if (next !== place) found.push(next);
      }
    }
  }
  return found;
}

/** 26-connected parts of some places, the largest first. */
function pieces(places, grid) {
  const left = new Set(places);
  const found = [];
  for (const place of places) {
    if (!left.delete(place)) continue;
    const piece = [place];
    for (const member of piece) {
      for (const next of neighbors(member, grid.size)) if (left.delete(next)) piece.push(next);
    }
    found.push(piece);
  }
  return found.sort((a, b) => b.length - a.length);
}

/** Two halves of one piece, each voxel with the nearer of two centers (2-means in mm, begun at the two ends). */
function halves(places, grid) {
  const points = places.map(place => pointAt(grid, voxelOf(place, grid.size)));
  const mean = some => [0, 1, 2].map(c => some.reduce((sum, point) => sum + point[c], 0) / some.length);
  const farthest = from => points.reduce((far, point) => (distance(point, from) > distance(far, from) ? point : far));
  const first = farthest(mean(points));
  let centers = [first, farthest(first)];
  let nearer = [];
  for (let round = 0; round < ROUNDS; round++) {
    nearer = points.map(point => (distance(point, centers[0]) <= distance(point, centers[1]) ? 0 : 1));
    const next = [0, 1].map(side => points.filter((_, n) => nearer[n] === side));
    if (next.some(half => !half.length)) break;
    centers = next.map(mean);
  }
  return [0, 1].map(side => places.filter((_, n) => nearer[n] === side)).filter(half => half.length);
}

/** How many neighbors of a node each other value has: Map of value to count, without the node's own and 0. */
function contacts(values, places, grid) {
  const own = values[places[0]];
  const found = new Map();
  for (const place of places) {
    for (const next of neighbors(place, grid.size)) {
      const value = values[next];
      if (value && value !== own) found.set(value, (found.get(value) || 0) + 1);
    }
  }
  return found;
}

/**
 * Which of some nodes a drawn node is: the one that shares most voxels (at least 30% of the smaller of both), else the
 * nearest of those that have no voxels, whose center lies inside it.
 *
 * @param node {places, center_mm, radius_mm}.
 * @param others [{value, center_mm, radius_mm}, ...], value null if it is not in `values`.
 * @param values Label map of the others.
 * @param sizes Map of value to number of voxels, of the others.
 */
function sameNode(node, others, values, sizes) {
  const shared = new Map();
  for (const place of node.places) if (values[place]) shared.set(values[place], (shared.get(values[place]) || 0) + 1);
  const drawn = others.filter(
    ({ value }) => shared.get(value) >= SAME_NODE_SHARE * Math.min(node.places.length, sizes.get(value))
  );
  if (drawn.length)
    return drawn.reduce((best, other) => (shared.get(other.value) > shared.get(best.value) ? other : best));
  const gap = other => distance(other.center_mm, node.center_mm);
  // Where one of them has no drawing, the smaller one's size says how far apart one node's two centers may be.
  const near = other => gap(other) <= Math.max(SAME_NODE_MM, Math.min(other.radius_mm ?? 0, node.radius_mm ?? 0));
  const close = others.filter(other => (other.value === null || !node.places.length) && near(other));
  return close.length ? close.reduce((best, other) => (gap(other) < gap(best) ? other : best)) : null;
}
