"""Checks of the product on real images by other means: nibabel's raw arrays, SciPy and SimpleITK.

None of these functions uses the product's own reading, orientation, resampling or pasting; each returns
measured errors by name and says in its docstring what they may be at most (`LIMITS`).
"""

import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from osln.imaging.distance import LIMIT_MM, zone_mask
from osln.imaging.grid import Grid
from osln.imaging.lung_column import LungColumn
from osln.rows.experiments import PROXIMAL_MM, Preset
from osln.stage_one.windows import fit_window, predict_windows

SET = Path("ibsi-sts-petct") / "nifti"
"""Where a folder of data holds the PET/CT pairs."""
LIMITS = {
    "ct_hu": 0.05,
    "pet_suv": 1e-3,
    "distance_mm": 1e-3,
    "distance_to_contour_voxels": 1.0,
    "zone_flips_mm": 3.0,
    "windows": 1e-4,
    "label_grid_mm": 1e-4,
    "label_shift_voxels": 0.5,
    "suv_outside_box": 1e-3,
    "labels_outside_boxes": 0,
    "candidates_without_label": 0,
    "reply_differs_mm": 1e-3,
}
"""Largest error of each check; a voxel is the diagonal of the working grid's, 4.6 mm in the demo preset."""

TO_LPS = np.array([-1.0, -1.0, 1.0])


def store_case(source: Path, root: Path) -> str:
    """Puts a patient of the soft-tissue sarcoma set into a store, files unchanged; returns the case's id."""
    case = source.name
    for name, folder in (("CT_image", ""), ("PET_image", "pet"), ("CT_mask", "labels/gtv")):
        (root / folder).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / f"{name}.nii.gz", root / folder / f"{case}.nii.gz")
    return case


def copy_cases(source: Path, root: Path) -> list[str]:
    """Copies CT, PET and tumor of every case of a store into another; returns the cases' ids."""
    cases = sorted(path.name.removesuffix(".nii.gz") for path in source.glob("*.nii.gz"))
    for case in cases:
        for folder in ("", "pet", "labels/gtv"):
            (root / folder).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / folder / f"{case}.nii.gz", root / folder / f"{case}.nii.gz")
    return cases


def check_column(column: LungColumn, root: Path, case: str) -> dict[str, float]:
    """Geometry, resampling and distance of the column against the files.

    Returns:
        ct_hu, pet_suv: Largest difference of a voxel from SciPy's linear interpolation of the raw file at
            that voxel's position (within the files' fields).
        distance_mm: Largest difference from the Maurer map over the whole of the working grid.
        distance_to_contour_voxels: Largest difference from the Maurer map of the contour on the CT's own
            finer grid, in diagonals of the working voxel: what resampling the contour costs.
        zone_flips_mm: Largest distance from the zones' border of a voxel whose zone differs between both.
    """
    places = column.grid.index_to_mm(np.stack(np.indices(column.grid.shape), axis=-1))
    errors = {}
    for key, folder, ours in (("ct_hu", "", column.ct_hu), ("pet_suv", "pet", column.pet_suv)):
        raw, inside = _interpolated(root / folder / f"{case}.nii.gz", places)
        raw = np.maximum(raw, 0) if key == "pet_suv" else raw
        errors[key] = float(np.abs(ours - raw)[inside].max())

    contour = sitk.ReadImage(str(root / "labels" / "gtv" / f"{case}.nii.gz"), sitk.sitkUInt8)
    fine = _maurer(contour)
    # The tumor may reach beyond the column: its map is made on a grid that holds the whole contour.
    margin = np.ceil(np.array(contour.GetSize()) * contour.GetSpacing() / column.grid.spacing_mm).astype(int)
    wide = sitk.Resample(
        contour, _reference(column.grid, margin), sitk.Transform(), sitk.sitkNearestNeighbor, 0
    )
    part = tuple(slice(m, m + n) for m, n in zip(margin, column.grid.shape, strict=True))
    exact = np.clip(sitk.GetArrayFromImage(_maurer(wide)).T[part], -LIMIT_MM, LIMIT_MM)
    errors["distance_mm"] = float(np.abs(exact - column.distance_mm).max())
    reference = _reference(column.grid, np.zeros(3, dtype=int))
    linear = sitk.Resample(fine, reference, sitk.Transform(), sitk.sitkLinear, 2 * LIMIT_MM)
    linear = sitk.GetArrayFromImage(linear).T
    known = linear < 1.5 * LIMIT_MM
    linear = np.clip(linear, -LIMIT_MM, LIMIT_MM)
    voxel_mm = np.linalg.norm(column.grid.spacing_mm)
    errors["distance_to_contour_voxels"] = float(np.abs(linear - column.distance_mm)[known].max() / voxel_mm)
    flipped = known & (zone_mask(linear, "proximal") != zone_mask(column.distance_mm, "proximal"))
    errors["zone_flips_mm"] = float(np.abs(column.distance_mm[flipped] - PROXIMAL_MM).max(initial=0))
    return errors


def check_windows(column: LungColumn, preset: Preset) -> dict[str, float]:
    """Cutting into windows and blending them again, with a network that hands its input back.

    Returns:
        windows: Largest relative difference of a voxel that is needed from the image itself: a voxel that
            no window covers, or that a window puts elsewhere, would stand out.
    """
    worst = 0.0
    for zone in ("proximal", "distal", "all"):
        needed = column.body & zone_mask(column.distance_mm, zone)
        if not needed.any():
            continue
        image = (column.ct_hu + 2000.0) / 5000.0
        window = fit_window(needed.shape, preset.window, 8)
        back = predict_windows(lambda cut: cut[0], image[None], needed, window)
        worst = max(worst, float(np.abs(back / image - 1)[needed].max()))
    return {"windows": worst}


def check_labels(label_file: Path, root: Path, case: str, reply: dict[str, Any]) -> dict[str, float]:
    """A label map and its list of candidates against the CT and PET files.

    Args:
        label_file: Label map as a client gets it.
        root: Store.
        case: Its case.
        reply: JSON of the inference with `candidates` and `grid` (the voxel boxes' grid).

    Returns:
        label_grid_mm: Largest difference of size, spacing, origin and direction from the CT's.
        label_shift_voxels: Median distance of a candidate's center from the center of the label voxels
            in its box, in diagonals of the working voxel; of candidates whose box touches no other's. (Of
            a thin one the tails may get lost on the CT's grid, so that a single one may be further off.)
        suv_outside_box: By how much a candidate's SUV leaves the range that the PET file has in its box.
        labels_outside_boxes: Label voxels that lie in no candidate's box.
        candidates_without_label: Candidates without any label voxel in their box.
    """
    label = sitk.ReadImage(str(label_file))
    ct = sitk.ReadImage(str(root / f"{case}.nii.gz"))
    grids = [
        np.concatenate([i.GetSize(), i.GetSpacing(), i.GetOrigin(), i.GetDirection()]) for i in (label, ct)
    ]
    errors: dict[str, float] = {"label_grid_mm": float(np.abs(grids[0] - grids[1]).max())}
    working = Grid(reply["grid"]["shape"], np.array(reply["grid"]["affine"]))
    voxel_mm = float(np.linalg.norm(working.spacing_mm))

    index = np.argwhere(sitk.GetArrayViewFromImage(label) > 0)[:, ::-1]
    matrix = np.array(ct.GetDirection()).reshape(3, 3) * np.array(ct.GetSpacing())
    places = working.mm_to_index((index @ matrix.T + ct.GetOrigin()) * TO_LPS)
    claimed = np.zeros(len(index), dtype=bool)
    boxes = np.array([candidate["box"] for candidate in reply["candidates"]]).reshape(-1, 3, 2)
    shifts: list[float] = []
    outside, empty = 0.0, 0
    for candidate in reply["candidates"]:
        low, high = np.array(candidate["box"]).T
        mine = ((places >= low - 1.01) & (places <= high + 0.01)).all(axis=1)
        claimed |= mine
        empty += not mine.any()
        apart_from_others = ((low > boxes[:, :, 1]) | (high < boxes[:, :, 0])).any(axis=1)
        if mine.any() and apart_from_others.sum() == len(boxes) - 1:
            center = working.mm_to_index(np.array(candidate["center_mm"]))
            apart = (places[mine].mean(axis=0) - center) * working.spacing_mm
            shifts.append(float(np.linalg.norm(apart)) / voxel_mm)
        box = np.stack(
            np.meshgrid(*(np.arange(a, b) for a, b in zip(low, high, strict=True)), indexing="ij"), -1
        )
        suv, _ = _interpolated(root / "pet" / f"{case}.nii.gz", working.index_to_mm(box))
        suv = np.maximum(suv, 0)
        for value in (candidate["suv_max"], candidate["suv_mean"]):
            outside = max(outside, float(suv.min()) - value, value - float(suv.max()))
    return errors | {
        "label_shift_voxels": float(np.median(shifts)) if shifts else 0.0,
        "suv_outside_box": outside,
        "labels_outside_boxes": int((~claimed).sum()),
        "candidates_without_label": empty,
    }


def check_reply(reply: dict[str, Any], expected: dict[str, Any]) -> dict[str, float]:
    """The server's candidates against those of the library on the same files.

    Returns:
        reply_differs_mm: Largest distance of a candidate's center from its twin's; infinite if their
            numbers differ.
    """
    ours, theirs = ([c["center_mm"] for c in side["candidates"]] for side in (reply, expected))
    if len(ours) != len(theirs):
        return {"reply_differs_mm": np.inf}
    apart = np.abs(np.array(ours).reshape(-1, 3) - np.array(theirs).reshape(-1, 3))
    return {"reply_differs_mm": float(apart.max(initial=0))}


def failures(errors: dict[str, float]) -> list[str]:
    """Sentences about the errors that are larger than they may be."""
    return [
        f"{key} is {value:.4g}, at most {LIMITS[key]:g}"
        for key, value in errors.items()
        if value > LIMITS[key]
    ]


def _interpolated(path: Path, places_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Linear interpolation of a file's raw voxels at RAS positions, and which lie between voxel centers."""
    image = nib.load(path)
    index = nib.affines.apply_affine(np.linalg.inv(image.affine), places_mm)
    last = np.array(image.shape) - 1
    inside = ((index >= 0) & (index <= last)).all(axis=-1)
    # ITK, and with it the product, continues an image by half a voxel: to the outer faces of its voxels.
    covered = ((index >= -0.5) & (index <= last + 0.5)).all(axis=-1)
    values = ndimage.map_coordinates(image.get_fdata(), np.moveaxis(index, -1, 0), order=1, mode="nearest")
    return np.where(covered, values, 0.0), inside


def _maurer(mask: sitk.Image) -> sitk.Image:
    return sitk.SignedMaurerDistanceMap(
        mask > 0, insideIsPositive=False, squaredDistance=False, useImageSpacing=True
    )


def _reference(grid: Grid, margin: np.ndarray) -> sitk.Image:
    """An empty image on a grid with so many further voxels on each side."""
    image = sitk.Image((np.array(grid.shape) + 2 * margin).tolist(), sitk.sitkUInt8)
    first = grid.affine[:3, :3] @ -margin + grid.affine[:3, 3]
    image.SetSpacing(grid.spacing_mm.tolist())
    image.SetOrigin((first * TO_LPS).tolist())
    image.SetDirection((TO_LPS[:, None] * grid.direction).ravel().tolist())
    return image
