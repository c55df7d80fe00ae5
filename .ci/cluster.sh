#!/bin/bash
# Installs Ray (requirements-cluster.txt) into the environment, which it makes first, for the tests marked cluster.
# Where that is impossible it says so and goes on; the tests then name what they miss.
set -euo pipefail
cd "$(dirname "$0")/.."
ROOT=$PWD

. scripts/find_python.sh
"$PYTHON" scripts/start/environment.py
if .venv/bin/python -c "import importlib.util as found; exit(found.find_spec('ray') is None)"; then
    exit 0
fi
if ! .venv/bin/python -m pip install --quiet --no-input --disable-pip-version-check -r requirements-cluster.txt; then
    echo "Ray could not be installed; the tests that need it will fail" >&2
fi
