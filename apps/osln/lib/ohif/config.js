// OHIF's configuration: the PACS through this server's proxy, and the mode for lymph nodes before all others.
// Uses mode.js: mode, extension.

window.config = {
  routerBasename: '/ohif/',
  showStudyList: true,
  extensions: [extension],
  modes: [mode],
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
        friendlyName: 'PACS',
        name: 'pacs',
        qidoRoot: '/proxy/dicom/qido',
        wadoRoot: '/proxy/dicom/wado',
        wadoUriRoot: '/proxy/dicom/wado',
        qidoSupportsIncludeField: true,
        imageRendering: 'wadors',
        thumbnailRendering: 'wadors',
        supportsFuzzyMatching: true,
        supportsWildcard: true,
        // Labels go to this server, which delivers them; nothing is written to the PACS from the browser.
        dicomUploadEnabled: false,
        bulkDataURI: { enabled: true },
      },
    },
  ],
};
