"""What `doctor` looks at: each part of the product in a sentence, with what to do where it is not well."""

import hashlib
import importlib.metadata
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from osln.cli.options import CHECKOUT
from osln.learning.cores import usable_cores
from osln.rows.experiments import SERVED_NETWORKS, TAGGER, VERSIONED
from osln.weights.store_state import SHIPPED

PYTHONS = ((3, 10), (3, 13))
"""The first version that works and the first that does not."""
FOR_TESTS = ("pytest", "ruff", "mypy", "playwright", "httpx")
FREE_GIB = 1.0
"""Below this a training or a PACS's images soon fill the disk."""
ORTHANC_PLUGINS = ("/usr/share/orthanc/plugins", "/usr/lib/orthanc")
LAST_ERRORS = 3


@dataclass(frozen=True)
class Finding:
    """One part of the product.

    Attributes:
        name: What was looked at.
        state: "ok", "missing" or "wrong".
        words: What is there.
        remedy: What to do; "" where nothing has to be done.
        needed: Whether nothing runs without it.
    """

    name: str
    state: str
    words: str
    remedy: str = ""
    needed: bool = False

    def line(self) -> str:
        """For people."""
        return f"{self.state:<8} {self.name:<21} {self.words}" + (f": {self.remedy}" if self.remedy else "")

    def content(self) -> dict[str, Any]:
        """For machines."""
        return asdict(self)


def examine(models: Path) -> list[Finding]:
    """Looks at everything.

    Args:
        models: Folder of the model store.
    """
    found = [
        python(),
        *packages(),
        *devices(),
        *programs(),
        disk(),
        *weights(models),
        *former_weights(models),
    ]
    return found + ([log(CHECKOUT / "apps" / "osln" / "logs")] if CHECKOUT else [])


def python() -> Finding:
    """The interpreter."""
    words = f"{platform.python_version()} at {sys.executable}"
    if PYTHONS[0] <= sys.version_info[:2] < PYTHONS[1]:
        return Finding("Python", "ok", words, needed=True)
    remedy = "take 3.10, 3.11 or 3.12: OSLN_PYTHON=/path/to/python3.11 ./scripts/serve"
    return Finding("Python", "wrong", words, remedy, needed=True)


def requirements() -> list[str]:
    """What has to be installed: requirements.txt in a checkout, else what the package asks for."""
    if CHECKOUT is None:
        return importlib.metadata.requires("osln") or []
    lines = (CHECKOUT / "requirements.txt").read_text().splitlines()
    return [text for line in lines if (text := line.partition("#")[0].strip())]


def packages() -> Iterator[Finding]:
    """All packages that fit in one line, each other one in a line of its own."""
    try:
        from packaging.requirements import Requirement
    except ImportError:
        yield Finding("package", "missing", "packaging", "pip install packaging", needed=True)
        return
    fitting = []
    for requirement in map(Requirement, requirements()):
        name, needed = requirement.name, requirement.name not in FOR_TESTS
        remedy = f"pip install '{requirement}', or delete .venv and start ./scripts/serve"
        purpose = "" if needed else ", for ./scripts/test only"
        try:
            installed = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield Finding("package", "missing", f"{name}{purpose}", remedy, needed)
            continue
        if requirement.specifier.contains(installed, prereleases=True):
            fitting.append(f"{name} {installed}")
        else:
            words = f"{name} {installed} where {requirement.specifier} is asked for{purpose}"
            yield Finding("package", "wrong", words, remedy, needed)
    yield Finding("packages", "ok", ", ".join(fitting))


def devices() -> Iterator[Finding]:
    """GPUs with their memory, and the number formats that are fast."""
    try:
        import torch

        from osln.weights.devices import bf16_is_fast
    except (ImportError, OSError) as error:
        yield Finding("PyTorch", "wrong", str(error), "delete .venv and start ./scripts/serve", needed=True)
        return
    fast = _formats(bf16_is_fast(torch.device("cpu")))
    yield Finding("processor", "ok", f"{usable_cores()} cores; fast: {fast}")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not count:
        remedy = "networks run on the processor; docs/install.md, 'GPU'"
        yield Finding("GPU", "missing", "none that PyTorch sees", remedy)
    for index in range(count):
        free, total = (size / 2**30 for size in torch.cuda.mem_get_info(index))
        fast = _formats(bf16_is_fast(torch.device("cuda", index)))
        name = torch.cuda.get_device_name(index)
        yield Finding("GPU", "ok", f"{name}, {free:.1f} of {total:.1f} GiB free; fast: {fast}")


def _formats(bf16: bool) -> str:
    return "float32 and bfloat16" if bf16 else "float32"


def programs() -> Iterator[Finding]:
    """Programs that parts of the product start."""
    plugin = any(any(Path(folder).glob("libOrthancDicomWeb.so*")) for folder in ORTHANC_PLUGINS)
    for name, path, remedy in (
        (
            "Orthanc",
            shutil.which("Orthanc") if plugin else None,
            "apt-get install orthanc orthanc-dicomweb (only for ./scripts/demo-pacs and tests)",
        ),
        ("Chromium", shutil.which("chromium"), "apt-get install chromium (only for tests of the viewer)"),
    ):
        yield Finding(name, "ok", path) if path else Finding(name, "missing", "not installed", remedy)


def disk() -> Finding:
    """Room where the checkout or the caller works."""
    folder = CHECKOUT or Path.cwd()
    free = shutil.disk_usage(folder).free / 2**30
    words = f"{free:.1f} GiB free at {folder}"
    if free >= FREE_GIB:
        return Finding("disk", "ok", words)
    return Finding("disk", "wrong", words, "make room before training or opening a PACS")


def weights(models: Path) -> Iterator[Finding]:
    """The weights that the server uses, their checksums and what they were trained on."""
    from osln.weights.model_store import ModelStore

    store = ModelStore(models)
    for network in (*SERVED_NETWORKS, TAGGER):
        name = f"weights {network}"
        try:
            used = store.published(network)
        except (ValueError, OSError, KeyError) as error:
            words = f"the lists in {models} cannot be read ({error})"
            yield Finding(name, "wrong", words, "restore them, or name another folder with --models", True)
            continue
        if used is None:
            train = "train-tagger --phantoms 60 --publish"
            remedy = (
                f"./scripts/osln {'train-tagger --phantoms 60 --publish' if network == TAGGER else train}"
            )
            yield Finding(name, "missing", f"none in {models}", remedy, needed=True)
            continue
        told = f"{used.name}, trained on {used.trained_on}"
        yield checked(name, used.path, used.sha256, told, f"./scripts/osln models rollback {network}")


def former_weights(models: Path) -> Iterator[Finding]:
    """Versions that a former software trained here of networks that no row has any more: one line, if any."""
    # A version has its description beside it; whatever else somebody keeps there is not the store's.
    folders = {path.parent.name for path in models.glob("*/*.pt") if path.with_suffix(".json").is_file()}
    former = sorted(folders.difference(VERSIONED, [SHIPPED]))
    if former:
        words = f"{', '.join(former)} in {models}: trained here for rows that are gone, asked by none"
        yield Finding("former weights", "ok", words, "they only take room")


def checked(name: str, path: Path, sha256: str, told: str, remedy: str) -> Finding:
    """Whether a file of weights is the one that was stored."""
    if not path.is_file():
        return Finding(name, "missing", f"{path} is not there", remedy, needed=True)
    if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        return Finding(name, "wrong", f"{path} was changed after it was stored", remedy, needed=True)
    return Finding(name, "ok", f"{told}, checksum verified", needed=True)


def log(folder: Path) -> Finding:
    """The last errors that the server wrote down."""
    files = sorted(folder.glob("*.log"), key=lambda path: path.stat().st_mtime)
    if not files:
        return Finding("server log", "ok", "no server has run here")
    lines = files[-1].read_text(errors="replace").splitlines()
    errors = [line for line in lines if "[ERROR]" in line or "[CRITICAL]" in line]
    if not errors:
        return Finding("server log", "ok", f"no error in {files[-1]}")
    return Finding("server log", "wrong", f"last errors in {files[-1]}", " | ".join(errors[-LAST_ERRORS:]))
