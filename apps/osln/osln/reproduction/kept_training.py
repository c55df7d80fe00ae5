"""A training as an artifact: gone on from where it was interrupted, its checkpoint kept."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from osln.jobs.worker import device
from osln.weights.checkpoint import Checkpoint, save_checkpoint

CODE = "code"
"""What the code that a network was trained by is called in its record."""


def keep_training(
    path: Path, seed: int, trained_on: str, train: Callable[..., Checkpoint], *, code: str | None = None
) -> None:
    """Run a training on this worker's device and keep what it gives.

    Args:
        path: File of the checkpoint; the state of an interrupted training lies beside it.
        seed: Of the training.
        trained_on: What the weights may claim.
        train: Takes seed, trained_on, device and resume_path, as every training of this package.
        code: Key of the code that trains, to be kept in the record; None: none is kept.
    """
    # Other code does not go on with what this one began.
    resume = path.with_suffix(f".{code[:8]}.resume" if code else ".resume")
    path.parent.mkdir(parents=True, exist_ok=True)
    checkpoint = train(seed=seed, trained_on=trained_on, device=device(), resume_path=resume)
    if code is not None:
        checkpoint = replace(checkpoint, metadata={**checkpoint.metadata, CODE: code})
    save_checkpoint(path, checkpoint)
    resume.unlink(missing_ok=True)
