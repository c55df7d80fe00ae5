"""Ranges of shapes and values of what realistic phantoms add to the body, each with its source.

Sources are told as in `parameters.py`. These stand apart from `RealisticParameters`, whose fields are part of
every sidecar and of kept cohorts' keys: who changes one here raises `look_version` (a test holds the two
together). Courses and places of organs, and how loops and small vessels wind, stand where they are painted.
"""

from __future__ import annotations

from dataclasses import dataclass

from osln.phantom.realistic.parameters import Range

Box = tuple[Range, Range, Range]
"""Ranges along x, y and z, anatomical mm."""
Counts = tuple[int, int]
"""Lowest count, and one more than the highest."""
STOOL_HU = -60.0


@dataclass(frozen=True)
class AddedRanges:
    """Of organs, mimics and streaks; drawn for each of them, not once for a patient."""

    # Thymus
    thymus_hu: Range = (-70.0, 30.0)
    """From muscle's when young to nearly fat's (10.1148/radiology.142.1.7053521)."""
    thymus_suv: Range = (0.8, 1.8)
    """Chosen: around the blood's; visible uptake was in no adult of 37 before therapy (J Nucl Med 42:591,
    2001)."""
    thymus_mm: Box = ((6.0, 12.0), (44.0, 52.0), (195.0, 215.0))
    """Center of the left lobe, the right one mirrored. Chosen: before the great vessels."""
    thymus_tilt: Range = (0.1, 0.5)
    """Radians. Chosen: lobes that part downwards, as an arrow's head."""
    thymus_radii_mm: Box = ((5.0, 11.0), (3.0, 6.0), (14.0, 26.0))
    """Chosen: lobes of 6 to 12 mm thickness and 28 to 52 mm height; thinner with age
    (10.1148/radiology.142.1.7053521)."""

    # Muscles
    crus_rough_mm: Range = (0.6, 2.0)
    """Chosen: smooth to nodular; pseudotumors or defects are in 56 % from 60 years on
    (10.1148/radiology.171.2.2704802)."""
    shoulder_shift_mm: float = 4.0
    """SD of each muscle's place along each axis. Chosen: less than a muscle's thickness."""

    # Branches of the liver's veins
    liver_vessel_radius_mm: Range = (1.6, 4.0)
    """Chosen: at the root; over 2 mm across, under the portal vein's."""
    liver_root_mm: float = 4.0
    """SD of where they leave porta and vena cava. Chosen: less than the radius of either."""
    liver_tip_mm: Box = ((45.0, 105.0), (-45.0, 50.0), (15.0, 105.0))
    """Chosen: inside the liver."""
    liver_bend_mm: float = 8.0
    """SD of their middle off the straight way. Chosen: gently bent, as veins of a liver are."""

    # Bowel
    loop_mm: Box = ((-98.0, 72.0), (22.0, 64.0), (-18.0, 36.0))
    """Holds the middle of every loop. Chosen: the box before the great vessels."""
    loop_pieces: Counts = (2, 6)
    """Of 13 mm. Chosen: loops of 2.6 to 6.5 cm."""
    loop_radius_mm: Range = (7.0, 17.0)
    """Chosen: small bowel is 19 to 25 mm across in the mean (Cronin, MR enterography, Eur J Radiol), colon is
    wider."""
    loop_width: Range = (0.8, 1.15)
    """Of the radius along a loop. Chosen: as peristalsis narrows and widens it."""
    loop_wall_mm: Range = (2.0, 5.0)
    """Chosen: 1.5 +- 0.5 mm when filled (Cronin, as above), more when empty."""
    loop_suv: Range = (0.9, 2.6)
    """No bowel is among the organs with a mean over 2.5 (10.1007/s11307-006-0075-y). Taken: up to that."""
    lumen_hu: tuple[float, ...] = (14.0, 5.0, STOOL_HU, 220.0, -880.0)
    """Two fluids, stool, contrast medium, gas. Chosen: near water, mixed with gas, diluted, nearly
    air."""
    lumen_share: tuple[float, ...] = (0.3, 0.2, 0.15, 0.05, 0.3)
    """Of each of these. Chosen: half fluid; contrast medium is rarely drunk before planning or PET."""

    # Plaques of the aorta
    plaque_z_mm: Range = (-10.0, 214.0)
    """Chosen: the whole descending aorta and the arch, evenly."""
    plaque_radius_mm: Range = (0.8, 2.6)
    """Along each axis. Chosen: specks to pieces of half a centimeter."""
    plaque_hu: Range = (250.0, 800.0)
    """Over the 130 HU that count as calcium (10.1016/0735-1097(90)90282-T). Chosen: before blur takes some
    off."""

    # Lines and metal
    catheter_hu: Range = (250.0, 700.0)
    """Chosen: weakly to strongly opaque; 6.6 French across."""
    feeding_tube_hu: Range = (120.0, 500.0)
    """Chosen: softer material than a catheter's, of 13 French, filled with gas."""
    streak_orders: Counts = (2, 24)
    """Rays of each wave around a piece of metal. Chosen: a broad band to thin rays."""
    streak_waves: int = 8
    """Chosen: enough that no order stands out."""

    # Small vessels
    small_vessel_mm: Box = ((-100.0, 100.0), (-70.0, 75.0), (0.0, 312.0))
    """Where they begin. Chosen: the middle of the body, over the whole height."""
    small_vessel_radius_mm: Range = (0.6, 1.8)
    """At the root. Chosen: 1.2 to 3.6 mm across, what still shows on slices of 1 to 5 mm."""
    small_vessel_pieces: Counts = (2, 7)
    """Of 9 mm. Chosen: courses of 2 to 5 cm, as long as one runs within some slices."""
    branch_share: float = 0.5
    """Begin at another's bend. Chosen: as many as begin anew."""


ADDED = AddedRanges()
