// OHIF's configuration: images from this server, which may pass those of a PACS on, and the mode for lymph nodes alone.
// Uses mode.js: EXTENSIONS, mode, extension.

/** Takes away what OHIF brings along and this server cannot store for: its other modes, and the extensions of those. */
function leaveOwn() {
  if (window.modes) window.modes.length = 0;
  const needed = window.extensions?.filter(name => name in EXTENSIONS);
  window.extensions?.splice(0, Infinity, ...needed);
}

window.config = {
  routerBasename: '/ohif/',
  showStudyList: true,
  extensions: [extension],
  // OHIF reads this when its own modes are known and not yet loaded.
  get modes() {
    leaveOwn();
    return [mode];
  },
  showLoadingIndicator: true,
  strictZSpacingForVolumeViewport: true,
  // The page is not served with the headers that shared memory needs.
  useSharedArrayBuffer: 'FALSE',
  investigationalUseDialog: { option: 'never' },
  defaultDataSourceName: 'dicomweb',
  dataSources: [
    {
      namespace: '@ohif/extension-default.dataSourcesModule.dicomweb',
      sourceName: 'dicomweb',
      configuration: {
        friendlyName: 'Images of this server',
        name: 'osln',
        qidoRoot: '/proxy/dicom/qido',
        wadoRoot: '/proxy/dicom/wado',
        wadoUriRoot: '/proxy/dicom/wado',
        qidoSupportsIncludeField: true,
        imageRendering: 'wadors',
        thumbnailRendering: 'wadors',
        supportsFuzzyMatching: true,
        supportsWildcard: true,
        // Labels go to this server; nothing else is written from the browser.
        dicomUploadEnabled: false,
        bulkDataURI: { enabled: true },
      },
    },
  ],
};
