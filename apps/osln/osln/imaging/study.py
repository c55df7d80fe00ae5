"""One patient as it lies in the store: CT, PET, primary tumor and approved nodes, each on its own grid."""

from dataclasses import dataclass

import numpy as np

from osln.imaging.grid import Grid, Volume, as_stored, mask_box
from osln.imaging.labelmaps import map_exactly
from osln.imaging.resampling import resample
from osln.imaging.reviewed_part import ReviewedPart

LONGEST_MM = 2500.0
"""Of a CT along each axis; a table travels 2 m."""
VOXEL_MM = (0.05, 25.0)
"""Smallest and largest side of a voxel."""
SAME_REGION = 0.9
"""Dice from which on a label of nodes is the tumor's contour."""
MOST_LOOKED_AT = 100_000
"""Voxels of such a contour of which it is asked."""
LEAST_INSIDE = 0.5
"""Of a contour on another grid, the share that lies in the CT's field."""
HIGHEST_BODY_SUV = 15.0
"""Median inside the body; a brain alone has less."""
BODY_HU = -300
BODY_SAMPLES = 20_000
"""Places of the PET, in air too, that its median inside the body is taken from."""
HIGHEST_MEDIAN_SUV = 30.0
"""Of the voxels that took up anything; a bladder has more, half of a body never."""


@dataclass(frozen=True)
class Study:
    """One patient.

    Attributes:
        case: Id of the case.
        ct: CT in HU.
        pet: PET in SUVbw on its own grid, registered to the CT; None if there is none.
        tumor: Primary tumor, bool, on the CT's grid; None if it is not contoured.
        nodes: Lymph nodes as integer labels on the CT's grid; None if nobody has approved any yet.
        part: Candidates besides the nodes of a patient who was reviewed in part; None for a complete one.
    """

    case: str
    ct: Volume
    pet: Volume | None = None
    tumor: Volume | None = None
    nodes: Volume | None = None
    part: ReviewedPart | None = None


def build_study(
    case: str, ct: Volume, pet: Volume | None = None, tumor: Volume | None = None, nodes: Volume | None = None
) -> Study:
    """Checks that the images belong together; same errors as `load_study`."""
    check_ct(case, ct)
    if pet is not None:
        check_pet(case, pet)
        check_overlap(case, ct.grid, pet.grid)
        _check_suv_of_body(case, ct, pet)
    if tumor is not None:
        tumor = _on_ct(case, "tumor mask", ct, tumor)
        if not as_stored(tumor.array).any():
            raise ValueError(
                f"case {case}: the tumor mask is empty; contour the primary tumor (segment 'tumor') and "
                "submit it"
            )
        tumor = Volume(_as_mask(tumor.array), tumor.grid, tumor.file_grid)
    if nodes is not None:
        nodes = _on_its_voxels(case, ct, nodes)
    return Study(case, ct, pet, tumor, nodes)


def check_ct(case: str, ct: Volume) -> None:
    """Looks whether a CT can be one.

    Raises:
        ValueError: If its size cannot be true, it holds NaN, one value everywhere, or no HU.
    """
    _check_extent(case, ct)
    _check_values(case, "CT", ct)
    if _some(ct.array).min() >= 0 and as_stored(ct.array).min() >= 0:
        raise ValueError(
            f"case {case}: the lowest value of the CT is {ct.array.min():g}, a CT in HU has air at -1000: is "
            "it a PET or another image, or stored without its offset (RescaleIntercept)? 3D Slicer sends the "
            "first volume of its scene, so load the CT first; on the command line the order is CT PET TUMOR"
        )


def check_pet(case: str, pet: Volume) -> None:
    """Looks whether a PET can be one in SUV.

    Raises:
        ValueError: If it holds NaN, one value everywhere, or values that no body has.
    """
    _check_values(case, "PET", pet)
    check_suv(pet, f"case {case}: ")


def check_overlap(case: str, ct: Grid, pet: Grid) -> None:
    """Raises ValueError if a PET and its CT share no place of the patient."""
    start, stop = ct.box_of(pet)
    if (stop - start < 2).any():
        raise ValueError(
            f"case {case}: PET and CT do not overlap in patient space; register the PET to the CT, or "
            "check that both files carry the right position"
        )


def check_not_the_tumor(case: str, nodes: np.ndarray, tumor: np.ndarray | None) -> None:
    """Raises ValueError if what is given as nodes is the contour of the primary tumor.

    Args:
        case: Id of the case.
        nodes, tumor: (x, y, z) on one grid, 0 for neither; None without a contour.
    """
    if tumor is not None and are_the_tumor(nodes, tumor):
        raise ValueError(
            f"case {case}: the label of the nodes is the contour of the primary tumor: expected the lymph "
            "nodes alone, 0 where there is none"
        )


def are_the_tumor(nodes: np.ndarray, tumor: np.ndarray) -> bool:
    """Whether nodes and tumor, 0 for neither, are one region; not so if both are empty."""
    size = np.count_nonzero(nodes) + np.count_nonzero(tumor)
    return 2 * np.count_nonzero((nodes != 0) & (tumor != 0)) > SAME_REGION * size


def _check_extent(case: str, ct: Volume) -> None:
    """Refuses a CT whose header cannot be true: memory and time of everything after it follow its length."""
    sides = ct.grid.spacing_mm
    extent = sides * ct.grid.shape
    if sides.min() < VOXEL_MM[0] or sides.max() > VOXEL_MM[1] or extent.max() > LONGEST_MM:
        told = " x ".join(f"{length:.4g}" for length in extent)
        raise ValueError(
            f"case {case}: by its header the CT is {told} mm large with voxels of "
            f"{' x '.join(f'{side:.4g}' for side in sides)} mm; a CT is at most {LONGEST_MM:.0f} mm long, "
            f"with voxels of {VOXEL_MM[0]} to {VOXEL_MM[1]:.0f} mm: export it again"
        )


def _check_values(case: str, what: str, volume: Volume) -> None:
    voxels = as_stored(volume.array)
    if voxels.dtype.kind == "f" and not np.isfinite(voxels).all():
        raise ValueError(f"case {case}: the {what} holds NaN or infinite values; export it again")
    sample = _some(voxels)
    if sample.min() == sample.max() and voxels.min() == voxels.max():
        raise ValueError(
            f"case {case}: every voxel of the {what} is {sample.flat[0]}; it is not an image of a patient"
        )


def _some(voxels: np.ndarray) -> np.ndarray:
    """A thirtieth of an image's voxels: what is seen in them need not be looked for in all."""
    return as_stored(voxels)[::4, ::4, ::2]


def check_suv(pet: Volume, where: str = "") -> None:
    """Refuses a PET whose values cannot be SUVs, which by definition are about 1 on average in a body.

    Args:
        pet: In SUV, as it is believed.
        where: Put before the sentence.

    Raises:
        ValueError: They cannot.
    """
    sample = pet.array[::2, ::2, ::2]
    taken_up = sample[sample > 0]
    middle = float(np.median(taken_up)) if taken_up.size else 0.0
    if middle > HIGHEST_MEDIAN_SUV:
        raise ValueError(
            f"{where}half of the PET lies above {middle:.3g}, and SUVs by body weight are about 1 in a body: "
            "is it in Bq/ml or counts? Convert it to SUVbw (./scripts/osln import does)"
        )


def _check_suv_of_body(case: str, ct: Volume, pet: Volume) -> None:
    """Refuses a PET whose values inside the body, by the CT, cannot be SUVs: its noise in air hides them."""
    step = max(1, round((pet.array.size / BODY_SAMPLES) ** (1 / 3)))
    sample = pet.array[::step, ::step, ::step]
    index = np.stack(np.meshgrid(*(step * np.arange(n) for n in sample.shape), indexing="ij"), axis=-1)
    at = np.rint(ct.grid.mm_to_index(pet.grid.index_to_mm(index.reshape(-1, 3)))).astype(int)
    inside = ((at >= 0) & (at < ct.grid.shape)).all(axis=1)
    body = ct.array[tuple(at[inside].T)] > BODY_HU
    if not body.any():
        return
    middle = float(np.median(sample.reshape(-1)[inside][body]))
    if middle > HIGHEST_BODY_SUV:
        raise ValueError(
            f"case {case}: half of the body lies above {middle:.3g} in the PET, and SUVs by body weight are "
            "about 1 there: was its dose or weight given in another unit (mCi, pounds)? Correct it and "
            "import the PET again"
        )


def _on_its_voxels(case: str, ct: Volume, nodes: Volume) -> Volume:
    """Nodes on the CT's grid, whose voxels they have to have: sampled anew, those of few voxels vanish."""
    nodes = _whole_numbers(case, "node label", nodes)
    if nodes.array.size == 1 and not nodes.array.any():
        # Slicer stores segments that are all empty as one voxel at the origin, wherever the CT lies.
        return Volume(np.zeros(ct.grid.shape, np.uint8), ct.grid, ct.file_grid)
    try:
        labels = map_exactly(nodes.array, nodes.grid, ct.grid, cropped=True)
    except ValueError as error:
        raise ValueError(f"case {case}, node label: {error}") from error
    return Volume(labels, ct.grid, ct.file_grid)


def _as_mask(label: np.ndarray) -> np.ndarray:
    """Bool, where a label with a voxel that is not 0 is not 0; memory is filled in its box alone."""
    box = tuple(slice(a, b) for a, b in zip(*mask_box(label), strict=True))
    mask = np.zeros(label.shape, dtype=bool, order="F")
    mask[box] = label[box] != 0
    return mask


def _whole_numbers(case: str, what: str, label: Volume) -> Volume:
    if label.array.dtype.kind != "f":
        return label
    if not np.isfinite(label.array).all() or (label.array != np.round(label.array)).any():
        raise ValueError(f"case {case}: the {what} must hold whole numbers, it holds fractions or NaN")
    return Volume(label.array.astype(np.int32), label.grid, label.file_grid)


def _on_ct(case: str, what: str, ct: Volume, label: Volume) -> Volume:
    label = _whole_numbers(case, what, label)
    if label.grid.matches(ct.grid):
        return Volume(label.array, ct.grid, ct.file_grid)
    start, stop = ct.grid.box_of(label.grid)
    if (stop - start < 1).any():
        raise ValueError(f"case {case}: the {what} and the CT do not overlap in patient space")
    moved = resample(label.array, label.grid, ct.grid, nearest=True)
    if label.array.any() and not moved.any():
        raise ValueError(f"case {case}: the {what} lies outside the CT's field")
    inside = _share_inside(label, ct.grid)
    if inside < LEAST_INSIDE:
        raise ValueError(
            f"case {case}: the {what} lies on another grid than the CT, and {1 - inside:.0%} of it outside "
            "of the CT's field: does its header hold the right position and voxel size? Export it on the "
            "CT's grid"
        )
    return Volume(moved, ct.grid, ct.file_grid)


def _share_inside(label: Volume, ct: Grid) -> float:
    """The share of a label's voxels whose centers lie in the CT's field; 1 without any."""
    voxels = np.flatnonzero(label.array)
    if not len(voxels):
        return 1.0
    # Some of very many tell as much, in a hundredth of the memory.
    some = voxels[:: 1 + len(voxels) // MOST_LOOKED_AT]
    index = np.stack(np.unravel_index(some, label.array.shape), axis=-1)
    places = ct.mm_to_index(label.grid.index_to_mm(index))
    return float(((places > -0.5) & (places < np.asarray(ct.shape) - 0.5)).all(axis=1).mean())
