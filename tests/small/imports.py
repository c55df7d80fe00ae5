"""What a fresh interpreter loads, and what source files import."""

import ast
import subprocess
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

APP = Path(__file__).resolve().parents[2] / "apps" / "osln"


def loaded_after(code: str) -> set[str]:
    """Names of all modules that a fresh interpreter has loaded after running some code."""
    program = f"import sys; sys.path.insert(0, {str(APP)!r}); {code}; print(*sorted(sys.modules), sep='\\n')"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return set(result.stdout.split())


def imported_by(parts: Collection[str], passed: Collection[str]) -> set[str]:
    """Files of `osln`, as paths below it, that some parts import, they themselves and `passed` left out.

    Imports inside functions count, imports of imported files too, those of files that are passed over not.
    """
    package = APP / "osln"
    known, left_out = ({file for part in some for file in _files(package / part)} for some in (parts, passed))
    todo, found = set(known), set()
    while todo:
        new = {file for file in _imports(package, todo.pop()) if file not in left_out | known | found}
        found |= new
        todo |= new
    return {str(file.relative_to(package)) for file in found if file.name != "__init__.py"}


def _files(path: Path) -> list[Path]:
    return list(path.rglob("*.py")) if path.is_dir() else [path]


def _imports(package: Path, file: Path) -> Iterator[Path]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{one.name}" for one in node.names)]
        elif isinstance(node, ast.Import):
            names = [one.name for one in node.names]
        for name in names:
            if name.startswith("osln."):
                path = package.joinpath(*name.split(".")[1:])
                yield from (one for one in (path.with_suffix(".py"), path / "__init__.py") if one.is_file())
