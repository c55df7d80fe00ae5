"""Imports point one way: a package asks only those above it, and the science never reaches for the server."""

import ast
import shutil
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from small.imports import APP, loaded_after

BASE = {"rows", "files", "learning"}
"""Asked by everybody, asking nobody."""

MAY_IMPORT = {
    "rows": set(),
    "files": set(),
    "learning": set(),
    "accounts": set(),
    "jobs": set(),
    "imaging": {"rows", "files"},
    "networks": {"imaging"},
    "metrics": {"imaging"},
    "registration": {"imaging"},
    "store": {"imaging"},
    "weights": {"imaging", "networks"},
    "evaluation": {"imaging", "metrics"},
    "dicom": {"imaging", "registration", "store"},
    "stage_one": {"imaging", "networks", "metrics", "weights"},
    "mulan": {"imaging", "networks", "metrics", "weights"},
    "phantom": {"imaging", "store", "dicom"},
    "pacs": {"imaging", "store", "dicom"},
    "cohorts": {"imaging", "store", "weights", "phantom"},
    "pictures": {"imaging", "metrics", "stage_one"},
    "tagging": {"imaging", "networks", "weights", "cohorts"},
    "active": {"imaging", "stage_one"},
    "clicks": {"imaging", "networks", "weights", "phantom"},
    "stage_two": {"imaging", "networks", "metrics", "weights", "stage_one", "tagging"},
    "detection": {"imaging", "stage_one", "tagging", "stage_two"},
    "published": {"weights", "stage_one", "tagging", "stage_two"},
    "pipeline": {"imaging", "weights", "stage_one", "tagging", "stage_two", "detection", "published"},
    "output": {"imaging", "store", "dicom", "weights", "stage_one", "pictures", "pipeline", "jobs"},
    "retraining": {
        "jobs",
        "imaging",
        "metrics",
        "store",
        "weights",
        "stage_one",
        "tagging",
        "stage_two",
        "detection",
    },
    "reproduction": {
        "jobs",
        "imaging",
        "metrics",
        "weights",
        "stage_one",
        "mulan",
        "cohorts",
        "pictures",
        "tagging",
        "stage_two",
        "retraining",
    },
    "simulation": {
        "jobs",
        "imaging",
        "metrics",
        "weights",
        "phantom",
        "stage_one",
        "cohorts",
        "active",
        "stage_two",
        "retraining",
        "reproduction",
    },
}
"""Packages of `osln` in the order in which they build on each other: each line names lines above it only."""

MODULES = sorted(
    ".".join(path.relative_to(APP).with_suffix("").parts).removesuffix(".__init__")
    for path in (APP / "osln").rglob("*.py")
)


def package(module: str) -> str:
    """The package of `osln` that a module belongs to; "" for `osln` itself."""
    return [*module.split("."), ""][1]


def imported(path: Path) -> set[str]:
    """Modules named by the imports of a file, those inside functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: imports are absolute"
            # `from osln import x` may name a package, `from osln.x import y` need not name a module.
            names |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def breaks(app: Path) -> list[str]:
    """Imports that the table does not allow, in words."""
    found = []
    for path in sorted((app / "osln").rglob("*.py")):
        here = package(".".join(path.relative_to(app).with_suffix("").parts))
        if here in ("", "__init__", "__main__", "cli"):
            continue
        allowed = MAY_IMPORT[here] | BASE | {here, "__version__", ""}
        for name in sorted(imported(path)):
            top = name.split(".")[0]
            if top in ("lib", "monailabel", "fastapi") or (
                top == "osln" and package(name) not in allowed | {""}
            ):
                found.append(f"{path.relative_to(app)}: {name}")
    return found


def test_every_package_asks_only_those_above_it():
    assert not breaks(APP)


def test_each_line_of_the_table_names_lines_above_it():
    above: set[str] = set()
    for name, allowed in MAY_IMPORT.items():
        assert allowed <= above, name
        above.add(name)


@pytest.mark.parametrize(
    ("file", "line", "told"),
    [
        ("imaging/grid.py", "from osln.stage_one import fusion", "imaging/grid.py: osln.stage_one.fusion"),
        ("metrics/froc.py", "def f():\n    import osln.weights.checkpoint", "osln.weights.checkpoint"),
        ("rows/presets.py", "from osln import imaging", "rows/presets.py: osln.imaging"),
        ("detection.py", "from lib import errors", "detection.py: lib.errors"),
        ("stage_two/scoring.py", "import osln.mulan.detection as m", "osln.mulan.detection"),
    ],
)
def test_an_import_back_is_found(tmp_path, file, line, told):
    shutil.copytree(APP / "osln", tmp_path / "osln", ignore=shutil.ignore_patterns("__pycache__", "data"))
    path = tmp_path / "osln" / file
    path.write_text(f"{path.read_text()}\n{line}\n")

    assert any(told in one for one in breaks(tmp_path))


def test_the_command_line_and_the_server_layer_do_not_ask_each_other():
    for folder, other in ((APP / "osln" / "cli", "lib"), (APP / "lib", "osln.cli")):
        for path in folder.rglob("*.py"):
            assert not [name for name in imported(path) if f"{name}.".startswith(f"{other}.")], path


def test_every_package_says_what_it_is_for():
    for path in APP.rglob("__init__.py"):
        assert ast.get_docstring(ast.parse(path.read_text())), path


@pytest.mark.slow
def test_no_module_of_osln_loads_the_server_or_its_layer():
    loaded = loaded_after("; ".join(f"import {module}" for module in MODULES))

    assert "osln.rows.experiments" in loaded
    assert not {name for name in loaded if name.split(".")[0] in ("monailabel", "lib", "fastapi")}


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
