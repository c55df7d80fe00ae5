"""Training steps per second of a network of stage one, fed by the product, by MONAI and by nnU-Net's loader.

The same network, loss, patients (phantoms, prepared beforehand), patch, batch and threads for everybody, by
turns in one process. The peers learn as PyTorch does by default on a CPU, in float32; the product as it does
on this processor, and in float32 beside it. nnU-Net's loader is left out where nnunetv2 is not installed
(pip install nnunetv2). Batches alone are timed too.

    ./benchmarks/run training_speed --rounds 5
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import count, islice
from pathlib import Path

import numpy as np
import torch

from benchmarks.training_peers import Batches, monai_batches, nnunet_batches
from osln.cli.engines import positive
from osln.cohorts.phantoms import make_patient, split_seeds
from osln.imaging.lung_column import LungColumn
from osln.learning.cores import usable_cores
from osln.learning.fit import cpu_threads
from osln.learning.losses import masked_loss
from osln.metrics.intervals import table
from osln.networks.build import segmenter_network
from osln.reproduction.run import hardware
from osln.rows.experiments import PRESETS, SEGMENTERS, Preset, Segmenter
from osln.stage_one.sampling import PatchSampler
from osln.stage_one.training import SegmenterLesson, fit_scaling
from osln.weights.checkpoint import Checkpoint

PRODUCT, FLOAT32, MONAI, NNUNET = "product", "product, float32", "MONAI CacheDataset", "nnU-Net's loader"
WARM = 2
"""Steps before the clock runs."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Time all sides by turns, print two tables in Markdown."""
    options = parsed(arguments)
    preset, segmenter = PRESETS[options.preset], SEGMENTERS[options.network]
    columns = [make_patient(seed, preset).column for seed in split_seeds("train", options.patients)]
    with tempfile.TemporaryDirectory(prefix="osln-feeding-") as folder, cpu_threads(options.threads):
        sides = made(columns, segmenter, preset, Path(folder))
        steps: dict[str, list[float]] = {name: [] for name in sides}
        feeding: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(options.rounds):
            for name, (batches, step) in sides.items():
                feeding[name].append(rate(lambda given=batches: next(given), options.steps))
                steps[name].append(rate(lambda given=batches, learn=step: learn(*next(given)), options.steps))
    sys.stdout.write(f"{hardware()}, {options.threads} threads; {segmenter.name}, preset {preset.name}\n\n")
    sys.stdout.write("Steps per second:\n\n" + report(steps) + "\n\n")
    sys.stdout.write("Batches per second, nobody learning:\n\n" + report(feeding) + "\n")
    if NNUNET not in sides:
        sys.stdout.write("\nnnU-Net's loader is left out: pip install nnunetv2 into this environment\n")
    return 0


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", choices=PRESETS, default="demo", help="(%(default)s)")
    parser.add_argument("--network", choices=SEGMENTERS, default="ef", help="(%(default)s)")
    parser.add_argument("--patients", type=positive, default=8, help="phantoms to learn from (%(default)s)")
    parser.add_argument("--rounds", type=positive, default=5, help="turns of each side (%(default)s)")
    parser.add_argument("--steps", type=positive, default=10, help="timed in each turn (%(default)s)")
    parser.add_argument("--threads", type=positive, default=usable_cores(), help="of torch (%(default)s)")
    return parser.parse_args(arguments)


Step = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], object]


def made(
    columns: Sequence[LungColumn], segmenter: Segmenter, preset: Preset, folder: Path
) -> dict[str, tuple[Batches, Step]]:
    """Batches and what learns from one, of each side that is there."""
    scaling = fit_scaling(segmenter, columns)
    sampler = PatchSampler(columns, segmenter, preset, scaling)
    given = (columns, segmenter, preset, scaling)
    sides = {
        PRODUCT: (product_batches(sampler), product_step(sampler)),
        FLOAT32: (product_batches(sampler), product_step(sampler, bf16=False)),
        MONAI: (monai_batches(*given), plain_step(segmenter, preset)),
    }
    nnunet = nnunet_batches(*given, folder)
    try:
        first = next(nnunet)
    except ImportError:
        return sides
    assert first[0].shape == next(sides[PRODUCT][0])[0].shape
    return sides | {NNUNET: (nnunet, plain_step(segmenter, preset))}


def product_batches(sampler: PatchSampler) -> Batches:
    """As the product makes them."""
    for number in count():
        inputs, target, mask = sampler.batch(number)
        yield torch.from_numpy(inputs), torch.from_numpy(target), torch.from_numpy(mask)


def product_step(sampler: PatchSampler, *, bf16: bool | None = None) -> Step:
    """The product's own step, from the lesson that its trainings are made of."""
    empty = Checkpoint(sampler.segmenter.name, sampler.preset.name, sampler.scaling, {}, "phantom")
    lesson = SegmenterLesson(
        steps=1,
        epoch_steps=1,
        seed=0,
        device=torch.device("cpu"),
        learning_rate=sampler.preset.learning_rate,
        sampler=sampler,
        empty=empty,
        initial=None,
        validation=((), 0),
    )
    network = lesson.network()
    lesson.bf16 = lesson.bf16 if bf16 is None else bf16
    optimizer = lesson.optimizer(network)

    def learn(*batch: torch.Tensor) -> None:
        lesson.batches = lambda _: list(batch)  # type: ignore[assignment]
        lesson.loss(network, 0)["total"].backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return learn


def plain_step(segmenter: Segmenter, preset: Preset) -> Step:
    """The same network, loss and optimizer as one writes them down: float32, tensors as they come."""
    network = segmenter_network(segmenter, preset)
    optimizer = torch.optim.RAdam(
        network.parameters(),
        preset.learning_rate,
        betas=preset.betas,
        weight_decay=preset.weight_decay,
        decoupled_weight_decay=True,
    )

    def learn(inputs: torch.Tensor, target: torch.Tensor, mask: torch.Tensor) -> None:
        masked_loss(network(inputs), target, mask, preset.positive_weight)[0].backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return learn


def rate(what: Callable[[], object], times: int) -> float:
    """How often per second, after `WARM` calls."""
    for _ in islice(count(), WARM):
        what()
    began = time.perf_counter()
    for _ in range(times):
        what()
    return times / (time.perf_counter() - began)


def report(found: dict[str, list[float]]) -> str:
    """Median and range of each side, and how many times as fast the product is in the same rounds."""
    rows = [["", "median", "range", "the product is faster by"]]
    for name, rates in found.items():
        times = np.array(found[PRODUCT]) / rates
        apart = f"{np.median(times):.2f} ({times.min():.2f} to {times.max():.2f})" if name != PRODUCT else ""
        rows.append([name, f"{np.median(rates):.2f}", f"{min(rates):.2f} to {max(rates):.2f}", apart])
    return table(rows)


if __name__ == "__main__":
    sys.exit(main())
