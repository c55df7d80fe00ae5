"""What a fresh interpreter loads."""

import subprocess
import sys
from pathlib import Path

APP = Path(__file__).resolve().parents[2] / "apps" / "osln"


def loaded_after(code: str) -> set[str]:
    """Names of all modules that a fresh interpreter has loaded after running some code."""
    program = f"import sys; sys.path.insert(0, {str(APP)!r}); {code}; print(*sorted(sys.modules), sep='\\n')"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return set(result.stdout.split())
