# Sourced by serve and test: sets PYTHON to a Python that can build or run the environment.
# The environment's own interpreter comes first, so that a second start searches for nothing.
# OSLN_PYTHON names another interpreter; 3.11 is tried first because it is the version tested most.

works() {
    "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' >/dev/null 2>&1
}

PYTHON=
for candidate in "$ROOT/.venv/bin/python" "${OSLN_PYTHON:-}" python3.11 python3.12 python3.10 python3 python; do
    if [ -n "$candidate" ] && works "$candidate"; then
        PYTHON=$candidate
        break
    fi
done
if [ -z "$PYTHON" ] && command -v uv >/dev/null 2>&1; then
    uv python install 3.11 >&2 || true
    PYTHON=$(uv python find '>=3.10,<3.13' 2>/dev/null || true)
fi
if [ -z "$PYTHON" ]; then
    echo "No Python 3.10, 3.11 or 3.12 was found (3.13 and later cannot run MONAI Label 0.8.5)." >&2
    echo "Install one (Debian/Ubuntu: apt install python3 python3-venv; others: python.org or uv)," >&2
    echo "or name it: OSLN_PYTHON=/path/to/python3.11 $0" >&2
    exit 1
fi
