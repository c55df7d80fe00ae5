"""All that wants a GPU, in one command of some minutes: tests, agreement with the CPU, times, a training.

Tables and weights lie in the folder of --out afterwards. Every part has its share of the minutes; one that
fails or is not done by then stops no other, and the table says so. It needs a Python with PyTorch and a few
packages, which it names where they are missing, but neither MONAI Label nor OpenVINO: on a computer without
the server's environment `./benchmarks/run gpu` takes python3, or what OSLN_PYTHON names.

    ./benchmarks/run gpu --out FOLDER --minutes 12
    ./benchmarks/run gpu --out FOLDER --minutes 5 --device cpu --toy     that it runs, without a GPU
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.gpu_table import markdown

# Nothing but the standard library is imported, so that what is missing can be told.

ROOT = Path(__file__).resolve().parents[1]
NEEDED = {
    "torch": "torch",
    "numpy": "numpy",
    "scipy": "scipy",
    "SimpleITK": "SimpleITK",
    "nibabel": "nibabel",
    "isal": "isal",
    "numba": "numba",
    "filelock": "filelock",
    "safetensors": "safetensors",
    "yaml": "PyYAML",
}
"""By module, the package that brings it."""
WISHED = {"pytest": "pytest", "torchvision": "torchvision"}
"""Without pytest the tests are left out, without torchvision the tags of stage two."""
LAST_SECONDS = 3.0
"""For ending a part and writing the table."""


@dataclass(frozen=True)
class Share:
    """A part of the run.

    Attributes:
        name: As in `gpu_part.MODULES`.
        share: Of the time, in units of the other parts'; what a part leaves goes to those after it.
        needs: Modules besides `NEEDED`.
        least: Seconds that it gets even where its share is less.
    """

    name: str
    share: float
    needs: tuple[str, ...] = ()
    least: float = 0.0


PARTS = (
    # The first to import PyTorch, which takes long from a cold disk.
    Share("computer", 0.5, least=90.0),
    Share("tests", 1.0, ("pytest",)),
    Share("agreement", 1.8),
    Share("patient", 2.2),
    Share("networks", 1.5),
    Share("training", 5.0),
)


def main(given: list[str] | None = None) -> int:
    """Runs the parts; 0 if all of them ended well, 1 if one did not, 2 if none could begin."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="for tables and weights")
    parser.add_argument("--minutes", type=float, default=12.0, help="for everything (%(default)g)")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or, to try it, cpu (%(default)s)")
    parser.add_argument(
        "--toy", action="store_true", help="everything as small as can be; figures say nothing"
    )
    parser.add_argument(
        "--only", nargs="+", choices=[part.name for part in PARTS[1:]], help="these parts alone"
    )
    options = parser.parse_args(given)
    if not options.minutes > 0:
        parser.error("--minutes must be more than 0")
    missing = [package for module, package in NEEDED.items() if find_spec(module) is None]
    wished = [package for module, package in WISHED.items() if find_spec(module) is None]
    if missing:
        say(f"missing: {', '.join(missing)}. Get them: {remedy(missing + wished)}")
        return 2
    if wished:
        say(f"something is left out for want of {', '.join(wished)}. Get it: {remedy(wished)}")
    options.out.mkdir(parents=True, exist_ok=True)
    parts = [part for part in PARTS if not options.only or part.name in ("computer", *options.only)]
    result = run(parts, options)
    say(f"{options.out / 'gpu.md'} is written")
    if result["parts"]["computer"]["outcome"] != "done":
        return 2
    return int(any(part["outcome"] != "done" for part in result["parts"].values()))


def remedy(packages: list[str]) -> str:
    """How to get packages, for this very Python."""
    ways = []
    if "torch" in packages:
        ways.append("PyTorch in a build for your GPU: https://pytorch.org/get-started/locally")
    if others := [package for package in packages if package != "torch"]:
        ways.append(f"{sys.executable} -m pip install {' '.join(others)}")
    return "; then ".join(ways)


def run(parts: list[Share], options: argparse.Namespace) -> dict[str, Any]:
    """One part after the other; results and table are written after each.

    Returns:
        JSON values: command, date, commit, and for each part its outcome ("done", or in words why not),
        seconds and what it found.
    """
    ends = time.monotonic() + 60 * options.minutes - LAST_SECONDS
    result: dict[str, Any] = {
        "command": f"./benchmarks/run gpu --minutes {options.minutes:g} --device {options.device}"
        + (" --toy" if options.toy else ""),
        "date": date.today().isoformat(),
        "commit": commit(),
        "toy": options.toy,
        "parts": {},
    }
    for number, part in enumerate(parts):
        weight = sum(one.share for one in parts[number:])
        left = max(ends - time.monotonic(), 0.0)
        seconds = min(max(left * part.share / weight, part.least), left)
        lacking = [WISHED[module] for module in part.needs if find_spec(module) is None]
        if lacking:
            told = {"outcome": f"left out: needs {', '.join(lacking)}", "seconds": 0.0, "found": {}}
        else:
            say(f"{part.name}: {seconds:.0f} s at most")
            told = run_part(part.name, seconds, options)
        result["parts"][part.name] = told
        say(f"{part.name}: {told['outcome']} after {told['seconds']:.0f} s")
        write(options.out, result)
        if part.name == "computer" and told["outcome"] != "done":
            break
    return result


def run_part(name: str, seconds: float, options: argparse.Namespace) -> dict[str, Any]:
    """A part in a process of its own, stopped with all that it started when its time is over."""
    file, log = options.out / f"{name}.json", options.out / f"{name}.log"
    file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks.gpu_part", name, "--out", str(options.out.resolve())]
    command += ["--device", options.device, "--ends", f"{time.time() + seconds - LAST_SECONDS:.1f}"]
    paths = (ROOT, ROOT / "apps" / "osln", ROOT / "tests", os.environ.get("PYTHONPATH", ""))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(str(path) for path in paths if str(path))}
    began = time.monotonic()
    with log.open("w") as stream:
        process = subprocess.Popen(
            [*command, *["--toy"][: options.toy]],
            cwd=ROOT,
            env=environment,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
        try:
            status = process.wait(timeout=seconds)
            outcome = "done" if status == 0 else f"failed: {last_words(log) or f'status {status}'}"
        except subprocess.TimeoutExpired:
            outcome = f"stopped when its {seconds:.0f} s were over"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    found = json.loads(file.read_text()) if file.is_file() else {}
    return {"outcome": outcome, "seconds": round(time.monotonic() - began, 1), "found": found}


def last_words(log: Path) -> str:
    """The last line that a process wrote, which of a failed one is its error."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""


def commit() -> str:
    """Of the checkout, or "unknown" where git does not tell."""
    try:
        told = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return told.stdout.strip() or "unknown"


def write(out: Path, result: dict[str, Any]) -> None:
    """The numbers for machines and the tables for docs/performance.md."""
    (out / "gpu.json").write_text(json.dumps(result, indent=1) + "\n")
    (out / "gpu.md").write_text(markdown(result))


def say(text: str) -> None:
    """A line of progress on the error stream."""
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
