// The hanging protocol: which images come into which plane. A PET lies on the CT if both have one frame of reference.
// Uses windows.js: CT_WINDOWS, PET_OPACITY, PET_UPPER, petColors, toVoi; view.js: SUV_UNITS, VIEWPORTS, planes.

const TOOL_GROUP = 'default';
const PROTOCOL = 'osln';

/** Display set attribute: a CT with slices in space; localizers and screenshots are none. */
const isVolume = modality => displaySet => displaySet.Modality === modality && Boolean(displaySet.isReconstructable);

/** Of several CT volumes of a study, the one that the address names (`ct`), if it is there. */
function isChosen(displaySet, { displaySets }) {
  const named = new URLSearchParams(window.location.search).get('ct');
  const isNamed = set => isVolume('CT')(set) && set.SeriesInstanceUID === named;
  return isVolume('CT')(displaySet) && (isNamed(displaySet) || !displaySets.some(isNamed));
}

/** A PET can be laid on the CT only if they share a frame of reference: OHIF does not register. */
function isFused(displaySet, { displaySets }) {
  if (!isVolume('PT')(displaySet)) return false;
  const frame = set => set.instances?.[0]?.FrameOfReferenceUID;
  return displaySets.some(set => isChosen(set, { displaySets }) && frame(set) === frame(displaySet));
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
    { id: 'ct', options: { voi: toVoi(CT_WINDOWS['soft tissue']) } },
    { id: 'pet', options: { colormap: petColors(PET_OPACITY, PET_UPPER), voi: { custom: 'oslnPetWindow' } } },
  ],
});

/** Parts of the screen: axial, coronal over sagittal; the rest of it, if any, is for the maximum-intensity view. */
const parts = (axial, others) => [
  { x: 0, y: 0, width: axial, height: 1 },
  { x: axial, y: 0, width: others, height: 1 / 2 },
  { x: axial, y: 1 / 2, width: others, height: 1 / 2 },
];

const MIP_PART = { left: 0.74, width: 0.26 };
const PARTS_WITH_MIP = parts(0.46, MIP_PART.left - 0.46);
const PARTS_OF_PLANES = parts(2 / 3, 1 / 3);
const GRID = { rows: 2, columns: 3 };

// One stage: the viewer begins with the first one whatever its activation says. `arrange` does the rest.
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
      name: 'planes and PET maximum',
      viewportStructure: { layoutType: 'grid', properties: { ...GRID, layoutOptions: PARTS_WITH_MIP } },
      viewports: [plane('axial'), plane('coronal'), plane('sagittal')],
    },
  ],
};

/** Makes known what the protocol chooses by; OHIF asks the extension for the protocol itself. */
function registerAttributes({ hangingProtocolService }) {
  hangingProtocolService.addCustomAttribute('oslnCt', 'CT volume', isChosen);
  hangingProtocolService.addCustomAttribute('oslnPet', 'PET on the CT', isFused);
  // SUV 0 to 10 where the PET has SUV, its own range otherwise.
  hangingProtocolService.addCustomAttribute('oslnPetWindow', 'window of the PET', sets => {
    const image = sets.find?.(set => set?.Modality === 'PT')?.instances?.[0];
    return SUV_UNITS.includes(image?.Units) ? toVoi({ lower: 0, upper: PET_UPPER }) : undefined;
  });
}

/**
 * Gives the planes the room that they have with or without the maximum-intensity view.
 *
 * @param whole Whether they then show all of their images; else the same place as before.
 */
function arrange(services, withMip, whole = false) {
  const { viewports, activeViewportId } = services.viewportGridService.getState();
  const before = planes(services).map(({ viewport }) => ({ viewport, camera: viewport.getCamera() }));
  services.viewportGridService.setLayout({
    numRows: GRID.rows,
    numCols: GRID.columns,
    layoutType: 'grid',
    layoutOptions: withMip ? PARTS_WITH_MIP : PARTS_OF_PLANES,
    activeViewportId,
    findOrCreateViewport: position => ({ ...viewports.get(Object.values(VIEWPORTS)[position]) }),
  });
  // The viewer moves its cameras when it notices the new sizes, a moment later.
  for (const { viewport, camera } of before) {
    const { focalPoint, position, parallelScale } = camera;
    const settle = () => {
      viewport.element.removeEventListener(window.cornerstone.EVENTS.IMAGE_RENDERED, settle);
      if (whole) viewport.resetCamera();
      else viewport.setCamera({ focalPoint, position, parallelScale });
      viewport.render();
    };
    viewport.element.addEventListener(window.cornerstone.EVENTS.IMAGE_RENDERED, settle);
  }
}
