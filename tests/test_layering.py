"""Imports point one way: the science never reaches for the server, and the tables need nothing but Python."""

import subprocess
import sys
from pathlib import Path

import pytest

APP = Path(__file__).resolve().parent.parent / "apps" / "osln"
PACKAGE = APP / "osln"
MODULES = sorted(
    ".".join(path.relative_to(APP).with_suffix("").parts).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
)


def loaded_after(code: str) -> set[str]:
    """Names of all modules that a fresh interpreter has loaded after running some code."""
    program = f"import sys; sys.path.insert(0, {str(APP)!r}); {code}; print(*sorted(sys.modules), sep='\\n')"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return set(result.stdout.split())


def test_no_module_of_osln_loads_the_server_or_its_layer():
    loaded = loaded_after("; ".join(f"import {module}" for module in MODULES))

    assert "osln.experiments" in loaded
    assert not {name for name in loaded if name.split(".")[0] in ("monailabel", "lib", "fastapi")}


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_no_source_of_osln_names_the_server_or_its_layer(path):
    lines = [line.strip() for line in path.read_text().splitlines()]

    # Imports inside functions are not seen by loading the module.
    assert not [
        line
        for line in lines
        if line.startswith(("import monailabel", "from monailabel", "from lib", "import lib"))
    ]


def test_the_tables_load_with_the_standard_library_alone():
    loaded = loaded_after("import osln.tables")

    assert not loaded & {"numpy", "torch", "scipy", "SimpleITK", "nibabel", "monai"}
