"""Late fusion of the stage-one networks (paper, section 3.1, Eq. 2), and other ways of fusing them."""

from collections.abc import Mapping, Sequence

import numpy as np

from osln.imaging.distance import zone_mask
from osln.rows.experiments import SEGMENTERS, Row
from osln.stage_one.candidates import Candidate
from osln.stage_one.learned_fusion import LearnedFusion, mean_fusion


def late_fusion(probabilities: Mapping[str, np.ndarray], distance_mm: np.ndarray | None) -> np.ndarray:
    """Largest probability over the streams of a zone, then the union of the zones.

    A network's output counts inside its own zone only (decision: it has learned nothing elsewhere); as
    the zones do not overlap, the union is the voxel-wise maximum of what is left.

    Args:
        probabilities: (x, y, z) map of each segmenter, by name.
        distance_mm: (x, y, z); may be None if all segmenters are unstratified.

    Returns:
        (x, y, z) float32 fused probability.
    """
    if not probabilities:
        raise ValueError("late fusion needs the probability map of at least one network")
    shape = next(iter(probabilities.values())).shape
    fused = np.zeros(shape, dtype=np.float32)
    for name, probability in probabilities.items():
        zone = SEGMENTERS[name].zone
        kept = probability
        if zone != "all":
            if distance_mm is None:
                raise ValueError(f"network {name} needs the distance to the tumor: contour the tumor first")
            kept = np.where(zone_mask(distance_mm, zone), probability, 0.0)
        np.maximum(fused, kept, out=fused)
    return fused


def fused_map(
    row: Row,
    probabilities: Mapping[str, np.ndarray],
    distance_mm: np.ndarray | None,
    learned: LearnedFusion | None = None,
) -> np.ndarray:
    """The map of a row: late fusion as the paper has it, or as `row.fusion` says.

    Args:
        row: Which networks, and how they are fused.
        probabilities, distance_mm: As in `late_fusion`.
        learned: What was fitted for a row with learned fusion.

    Raises:
        ValueError: If the distance or the fitted weights are missing, or these are of other networks.
    """
    if row.fusion == "max":
        return late_fusion(probabilities, distance_mm)
    if distance_mm is None:
        raise ValueError(f"{row.name or row.key} needs the primary tumor: contour it first")
    if row.fusion == "mean":
        learned = mean_fusion(row.segmenters)
    if learned is None:
        raise ValueError(f"no fusion was fitted for {row.name or row.key}: ./scripts/osln fit-fusion does it")
    return learned(probabilities, distance_mm)


def stream_means(
    probabilities: Mapping[str, np.ndarray],
    distance_mm: np.ndarray | None,
    candidates: Sequence[Candidate],
    labels: np.ndarray,
) -> list[dict[str, float]]:
    """What each network alone says of each candidate: where they differ, one of them is wrong.

    Args:
        probabilities, distance_mm: As in `late_fusion`.
        candidates: Of the fused map.
        labels: (x, y, z) their label map.

    Returns:
        For each candidate the mean probability by network over its voxels in the network's zone; a network
        without such voxels is left out.
    """
    found = []
    for candidate in candidates:
        box = tuple(slice(*side) for side in candidate.box)
        inside = labels[box] == candidate.id
        means = {}
        for name, probability in probabilities.items():
            own, zone = inside, SEGMENTERS[name].zone
            if zone != "all" and distance_mm is not None:
                own = inside & zone_mask(distance_mm[box], zone)
            if own.any():
                means[name] = float(probability[box][own].mean())
        found.append(means)
    return found
