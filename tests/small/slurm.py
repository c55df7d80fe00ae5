"""A Slurm of one computer, this one, with a folder and ports of its own: Debian's slurm-wlm and munge."""

import contextlib
import getpass
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

INSTALL = "apt-get install slurm-wlm munge (Debian, Ubuntu)"
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "sinfo")
START_SECONDS = 60
CONFIGURATION = """\
ClusterName=small
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={daemon}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
NodeName=small NodeHostname={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES State=UP
"""


def path_with_daemons() -> str:
    """Daemons of Debian lie where only root looks."""
    return os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))


def is_installed() -> bool:
    return all(shutil.which(name, path=path_with_daemons()) for name in PROGRAMS)


class Slurm:
    """Takes jobs of this person; `environment` is that of its commands."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.environment = {
            **environment,
            "PATH": path_with_daemons(),
            "SLURM_CONF": str(folder / "slurm.conf"),
        }

    def submit(self, *options: str) -> subprocess.CompletedProcess:
        """`sbatch` with these options, until the job has ended: its exit code is the highest of the job's."""
        command = ["sbatch", "--wait", f"--output={self.folder}/job-%j.log", *options]
        return subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )

    def said(self) -> str:
        """What its daemons and jobs have written."""
        return "\n".join(f"{path.name}:\n{path.read_text()}" for path in sorted(self.folder.glob("*.log")))


@contextlib.contextmanager
def running(folder: Path, environment: Mapping[str, str], cpus: int = 2) -> Iterator[Slurm]:
    """A Slurm with one computer of so many CPUs, until the end of the context.

    Args:
        folder: Empty; of a short name, as sockets lie there.
        environment: Of its commands and jobs.
        cpus: That it hands out; it does not look whether there are so many.

    Raises:
        RuntimeError: It did not start; says what its daemons wrote.
    """
    slurm = Slurm(folder, environment)
    _configure(folder, cpus)
    with contextlib.ExitStack() as stack:
        key, place = folder / "munge.key", folder / "munge"
        munged = ["--force", f"--key-file={key}", f"--socket={folder}/munge.socket"]
        munged += [f"--{name}={place}.{name}" for name in ("pid-file", "log-file", "seed-file")]
        _start(stack, slurm, "munged", "--foreground", *munged)
        _start(stack, slurm, "slurmctld", "-D")
        _start(stack, slurm, "slurmd", "-D", "-N", "small")
        _wait(slurm)
        yield slurm


def _configure(folder: Path, cpus: int) -> None:
    (folder / "munge.key").write_bytes(secrets.token_bytes(128))
    (folder / "munge.key").chmod(0o600)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    told = CONFIGURATION.format(
        host=socket.gethostname(),
        controller=_free_port(),
        daemon=_free_port(),
        user=getpass.getuser(),
        folder=folder,
        cpus=cpus,
    )
    (folder / "slurm.conf").write_text(told)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _start(stack: contextlib.ExitStack, slurm: Slurm, program: str, *options: str) -> None:
    command: Sequence[str] = (shutil.which(program, path=path_with_daemons()) or program, *options)
    log = stack.enter_context((slurm.folder / f"{program}.log").open("wb"))
    started = subprocess.Popen(command, env=slurm.environment, stdout=log, stderr=log)
    stack.callback(_end, started)


def _end(started: subprocess.Popen) -> None:
    started.terminate()
    try:
        started.wait(30)
    except subprocess.TimeoutExpired:
        started.kill()
        started.wait()


def _wait(slurm: Slurm) -> None:
    """Until the computer takes jobs."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        asked = subprocess.run(
            ["sinfo", "--noheader", "--format=%T"],
            env=slurm.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if asked.stdout.strip() == "idle":
            return
        time.sleep(0.3)
    raise RuntimeError(f"Slurm did not start in {START_SECONDS} s: {asked.stderr}\n{slurm.said()}")
