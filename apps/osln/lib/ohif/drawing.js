// Lines over the planes: the crosshair, and the border of the proximal zone as in the picture that `draw` makes.
//
//   showBorder(services, on)        of the tumor in the label map as it is now, unsent strokes too; `on` missing: the
//                                   other way round. Returns whether it is shown: there is none without a tumor
//   followTumor(services)           after a stroke in the tumor: measures anew if the border is shown
//   showCrosshair(services, on)     where the three planes meet; it comes with the first jump
// Uses geometry.js: dot, gridOfVolume; nodes.js: TUMOR; review.js: PROXIMAL_MM; contours.js: distanceField, isolines; view.js: VIEWPORTS, planes.

const GAP_MM = 24;
// Lines are kept for each plane until it moves: every redraw of one plane draws over all three.
const DRAWN = { crosshair: false, field: null, lines: new Map(), layers: new Map() };
const LINE_COLOR = id => ({ [VIEWPORTS.axial]: '#f66', [VIEWPORTS.coronal]: '#6f6', [VIEWPORTS.sagittal]: '#ff6' })[id];

function showBorder(services, on = !DRAWN.field) {
  DRAWN.field = on ? tumorField(services) : null;
  DRAWN.lines.clear();
  redraw(services);
  return Boolean(DRAWN.field);
}

const followTumor = services => DRAWN.field && showBorder(services, true);

/** Distance from the tumor that is drawn; null if there is none. */
function tumorField({ segmentationService }) {
  const [own] = segmentationService.getSegmentations().filter(({ segmentationId }) => /^osln-/.test(segmentationId));
  const volume = own && segmentationService.getLabelmapVolume(own.segmentationId);
  if (!volume) return null;
  return distanceField(volume.voxelManager.getCompleteScalarDataArray(), gridOfVolume(volume), TUMOR, PROXIMAL_MM);
}

function showCrosshair(services, on = !DRAWN.crosshair) {
  DRAWN.crosshair = Boolean(on);
  redraw(services);
  return DRAWN.crosshair;
}

function forgetDrawing() {
  for (const { layer, element, listener } of DRAWN.layers.values()) {
    element.removeEventListener(window.cornerstone.EVENTS.IMAGE_RENDERED, listener);
    layer.remove();
  }
  Object.assign(DRAWN, { crosshair: false, field: null });
  DRAWN.lines.clear();
  DRAWN.layers.clear();
}

/** Puts a layer over a plane, which follows its images; does nothing the second time. */
function drawOn(services, id, { element }) {
  const former = DRAWN.layers.get(id);
  if (former?.layer.isConnected) return;
  if (former) former.element.removeEventListener(window.cornerstone.EVENTS.IMAGE_RENDERED, former.listener);
  const layer = svg('svg', { class: 'osln-lines' });
  layer.style.cssText = 'position: absolute; inset: 0; width: 100%; height: 100%; pointer-events: none;';
  element.querySelector('.viewport-element').append(layer);
  // A line of one plane lies where another one is.
  const listener = () => redraw(services);
  element.addEventListener(window.cornerstone.EVENTS.IMAGE_RENDERED, listener);
  DRAWN.layers.set(id, { layer, element, listener });
}

function svg(tag, attributes, ...children) {
  const made = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** Where a plane lies: a point of it in the middle of its view, its directions and its normal, in LPS. */
function frameOf(viewport) {
  const { focalPoint, viewPlaneNormal: normal, viewUp: up } = viewport.getCamera();
  const right = [0, 1, 2].map(n => up[(n + 1) % 3] * normal[(n + 2) % 3] - up[(n + 2) % 3] * normal[(n + 1) % 3]);
  return { point: [...focalPoint], normal: [...normal], right, up: [...up] };
}

function redraw(services) {
  const shown = planes(services).map(plane => ({ ...plane, frame: frameOf(plane.viewport) }));
  for (const plane of shown) {
    const { layer } = DRAWN.layers.get(plane.id) ?? {};
    layer?.replaceChildren(...border(plane), ...(DRAWN.crosshair ? crosshair(plane, shown) : []));
  }
}

/** Point in which planes that are perpendicular to each other meet. */
function meeting(frames) {
  return [0, 1, 2].map(c => frames.reduce((sum, { point, normal }) => sum + dot(point, normal) * normal[c], 0));
}

function crosshair({ id, viewport, frame }, shown) {
  if (shown.length < 3) return [];
  const center = meeting(shown.map(plane => plane.frame));
  const [x, y] = viewport.worldToCanvas(center);
  const reach = viewport.element.clientWidth + viewport.element.clientHeight;
  const edge = viewport.worldToCanvas(center.map((value, c) => value + frame.right[c] * (GAP_MM / 2)));
  const gap = Math.hypot(edge[0] - x, edge[1] - y);
  return shown.filter(other => other.id !== id).flatMap(other => {
    // The other plane is cut along the normal of the third; this vector has twice the length of the gap.
    const third = shown.find(one => one.id !== id && one.id !== other.id).frame.normal;
    const [u, v] = viewport.worldToCanvas(center.map((value, c) => value + third[c] * GAP_MM));
    const [dx, dy] = [(u - x) / (2 * gap), (v - y) / (2 * gap)];
    const look = { stroke: LINE_COLOR(other.id), 'stroke-opacity': 0.6 };
    const line = (from, to) =>
      svg('line', { x1: x + dx * from, y1: y + dy * from, x2: x + dx * to, y2: y + dy * to, ...look });
    return [line(gap, reach), line(-reach, -gap)];
  });
}

function border({ id, viewport, frame }) {
  if (!DRAWN.field) return [];
  const key = [dot(frame.point, frame.normal), ...frame.normal, ...frame.up].map(value => value.toFixed(3)).join();
  if (DRAWN.lines.get(id)?.key !== key) DRAWN.lines.set(id, { key, lines: isolines(DRAWN.field, PROXIMAL_MM, frame) });
  const { lines } = DRAWN.lines.get(id);
  const place = point => viewport.worldToCanvas(point).map(value => value.toFixed(1)).join();
  const points = line => line.map(place).join(' ');
  const look = { fill: 'none', stroke: '#fff', 'stroke-dasharray': '6 4', class: 'osln-border' };
  return lines.map(line => svg('polyline', { points: points(line), ...look }));
}
