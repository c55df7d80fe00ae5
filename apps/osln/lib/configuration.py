"""The app's own settings (`--conf KEY VALUE` of `start_server`), checked at start."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lib.options import Choice, Number, checked
from lib.web.house import Access
from osln.dicom.intake.roi_names import RoiRules, load_rules
from osln.published import SERVED_ROWS
from osln.rows.experiments import DEFAULT_PRESET, DEFAULT_ROW, PRESETS
from osln.weights.devices import devices

KEYS = {
    "models": "folder of the model store (default: model/ of the app); servers on different stores share it "
    "unless each names its own",
    "preset": "size and recipe of networks that are trained from scratch here (default: that of the weights "
    f"in use, {DEFAULT_PRESET} where there are none)",
    "device": "device that tasks use unless a request says otherwise (default: the GPU if there is one)",
    "lesanet": "file of a tagger that goes before the published one: the public LesaNet after "
    "./scripts/osln convert-tagger, or one of ./scripts/osln train-tagger",
    "threads": "CPU threads that compute the networks in this process (default: torch's own choice)",
    "cache_gb": "room for the images of a PACS in 10^9 bytes (default: 20); labels do not count",
    "pacs_timeout": "seconds without an answer after which a request to a PACS has failed (default: 60)",
    "body_timeout": "seconds after which a request of which nothing more arrives is refused (default: 20)",
    "roi": "what regions of structure sets on a PACS are: NAME=tumor, =node or =ignore, several with ';'",
    "users": "file of accounts (./scripts/osln users add NAME); without one only this computer is answered",
    "public_name": "host names that this server is asked by besides those of this computer, several with ';'",
    "without_accounts": "yes: answer other computers although there are no accounts",
    "retrain_after": "cases with a new label after which the networks are retrained when nobody works "
    "(default: 0, never by itself)",
    "evidence": "no: do not look at waiting cases by itself when nobody works (default: yes)",
    "row": "row that answers where nobody has chosen one: first in the viewers, for the strategies and for "
    f"retraining by itself (default: {DEFAULT_ROW})",
    "asked": "candidates that a strategy asks for in one case at most (default: 10)",
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
        preset: For networks trained from scratch; None for that of the weights in use.
        devices: Devices that can be asked for, the default first.
        tagger: File of the tagger to use; None for the published version.
        pacs: How to use a PACS; of no meaning for a folder.
        access: Who may ask.
        body_timeout_s: So long the next bytes of a request's body may take.
        retrain_after: Cases with a new label after which the server retrains by itself; 0 for never.
        evidence: Whether waiting cases are looked at in the background.
        asked: Candidates that a strategy asks for in one case at most.
        row: The row that is asked where nobody has chosen one.
    """

    models: Path
    preset: str | None
    devices: tuple[str, ...]
    tagger: Path | None
    pacs: PacsOptions
    access: Access
    body_timeout_s: float
    retrain_after: int
    evidence: bool
    asked: int
    row: str


def configuration(conf: Mapping[str, Any], app_dir: str) -> Configuration:
    """Reads the settings and applies the number of threads.

    Raises:
        ValueError: If a key is unknown or a value is not allowed.
    """
    strange = sorted(set(conf) - set(KEYS) - {"server_mode"})
    if strange:
        known = "; ".join(f"{key}: {meaning}" for key, meaning in KEYS.items())
        raise ValueError(f"unknown --conf {', '.join(strange)}. Known are: {known}")
    presets = Choice("preset", tuple(PRESETS))
    known_options = (
        presets,
        THREADS,
        CACHE_GB,
        PACS_TIMEOUT,
        BODY_TIMEOUT,
        WITHOUT_ACCOUNTS,
        RETRAIN_AFTER,
        EVIDENCE,
        ASKED,
        ROW,
    )
    chosen = {option.name: conf[option.name] for option in known_options if option.name in conf}
    options = checked(chosen, known_options)
    decisions = _parts(conf.get("roi"))
    if options["threads"]:
        torch.set_num_threads(options["threads"])
    models = Path(conf.get("models") or Path(app_dir) / "model").expanduser().resolve()
    return Configuration(
        models=models,
        preset=options["preset"] if "preset" in conf else None,
        devices=devices(conf.get("device")),
        tagger=Path(conf["lesanet"]).expanduser().resolve() if conf.get("lesanet") else None,
        pacs=PacsOptions(
            cache_gb=options["cache_gb"],
            timeout_s=options["pacs_timeout"],
            rules=load_rules(conf.get("roi_rules"), decisions),
        ),
        access=Access(
            users=Path(conf["users"]).expanduser().resolve() if conf.get("users") else None,
            public_names=tuple(_parts(conf.get("public_name"))),
            open_to_all=options["without_accounts"] == "yes",
        ),
        body_timeout_s=options["body_timeout"],
        retrain_after=options["retrain_after"],
        evidence=options["evidence"] == "yes",
        asked=options["asked"],
        row=options["row"],
    )


def _parts(text: Any) -> list[str]:
    return [part.strip() for part in str(text or "").split(";") if part.strip()]


THREADS = Number("threads", 0, 0, 1024)
"""0 leaves torch's own choice."""
CACHE_GB = Number("cache_gb", 20.0, 0.0, 1e6)
PACS_TIMEOUT = Number("pacs_timeout", 60.0, 0.1, 3600.0)
BODY_TIMEOUT = Number("body_timeout", 20.0, 0.1, 3600.0)
RETRAIN_AFTER = Number("retrain_after", 0, 0, 1_000_000)
EVIDENCE = Choice("evidence", ("yes", "no"))
ASKED = Number("asked", 10, 1, 1000)
ROW = Choice("row", tuple(SERVED_ROWS))
WITHOUT_ACCOUNTS = Choice("without_accounts", ("no", "yes"))
