#!/bin/bash
# Installs the programs that tests run against, where that is possible: as root, with apt-get (Debian, Ubuntu).
# Elsewhere it says so and goes on; the tests then name what they miss.
#   program        package      for
#   dciodvfy       dicom3tools  DICOM files written here are checked by somebody else's program
#   Orthanc        orthanc      a real PACS; its DICOMweb service is the package orthanc-dicomweb
#   chromium       chromium     OHIF in a real browser
set -euo pipefail

PROGRAMS=(dciodvfy Orthanc chromium)
PACKAGES=(dicom3tools "orthanc orthanc-dicomweb" chromium)

lacking=()
for i in "${!PROGRAMS[@]}"; do
    # shellcheck disable=SC2206 # several packages for one program are several words
    command -v "${PROGRAMS[$i]}" > /dev/null || lacking+=(${PACKAGES[$i]})
done
if [ ${#lacking[@]} -eq 0 ]; then
    exit 0
fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get > /dev/null; then
    echo "not installed: ${lacking[*]} (that takes root and apt-get)" >&2
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
if ! { apt-get -qq update && apt-get -qq install -y --no-install-recommends "${lacking[@]}"; } > /dev/null; then
    echo "apt-get could not install ${lacking[*]}; the tests that need them will fail" >&2
fi
