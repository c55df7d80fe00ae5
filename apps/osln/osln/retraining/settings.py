"""How a network is retrained."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from osln.learning.fit import Progress
from osln.retraining.judgment import HIGHEST_RISK
from osln.rows.experiments import DEFAULT_PRESET, PRESETS, SEGMENTERS
from osln.weights.model_store import ModelStore


@dataclass(frozen=True)
class Settings:
    """How a network is retrained.

    Attributes:
        preset: Row of `PRESETS`; by default that of the weights in use, else `DEFAULT_PRESET`.
        length: Steps of stage one, passes through the candidates of stage two; by default the preset's, or
            `Round.tuning_length` of them from published weights.
        learning_rate: By default the preset's, or `TUNING_LEARNING_RATE` of it from published
            weights.
        from_scratch: Start from random weights.
        seed: Of first weights, and of patches or batches.
        device: "cpu", "cuda" or "cuda:N".
        publish: False stores the new version without putting it to use.
        highest_risk: Probability of being worse below which the new version is published, 0 to .5.
        cross_fit: With few validation patients, train networks that leave out a part of the training
            patients to judge on these too; it takes about five times as long.
        tagger_path: File of the tagger in use; needed where a network reads tags.
        on_progress: Called after each epoch.
        on_step: Called with a sentence before other steps that take their time.
        resume: Go on with an interrupted training of the same cases and settings.
        devices: Of several processes that share each training of stage one; the first is `device`.
    """

    preset: str | None = None
    length: int | None = None
    learning_rate: float | None = None
    from_scratch: bool = False
    seed: int = 0
    device: str = "cpu"
    publish: bool = True
    highest_risk: float = HIGHEST_RISK
    cross_fit: bool = True
    tagger_path: Path | None = None
    on_progress: Callable[[Progress], None] | None = None
    on_step: Callable[[str], None] | None = None
    resume: bool = True
    devices: Sequence[str] = ()

    def tell(self, step: str) -> None:
        """Says what is done next to whoever listens."""
        if self.on_step is not None:
            self.on_step(step)


def preset_in_use(store: ModelStore, network: str) -> str:
    """The preset of a network's weights in use; without any that of stage one's, else `DEFAULT_PRESET`.

    Raises:
        ValueError: These weights cannot be loaded.
    """
    for name in dict.fromkeys((network, *SEGMENTERS)):
        if (version := store.published(name)) is not None:
            told = str(version.metadata.get("preset"))
            return told if told in PRESETS else store.load(name, version).preset
    return DEFAULT_PRESET
