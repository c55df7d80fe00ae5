"""The app's own settings (`--conf KEY VALUE` of `start_server`), checked at start."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lib.options import Choice, Number, checked
from osln.dicom.intake.roi_names import RoiRules, load_rules
from osln.published import tagger_in
from osln.rows.experiments import PRESETS, Preset
from osln.weights.devices import devices

KEYS = {
    "models": "folder of the model store (default: model/ of the app)",
    "preset": "size and recipe of networks that are trained from scratch here (default: demo)",
    "device": "device that tasks use unless a request says otherwise (default: the GPU if there is one)",
    "lesanet": "file of the tagger (default: the shipped one): the public LesaNet after "
    "./scripts/osln convert-tagger, or one of ./scripts/osln train-tagger",
    "threads": "CPU threads of torch in this process (default: torch's own choice)",
    "cache_gb": "room for the images of a PACS in 10^9 bytes (default: 20); labels do not count",
    "pacs_timeout": "seconds without an answer after which a request to a PACS has failed (default: 60)",
    "roi": "what regions of structure sets on a PACS are: NAME=tumor, =node or =ignore, several with ';'",
    "roi_rules": "YAML file with your hospital's rules for names of regions",
}


@dataclass(frozen=True)
class PacsOptions:
    """How to use a PACS.

    Attributes:
        cache_gb: Room for images.
        timeout_s: Without an answer for so long, a request has failed.
        rules: What names of regions mean.
    """

    cache_gb: float
    timeout_s: float
    rules: RoiRules


@dataclass(frozen=True)
class Configuration:
    """Checked settings.

    Attributes:
        models: Folder of the model store.
        preset: For networks trained from scratch.
        devices: Devices that can be asked for, the default first.
        tagger: File of the tagger in use, the chosen or the shipped one; None if there is neither.
        pacs: How to use a PACS; of no meaning for a folder.
    """

    models: Path
    preset: Preset
    devices: tuple[str, ...]
    tagger: Path | None
    pacs: PacsOptions


def configuration(conf: Mapping[str, Any], app_dir: str) -> Configuration:
    """Reads the settings and applies the number of threads.

    Raises:
        ValueError: If a key is unknown or a value is not allowed.
    """
    strange = sorted(set(conf) - set(KEYS) - {"server_mode"})
    if strange:
        known = "; ".join(f"{key}: {meaning}" for key, meaning in KEYS.items())
        raise ValueError(f"unknown --conf {', '.join(strange)}. Known are: {known}")
    presets = Choice("preset", ("demo", *(name for name in PRESETS if name != "demo")))
    known_options = (presets, THREADS, CACHE_GB, PACS_TIMEOUT)
    chosen = {option.name: conf[option.name] for option in known_options if option.name in conf}
    options = checked(chosen, known_options)
    decisions = [part.strip() for part in str(conf.get("roi") or "").split(";") if part.strip()]
    if options["threads"]:
        torch.set_num_threads(options["threads"])
    lesanet = conf.get("lesanet")
    models = Path(conf.get("models") or Path(app_dir) / "model").expanduser().resolve()
    return Configuration(
        models=models,
        preset=PRESETS[options["preset"]],
        devices=devices(conf.get("device")),
        tagger=Path(lesanet).expanduser().resolve() if lesanet else tagger_in(models),
        pacs=PacsOptions(
            cache_gb=options["cache_gb"],
            timeout_s=options["pacs_timeout"],
            rules=load_rules(conf.get("roi_rules"), decisions),
        ),
    )


THREADS = Number("threads", 0, 0, 1024)
"""0 leaves torch's own choice."""
CACHE_GB = Number("cache_gb", 20.0, 0.0, 1e6)
PACS_TIMEOUT = Number("pacs_timeout", 60.0, 0.1, 3600.0)
