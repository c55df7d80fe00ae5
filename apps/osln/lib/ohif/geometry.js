// Label maps between files and the viewer, voxel by voxel and never by resampling.
//
// A grid is {size: [i, j, k], origin, axes: [i, j, k]} in DICOM's patient system (LPS, mm); an axis is the step
// from one voxel to the next. Two grids of one CT differ by the order and direction of their axes only. Both are
// always compared: a label that is mirrored along z has the shape of its CT and would otherwise go unnoticed.
// Uses none of the other files.

const SPACE = 'left-posterior-superior';
const TOLERANCE_VOXELS = 0.1;
const NRRD_TYPES = {
  'unsigned char': Uint8Array,
  uint8: Uint8Array,
  uchar: Uint8Array,
  'unsigned short': Uint16Array,
  uint16: Uint16Array,
  ushort: Uint16Array,
};

const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const minus = (a, b) => [a[0] - b[0], a[1] - b[1], a[2] - b[2]];

/** Grid of one of the viewer's volumes (cornerstone keeps direction cosines of i, j, k one after the other). */
function gridOfVolume(volume) {
  const { dimensions, spacing, direction, origin } = volume;
  const axis = n => [0, 1, 2].map(c => direction[3 * n + c] * spacing[n]);
  return { size: [...dimensions], origin: [...origin], axes: [axis(0), axis(1), axis(2)] };
}

/** Voxel (i, j, k) of a grid, not rounded, at a point of the patient (LPS, mm). */
function voxelAt(grid, point) {
  const from = minus(point, grid.origin);
  return grid.axes.map(axis => dot(axis, from) / dot(axis, axis));
}

/** Point of the patient (LPS, mm) at a voxel (i, j, k). */
function pointAt(grid, voxel) {
  return [0, 1, 2].map(c => grid.origin[c] + grid.axes.reduce((sum, axis, n) => sum + axis[c] * voxel[n], 0));
}

/**
 * The values of a label map in the voxel order of another grid of the same CT.
 *
 * @throws {Error} if the two are not the same voxels.
 */
function onGrid(labels, from, to) {
  const start = voxelAt(from, to.origin);
  const first = [0, 0, 0];
  const stride = [1, from.size[0], from.size[0] * from.size[1]];
  const step = to.axes.map((axis, n) => {
    const next = minus(
      voxelAt(
        from,
        to.origin.map((o, c) => o + axis[c])
      ),
      start
    );
    const along = next.map(Math.abs).indexOf(Math.max(...next.map(Math.abs)));
    const whole = [0, 0, 0];
    whole[along] = Math.sign(next[along]);
    const drift = Math.max(...next.map((value, c) => Math.abs(value - whole[c]))) * (to.size[n] - 1);
    if (drift > TOLERANCE_VOXELS || from.size[along] !== to.size[n]) {
      throw new Error(`the label map does not lie on the voxels of this CT (axis ${n + 1})`);
    }
    // An axis that runs the other way begins at the other end.
    first[along] = whole[along] < 0 ? from.size[along] - 1 : 0;
    return whole[along] * stride[along];
  });
  if (start.some((value, c) => Math.abs(value - first[c]) > TOLERANCE_VOXELS)) {
    throw new Error('the label map does not begin at the corner of this CT');
  }
  const values = new labels.constructor(to.size[0] * to.size[1] * to.size[2]);
  const base = dot(first, stride);
  let target = 0;
  for (let k = 0; k < to.size[2]; k++) {
    for (let j = 0; j < to.size[1]; j++) {
      let source = base + k * step[2] + j * step[1];
      for (let i = 0; i < to.size[0]; i++, source += step[0]) {
        values[target++] = labels[source];
      }
    }
  }
  return values;
}

/**
 * Places in another grid of the same CT of the voxels that are not 0 in a small label map, as a crop around a node.
 *
 * @throws {Error} if its voxels are not voxels of that grid.
 */
function placesOf(labels, from, to) {
  const places = [];
  labels.forEach((value, n) => {
    if (!value) return;
    const rest = Math.floor(n / from.size[0]);
    const point = pointAt(from, [n % from.size[0], rest % from.size[1], Math.floor(rest / from.size[1])]);
    const [i, j, k] = voxelAt(to, point).map((value, c) => {
      const whole = Math.round(value);
      if (Math.abs(value - whole) > TOLERANCE_VOXELS || whole < 0 || whole >= to.size[c]) {
        throw new Error('the answer does not lie on the voxels of this CT');
      }
      return whole;
    });
    places.push(i + to.size[0] * (j + to.size[1] * k));
  });
  return places;
}

/** A label map as a raw NRRD file, with all of its geometry. */
function writeNrrd(labels, grid) {
  const vector = v => `(${v.join(',')})`;
  const header = [
    'NRRD0004',
    'type: uint8',
    'dimension: 3',
    `space: ${SPACE}`,
    `sizes: ${grid.size.join(' ')}`,
    `space directions: ${grid.axes.map(vector).join(' ')}`,
    'kinds: domain domain domain',
    'encoding: raw',
    `space origin: ${vector(grid.origin)}`,
  ];
  return new Blob([`${header.join('\n')}\n\n`, labels], { type: 'application/octet-stream' });
}

/**
 * Reads what this server writes, a raw NRRD of one or two bytes a voxel: {labels, grid}, Uint8Array or Uint16Array.
 *
 * @throws {Error} if it is anything else.
 */
function readNrrd(buffer) {
  const bytes = new Uint8Array(buffer);
  const end = bytes.findIndex((byte, n) => byte === 10 && bytes[n + 1] === 10);
  const fields = {};
  for (const line of new TextDecoder().decode(bytes.subarray(0, end)).split('\n').slice(1)) {
    const [, name, value] = /^([^:#]+): ?(.*)$/.exec(line) || [];
    if (name) fields[name] = value;
  }
  const kind = NRRD_TYPES[fields.type];
  if (
    !kind ||
    fields.encoding !== 'raw' ||
    fields.space !== SPACE ||
    (kind === Uint16Array && fields.endian !== 'little')
  ) {
    throw new Error('expected an uncompressed NRRD label map of one or two bytes a voxel');
  }
  const vectors = text => [...text.matchAll(/\(([^)]*)\)/g)].map(match => match[1].split(',').map(Number));
  const grid = {
    size: fields.sizes.split(' ').map(Number),
    origin: vectors(fields['space origin'])[0],
    axes: vectors(fields['space directions']),
  };
  // Copied: two bytes a voxel have to begin at an even place.
  return { labels: new kind(buffer.slice(end + 2)), grid };
}
