"""Ranges of what makes a phantom's images look like patients', each with its source.

"Measured" is docs/phantom-realism.md: the range seen on real CTs that `./benchmarks/run realism` measured.
"Chosen" has no source but the wish to hold what a hospital may send. Papers are named by their DOI.
"""

from __future__ import annotations

from dataclasses import dataclass

from osln.phantom.parameters import PhantomParameters

Range = tuple[float, float]
"""Lowest and highest value, drawn evenly in between for each patient."""

NATIVE, VENOUS, ARTERIAL = "native", "venous", "arterial"

# What contrast medium adds in HU. Liver: 28 to 50 HU at 45 to 60 s (AJR 164:327, 1995), and measured 112 and
# 116 HU in all; nodes: 1.1 to 2.1 mg iodine per ml in the venous phase (10.1177/0284185120903448), at about
# 25 HU per mg/ml; vessels and the rest: chosen in the order that 10.1148/radiol.10090908 reviews.
ENHANCEMENT_HU: dict[str, dict[str, Range]] = {
    NATIVE: {},
    VENOUS: {
        "blood": (70, 130), "liver": (40, 65), "spleen": (55, 85), "kidney": (110, 170), "heart": (40, 80),
        "gut": (25, 55), "muscle": (4, 14), "node": (25, 55), "tumor": (25, 50),
    },
    ARTERIAL: {
        "blood": (150, 280), "liver": (5, 20), "spleen": (50, 110), "kidney": (80, 130), "heart": (40, 80),
        "gut": (20, 50), "muscle": (0, 8), "node": (10, 40), "tumor": (10, 40),
    },
}  # fmt: skip


@dataclass(frozen=True)
class RealisticParameters(PhantomParameters):
    """Parameters of phantoms whose images vary as patients' and scanners' do.

    Nodes, tumor, rule and the mimics of the sidecar are as in `PhantomParameters`. A seed has the same body
    underneath; its fat, and so the nodes in it, differs where organs are added.
    """

    look_version: int = 1  # Counts what is changed in how a look is drawn or shown; part of the cohort's key.

    # Scanner
    in_plane_mm: Range = (1.2, 3.0)  # Blur of soft to medium kernels and voxels up to 1 mm; chosen.
    slice_mm: Range = (1.0, 5.0)  # Thin routine slices to 5 mm; measured CTs have 3 to 5.
    noise_hu: Range = (4.0, 25.0)  # Measured: local SD of 9 (portal venous, 5 mm) to 25 HU (PET's CT).
    noise_width_mm: Range = (1.2, 2.8)  # Measured: at 2.5 mm noise is half correlated to not at all.
    shoulder_noise_hu: Range = (0.0, 18.0)  # Horizontal streaks where the beam crosses shoulders; chosen.
    arms_down_share: float = 0.3  # Radiotherapy and PET/CT prefer arms up; chosen.
    table_share: float = 0.8  # Every patient lies on one; it is cut off by small fields; chosen.
    field_radius_mm: Range = (150.0, 250.0)  # Diameters of 300 to 500 mm, less cuts lungs; chosen.
    metal_share: float = 0.12  # Patients with a port, clips or a pacemaker in the field; chosen.
    metal_streak_hu: Range = (40.0, 250.0)  # Streaks beside small metal without correction; chosen.

    # Values of tissues; they differ between scanners for the same patient, too: PMC5015439
    phase_share: tuple[float, float, float] = (0.5, 0.35, 0.15)  # Native, venous, arterial; chosen.
    fat_hu: Range = (-112.0, -86.0)  # 95 % of fat: -123 to -89 (PubMed 37296765); measured: -116 to -82.
    blood_hu: Range = (30.0, 48.0)  # Falls with the hematocrit; chosen.
    muscle_hu: Range = (38.0, 62.0)  # Lowest with fatty muscle; chosen.
    liver_hu: Range = (25.0, 66.0)  # 58 +- 9, fatty 32 +- 14: 10.1007/s00414-019-02016-1.
    gut_hu: Range = (-8.0, 8.0)  # Added to walls and pancreas; chosen.

    # Texture
    fat_texture_range_hu: Range = (3.0, 9.0)  # Measured: fat is 1 to 5 HU rougher at 10 mm than at 2.5.
    tissue_texture_range_hu: Range = (1.0, 6.0)  # Measured: soft tissue is so by 1 to 5 HU.
    septum_hu: Range = (20.0, 80.0)  # A septum of 0.3 to 1.2 mm in a voxel of 2.5 mm: its share of 150 HU.
    septum_step_mm: Range = (7.0, 14.0)  # Fat lobules of about a centimeter; chosen.
    strand_hu: Range = (60.0, 150.0)  # A vessel of 1 to 2 mm in a voxel of 2.5 mm: its share of 150 HU.
    strand_width: Range = (0.25, 0.6)  # Width of strands in units of their field; by the measured histogram.
    muscle_fat_hu: Range = (20.0, 110.0)  # Fat between bundles: its share of 150 HU in a voxel; chosen.
    stool_hu: Range = (30.0, 160.0)  # Gas bubbles in stool of the colon: spread of its voxels; chosen.
    lung_texture_hu: Range = (20.0, 60.0)  # Small vessels and the gradient to the back; chosen.

    # More anatomy
    bowel_loops: Range = (8.0, 24.0)  # Loops of small bowel and colon in the upper abdomen; chosen.
    thymus_share: float = 0.3  # Not all fat in 26 % at a mean age of 59: Araki, Eur Radiol 26:15 (2016).
    shoulder_muscles: Range = (0.6, 1.2)  # Size of the axillae's muscles, from slim to strong; chosen.
    crus_thickness: Range = (0.6, 1.8)  # By side and breath (Radiology 163:683, 1987).
    cartilage_hu: Range = (70.0, 160.0)  # Calcifies with age; chosen.
    plaques: Range = (0.0, 14.0)  # Calcified plaques of the aorta; chosen.
    catheter_share: float = 0.25  # Ports and central lines are usual in chemoradiotherapy; chosen.
    feeding_tube_share: float = 0.15  # Through a narrowed esophagus; chosen.
    liver_vessels: Range = (8.0, 24.0)  # Branches of hepatic and portal veins over 2 mm; chosen.
    small_vessels: Range = (60.0, 180.0)  # Named and unnamed vessels of 0.6 to 1.8 mm in any course; chosen.

    # PET
    pet_voxel_mm: Range = (2.7, 5.4)  # The measured sarcoma set has 3.3 to 5.5; smaller: chosen.
    pet_fwhm_mm: Range = (4.5, 8.0)  # About 7 mm where scanners are harmonized, less in new ones; chosen.
    pet_noise_range: Range = (0.07, 0.22)  # As `pet_noise_fraction` (default .14), good to poor; chosen.
    moved_mm: Range = (2.0, 12.0)  # 95th percentile of the displacement; breathing; chosen.
