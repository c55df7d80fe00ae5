// The three planes: CT, and PET on top of it where both have one frame of reference.
// Uses none of the other files.

const VIEWPORTS = { axial: 'osln-axial', coronal: 'osln-coronal', sagittal: 'osln-sagittal' };
const TOOL_GROUP = 'default';
const PROTOCOL = 'osln';
const PET_OPACITY = 0.45;
const SOFT_TISSUE = { windowWidth: 400, windowCenter: 40 };

// The PET is clear where it is cold, so that the CT stays readable.
const petColors = opacity => ({
  name: 'hsv',
  opacity: [
    { value: 0, opacity: 0 },
    { value: 0.2, opacity: 0 },
    { value: 0.4, opacity: opacity * 0.8 },
    { value: 1, opacity },
  ],
});

/** Display set attribute: a CT with slices in space; localizers and screenshots are none. */
const isVolume = modality => displaySet => displaySet.Modality === modality && Boolean(displaySet.isReconstructable);

/** A PET can be laid on the CT only if they share a frame of reference: OHIF does not register. */
function isFused(displaySet, { displaySets }) {
  if (!isVolume('PT')(displaySet)) return false;
  const frame = set => set.instances?.[0]?.FrameOfReferenceUID;
  return displaySets.some(set => isVolume('CT')(set) && frame(set) === frame(displaySet));
}

const chosenBy = attribute => ({
  seriesMatchingRules: [{ attribute, constraint: { equals: { value: true } }, required: true }],
});

const plane = orientation => ({
  viewportOptions: {
    viewportId: VIEWPORTS[orientation],
    viewportType: 'volume',
    orientation,
    toolGroupId: TOOL_GROUP,
    initialImageOptions: { preset: 'middle' },
    allowUnmatchedView: true,
    syncGroups: [{ type: 'voi', id: 'osln-window', source: true, target: true, options: { syncColormap: false } }],
  },
  displaySets: [
    { id: 'ct', options: { voi: SOFT_TISSUE } },
    { id: 'pet', options: { colormap: petColors(PET_OPACITY), voi: { custom: 'oslnPetWindow' } } },
  ],
});

const protocol = {
  id: PROTOCOL,
  locked: true,
  name: 'Lymph nodes',
  protocolMatchingRules: [],
  imageLoadStrategy: 'interleaveCenter',
  displaySetSelectors: { ct: chosenBy('oslnCt'), pet: chosenBy('oslnPet') },
  toolGroupIds: [TOOL_GROUP],
  numberOfPriorsReferenced: -1,
  stages: [
    {
      name: 'axial, coronal and sagittal',
      viewportStructure: {
        layoutType: 'grid',
        properties: {
          rows: 2,
          columns: 3,
          layoutOptions: [
            { x: 0, y: 0, width: 2 / 3, height: 1 },
            { x: 2 / 3, y: 0, width: 1 / 3, height: 1 / 2 },
            { x: 2 / 3, y: 1 / 2, width: 1 / 3, height: 1 / 2 },
          ],
        },
      },
      viewports: [plane('axial'), plane('coronal'), plane('sagittal')],
    },
  ],
};

/** Makes known what the protocol chooses by; OHIF asks the extension for the protocol itself. */
function registerAttributes({ hangingProtocolService }) {
  hangingProtocolService.addCustomAttribute('oslnCt', 'CT volume', isVolume('CT'));
  hangingProtocolService.addCustomAttribute('oslnPet', 'PET on the CT', isFused);
  // SUV 0 to 10 where the PET can be scaled to SUV, its own range otherwise.
  hangingProtocolService.addCustomAttribute('oslnPetWindow', 'window of the PET', sets => {
    const image = sets.find?.(set => set?.Modality === 'PT')?.instances?.[0];
    return ['BQML', 'GML'].includes(image?.Units) ? { windowWidth: 10, windowCenter: 5 } : undefined;
  });
}

const cornerstoneViewport = ({ cornerstoneViewportService }, id) => cornerstoneViewportService.getCornerstoneViewport(id);

/** Centers all planes on a point of the patient (LPS, mm). */
function centerOn(services, point) {
  for (const id of Object.values(VIEWPORTS)) {
    const viewport = cornerstoneViewport(services, id);
    if (!viewport) continue;
    const { focalPoint, position } = viewport.getCamera();
    viewport.setCamera({ focalPoint: point, position: position.map((value, c) => value + point[c] - focalPoint[c]) });
    viewport.render();
  }
}

/** Sets how much of the PET is seen. */
function setPetOpacity(services, opacity) {
  for (const id of Object.values(VIEWPORTS)) {
    const viewport = cornerstoneViewport(services, id);
    const pet = viewport?.getAllVolumeIds?.()[1];
    if (!pet) continue;
    viewport.setProperties({ colormap: petColors(opacity) }, pet);
    viewport.render();
  }
}
