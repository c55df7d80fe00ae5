// How images look: three planes with CT and PET, windows and colors, the overlay of labels, jumping to a node.
//
// For the panel and its keys, all with OHIF's `services` first; each acts on all planes and returns what is so now:
//   setCtWindow(services, name)          of CT_WINDOWS: 'soft tissue', 'lung', 'bone', 'mediastinum'
//   setPetWindow(services, upper)        SUV 0 to 5, 10 or 15 (PET_UPPERS); without SUV parts of its own range
//   setPetOpacity(services, opacity)     0 to 1
//   togglePet(services, on)              without `on` the other way round
//   setOverlay(services, look)           'outline', 'fill' or 'off'; also for label maps that come later
//   toggleOverlay(services)              outline or fill, and off
//   toggleFill(services)                 outline or fill
//   showTumor(services, on)              the tumor's own outline
//   jumpTo(services, point, {zoom_mm})   point RAS in mm; null leaves the zoom
//   resetView(services)                  whole planes, first windows
//   LOOK                                 what is so now
// and from the other files: showBorder, showCrosshair (drawing.js); markOnMip, onMipPick, showMip, turnMip (mip.js);
// watchImages (images.js).
// Uses nodes.js: TUMOR; windows.js: CT_WINDOWS, PET_MAP, PET_OPACITY, PET_UPPER, ctText, petColors, petText; segmentation.js: LABELMAP; hanging.js: arrange; drawing.js: drawOn, forgetDrawing, showCrosshair; mip.js: forgetMip, mountMip, repaintMip.

const VIEWPORTS = { axial: 'osln-axial', coronal: 'osln-coronal', sagittal: 'osln-sagittal' };
const NODE_VIEW_MM = 60;
const SUV_UNITS = ['BQML', 'GML'];

const LOOK = {};

function forgetLook() {
  Object.assign(LOOK, { ct: 'soft tissue', petUpper: PET_UPPER, opacity: PET_OPACITY, pet: true });
  Object.assign(LOOK, { overlay: 'outline', overlayBefore: 'outline', tumor: true, room: true });
}
forgetLook();

const cornerstoneViewport = (services, id) => services.cornerstoneViewportService.getCornerstoneViewport(id);

/** The planes that are there, with the names of their volumes: [{id, viewport, ct, pet}]; `pet` may be missing. */
function planes(services) {
  const there = Object.values(VIEWPORTS).map(id => ({ id, viewport: cornerstoneViewport(services, id) }));
  return there.flatMap(({ id, viewport }) => {
    const volumes = viewport?.getAllVolumeIds?.() ?? [];
    const pet = volumes.find(volume => modalityOf(volume) === 'PT');
    return volumes.length ? [{ id, viewport, ct: volumes[0], pet }] : [];
  });
}

const modalityOf = volume => window.cornerstone.cache.getVolume(volume)?.metadata?.Modality;

/** The PET's volume; null if none is shown. */
function petVolume(services) {
  const { pet } = planes(services).find(plane => plane.pet) ?? {};
  return pet ? window.cornerstone.cache.getVolume(pet) : null;
}

/** Whether the PET's values are SUV; the viewer scales Bq/ml, and takes g/ml as they are. */
function hasSuv(services) {
  const sets = services.displaySetService.getActiveDisplaySets();
  const shown = petVolume(services)?.metadata?.SeriesInstanceUID;
  const pets = sets.filter(({ Modality }) => Modality === 'PT');
  const pet = pets.find(({ SeriesInstanceUID }) => SeriesInstanceUID === shown) ?? pets[0];
  return SUV_UNITS.includes(pet?.instances?.[0]?.Units);
}

/** Upper end of the PET's window in its own values. */
function petUpper(services) {
  if (hasSuv(services)) return LOOK.petUpper;
  const volume = petVolume(services);
  const range = volume?.voxelManager?.getRange?.();
  return ((range?.[1] || 1) * LOOK.petUpper) / PET_UPPER;
}

function setCtWindow(services, name) {
  if (!(name in CT_WINDOWS)) throw new Error(`no CT window '${name}'; there are ${Object.keys(CT_WINDOWS).join(', ')}`);
  LOOK.ct = name;
  for (const { viewport, ct } of planes(services)) {
    viewport.setProperties({ voiRange: { ...CT_WINDOWS[name] } }, ct);
    viewport.render();
  }
  return name;
}

function setPetWindow(services, upper) {
  if (!(upper > 0)) throw new Error(`the PET's window ends above 0, not at ${upper}`);
  LOOK.petUpper = upper;
  return colorPet(services);
}

function setPetOpacity(services, opacity) {
  LOOK.opacity = Math.min(Math.max(opacity, 0), 1);
  return colorPet(services);
}

const petActor = (viewport, pet) => viewport.getActors().find(({ referencedId }) => referencedId === pet).actor;

/**
 * Makes an opacity of 0.6 be seen as 0.6. A plane is a slab of 0.1 mm, and VTK's compositing reckons with 1 mm: 0.6 was
 * seen as 0.1, as tan instead of orange. The maximum of the slab is the same value and takes the opacity as it is, and
 * costs no smaller steps.
 */
function seeThrough(actor) {
  const mapper = actor.getMapper();
  mapper.setBlendMode(window.cornerstone.Enums.BlendModes.MAXIMUM_INTENSITY_BLEND);
  actor.getProperty().setScalarOpacityUnitDistance(0, mapper.getSampleDistance());
}

/** Gives the PET its window and colors; returns {lower, upper} in its values. */
function colorPet(services) {
  const range = { lower: 0, upper: petUpper(services) };
  for (const { viewport, pet } of planes(services)) {
    if (!pet) continue;
    viewport.setProperties({ voiRange: { ...range }, colormap: petColors(LOOK.opacity, range.upper) }, pet);
    seeThrough(petActor(viewport, pet));
    viewport.render();
  }
  repaintMip();
  return range;
}

function togglePet(services, on = !LOOK.pet) {
  LOOK.pet = on;
  for (const { viewport, pet } of planes(services)) {
    if (!pet) continue;
    petActor(viewport, pet).setVisibility(on);
    // The corner's text is made anew when a window is set.
    viewport.setProperties({ voiRange: { ...viewport.getProperties(pet).voiRange } }, pet);
    viewport.render();
  }
  return on;
}

/** The label map's style; the inactive one is set too, or a second label map would be filled. */
function overlayStyle(look) {
  const [outline, fill] = [look !== 'off', look === 'fill'];
  return {
    ...{ renderOutline: outline, renderOutlineInactive: outline, outlineWidth: 2, outlineWidthInactive: 2 },
    ...{ renderFill: fill, renderFillInactive: fill, fillAlpha: fill ? 0.35 : 0, fillAlphaInactive: fill ? 0.35 : 0 },
  };
}

function setOverlay(services, look = LOOK.overlay) {
  if (look !== 'off') LOOK.overlayBefore = look;
  LOOK.overlay = look;
  services.segmentationService.setStyle({ type: LABELMAP() }, overlayStyle(look));
  for (const { viewport } of planes(services)) viewport.render();
  return look;
}

const toggleOverlay = services => setOverlay(services, LOOK.overlay === 'off' ? LOOK.overlayBefore : 'off');

/** Nodes filled, or as outlines again. */
const toggleFill = services => setOverlay(services, LOOK.overlay === 'fill' ? 'outline' : 'fill');

function showTumor(services, on = !LOOK.tumor) {
  LOOK.tumor = on;
  const { state, config } = window.cornerstoneTools.segmentation;
  for (const { id } of planes(services)) {
    for (const { segmentationId, type } of state.getSegmentationRepresentations(id)) {
      config.visibility.setSegmentIndexVisibility(id, { segmentationId, type }, TUMOR, on);
    }
  }
  return on;
}

/** Centers all planes on a point of the patient (LPS, mm), with so much of it around, in mm; null leaves the zoom. */
function centerOn(services, point, zoom_mm = null) {
  for (const { viewport } of planes(services)) {
    const { focalPoint, position } = viewport.getCamera();
    const moved = { focalPoint: [...point], position: position.map((value, c) => value + point[c] - focalPoint[c]) };
    // The scale is half the height; of a narrow pane the width counts.
    const { clientWidth, clientHeight } = viewport.element;
    if (zoom_mm) moved.parallelScale = (zoom_mm / 2) * Math.max(1, clientHeight / clientWidth);
    viewport.setCamera(moved);
    viewport.render();
  }
}

function jumpTo(services, [x, y, z], { zoom_mm = NODE_VIEW_MM } = {}) {
  // The server speaks RAS, DICOM and OHIF LPS.
  const point = [-x, -y, z];
  showCrosshair(services, point);
  centerOn(services, point, zoom_mm);
  return point;
}

/** Whole planes in the windows of the beginning; the viewer's own reset would show the CT from 0 to 1024. */
function resetView(services) {
  for (const { viewport } of planes(services)) viewport.resetCamera();
  setCtWindow(services, 'soft tissue');
  return setPetWindow(services, PET_UPPER);
}

/** Lines of each plane's corner: the viewer's own would tell the window that was set last, which is the PET's. */
function cornerItems(services) {
  const range = (id, name) => {
    const plane = planes(services).find(one => one.id === id);
    return plane?.[name] && plane.viewport.getProperties(plane[name])?.voiRange;
  };
  const item = (id, contentF) => ({ id, customizationType: 'ohif.overlayItem', contentF });
  return [
    item('osln-ct', ({ viewportId }) => ctText(range(viewportId, 'ct'))),
    item('osln-pet', ({ viewportId }) => petText(LOOK.pet && range(viewportId, 'pet'), hasSuv(services))),
  ];
}

/** Before the mode draws anything: colors of its own, corners, and its look as planes come; returns what ends it. */
function beginLook(services) {
  forgetLook();
  window.cornerstone.utilities.colormap.registerColormap(PET_MAP);
  const corner = { id: 'cornerstoneOverlayBottomLeft', items: cornerItems(services) };
  services.customizationService.addModeCustomizations([corner]);
  setOverlay(services);
  const { cornerstoneViewportService: viewports } = services;
  const dress = () => {
    for (const { id, viewport } of planes(services)) drawOn(services, id, viewport);
    colorPet(services);
    mountMip(services);
    const there = planes(services);
    // Without a PET the planes take its room, once.
    if (there.length === 3 && !there[0].pet && LOOK.room) {
      LOOK.room = false;
      arrange(services, false, true);
    }
  };
  const { unsubscribe } = viewports.subscribe(viewports.EVENTS.VIEWPORT_VOLUMES_CHANGED, dress);
  // What a PET without SUV has as its own range is known when all of it is there.
  const { eventTarget, EVENTS } = window.cornerstone;
  const loaded = () => {
    if (petVolume(services) && !hasSuv(services)) colorPet(services);
    mountMip(services);
  };
  eventTarget.addEventListener(EVENTS.IMAGE_VOLUME_LOADING_COMPLETED, loaded);
  return () => {
    unsubscribe();
    eventTarget.removeEventListener(EVENTS.IMAGE_VOLUME_LOADING_COMPLETED, loaded);
    forgetDrawing();
    forgetMip();
  };
}
