// Maximum-intensity projections of the PET, turned about its upright axis: computed once an angle, on the CPU.
//
// A fourth WebGL view of the volume would be drawn anew with every turn; this is a picture that is kept.
// Points are LPS in mm, grids as in geometry.js.
// Uses geometry.js: dot, pointAt, voxelAt.

const TURNS = 24;
const LEAST_MM = 3;

/**
 * The PET on voxels that are not smaller than needed, each with the highest value of those that it is made of.
 *
 * @param sliceOf Values of one slice by its number, column after row: slices are asked for one by one, so that no
 *   second volume is held.
 * @param grid Of the PET.
 * @return {grid, values}
 */
function reducedPet(sliceOf, grid, leastMm = LEAST_MM) {
  const factor = grid.axes.map(axis => Math.max(1, Math.floor(leastMm / Math.hypot(...axis) + 1e-6)));
  const size = grid.size.map((length, n) => Math.ceil(length / factor[n]));
  const values = new Float32Array(size[0] * size[1] * size[2]);
  const column = Int32Array.from({ length: grid.size[0] }, (_, i) => Math.floor(i / factor[0]));
  for (let k = 0; k < grid.size[2]; k++) {
    const slice = sliceOf(k);
    let n = 0;
    for (let j = 0; j < grid.size[1]; j++) {
      const row = (Math.floor(k / factor[2]) * size[1] + Math.floor(j / factor[1])) * size[0];
      for (let i = 0; i < grid.size[0]; i++, n++) {
        if (slice[n] > values[row + column[i]]) values[row + column[i]] = slice[n];
      }
    }
  }
  const origin = pointAt(grid, factor.map(of => (of - 1) / 2));
  return { grid: { size, origin, axes: grid.axes.map((axis, n) => axis.map(part => part * factor[n])) }, values };
}

/**
 * How a volume is seen from a side.
 *
 * @param grid Of the volume; the axis that is nearest to the patient's is upright.
 * @param turn 0 is from the front, the patient's right on the left; each further turn is 1 / TURNS of a circle.
 * @return {mm, columns, rows, place(voxel) -> [u, v] in pixels, right: direction in LPS that is right in the picture}.
 */
function sideView(grid, turn) {
  const spacing = grid.axes.map(axis => Math.hypot(...axis));
  const upright = [0, 1, 2].reduce((best, n) => (along(grid, n, 2) > along(grid, best, 2) ? n : best));
  const across = [0, 1, 2].filter(n => n !== upright);
  const angle = (2 * Math.PI * turn) / TURNS;
  const right = [Math.cos(angle), Math.sin(angle), 0];
  const step = [0, 0, 0];
  for (const n of across) step[n] = dot(grid.axes[n], right);
  const mm = Math.max(...across.map(n => spacing[n]));
  const middle = grid.size.map(length => (length - 1) / 2);
  const half = Math.hypot(...across.map(n => (middle[n] + 0.5) * spacing[n])) / mm;
  const columns = 2 * Math.ceil(half) + 1;
  const rows = grid.size[upright];
  const down = grid.axes[upright][2] < 0;
  const place = voxel => [
    across.reduce((sum, n) => sum + (step[n] * (voxel[n] - middle[n])) / mm, (columns - 1) / 2),
    down ? voxel[upright] : rows - 1 - voxel[upright],
  ];
  return { mm, rowMm: spacing[upright], columns, rows, upright, across, down, place, right };
}

const along = (grid, axis, direction) => Math.abs(grid.axes[axis][direction]) / Math.hypot(...grid.axes[axis]);

/**
 * A projection: the highest value that lies behind each pixel, and the voxel that has it.
 *
 * @return {view, values: Float32Array, voxels: Int32Array (-1 where nothing lies behind a pixel)}
 */
function projection({ grid, values }, turn) {
  const view = sideView(grid, turn);
  const { columns, rows, upright, across, down, place } = view;
  const strides = [1, grid.size[0], grid.size[0] * grid.size[1]];
  const [a, b] = across;
  const seen = new Float32Array(columns * rows);
  const voxels = new Int32Array(columns * rows).fill(-1);
  const column = new Int32Array(grid.size[a] * grid.size[b]);
  const voxel = [0, 0, 0];
  for (voxel[b] = 0; voxel[b] < grid.size[b]; voxel[b]++) {
    for (voxel[a] = 0; voxel[a] < grid.size[a]; voxel[a]++) {
      column[voxel[b] * grid.size[a] + voxel[a]] = Math.round(place(voxel)[0]);
    }
  }
  for (let h = 0; h < rows; h++) {
    const row = (down ? h : rows - 1 - h) * columns;
    for (let y = 0, n = 0; y < grid.size[b]; y++) {
      let from = h * strides[upright] + y * strides[b];
      for (let x = 0; x < grid.size[a]; x++, n++, from += strides[a]) {
        const to = row + column[n];
        if (values[from] > seen[to] || voxels[to] < 0) {
          seen[to] = values[from];
          voxels[to] = from;
        }
      }
    }
  }
  return { view, values: seen, voxels };
}

/** Pixel [u, v] of a projection at which a point of the patient is seen. */
const pixelAt = (volume, view, point) => view.place(voxelAt(volume.grid, point));

/** Point of the patient that is seen at a pixel: the hottest within so many pixels; null beside the patient. */
function pointSeenAt(volume, { view, values, voxels }, [u, v], around = 1) {
  let best = null;
  for (let y = Math.round(v) - around; y <= Math.round(v) + around; y++) {
    for (let x = Math.round(u) - around; x <= Math.round(u) + around; x++) {
      if (x < 0 || y < 0 || x >= view.columns || y >= view.rows) continue;
      const n = y * view.columns + x;
      if (voxels[n] >= 0 && (best === null || values[n] > values[best])) best = n;
    }
  }
  if (best === null) return null;
  const { size } = volume.grid;
  const n = voxels[best];
  return pointAt(volume.grid, [n % size[0], Math.floor(n / size[0]) % size[1], Math.floor(n / (size[0] * size[1]))]);
}

/** The nearest of some nodes at a pixel, within its circle or some pixels; null if there is none. */
function nodeSeenAt(volume, view, nodes, [u, v], leastPixels) {
  const way = node => {
    const [x, y] = pixelAt(volume, view, node.point);
    return Math.hypot((x - u) * view.mm, (y - v) * view.rowMm);
  };
  const near = nodes.filter(node => way(node) <= Math.max(node.radius_mm || 0, leastPixels * view.mm));
  return near.sort((one, other) => way(one) - way(other))[0] ?? null;
}

/** Letter of the patient's side that a direction points to: L, R, A (front) or P (back). */
function sideLetter([x, y]) {
  if (Math.abs(x) >= Math.abs(y)) return x > 0 ? 'L' : 'R';
  return y > 0 ? 'P' : 'A';
}

/** How far from the upright axis in the middle something is warmer than a part of the hottest voxel, in mm. */
function radiusMm({ grid, values }, part = 0.02) {
  const hottest = values.reduce((most, value) => Math.max(most, value), 0);
  const { across, upright } = sideView(grid, 0);
  const middle = grid.size.map(length => (length - 1) / 2);
  const [a, b] = across;
  const strides = [1, grid.size[0], grid.size[0] * grid.size[1]];
  const mm = grid.axes.map(axis => Math.hypot(...axis));
  let radius = mm[a];
  for (let y = 0; y < grid.size[b]; y++) {
    for (let x = 0; x < grid.size[a]; x++) {
      const way = Math.hypot((x - middle[a]) * mm[a], (y - middle[b]) * mm[b]) + mm[a];
      if (way <= radius) continue;
      let from = x * strides[a] + y * strides[b];
      for (let z = 0; z < grid.size[upright]; z++, from += strides[upright]) {
        if (values[from] > part * hottest) {
          radius = way;
          break;
        }
      }
    }
  }
  return radius;
}
