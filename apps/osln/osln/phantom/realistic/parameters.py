"""Ranges of what makes a phantom's images look like patients', each with its source.

A source is a paper, by DOI or PMID; "measured": on real CTs, by `./benchmarks/run realism`
(docs/phantom-realism.md); or "chosen": none, but for the reason given. "Taken" says how a range differs from
its source. What is added to the body has ranges of its own: `osln.phantom.realistic.ranges`.
"""

from __future__ import annotations

from dataclasses import dataclass

from osln.phantom.parameters import PhantomParameters

Range = tuple[float, float]
"""Lowest and highest value, drawn evenly in between for each patient."""

NATIVE, VENOUS, ARTERIAL = "native", "venous", "arterial"

# What contrast medium adds in HU. Liver: 28 to 50 HU at 45 to 60 s (AJR 164:327, 1995), and measured 112 and
# 116 HU in all; nodes: 1.1 to 2.1 mg iodine per ml in the venous phase (10.1177/0284185120903448), at about
# 25 HU per mg/ml; vessels and the rest: chosen: in the order that 10.1148/radiol.10090908 reviews.
# Not in a cohort's key: who changes it raises `look_version`.
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

    look_version: int = 1
    """Part of a cohort's key. Counts changes of how a look is drawn or shown, and of ranges that are no
    fields here."""

    # Scanner
    in_plane_mm: Range = (1.2, 3.0)
    """Chosen: blur of soft to medium kernels; voxels of chest CTs alone are 0.46 to 0.98 mm
    (10.1118/1.3528204)."""
    slice_mm: Range = (1.0, 5.0)
    """0.6 to 5 mm in 1,018 chest CTs (10.1118/1.3528204); measured CTs have 3 to 5. Taken: from 1 mm."""
    noise_hu: Range = (4.0, 25.0)
    """Measured: local SD of 8.5 (portal venous, 5 mm) to 25 HU (a PET's CT). Taken: from 4, as texture adds
    to it."""
    noise_width_mm: Range = (1.2, 2.8)
    """Measured: at a distance of 2.5 mm noise in fat is half correlated to hardly."""
    shoulder_noise_hu: Range = (0.0, 18.0)
    """Chosen: none to as much as the noise; horizontal streaks where the beam crosses shoulders or arms."""
    arms_down_share: float = 0.3
    """Chosen: the guideline for FDG PET/CT asks for arms up (10.1007/s00259-014-2961-x); not everybody bears
    that."""
    table_share: float = 0.8
    """Chosen: every patient lies on one, but small fields of view cut it off."""
    field_radius_mm: Range = (150.0, 250.0)
    """512 voxels of 0.46 to 0.98 mm are 118 to 250 mm (10.1118/1.3528204). Taken: from 150, as less cuts
    lungs."""
    metal_share: float = 0.12
    """Chosen: a minority, with a port's chamber, clips, a pacemaker or an implant of the spine in the
    field."""
    metal_streak_hu: Range = (40.0, 250.0)
    """Streaks at a titanium screw's shaft reach 900 HU (10.1186/s12880-021-00554-y). Taken: less, as it is
    the RMS 10 mm off."""

    # Values of tissues; they differ between scanners for the same patient, too: PMC5015439
    phase_share: tuple[float, float, float] = (0.5, 0.35, 0.15)
    """Native, venous, arterial. Chosen: planning and PET's CTs are mostly native, diagnostic ones mostly
    venous."""
    fat_hu: Range = (-112.0, -86.0)
    """95 % of fat is -123 to -89 (PMID 37296765); peaks measured: -116 to -54, seven of nine -100 to -82.
    Taken: the middle; -123 to -112 of the paper, and both ends of the measured, are not made."""
    blood_hu: Range = (30.0, 48.0)
    """Middle half of aortas: 25 to 37 with anemia, 39 to 50 without (10.21203/rs.3.rs-1420003/v1). Taken:
    without ends."""
    muscle_hu: Range = (38.0, 62.0)
    """49 +- 3 in lean, 39 +- 8 in obese, 34 +- 4 in diabetic people (10.1152/jappl.2000.89.1.104). Taken:
    higher, as `muscle_fat_hu` takes off."""
    liver_hu: Range = (25.0, 66.0)
    """58 +- 9, fatty 32 +- 14: 10.1007/s00414-019-02016-1."""
    gut_hu: Range = (-8.0, 8.0)
    """Added to walls and pancreas. Chosen: small, as without contrast medium walls are like muscle."""

    # Texture
    fat_texture_range_hu: Range = (3.0, 9.0)
    """Measured: fat is 0.7 to 4.5 HU rougher at 10 mm than at 2.5, by squares 5 to 10. Taken: less, as septa
    add."""
    tissue_texture_range_hu: Range = (1.0, 6.0)
    """Measured: soft tissue is so by 1.4 to 5.3 HU, by squares 8 to 12. Taken: less, as fat in muscle
    adds."""
    septum_hu: Range = (20.0, 80.0)
    """Chosen: what a sheet of 0.3 to 1.3 mm takes of a voxel of 2.5 mm, of 150 HU between fat and soft
    tissue."""
    septum_step_mm: Range = (7.0, 14.0)
    """Chosen: fat lobules of about a centimeter, as they look on CT."""
    strand_hu: Range = (60.0, 150.0)
    """Chosen: vessels of 1.8 to 2.5 mm and more, by what they take of a voxel of 2.5 mm, of the same 150
    HU."""
    strand_width: Range = (0.25, 0.6)
    """In units of their field; by the measured histogram between fat and soft tissue."""
    muscle_fat_hu: Range = (20.0, 110.0)
    """Chosen: sheets of fat of 0.3 to 1.8 mm between bundles, by what they take of a voxel of 2.5 mm, of 150
    HU."""
    stool_hu: Range = (30.0, 160.0)
    """Spread of the voxels of stool. Chosen: even to full of small bubbles of gas."""
    lung_texture_hu: Range = (20.0, 60.0)
    """Chosen: small vessels; the gradient to the back, up to 200 HU (PMID 512106: 100 EMI units), is not
    made."""

    # More anatomy; its shapes and values: `ranges.py`
    bowel_loops: Range = (8.0, 24.0)
    """Chosen: few to as many loops of small bowel and colon as the upper abdomen holds before the great
    vessels."""
    thymus_share: float = 0.3
    """Not all fat in 26 % at a mean age of 59 (PMID 25925358); seen in 73 % at 30 to 49 years, in 17 % of
    older people (10.1148/radiology.142.1.7053521)."""
    shoulder_muscles: Range = (0.6, 1.2)
    """Chosen: size of the axillae's muscles against the drawn ones, from slim to strong."""
    crus_thickness: Range = (0.6, 1.8)
    """Chosen: thickness varies by side and breath (Williamson, Radiology 163:683, 1987); by how much, not
    found."""
    cartilage_hu: Range = (70.0, 160.0)
    """Rises with age to 40 to 50 years (10.1038/s41598-017-02859-x); values chosen: soft to beginning to
    calcify."""
    plaques: Range = (0.0, 14.0)
    """11 for each of 970 patients, 36 % of them without (10.1371/journal.pone.0109584). Taken: evenly, mean
    7."""
    catheter_share: float = 0.25
    """Chosen: ports and central lines are usual in chemoradiotherapy; no share of all patients was found."""
    feeding_tube_share: float = 0.15
    """A nasal one in 19 of 81 patients under chemoradiotherapy of the esophagus (10.1016/j.gie.2017.11.030),
    any in 24 % of 1,329 (10.3389/fonc.2017.00235). Taken: less, as not every tumor narrows it."""
    liver_vessels: Range = (8.0, 24.0)
    """Chosen: branches of hepatic and portal veins over 2 mm across, as many as are seen with contrast
    medium."""
    small_vessels: Range = (60.0, 180.0)
    """Chosen: named and unnamed vessels in any course; their number is a guess."""

    # PET
    pet_voxel_mm: Range = (2.7, 5.4)
    """Usual: 3 to 4 mm (10.1186/s40658-023-00597-w); the measured sarcoma set: 3.3 to 5.5. Taken: to 5.4,
    from 2.7."""
    pet_fwhm_mm: Range = (4.5, 8.0)
    """Chosen: around the 7 mm filter that harmonizes scanners (J Nucl Med Technol 47:47, 2019); new ones blur
    less."""
    pet_noise_range: Range = (0.07, 0.22)
    """As `pet_noise_fraction`. The liver's: 9 % and 11.5 % on two scanners (10.1007/s13139-020-00661-8, by
    SNR of 11.1 +- 2.0 and 8.7 +- 1.3). Taken: to twice that, as large patients and short scans have."""
    moved_mm: Range = (2.0, 12.0)
    """95th percentile of the displacement. Centers of 75 lung tumors lay 0.5 to 14.7 mm apart (PMID
    12411550)."""
