// What the view can do as commands of OHIF, for its toolbar and for whoever drives the page from outside:
// `commandsManager.runCommand('oslnJump', { point_mm: [x, y, z] })`. Each returns what its function returns.
// Uses view.js: jumpTo, resetView, setCtWindow, setOverlay, setPetOpacity, setPetWindow, showTumor, toggleFill, toggleOverlay, togglePet; drawing.js: showBorder, showCrosshair; mip.js: markOnMip, showMip, turnMip.

const commands = services => ({
  oslnCtWindow: ({ preset }) => setCtWindow(services, preset),
  oslnPetWindow: ({ upper }) => setPetWindow(services, upper),
  oslnPetOpacity: ({ opacity }) => setPetOpacity(services, opacity),
  oslnPet: ({ on } = {}) => togglePet(services, on),
  oslnOverlay: ({ look } = {}) => (look ? setOverlay(services, look) : toggleOverlay(services)),
  oslnFill: () => toggleFill(services),
  oslnTumor: ({ on } = {}) => showTumor(services, on),
  oslnBorder: ({ on } = {}) => showBorder(services, on),
  oslnCrosshair: ({ on } = {}) => showCrosshair(services, on),
  oslnJump: ({ point_mm, zoom_mm }) => jumpTo(services, point_mm, { zoom_mm }),
  oslnReset: () => resetView(services),
  oslnMip: ({ on } = {}) => showMip(services, on),
  oslnMipNodes: ({ nodes }) => markOnMip(nodes),
  oslnMipTurn: ({ by }) => turnMip(by),
});

/** OHIF's list of commands. */
const commandsModule = services => ({
  definitions: Object.fromEntries(Object.entries(commands(services)).map(([name, commandFn]) => [name, { commandFn }])),
  defaultContext: 'OSLN',
});
