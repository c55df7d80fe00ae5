"""A part of `gpu.py` in a process of its own, so that one that fails or takes too long stops nothing else."""

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from osln.files.whole import write_atomically
from osln.rows.presets import PRESETS

MODEL = Path(__file__).resolve().parents[1] / "apps" / "osln" / "model"
MODULES = {
    "computer": "gpu_checks",
    "tests": "gpu_checks",
    "agreement": "gpu_checks",
    "patient": "gpu_times",
    "networks": "gpu_times",
    "training": "gpu_training",
}
"""Where the function of each part's name is."""


@dataclass
class Part:
    """What a part is told, and what it has found so far.

    Attributes:
        out: Folder of the results; the part's own are in `NAME.json` there.
        name: Key in `MODULES`.
        device: "cuda", "cuda:N" or "cpu".
        toy: Everything as small as it can be, to see that it runs.
        ends: When it should have ended, by `time.time`.
        found: JSON values.
    """

    out: Path
    name: str
    device: str
    toy: bool
    ends: float
    found: dict[str, Any] = field(default_factory=dict)

    @property
    def left(self) -> float:
        """Seconds."""
        return self.ends - time.time()

    @property
    def formats(self) -> tuple[str, ...]:
        """Number formats of this device that are worth a look, the usual one first."""
        return ("f32",) if self.device == "cpu" else ("f16", "bf16", "f32")

    def tell(self, **found: Any) -> None:
        """Keeps what was found, so that it is there even if the part is stopped."""
        self.found |= found
        write_atomically(self.out / f"{self.name}.json", (json.dumps(self.found, indent=1) + "\n").encode())

    def wait(self) -> None:
        """Until the device has done what it was asked."""
        if self.device != "cpu":
            torch.cuda.synchronize(self.device)

    @contextmanager
    def peak(self, into: dict[str, Any]) -> Iterator[None]:
        """Puts the most memory that tensors took on the GPU meanwhile into `peak_mb`, or why it failed."""
        if self.device != "cpu":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)
        try:
            yield
        except torch.OutOfMemoryError:
            into["left_out"] = "it does not fit into the GPU's memory"
        if self.device != "cpu":
            into["peak_mb"] = round(torch.cuda.max_memory_allocated(self.device) / 2**20)


def shrink() -> None:
    """Makes the presets of this process as small as can be, but that of the weights that are there."""
    for name in ("standard", "paper"):
        PRESETS[name] = replace(
            PRESETS["demo"],
            name=name,
            spacing_mm=(5.0, 5.0, 6.0),
            window=(44, 44, 64),
            patch=(16, 16, 16),
            widths=((2, 2), (4, 4)),
            batch=2,
        )


def main() -> None:
    """Runs the part that the parent names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=MODULES)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--ends", type=float, required=True)
    parser.add_argument("--toy", action="store_true")
    options = parser.parse_args()
    if options.toy:
        shrink()
        torch.set_num_threads(1)
    if torch.cuda.is_available():
        torch.cuda.init()
    part = Part(options.out, options.name, options.device, options.toy, options.ends)
    getattr(import_module(f"benchmarks.{MODULES[options.name]}"), options.name)(part)


if __name__ == "__main__":
    main()
