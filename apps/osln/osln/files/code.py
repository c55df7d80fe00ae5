"""What the code of a result was, so that files of former code are not taken for those of the present one."""

import hashlib
import re
from functools import cache
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
_TOLD = re.compile(r'(^[ \t]*)?"""[\s\S]*?"""|^[ \t]*#.*$', re.MULTILINE)


@cache
def code_key(parts: tuple[str, ...]) -> str:
    """Of the source files of some parts of `osln`, whatever their comments and docstrings say.

    Args:
        parts: Packages and files, as paths below the package.

    Returns:
        16 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for part in parts:
        path = _ROOT / part
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            text = bare(file.read_text(encoding="utf-8"))
            digest.update(f"{file.relative_to(_ROOT)}\n{text}\n".encode())
    return digest.hexdigest()[:16]


def bare(source: str) -> str:
    """Source without lines of comment, strings in three quotes that begin a line, and empty lines."""
    kept = _TOLD.sub(lambda one: one[0] if one[1] is None and one[0].startswith('"') else "", source)
    return "\n".join(line for line in kept.splitlines() if line.strip())
