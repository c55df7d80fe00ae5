// The PET's maximum-intensity view: a picture beside the planes, turned by the wheel, with the nodes on it.
//
// It is a canvas of its own and no viewport of OHIF: nothing is drawn by WebGL, and the toolbar stays the planes'.
//   markOnMip(nodes)            [{id, center_mm RAS, radius_mm, color (CSS), selected}]
//   onMipPick(callback)         called with {id (null beside nodes), point_mm RAS} instead of jumping there
//   showMip(services, on)       without `on` the other way round; the planes get its room or leave it
//   turnMip(by)                 by: steps of a TURNS-th of a circle
// Uses geometry.js: gridOfVolume; projections.js: TURNS, nodeSeenAt, pixelAt, pointSeenAt, projection, radiusMm, reducedPet, sideLetter; view.js: hasSuv, jumpTo, petUpper, petVolume; hanging.js: MIP_PART, arrange.

const MARK_PIXELS = 3;
// Without a graphics card the browser would draw a canvas by the same software WebGL that the planes wait for.
const ON_CPU = { willReadFrequently: true };
const MIP = { nodes: [], pick: null, pane: null };

class MipPane {
  constructor(services, place, volume) {
    this.services = services;
    this.id = volume.volumeId;
    const { voxelManager } = volume;
    this.volume = reducedPet(k => voxelManager.getSliceData({ sliceIndex: k, slicePlane: 2 }), gridOfVolume(volume));
    this.radius = radiusMm(this.volume);
    this.turn = 0;
    this.kept = new Map();
    this.canvas = document.createElement('canvas');
    this.canvas.tabIndex = 0;
    this.canvas.className = 'osln-mip';
    this.canvas.title = 'PET maximum: the wheel turns it, a click goes there';
    this.canvas.style.cssText =
      `position: absolute; top: 0.3%; left: ${100 * MIP_PART.left}%; width: ${100 * MIP_PART.width - 0.3}%; ` +
      'height: 99.4%; background: #fff; cursor: crosshair; border-radius: 6px;';
    this.canvas.addEventListener('wheel', event => this.onWheel(event), { passive: false });
    this.canvas.addEventListener('click', event => this.onClick(event));
    this.canvas.addEventListener('keydown', event => this.onKey(event));
    place.append(this.canvas);
    this.resized = new ResizeObserver(() => this.draw());
    this.resized.observe(this.canvas);
    this.ahead();
  }

  destroy() {
    this.gone = true;
    this.resized.disconnect();
    this.canvas.remove();
  }

  seen(turn = this.turn) {
    if (!this.kept.has(turn)) this.kept.set(turn, projection(this.volume, turn));
    return this.kept.get(turn);
  }

  /** The other sides are made while nothing else is to do. */
  ahead() {
    const next = Array.from({ length: TURNS }, (_, n) => n).find(turn => !this.kept.has(turn));
    if (next === undefined) return;
    window.requestIdleCallback(() => {
      if (this.gone) return;
      this.seen(next);
      this.ahead();
    });
  }

  onWheel(event) {
    event.preventDefault();
    event.stopPropagation();
    this.rotate(Math.sign(event.deltaY || event.deltaX));
  }

  onKey(event) {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    this.rotate(by);
  }

  rotate(by) {
    this.turn = (this.turn + by + TURNS) % TURNS;
    this.draw();
  }

  onClick({ offsetX, offsetY }) {
    const seen = this.seen();
    const at = this.toPixel([offsetX, offsetY]);
    const node = nodeSeenAt(this.volume, seen.view, MIP.nodes, at, MARK_PIXELS);
    const point = node ? node.point : pointSeenAt(this.volume, seen, at);
    if (!point) return;
    const point_mm = [-point[0], -point[1], point[2]];
    if (MIP.pick) MIP.pick({ id: node?.id ?? null, point_mm });
    else jumpTo(this.services, point_mm);
  }

  /** Screen pixels for a mm, and where the picture's corner lies on the canvas. */
  place() {
    const { view } = this.seen();
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const scale = Math.min(width / (2 * this.radius), height / (view.rows * view.rowMm));
    const size = [view.columns * view.mm * scale, view.rows * view.rowMm * scale];
    return { scale, size, left: (width - size[0]) / 2, top: (height - size[1]) / 2 };
  }

  toPixel([x, y]) {
    const { view } = this.seen();
    const { scale, left, top } = this.place();
    return [(x - left) / (view.mm * scale) - 0.5, (y - top) / (view.rowMm * scale) - 0.5];
  }

  toScreen([u, v]) {
    const { view } = this.seen();
    const { scale, left, top } = this.place();
    return [left + (u + 0.5) * view.mm * scale, top + (v + 0.5) * view.rowMm * scale];
  }

  draw() {
    const { canvas } = this;
    if (this.gone || !canvas.clientWidth) return;
    const dense = window.devicePixelRatio || 1;
    canvas.width = Math.round(canvas.clientWidth * dense);
    canvas.height = Math.round(canvas.clientHeight * dense);
    const pen = canvas.getContext('2d', ON_CPU);
    pen.setTransform(dense, 0, 0, dense, 0, 0);
    const { view } = this.seen();
    const { scale, size, left, top } = this.place();
    pen.imageSmoothingQuality = 'high';
    pen.drawImage(this.picture(), left, top, ...size);
    for (const node of MIP.nodes) this.mark(pen, node, scale);
    this.write(pen, view);
  }

  /** The projection in inverse gray. */
  picture() {
    const { view, values, voxels } = this.seen();
    const upper = petUpper(this.services);
    const made = new OffscreenCanvas(view.columns, view.rows);
    const pen = made.getContext('2d', ON_CPU);
    const image = pen.createImageData(view.columns, view.rows);
    const gray = new Uint32Array(image.data.buffer);
    for (let n = 0; n < values.length; n++) {
      const light = voxels[n] < 0 ? 255 : 255 - Math.round(255 * Math.min(Math.max(values[n] / upper, 0), 1));
      gray[n] = 0xff000000 | (light << 16) | (light << 8) | light;
    }
    pen.putImageData(image, 0, 0);
    return made;
  }

  mark(pen, { point, radius_mm, color, selected }, scale) {
    const [x, y] = this.toScreen(pixelAt(this.volume, this.seen().view, point));
    const ring = (width, stroke) => {
      pen.lineWidth = width;
      pen.strokeStyle = stroke;
      pen.stroke();
    };
    pen.beginPath();
    pen.arc(x, y, Math.max(6, (radius_mm || 0) * scale + 3), 0, 2 * Math.PI);
    if (selected) ring(5, '#0008');
    ring(selected ? 3 : 2, color || '#e8a400');
  }

  write(pen, { right }) {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    pen.fillStyle = '#234';
    pen.font = '12px system-ui, sans-serif';
    pen.textAlign = 'center';
    pen.fillText(sideLetter(right.map(part => -part)), 12, height / 2);
    pen.fillText(sideLetter(right), width - 12, height / 2);
    const upper = Number(petUpper(this.services).toPrecision(3));
    pen.textAlign = 'left';
    pen.fillText(`PET maximum, ${hasSuv(this.services) ? 'SUV' : 'no SUV,'} 0 to ${upper}`, 8, height - 8);
  }
}

/** Shows the view once the whole PET is there and the planes leave room for it; does nothing otherwise. */
function mountMip(services) {
  const volume = petVolume(services);
  const place = document.querySelector('[data-cy="viewport-grid"]');
  if (!place || !volume?.loadStatus?.loaded) return;
  if (MIP.pane?.id === volume.volumeId && MIP.pane.canvas.isConnected) return;
  MIP.pane?.destroy();
  MIP.pane = new MipPane(services, place, volume);
}

function forgetMip() {
  MIP.pane?.destroy();
  Object.assign(MIP, { nodes: [], pick: null, pane: null });
}

function showMip(services, on = MIP.pane?.canvas.hidden) {
  if (!MIP.pane) return false;
  MIP.pane.canvas.hidden = !on;
  arrange(services, Boolean(on));
  return Boolean(on);
}

const repaintMip = () => MIP.pane?.draw();

function markOnMip(nodes) {
  MIP.nodes = nodes.map(node => ({ ...node, point: [-node.center_mm[0], -node.center_mm[1], node.center_mm[2]] }));
  repaintMip();
}

const onMipPick = callback => (MIP.pick = callback);

const turnMip = by => MIP.pane?.rotate(by);
