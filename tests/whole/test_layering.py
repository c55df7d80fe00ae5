"""Imports point one way: the science never reaches for the server, and the tables need nothing but Python."""

import pytest

from small.imports import APP, loaded_after

PACKAGE = APP / "osln"
MODULES = sorted(
    ".".join(path.relative_to(APP).with_suffix("").parts).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
)


def test_no_module_of_osln_loads_the_server_or_its_layer():
    loaded = loaded_after("; ".join(f"import {module}" for module in MODULES))

    assert "osln.rows.experiments" in loaded
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
    loaded = loaded_after("import osln.rows.paper")

    assert not loaded & {"numpy", "torch", "scipy", "SimpleITK", "nibabel", "monai"}
