"""Every number that decides how hard the phantom is, in one frozen row (docs/phantom.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

GENERATOR_VERSION = "1.1"


@dataclass(frozen=True)
class PhantomParameters:
    """The phantom's parameters; every length in mm, every CT value in HU, every uptake in SUV.

    Reference: docs/phantom.md tells how each was chosen; the paper's section 2 gives the clinical rule.
    """

    # Image formation
    partial_volume_mm: float = 2.5
    ct_noise_hu: float = 14.0
    ct_noise_step_mm: float = 2.5
    fat_texture_hu: float = 12.0
    tissue_texture_hu: float = 4.0
    pet_spacing_mm: tuple[float, float, float] = (4.0, 4.0, 4.0)
    pet_blur_fwhm_mm: float = 6.0
    pet_noise_fraction: float = 0.14
    pet_noise_step_mm: float = 4.0
    misregistration_step_mm: float = 55.0
    misregistration_p95_mm: tuple[float, float] = (3.0, 8.0)

    # Variation between patients
    scale_range: tuple[float, float] = (0.9, 1.12)
    warp_sd_mm: float = 4.0
    warp_step_mm: float = 60.0

    # Tumor along the esophagus
    tumor_z_mm: tuple[float, float, float] = (85.0, 150.0, 235.0)
    tumor_z_share: tuple[float, float, float] = (0.5, 0.25, 0.25)
    tumor_z_sd_mm: float = 16.0
    tumor_length_mm: tuple[float, float] = (25.0, 70.0)
    tumor_radius_mm: tuple[float, float] = (9.0, 17.0)
    tumor_suv: tuple[float, float] = (6.0, 18.0)

    # Nodes
    node_mean: float = 48.0
    near_tumor_mean: float = 0.3
    acceptance_near: float = 0.105
    acceptance_middle_mm: float = 76.0
    acceptance_width_mm: float = 15.0
    malignant_base: float = 0.06
    malignant_near: float = 0.42
    malignant_decay_mm: float = 50.0
    malignant_short_mm: tuple[float, float, float, float] = (7.8, 0.36, 4.5, 22.0)
    benign_short_mm: tuple[float, float, float, float] = (6.2, 0.22, 3.5, 11.0)
    malignant_elongation: tuple[float, float] = (1.0, 1.5)
    benign_elongation: tuple[float, float] = (1.1, 1.9)
    avid_middle_mm: float = 8.2
    avid_width_mm: float = 2.5
    avid_suv: tuple[float, float] = (3.5, 11.0)
    cold_suv: tuple[float, float] = (1.0, 1.9)
    reactive_share: float = 0.06
    reactive_suv: tuple[float, float] = (2.2, 3.2)
    fatty_hilum_share: float = 0.3
    fatty_hilum_from_mm: float = 6.5
    node_gap_mm: float = 5.0

    # The clinical rule, soft around its border so that the method's 70 mm is not built into the labels
    rule_middle_mm: float = 70.0
    rule_width_mm: float = 8.0
    visible_short_mm: float = 5.5
    enlarged_short_mm: float = 10.0
    proximal_counts: float = 0.90
    distal_counts: float = 0.95
    proximal_noise: float = 0.02
    distal_noise: float = 0.01

    # Mimics, Poisson means per patient
    vessel_mean: float = 20.0
    stub_mean: float = 16.0
    cyst_mean: float = 4.0
    muscle_bundle_mean: float = 9.0
    hot_spot_mean: float = 3.0
    bowel_spot_mean: float = 2.0
    brown_fat_share: float = 0.3
    vocal_cord_share: float = 0.5


EVERYWHERE_MM = -1e6
"""Border of the proximal zone that leaves no node in it: all count by the same rule."""
BLIND: Mapping[str, Any] = {"rule_middle_mm": EVERYWHERE_MM, "enlarged_short_mm": 8.0}
"""A node counts from a short axis of 8 mm or if it is avid, wherever it is. Of a seed the images are those of
the default phantom; only what counts is another."""

ZONED: Mapping[str, Any] = {
    # More and larger benign nodes, and few nodes that count: by size alone they are lost in the crowd.
    "node_mean": 120.0,
    "benign_short_mm": (7.0, 0.18, 5.5, 9.9),
    "malignant_base": 0.01,
    "malignant_near": 0.1,
    # Nodes near the tumor, all of which count, are thinned out up to the border, but for some beside it.
    "acceptance_near": 0.02,
    "acceptance_width_mm": 5.0,
    "near_tumor_mean": 1.5,
    # Fewer of what no zone tells from a node.
    "vessel_mean": 8.0,
    "stub_mean": 4.0,
    "cyst_mean": 1.0,
    "muscle_bundle_mean": 2.0,
    "hot_spot_mean": 1.0,
}
"""Distal nodes of the size of nodes that count outnumber the false positives that a precision of .15 allows
(`./benchmarks/run strata` counts them): without the distance to the tumor they cannot be told apart."""
