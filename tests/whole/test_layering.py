"""Imports point one way: the science never reaches for the server, and the tables need nothing but Python."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

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


def test_no_module_of_lib_is_imported_back():
    assert circle(APP, "lib") == []


def test_a_circle_is_found_also_where_an_import_stands_in_a_function(tmp_path):
    (tmp_path / "lib" / "store").mkdir(parents=True)
    (tmp_path / "lib" / "one.py").write_text("from lib.store import two\n")
    (tmp_path / "lib" / "store" / "two.py").write_text("def late():\n    import lib.one\n")

    assert set(circle(tmp_path, "lib")) == {"lib.one", "lib.store.two"}


def circle(root: Path, package: str) -> list[str]:
    """Modules of a package that import each other in a circle, wherever the imports stand; [] without one."""
    files = {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path
        for path in (root / package).rglob("*.py")
    }
    asked = {name: imported(path) & files.keys() - {name} for name, path in files.items()}
    try:
        TopologicalSorter(asked).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def imported(path: Path) -> set[str]:
    """Every name that a file imports, as `module` and as `module.name`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module and not node.level, f"{path} has a relative import"
            found |= {node.module} | {f"{node.module}.{name.name}" for name in node.names}
    return found
