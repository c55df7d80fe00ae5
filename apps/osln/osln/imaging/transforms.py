"""From images in physical units to network input: one builder for training, validation and inference."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite

import numpy as np

from osln.imaging.distance import LIMIT_MM


@dataclass(frozen=True)
class Scaling:
    """Every preprocessing number of a network; it travels inside the checkpoint.

    CT is clipped to the paper's window (section 4.1), mapped to [0, 1], then centered and amplified so
    that the contrast of soft tissue has about the variance of the PET channel: beside a PET z-score of
    up to 8, an early-fusion network otherwise learns from CT too late. PET is z-scored with mean and SD
    over the training set.

    Attributes:
        pet_mean: Mean SUV over the training set; 0 for networks without PET.
        pet_sd: SD of the SUV over the training set.
        ct_window_hu: Clip range.
        ct_center: Value in [0, 1] that becomes 0.
        ct_gain: Factor after centering.
        pet_gain: Factor after the z-score.
        distance_unit_mm: Distance that becomes 1; larger ones are clipped.
        prefilter: Whether images were blurred before a change to larger voxels (`Preset.prefilter`); files of
            before there was a choice say nothing, and were not.
    """

    pet_mean: float = 0.0
    pet_sd: float = 1.0
    ct_window_hu: tuple[float, float] = (-200.0, 300.0)
    ct_center: float = 0.3
    ct_gain: float = 5.0
    pet_gain: float = 0.5
    distance_unit_mm: float = LIMIT_MM
    prefilter: bool = False

    @classmethod
    def fit(cls, pets_suv: Iterable[np.ndarray]) -> "Scaling":
        """Scaling with the mean and SD of the training patients' PET voxels (paper, section 4.1).

        Args:
            pets_suv: One (x, y, z) array per training patient; may be empty (CT-only cohort).
        """
        count, total, squares = 0, 0.0, 0.0
        for pet in pets_suv:
            values = np.asarray(pet, dtype=np.float64)
            count += values.size
            total += float(values.sum())
            squares += float(np.square(values).sum())
        if not count:
            return cls()
        mean = total / count
        return cls(pet_mean=mean, pet_sd=max(squares / count - mean**2, 1e-6) ** 0.5)

    def to_dict(self) -> dict[str, object]:
        """Plain values for a checkpoint."""
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> "Scaling":
        """Inverse of `to_dict`.

        Raises:
            ValueError: If the values are not those of a scaling: of another name or kind, or not finite.
        """
        plain = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
        try:
            scaling = cls(**plain)  # type: ignore[arg-type]
        except TypeError as error:
            raise ValueError(f"these are not preprocessing numbers of this software: {error}") from error
        for name, value in asdict(scaling).items():
            usual = getattr(cls, name)
            if not (_is_number(value) if isinstance(usual, float) else _is_alike(value, usual)):
                raise ValueError(
                    f"these are not preprocessing numbers of this software: {name} is {value!r}, expected "
                    f"something like {usual!r}"
                )
        return scaling


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _is_alike(value: object, usual: object) -> bool:
    """Whether a value that is no number is of the usual one's kind."""
    if isinstance(usual, tuple):
        return isinstance(value, tuple) and len(value) == len(usual) and all(map(_is_number, value))
    return isinstance(value, type(usual))


def network_input(
    images: Mapping[str, np.ndarray | None], inputs: Sequence[str], scaling: Scaling
) -> np.ndarray:
    """Channels of a network, scaled.

    Args:
        images: "ct" in HU, "pet" in SUV, "distance" in mm; (x, y, z) arrays of one shape, whole column
            or patch. Only the named ones are needed.
        inputs: Names in channel order.
        scaling: Numbers to scale with.

    Returns:
        (C, x, y, z) float32, C-ordered.

    Raises:
        ValueError: If an input is missing.
    """
    missing = [name for name in inputs if images.get(name) is None]
    if missing:
        raise ValueError(f"the network needs {', '.join(inputs)}; this patient has no {', '.join(missing)}")
    shape = images[inputs[0]].shape  # type: ignore[union-attr]
    result = np.empty((len(inputs), *shape), dtype=np.float32)
    for channel, name in zip(result, inputs, strict=True):
        channel[...] = images[name]
        if name == "ct":
            low, high = scaling.ct_window_hu
            np.clip(channel, low, high, out=channel)
            channel -= low + scaling.ct_center * (high - low)
            channel *= scaling.ct_gain / (high - low)
        elif name == "pet":
            channel -= scaling.pet_mean
            channel *= scaling.pet_gain / scaling.pet_sd
        elif name == "distance":
            channel /= scaling.distance_unit_mm
            np.clip(channel, -1.0, 1.0, out=channel)
        else:
            raise ValueError(f"unknown network input {name!r}: expected ct, pet or distance")
    return result
