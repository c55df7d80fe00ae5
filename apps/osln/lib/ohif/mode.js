// The mode: viewports, tools, toolbar and panels.
// Uses view.js: VIEWPORTS, beginLook; hanging.js: PROTOCOL, TOOL_GROUP, protocol, registerAttributes; commands.js: commandsModule; layout.js: BRUSH_MM; panel.js: panelComponent.

const EXTENSIONS = {
  '@ohif/extension-default': '^3.0.0',
  '@ohif/extension-cornerstone': '^3.0.0',
};

/** Tools: strategies are those of cornerstone's brush. */
function addTools(services, extensionManager) {
  const { toolNames, Enums } = extensionManager.getModuleEntry(
    '@ohif/extension-cornerstone.utilityModule.tools'
  ).exports;
  const on = mouseButton => [{ mouseButton }];
  const brush = (toolName, activeStrategy) => ({
    toolName,
    parentTool: 'Brush',
    configuration: { activeStrategy, brushSize: BRUSH_MM },
  });
  services.toolGroupService.createToolGroupAndAddTools(TOOL_GROUP, {
    active: [
      { toolName: toolNames.WindowLevel, bindings: on(Enums.MouseBindings.Primary) },
      { toolName: toolNames.Pan, bindings: on(Enums.MouseBindings.Auxiliary) },
      { toolName: toolNames.Zoom, bindings: on(Enums.MouseBindings.Secondary) },
      { toolName: toolNames.StackScroll, bindings: on(Enums.MouseBindings.Wheel) },
    ],
    passive: [
      brush('SphereBrush', 'FILL_INSIDE_SPHERE'),
      brush('CircularBrush', 'FILL_INSIDE_CIRCLE'),
      brush('SphereEraser', 'ERASE_INSIDE_SPHERE'),
      brush('CircularEraser', 'ERASE_INSIDE_CIRCLE'),
      { toolName: toolNames.Length },
    ],
    disabled: [
      {
        toolName: toolNames.Crosshairs,
        configuration: {
          disableOnPassive: true,
          getReferenceLineColor: id =>
            ({ [VIEWPORTS.axial]: '#f66', [VIEWPORTS.coronal]: '#6f6', [VIEWPORTS.sagittal]: '#ff6' })[id],
        },
      },
    ],
  });
}

const button = (id, icon, label, evaluate = 'evaluate.cornerstoneTool') => ({
  id,
  uiType: 'ohif.radioGroup',
  props: {
    icon,
    label,
    evaluate,
    commands: { commandName: 'setToolActiveToolbar', commandOptions: { toolGroupIds: [TOOL_GROUP] } },
  },
});

/** A button that does something at once and leaves the mouse's tool as it is. */
const action = (id, icon, label, commands) => ({
  id,
  uiType: 'ohif.radioGroup',
  props: { icon, label, commands, evaluate: 'evaluate.action' },
});

const BUTTONS = [
  button('WindowLevel', 'tool-window-level', 'Window and level'),
  button('Pan', 'tool-move', 'Pan'),
  button('Zoom', 'tool-zoom', 'Zoom'),
  button('Crosshairs', 'tool-crosshair', 'Crosshairs'),
  button('Length', 'tool-length', 'Length'),
  button('SphereBrush', 'icon-tool-brush', 'Brush (sphere)'),
  button('SphereEraser', 'icon-tool-eraser', 'Eraser (sphere)'),
  action('Overlay', 'toggle-dicom-overlay', 'Nodes and tumor on and off', 'oslnOverlay'),
  action('Fill', 'icon-tool-shape', 'Nodes filled or as outlines', 'oslnFill'),
  action('Tumor', 'icon-tool-freehand-roi', 'Tumor on and off', 'oslnTumor'),
  action('Pet', 'tool-fusion-color', 'PET on and off', 'oslnPet'),
  action('Border', 'tool-circle', '70 mm from the tumor', 'oslnBorder'),
  action('Mip', 'tool-3d-rotate', 'PET maximum on and off', 'oslnMip'),
  action('Reset', 'tool-reset', 'Reset view', 'oslnReset'),
];

let endLook = () => {};

const mode = {
  id: 'osln-mode',
  extensionDependencies: EXTENSIONS,
  modeFactory: () => ({
    id: 'osln-mode',
    routeName: 'osln',
    displayName: 'Lymph nodes',
    onModeEnter: ({ servicesManager, extensionManager }) => {
      performance.mark('osln-mode');
      const { services } = servicesManager;
      endLook = beginLook(services);
      addTools(services, extensionManager);
      services.toolbarService.addButtons(BUTTONS);
      services.toolbarService.createButtonSection('primary', BUTTONS.map(({ id }) => id));
    },
    onModeExit: ({ servicesManager }) => {
      const { services } = servicesManager;
      endLook();
      services.uiDialogService.dismissAll();
      services.uiModalService.hide();
      services.toolGroupService.destroy();
      services.syncGroupService.destroy();
      services.segmentationService.destroy();
      services.cornerstoneViewportService.destroy();
    },
    validationTags: { study: [], series: [] },
    isValidMode: ({ modalities }) => ({
      valid: modalities.split('\\').includes('CT'),
      description: 'Needs a study with a CT',
    }),
    routes: [
      {
        path: 'osln',
        layoutTemplate: () => ({
          id: '@ohif/extension-default.layoutTemplateModule.viewerLayout',
          props: {
            leftPanels: ['@ohif/extension-default.panelModule.seriesList'],
            leftPanelClosed: true,
            leftPanelDefaultClosed: true,
            rightPanels: ['osln-extension.panelModule.nodes'],
            rightPanelDefaultClosed: false,
            rightPanelClosed: false,
            viewports: [
              {
                namespace: '@ohif/extension-cornerstone.viewportModule.cornerstone',
                displaySetsToDisplay: ['@ohif/extension-default.sopClassHandlerModule.stack'],
              },
            ],
          },
        }),
      },
    ],
    extensions: EXTENSIONS,
    hangingProtocol: PROTOCOL,
    sopClassHandlers: ['@ohif/extension-default.sopClassHandlerModule.stack'],
    hotkeys: [],
  }),
};

const extension = {
  id: 'osln-extension',
  version: '1.0.0',
  preRegistration: ({ servicesManager }) => registerAttributes(servicesManager.services),
  getHangingProtocolModule: () => [{ name: PROTOCOL, protocol }],
  getCommandsModule: ({ servicesManager }) => commandsModule(servicesManager.services),
  getPanelModule: ({ servicesManager, commandsManager }) => [
    {
      name: 'nodes',
      iconName: 'tab-segmentation',
      iconLabel: 'Nodes',
      label: 'Lymph nodes',
      component: panelComponent(servicesManager.services, commandsManager),
    },
  ],
};
