"""A trained network as a file: tensors and plain values, never code."""

import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from osln.files.arrays import plain
from osln.files.images import write_atomically
from osln.imaging.transforms import Scaling
from osln.networks.build import classifier_network, segmenter_network
from osln.rows.detectors import DETECTOR_RECIPES, DETECTORS
from osln.rows.experiments import CLASSIFIERS, NETWORKS, PRESETS, SEGMENTERS, Preset
from osln.weights.tensors import check_numbers, differing_tensors, filled

FORMAT = "osln-network-1"
TRAIN_AGAIN = "train again, with a smaller learning rate if it was this training that ended so"


@dataclass(frozen=True)
class Checkpoint:
    """A trained network with everything that inference needs.

    Attributes:
        name: Row of `SEGMENTERS`, `CLASSIFIERS` or `DETECTORS` that it was trained for.
        preset: Row of `PRESETS`.
        scaling: Preprocessing numbers.
        state_dict: Weights.
        trained_on: "phantom" or a description of the cohort; shown with every result.
        metadata: JSON values: seed, iterations, metrics, data, commit, base version, created; of a network
            that reads tags also the tagger, whose tags alone it understands.
    """

    name: str
    preset: str
    scaling: Scaling
    state_dict: Mapping[str, torch.Tensor]
    trained_on: str
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def preparation(self) -> Preset:
        """What its patients are prepared with: its preset, with the filter that it was trained with."""
        return replace(PRESETS[self.preset], prefilter=self.scaling.prefilter)

    def network(self) -> nn.Module:
        """The network with a copy of these weights, in evaluation mode.

        Raises:
            ValueError: If the weights belong to another architecture; says which names differ.
        """
        return filled(self._empty_network(), self.state_dict).eval()

    def check(self) -> None:
        """Compares names, shapes and kinds of the weights with the architecture.

        Raises:
            ValueError: As in `network`, or a weight is not a finite number or a variance negative: what would
                find nothing, without a word.
        """
        wanted = self._empty_network().state_dict()
        for name, tensor in self.state_dict.items():
            if not _is_plain(tensor, wanted[name]):
                raise ValueError(
                    f"the weights {name} of {self.name} are no plain array of {wanted[name].dtype} "
                    f"({tensor.dtype}, {tensor.layout}, {tensor.device.type}): train again"
                )
        check_numbers(self.state_dict, self.name, TRAIN_AGAIN)

    def check_prefilter(self, preset: Preset) -> None:
        """Raises ValueError if a training would go on with images that are resampled in another way."""
        if self.scaling.prefilter != preset.prefilter:
            raise ValueError(
                f"the weights of {self.name} learned from images resampled with prefilter "
                f"{self.scaling.prefilter}, the patients are prepared with prefilter {preset.prefilter}: "
                "train from scratch instead"
            )

    def _empty_network(self) -> nn.Module:
        preset = PRESETS[self.preset]
        with torch.device("meta"):
            if self.name in SEGMENTERS:
                network = segmenter_network(SEGMENTERS[self.name], preset)
            elif self.name in DETECTORS:
                # It alone needs torchvision, which a computer that runs the paper's stages may lack.
                from osln.networks.mulan import build_mulan

                network = build_mulan(DETECTORS[self.name], DETECTOR_RECIPES[self.preset])
            else:
                network = classifier_network(CLASSIFIERS[self.name], preset)
        if differing := differing_tensors(network.state_dict(), self.state_dict):
            raise ValueError(
                f"these are not weights of {self.name} ({self.preset}): {len(differing)} tensors "
                f"differ, first {'; '.join(differing[:3])}"
            )
        return network


def _is_plain(tensor: torch.Tensor, wanted: torch.Tensor) -> bool:
    """Whether a tensor holds numbers of the wanted kind, of any precision."""
    plain = tensor.layout == torch.strided and not (tensor.is_quantized or tensor.is_meta)
    return plain and not tensor.is_complex() and tensor.is_floating_point() == wanted.is_floating_point()


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Writes a checkpoint atomically; it holds tensors and plain values only.

    Raises:
        ValueError: If the metadata holds anything that JSON has no word for.
    """
    buffer = io.BytesIO()
    torch.save(
        {
            "format": FORMAT,
            "name": checkpoint.name,
            "preset": checkpoint.preset,
            "scaling": plain(checkpoint.scaling.to_dict()),
            "state_dict": {k: v.detach().cpu().contiguous() for k, v in checkpoint.state_dict.items()},
            "trained_on": checkpoint.trained_on,
            "metadata": plain(dict(checkpoint.metadata)),
        },
        buffer,
    )
    write_atomically(path, buffer.getvalue())


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Reads a checkpoint without executing anything in it (`weights_only=True`).

    Raises:
        ValueError: If the file is missing, damaged, holds foreign objects or is of another kind.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"no weights at {path}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # A damaged or hostile file can make the reader raise nearly anything.
        raise ValueError(
            f"{path.name} cannot be read as weights (damaged, or not written by this software): "
            f"{(str(error).splitlines() or [type(error).__name__])[0][:200]}"
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{path.name} holds no weights of this software (expected format {FORMAT})")
    # Lists and the like are not asked for in a table.
    named, preset = (
        value if isinstance(value := content.get(key), str) else "" for key in ("name", "preset")
    )
    if named not in (*NETWORKS, *DETECTORS) or preset not in PRESETS:
        raise ValueError(
            f"{path.name} is for {content.get('name')!r}, {content.get('preset')!r}: both unknown here"
        )
    parts = {"scaling": dict, "state_dict": dict, "trained_on": str, "metadata": dict}
    if lacking := [name for name, kind in parts.items() if not isinstance(content.get(name), kind)]:
        raise ValueError(f"{path.name} is incomplete: it has no {', '.join(lacking)}; train again")
    if not all(isinstance(tensor, torch.Tensor) for tensor in content["state_dict"].values()):
        raise ValueError(f"{path.name} holds weights that are not tensors; train again")
    checkpoint = Checkpoint(
        name=content["name"],
        preset=content["preset"],
        scaling=Scaling.from_dict(content["scaling"]),
        state_dict=content["state_dict"],
        trained_on=content["trained_on"],
        metadata=content["metadata"],
    )
    checkpoint.check()
    return checkpoint


def trained_on(initial: Checkpoint | None, learned: Sequence[str], synthetic: Collection[str]) -> str:
    """What the weights have seen; "phantom" only if nothing else.

    Args:
        initial: Weights that the training goes on from.
        learned: Ids of the training cases.
        synthetic: Ids of the phantoms among all cases.
    """
    patients = sum(case not in synthetic for case in learned)
    own = _number(patients, "approved patient") if patients else "phantom"
    if patients and patients < len(learned):
        own += f" and {_number(len(learned) - patients, 'phantom')}"
    return own if initial is None or initial.trained_on == own else f"{initial.trained_on}, then {own}"


def _number(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")
