"""Start the server on this computer: makes the environment if need be, then runs MONAI Label with the app.

    ./scripts/serve [--studies FOLDER] [--port 8000] [--host 127.0.0.1] [--conf KEY VALUE]...

Whatever else is given goes to `monailabel start_server`. A second start installs nothing.
"""

from __future__ import annotations

import argparse
import os
import shlex
import socket
import subprocess
import sys
import urllib.parse
from pathlib import Path

import environment
from environment import ROOT
from installer import environment_python, say

APP = ROOT / "apps" / "osln"
STUDIES = ROOT / "sample-datastore"
PASSED_ON = (
    "--verbose",
    "--uvicorn_app",
    "--ssl_keyfile",
    "--ssl_certfile",
    "--ssl_keyfile_password",
    "--ssl_ca_certs",
    "--limit_concurrency",
    "--access_log",
    "--log_level",
    "--log_config",
    "--dryrun",
)
"""What monailabel start_server 0.8.5 takes besides; not --root_path: addresses have no prefix here."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def parse(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Split the command line into what is decided here and what MONAI Label gets unchanged."""
    parser = argparse.ArgumentParser(
        prog="./scripts/serve",
        description="Start the OSLN Label server. Everything not listed goes to monailabel start_server.",
        allow_abbrev=False,
    )
    parser.add_argument("-a", "--app", default=str(APP), help="app folder (default: apps/osln)")
    parser.add_argument(
        "-s",
        "--studies",
        default=str(STUDIES),
        help="store: folder or DICOMweb URL (default: sample-datastore)",
    )
    parser.add_argument(
        "-i", "--host", default="127.0.0.1", help="address to listen on (default: %(default)s)"
    )
    parser.add_argument(
        "-p", "--port", type=int, default=8000, help="port to listen on (default: %(default)s)"
    )
    parser.add_argument(
        "--users", help="file of accounts (./scripts/osln users add NAME); everybody then has to log in"
    )
    parser.add_argument(
        "--public-name", action="append", default=[], metavar="NAME",
        help="host name that others reach this server by; may be given several times",
    )  # fmt: skip
    parser.add_argument(
        "--without-accounts", action="store_true",
        help="let whoever reaches --host in without a login: the network or a proxy keeps others out",
    )  # fmt: skip
    parser.add_argument("--tls-cert", help="certificate (PEM), so that the server speaks https")
    parser.add_argument("--tls-key", help="its key (PEM)")
    parser.add_argument(
        "--workers", type=int, default=1, help="only 1: training and sessions live in the process"
    )
    parser.add_argument(
        "-c",
        "--conf",
        nargs=2,
        action="append",
        default=[],
        metavar=("KEY", "VALUE"),
        help="option of the app",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="show what would run, install and start nothing"
    )
    parser.add_argument("--version", action="store_true", help="show version and commit")
    return parser.parse_known_args(arguments)


def is_url(studies: str) -> bool:
    """Whether the store is a DICOMweb address and not a folder."""
    return studies.startswith(("http://", "https://"))


def without_credentials(studies: str) -> tuple[str, dict[str, str]]:
    """A DICOMweb address without its user and password, and the variables that the server gets them by.

    A command line is seen by everybody on the computer, and MONAI Label writes it into its log.
    """
    parts = urllib.parse.urlsplit(studies)
    host = parts.netloc.rpartition("@")[2]
    found = {"OSLN_DICOMWEB_USER": parts.username, "OSLN_DICOMWEB_PASSWORD": parts.password}
    variables = {name: urllib.parse.unquote(value) for name, value in found.items() if value}
    return urllib.parse.urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", "")), variables


def reason_against_address(studies: str) -> str | None:
    """Why a DICOMweb address cannot be used; nothing of it is in the sentence."""
    try:
        parts = urllib.parse.urlsplit(studies)
        usable = bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    rest = f"{parts.path}{parts.query}{parts.fragment}" if usable else ""
    if usable and parts.netloc.count("@") < 2 and "@" not in rest:
        return None
    return (
        "expected a DICOMweb address like https://pacs.hospital/dicom-web, or "
        "https://name:password@pacs.hospital/dicom-web: write / ? # @ [ of the password as %2F %3F %23 %40 "
        "%5B, or give it by OSLN_DICOMWEB_USER and OSLN_DICOMWEB_PASSWORD"
    )


def server_command(options: argparse.Namespace, others: list[str]) -> list[str]:
    """Command line of the server, through the environment's own interpreter.

    The `monailabel` command is a shell script that calls whatever `python` comes first and splits arguments
    at blanks; the app's start does neither.
    """
    if is_url(options.studies):
        studies, _ = without_credentials(options.studies)
    else:
        studies = str(Path(options.studies).expanduser().resolve())
    app = Path(options.app).resolve()
    command = [str(environment_python(ROOT)), str(app / "start.py"), "start_server"]
    command += ["--app", str(app), "--studies", studies]
    command += ["--host", options.host, "--port", str(options.port)]
    conf = list(options.conf)
    if options.users:
        conf.append(["users", str(Path(options.users).expanduser().resolve())])
    if options.public_name:
        conf.append(["public_name", ";".join(options.public_name)])
    if options.without_accounts:
        conf.append(["without_accounts", "yes"])
    for key, value in conf:
        command += ["--conf", key, value]
    if options.tls_cert:
        command += ["--ssl_certfile", str(Path(options.tls_cert).expanduser().resolve())]
        command += ["--ssl_keyfile", str(Path(options.tls_key).expanduser().resolve())]
    return command + others


def server_environment(studies: str) -> dict[str, str]:
    """Variables of the server, on top of those that are set already.

    Training ends in an error with today's MLflow unless tracking is off, and MONAI Label's caches hold
    patient data: they belong into the store, not into the home folder.
    """
    cache = (ROOT if is_url(studies) else Path(studies).expanduser().resolve()) / ".cache"
    bin_folder = environment_python(ROOT).parent
    defaults = {
        "MONAI_LABEL_TRACKING_ENABLED": "false",
        "MONAI_LABEL_DATASTORE_CACHE_PATH": str(cache / "datastore"),
        "MONAI_LABEL_DICOMWEB_CACHE_PATH": str(cache / "dicomweb"),
        "MONAI_LABEL_SESSION_PATH": str(cache / "sessions"),
    }
    variables = {name: os.environ.get(name, value) for name, value in defaults.items()}
    if is_url(studies):
        variables |= without_credentials(studies)[1]
    # Said by every import of today's torch, before the app can have a say in it.
    remark = "ignore:`torch.jit.interface` is deprecated"
    variables["PYTHONWARNINGS"] = ",".join(filter(None, [os.environ.get("PYTHONWARNINGS"), remark]))
    variables["VIRTUAL_ENV"] = str(bin_folder.parent)
    variables["PATH"] = os.pathsep.join([str(bin_folder), os.environ.get("PATH", "")])
    return variables


def refusal(options: argparse.Namespace, others: list[str]) -> str | None:
    """Why the server cannot be started like this, in words, or None."""
    if options.workers > 1:
        return (
            f"--workers {options.workers}: only one worker works. Training jobs, sessions and the store's "
            "index live inside the server process, and several would contradict each other. Inference does "
            "not block the other requests; a second server can run on another store and port, and on weights "
            "of its own by --conf models FOLDER."
        )
    if options.host not in LOOPBACK and not options.users and not options.without_accounts:
        return (
            f"--host {options.host}: other computers reach this address, and there are no accounts. Make "
            "some (./scripts/osln users add NAME --role annotator) and name their file with --users, or say "
            "--without-accounts if the network or a proxy keeps others out."
        )
    if bool(options.tls_cert) != bool(options.tls_key):
        return "--tls-cert and --tls-key belong together: name the certificate and its key."
    if not 0 <= options.port < 65536:
        return f"--port {options.port}: a port is a number up to 65535."
    if strange := [one for one in others if one.startswith("--") and one.partition("=")[0] not in PASSED_ON]:
        return (
            f"Unknown option {strange[0]}. Besides those of --help, monailabel start_server takes "
            f"{', '.join(PASSED_ON)}."
        )
    for path in filter(None, (options.users, options.tls_cert, options.tls_key)):
        if not Path(path).expanduser().is_file():
            return f"There is no file {path}."
    if is_url(options.studies) and (reason := reason_against_address(options.studies)):
        return f"--studies: {reason}."
    if not is_url(options.studies) and not Path(options.studies).expanduser().is_dir():
        return (
            f"There is no folder {options.studies}. Name an existing store with --studies (its layout is in "
            "the README), or make an empty folder to begin with."
        )
    return port_refusal(options.host, options.port)


def port_refusal(host: str, port: int) -> str | None:
    """Why nothing can listen at an address of this computer, in words, or None."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        return (
            f"{host}:{port} cannot be used ({error.strerror}). If another server runs there, "
            f"end it or take another port, for instance --port {port + 1}."
        )
    return None


def main() -> int:
    """Check, install, start; exit status 1 with words where that cannot work."""
    options, others = parse(sys.argv[1:])
    if options.version:
        # That much of the package needs no environment.
        return subprocess.call([sys.executable, "-m", "osln", "--version"], cwd=APP)
    problem = refusal(options, others)
    if problem is not None:
        sys.stderr.write(f"{problem}\n")
        return 1
    command, variables = server_command(options, others), server_environment(options.studies)
    if options.dry_run:
        for name in sorted(variables):
            hidden = name.endswith("PASSWORD")
            say(f"{name}={'(not shown)' if hidden else shlex.quote(variables[name])}")
        say(shlex.join(command))
        return 0
    if status := environment.main():
        return status
    if options.host not in LOOPBACK and not options.users:
        say("Warning: there is no login. Everybody who reaches this address can read and change the store.")
    scheme = "https" if options.tls_cert else "http"
    name = "127.0.0.1" if options.host in ("0.0.0.0", "::") else options.host
    address = f"{scheme}://{name}:{options.port}"
    say(f"Starting the server on {address} (Ctrl-C ends it). What to do next follows when it is up.")
    greeting = [command[0], str(ROOT / "scripts" / "start" / "greeting.py"), address, str(os.getpid())]
    if os.name == "nt":
        subprocess.Popen(greeting)
        return subprocess.call(command, env={**os.environ, **variables})
    subprocess.run(greeting, check=False)
    os.execve(command[0], command, {**os.environ, **variables})


if __name__ == "__main__":
    sys.exit(main())
