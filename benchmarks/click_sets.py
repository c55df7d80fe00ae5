"""Nodes that clicks are measured on: held-out phantoms, nodes planted into a real CT, real PET lesions."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import ndimage

from osln.clicks.phantom_cases import NO_RULE, ClickCase, as_case, load_case, make_case, save_case
from osln.cohorts.phantoms import FIRST_SEED
from osln.dicom.reading.source import read_ct_series
from osln.dicom.reading.volume import read_ct
from osln.imaging.grid import Volume, canonical, read_volume
from osln.phantom import GENERATOR_VERSION, PhantomParameters
from osln.phantom.planted.planting import PLANTING, plant
from osln.phantom.planted.real_ct import survey

SIZES = {"node_mean": 70.0, "malignant_base": 0.5, "malignant_short_mm": (11.0, 0.5, 4.5, 36.0)}
"""Sizes spread as in no cohort, so that few patients have large nodes too; the images are the frozen ones."""
SPACING_MM = (1.0, 1.0, 3.0)
LARGEST_MM = 90.0
"""A lesion that is thicker is no node."""


def phantoms(count: int, work: Path) -> Iterator[ClickCase]:
    """Phantoms that no network has learned from, made once and kept in the folder."""
    parameters = replace(PhantomParameters(), **NO_RULE, **SIZES, acceptance_near=0.5)
    key = hashlib.sha256(repr((GENERATOR_VERSION, parameters, SPACING_MM)).encode()).hexdigest()[:12]
    for seed in range(FIRST_SEED["test"], FIRST_SEED["test"] + count):
        path = work / f"click-test-{key}" / f"{seed}.npz"
        if not path.is_file():
            save_case(path, make_case(seed, parameters, SPACING_MM))
        yield load_case(path)


def planted(path: Path, count: int) -> Iterator[ClickCase]:
    """One real CT with nodes planted anew for each seed."""
    ct = read_ct(read_ct_series(path).slices).volume if path.is_dir() else read_volume(path)
    real = survey(ct)
    parameters = replace(PLANTING, **NO_RULE, **SIZES)
    for seed in range(count):
        made = plant(real, seed, parameters=parameters)
        case = as_case(f"planted-{seed}", made)
        # The phantom lies on the CT's own grid, which need not be in the axes order of the file.
        yield replace(case, ct=canonical(made.ct_hu, case.ct.grid))


def lesions(folder: Path) -> Iterator[ClickCase]:
    """Real lesions: folders with CT_image, CT_mask and PET_image, one lesion in each.

    The short axis is twice the depth of the deepest voxel.
    """
    for path in sorted(one for one in folder.iterdir() if (one / "CT_mask.nii.gz").is_file()):
        ct, mask, pet = (
            read_volume(path / f"{name}.nii.gz") for name in ("CT_image", "CT_mask", "PET_image")
        )
        parts, count = ndimage.label(mask.array > 0)
        sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
        node = parts == 1 + int(np.argmax(sizes))
        depth = ndimage.distance_transform_edt(np.pad(node, 1), sampling=ct.grid.spacing_mm)
        if 2 * depth.max() <= LARGEST_MM:
            yield ClickCase(path.name, ct, pet, node.astype(np.uint8), [2 * float(depth.max())])


def around(case: ClickCase, box: tuple[slice, ...], margin_mm: float) -> tuple[Volume, np.ndarray]:
    """The CT and the labels around a node, so that nothing is computed of the rest of the patient."""
    margin = np.ceil(margin_mm / case.ct.grid.spacing_mm).astype(int)
    start = np.maximum([part.start for part in box] - margin, 0)
    stop = np.minimum([part.stop for part in box] + margin, case.ct.grid.shape)
    part = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    grid = case.ct.grid.crop(start, stop - start)
    return Volume(case.ct.array[part], grid, grid), case.nodes[part]
