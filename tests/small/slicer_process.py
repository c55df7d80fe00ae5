"""3D Slicer without its window: slicer-core in a process of its own interpreter."""

import json
import os
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]


def interpreter(missing: Callable[[str, str], None]) -> Path:
    """The Python that has slicer-core: OSLN_SLICER_PYTHON, or that of `.venv-slicer`.

    Args:
        missing: Called with the component and the remedy if there is none.
    """
    path = Path(os.environ.get("OSLN_SLICER_PYTHON") or REPOSITORY / ".venv-slicer" / "bin" / "python")
    if not path.is_file():
        missing("slicer-core", "./.ci/slicer_core.sh installs it into .venv-slicer (about 1 GB)")
    return path


class SlicerCore:
    """A process of `slicer_scene`; its functions are called as if they were methods of this object.

    Args:
        python: Interpreter that has slicer-core.
        log: File for what Slicer says.
    """

    def __init__(self, python: Path, log: Path) -> None:
        own = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        with log.open("w") as said:
            self.process = subprocess.Popen(
                [str(python), str(REPOSITORY / "tests" / "small" / "slicer_scene.py")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
                env=own,
                cwd=log.parent,
            )
        self.log = log

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            plain = [str(value) if isinstance(value, Path) else value for value in arguments]
            # A process that has ended is told by the empty line, with what it said.
            with suppress(BrokenPipeError):
                self.process.stdin.write(json.dumps([name, *plain]) + "\n")
                self.process.stdin.flush()
            line = self.process.stdout.readline()
            if not line:
                raise RuntimeError(f"slicer-core ended; it said:\n{self.log.read_text()[-3000:]}")
            reply = json.loads(line)
            if "error" in reply:
                raise RuntimeError(reply["error"])
            return reply["answer"]

        return call

    def stop(self) -> None:
        """Ends the process."""
        self.process.communicate(timeout=30)
