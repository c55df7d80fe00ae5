"""The app's own settings (`--conf KEY VALUE` of `start_server`), checked at start."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lib.infers import devices
from lib.options import Choice, Number, checked
from osln.experiments import PRESETS, Preset

KEYS = {
    "models": "folder of the model store (default: model/ of the app)",
    "preset": "size and recipe of networks that are trained from scratch here (default: demo)",
    "device": "device that tasks use unless a request says otherwise (default: the GPU if there is one)",
    "threads": "CPU threads of torch in this process (default: torch's own choice)",
}


@dataclass(frozen=True)
class Configuration:
    """Checked settings.

    Attributes:
        models: Folder of the model store.
        preset: For networks trained from scratch.
        devices: Devices that can be asked for, the default first.
    """

    models: Path
    preset: Preset
    devices: tuple[str, ...]


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
    return Configuration(
        models=Path(conf.get("models") or Path(app_dir) / "model").expanduser().resolve(),
        preset=PRESETS[options["preset"]],
        devices=devices(conf.get("device")),
    )


THREADS = Number("threads", 0, 0, 1024)
"""0 leaves torch's own choice."""
