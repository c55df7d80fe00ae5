"""The app's own settings (`--conf KEY VALUE` of `start_server`), checked at start."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lib.infers import devices
from lib.options import Choice, Number, checked
from osln.experiments import PRESETS, Preset
from osln.weights import SHIPPED, SHIPPED_TAGGER

KEYS = {
    "models": "folder of the model store (default: model/ of the app)",
    "preset": "size and recipe of networks that are trained from scratch here (default: demo)",
    "device": "device that tasks use unless a request says otherwise (default: the GPU if there is one)",
    "lesanet": "file of the tagger (default: the shipped one): the public LesaNet after "
    "scripts/convert_lesanet.py, or one of scripts/train_lesanet.py",
    "threads": "CPU threads of torch in this process (default: torch's own choice)",
}


@dataclass(frozen=True)
class Configuration:
    """Checked settings.

    Attributes:
        models: Folder of the model store.
        preset: For networks trained from scratch.
        devices: Devices that can be asked for, the default first.
        tagger: File of the tagger in use, the chosen or the shipped one; None if there is neither.
    """

    models: Path
    preset: Preset
    devices: tuple[str, ...]
    tagger: Path | None


def configuration(conf: Mapping[str, Any], app_dir: str, studies: str) -> Configuration:
    """Reads the settings and applies the number of threads.

    Raises:
        ValueError: If a key is unknown, a value is not allowed, or the studies are no folder.
    """
    if studies.startswith(("http://", "https://")):
        raise ValueError(
            f"--studies {studies}: studies from a DICOMweb server are not supported; give a folder with one "
            "CT per case"
        )
    strange = sorted(set(conf) - set(KEYS) - {"server_mode"})
    if strange:
        known = "; ".join(f"{key}: {meaning}" for key, meaning in KEYS.items())
        raise ValueError(f"unknown --conf {', '.join(strange)}. Known are: {known}")
    presets = Choice("preset", ("demo", *(name for name in PRESETS if name != "demo")))
    options = checked({key: conf[key] for key in ("preset", "threads") if key in conf}, (presets, THREADS))
    if options["threads"]:
        torch.set_num_threads(options["threads"])
    models = Path(conf.get("models") or Path(app_dir) / "model").expanduser().resolve()
    return Configuration(
        models=models,
        preset=PRESETS[options["preset"]],
        devices=devices(conf.get("device")),
        tagger=tagger_file(models, conf.get("lesanet")),
    )


def tagger_file(models: Path, chosen: str | None) -> Path | None:
    """The tagger that `--conf lesanet` names, else the one shipped with the models, else None."""
    if chosen:
        return Path(chosen).expanduser().resolve()
    shipped = models / SHIPPED / SHIPPED_TAGGER
    return shipped if shipped.is_file() else None


THREADS = Number("threads", 0, 0, 1024)
"""0 leaves torch's own choice."""
