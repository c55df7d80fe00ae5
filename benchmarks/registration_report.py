"""The document of a measured registration: `docs/registration.md`."""

from statistics import mean, median
from typing import Any

Row = dict[str, Any]

HEAD = """# Registration of the PET to the planning CT

The planning CT and the PET/CT come from different days. `osln.registration.register_pet` brings the PET
onto the planning CT by way of the PET's own CT:

```
./scripts/osln register --ct ct.nii.gz --pet pet.nii.gz --pet-ct pet_ct.nii.gz --out FOLDER
```

writes the PET on the planning CT's frame (at its own spacing, interpolated once, SUV kept), the transform
(planning CT to PET, readable by SimpleITK), the figures of quality and a picture to look at.

1. **Recognized:** a least-squares step in each of up to 60 blocks of the body tells how far the CTs lie
   apart. If the 90th percentile is at most 1.5 mm and the lungs overlap (Dice at least 0.95), the pair is
   left alone: the PET comes back untouched. One frame of reference is not taken as a proof.
2. **Rigid:** from the centers of the lungs, by Mattes mutual information (SimpleITK, 25,000 samples with a
   fixed seed).
3. **Spline:** cubic B-splines on lattices of 80, 50 and 32 mm, at 8 and 4 mm voxels, by Gauss-Newton steps
   on robust squared differences plus bending energy. Lung and bone are squeezed in contrast, so that fat
   against soft tissue (where the nodes are) counts. The optimizer is this project's own; transform and
   resampling are SimpleITK's.
4. **Judged:** the spline is dropped for the rigid transform ("rigid (spline was worse)") if mutual
   information, lung Dice or body Dice is lower than after the rigid step, or if the transform folds
   anywhere (Jacobian <= 0).
5. **Without a CT of the PET:** rigid PET-to-CT by mutual information, with a warning; left alone if trial
   shifts of 8 mm say that it lies within 5 mm. If the planning CT shows no lungs either, the PET is not moved
   (see the last table). **Without lungs in view** of both CTs: rigid only, with a warning.
6. **From far away:** in both cases of 5. a coarse search over all shifts at which a third of the body is
   covered tells whether the images would fit better elsewhere. If they would, or if they fit little, up to
   four other starts are tried and the best end is taken; "already aligned" is said only where no start is
   better. Where no motion fits better, the PET is left as it is ("left alone (no motion fits better)"). If
   the best place fits little, a warning in every result of the case says that the PET may lie wrong: mutual
   information times the square root of the share of the body covered below 0.55 bits (PET to CT; right
   places of phantoms 0.71 and more, wrong ones up to 0.44) or 0.85 bits (CT to CT without lungs; 0.97 and
   more, up to 0.75).

The same input gives the same output on one thread (fixed seeds). With several threads in NumPy's linear
algebra the sums, and with them the last digits, may differ.
"""

PHANTOMS = """
## Phantoms with a known displacement

Synthetic patients (docs/phantom.md); the numbers say how well the method finds a smooth random displacement
in the phantom's anatomy and nothing about patients: lungs that slide along the chest wall, other arm
positions, contrast agent and filling of the stomach are not in it, and tissue texture moves along. The CT
of the PET/CT is the patient without CT noise, moved by a smooth field (lattice 55 mm, mean length 8 mm at
the nodes) plus 12 mm of shift and about 3 degrees of rotation, sampled on other voxels, with stronger noise
of its own; the PET moves along. Target registration error (TRE) at all lymph nodes inside the planning CT,
in mm. "Peak": highest SUV of the registered PET over an avid node by that of the PET as it came, median
over the nodes. The weight of the bending energy was chosen on two other phantoms.
"""

PHANTOM_HEAD = """
| seed | nodes | before | lung centers | rigid | after | 95 % | worst | method | lung Dice | peak | CPU s |
|---|---|---|---|---|---|---|---|---|---|---|---|
"""


def report(rows: dict[str, Row], versions: str) -> str:
    """The document in Markdown.

    Args:
        rows: figures by the name of the case, as `measure_registration` keeps them.
        versions: what was measured with.
    """
    text = HEAD
    phantoms = {name: row for name, row in rows.items() if name.startswith("phantom")}
    if phantoms:
        text += PHANTOMS + PHANTOM_HEAD
        for name, row in phantoms.items():
            text += _known_row(name.split()[-1], row)
        text += _summary(list(phantoms.values()))
        text += "\n![Before and after](images/registration-phantom.png)\n"
    still = [row for name, row in rows.items() if name.startswith("still")]
    if still:
        text += "\nThe first patient without any motion (other noise, other voxels): " + ", ".join(
            f"{row['method']} (without the PET's CT: {row['method_without_ct']})" for row in still
        )
        text += ".\n"
    text += _real({name: row for name, row in rows.items() if name.startswith("LUNG1")})
    text += _sarcomas({name: row for name, row in rows.items() if name.startswith("STS")})
    return text + (
        f"\nMeasured with `benchmarks/registration.py`, {versions}, one thread; seconds are the "
        "processor's.\n"
    )


def _known_row(name: str, row: Row) -> str:
    errors = " | ".join(f"{row[f'{step}_mm']:.1f}" for step in ("before", "lungs", "rigid", "after"))
    peak = "" if row["peak"] is None else f"{row['peak']:.2f} (of {row['peaks']})"
    lungs = f"{row['lung_dice_before']:.3f} to {row['lung_dice_after']:.3f}"
    tail = f"{row['after_p95_mm']:.1f} | {row['after_max_mm']:.1f} | {row['method']} | {lungs} | {peak}"
    return f"| {name} | {row['points']} | {errors} | {tail} | {row['cpu_s']:.1f} |\n"


def _summary(rows: list[Row]) -> str:
    steps = {step: mean(row[f"{step}_mm"] for row in rows) for step in ("before", "lungs", "rigid", "after")}
    ends = [row["after_mm"] for row in rows]
    before, lungs, rigid, after = (f"{steps[step]:.1f} mm" for step in steps)
    return (
        f"\nMean over {len(rows)} phantoms: {before} before, {lungs} after the lung centers, {rigid} after "
        f"the rigid step, **{after} at the end** (median {median(ends):.2f}, worst patient {max(ends):.2f}; "
        f"{sum(e < 2.5 for e in ends)} of {len(rows)} below 2.5 mm). Largest share of folding: "
        f"{max(row['folding'] for row in rows):.2g}. Methods: {_counted(rows)}. "
        f"{mean(row['cpu_s'] for row in rows):.1f} s on average.\n"
    )


def _counted(rows: list[Row]) -> str:
    methods = sorted({row["method"] for row in rows})
    return ", ".join(f"{method} {sum(row['method'] == method for row in rows)}" for method in methods)


def _real(rows: dict[str, Row]) -> str:
    if not rows:
        return ""
    text = """
## A real CT, warped

The planning CT of LUNG1-001 (docs/real-images.md) and itself, moved by a field of the same kind, on other
voxels, with noise added. The anatomy is real, the motion is not, and both images share the first one's
noise. Errors at a lattice of points 20 mm apart all over the body, skin and flat muscle included, where no
image tells of motion along a surface.
"""
    text += PHANTOM_HEAD.replace("| seed | nodes", "| seed | points")
    for name, row in rows.items():
        text += _known_row(name.split()[-1], row)
    return text


def _sarcomas(rows: dict[str, Row]) -> str:
    if not rows:
        return ""
    moved = sum(row["moved_mm"] > 0 for row in rows.values())
    text = """
## PET/CT pairs without lungs and without a second CT

PET and CT of one examination (soft-tissue sarcomas, docs/real-images.md): crops of limbs and trunk.
"Contours": distance of the centers of the set's own tumor contours on CT and on PET; only in STS_019 the
PET is shifted. "MI shift": what mutual information at trial shifts of 8 mm would have it. It contradicts
contours and eye in the five that fit, and rigid registration by mutual information would have moved all six
by 7 to 15 mm; probably because a crop shows the skin on one side only and the PET blurs it. Smoothing the
CT like a PET did not mend it. This is why such a PET is left where it is, with a warning. **A shifted PET
(STS_019) is not recognized as such here.**

| case | method | contours, mm | MI shift, mm | moved, mm | mutual information, bits | CPU s |
|---|---|---|---|---|---|---|
"""
    for name, row in rows.items():
        before, after = row["mutual_information_before"], row["mutual_information_after"]
        text += f"| {name} | {row['method']} | {row['contours_mm']:.1f} | {row['shift_mm']:.1f} | "
        text += f"{row['moved_mm']:.1f} | {before:.3f} to {after:.3f} | {row['cpu_s']:.1f} |\n"
    return text + f"\n{moved} of {len(rows)} were moved.\n"
