#!/bin/bash
# Installs slicer-core, 3D Slicer's libraries without its window, for tests/whole/test_slicer_core.py: 1 GB, in an
# environment of its own (.venv-slicer), because it brings other versions of packages than the product.
# Where that is impossible it says so and goes on; the tests then name what they miss.
set -euo pipefail
cd "$(dirname "$0")/.."
ROOT=$PWD
VERSION=5.13.31053.0

ready() {
    .venv-slicer/bin/python -c "
import importlib.metadata, slicer
assert importlib.metadata.version('slicer-core') == '$VERSION' and slicer.vtkMRMLSegmentationNode" > /dev/null 2>&1
}

if ready; then
    exit 0
fi
. scripts/find_python.sh
rm -rf .venv-slicer
if ! { "$PYTHON" -m venv .venv-slicer &&
    .venv-slicer/bin/python -m pip install --quiet --no-input --disable-pip-version-check \
        "slicer-core==$VERSION" numpy; } || ! ready; then
    echo "slicer-core $VERSION could not be installed; the tests that need it will fail" >&2
fi
