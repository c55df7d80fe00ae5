"""How long a server takes to its first answer: as `./scripts/serve` starts it, beside plain `monailabel`.

By turns, on copies of the sample cases, with the same app and weights; Linux only (times and memory of the
process come from /proc).

    ./benchmarks/run server_start --pairs 3
"""

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
APP = ROOT / "apps" / "osln"
STARTS = {"serve": [str(APP / "start.py")], "plain": ["-m", "monailabel.main"]}
LONGEST_SECONDS = 300.0


def main() -> None:
    """Print seconds, seconds of processor time and memory of each start in Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=3, help="(%(default)s)")
    options = parser.parse_args()
    sys.stdout.write("| start | seconds | processor, s | memory, MB |\n|---|---|---|---|\n")
    for _ in range(options.pairs):
        for name, program in STARTS.items():
            seconds, processor, memory = first_answer(program)
            sys.stdout.write(f"| {name} | {seconds:.1f} | {processor:.1f} | {memory:.0f} |\n")
            sys.stdout.flush()


def first_answer(program: list[str]) -> tuple[float, float, float]:
    """Seconds until `/info/` answers, processor seconds and MB of memory of the process by then.

    Raises:
        RuntimeError: It does not answer.
    """
    with tempfile.TemporaryDirectory(prefix="osln-start-") as folder, socket.socket() as probe:
        studies = shutil.copytree(ROOT / "sample-datastore", Path(folder) / "studies")
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        given = ["start_server", "--app", str(APP), "--studies", str(studies)]
        given += ["--host", "127.0.0.1", "--port", str(port), "--conf", "evidence", "no"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        begun = time.monotonic()
        process = subprocess.Popen([sys.executable, *program, *given], **quiet)
        try:
            while not answers(port):
                if process.poll() is not None or time.monotonic() - begun > LONGEST_SECONDS:
                    raise RuntimeError(f"the server did not answer: {' '.join([*program, *given])}")
                time.sleep(0.1)
            return (time.monotonic() - begun, *used(process.pid))
        finally:
            process.terminate()
            process.wait(60)


def answers(port: int) -> bool:
    """Whether a server answers there."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/info/", timeout=30) as reply:
            return reply.status == 200
    except (urllib.error.URLError, ConnectionError):
        return False


def used(process: int) -> tuple[float, float]:
    """Processor seconds and MB of memory of a process."""
    about = Path(f"/proc/{process}")
    ticks = about.joinpath("stat").read_text().rpartition(")")[2].split()
    resident = next(
        line for line in about.joinpath("status").read_text().splitlines() if line.startswith("VmRSS")
    )
    return (int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK"), int(resident.split()[1]) / 1024


if __name__ == "__main__":
    main()
