"""The benchmark's patient: a phantom of clinical size in a store, and the networks that look at it."""

from pathlib import Path

import numpy as np
import torch

from osln.experiments import EXPERIMENTS, PRESETS, SEGMENTERS
from osln.grid import Grid, write_volume
from osln.networks.unet3d import UNet3D
from osln.phantom import make_phantom
from osln.transforms import Scaling
from osln.weights import Checkpoint, ModelStore, save_checkpoint

CASE = "patient"
CT_SHAPE, CT_SPACING_MM = (512, 512, 150), (0.977, 0.977, 2.5)
PET_SHAPE = (168, 168, 100)
AIR_HU, AIR_NOISE_HU = -1000, 12.0


def write_patient(root: Path, seed: int) -> None:
    """Writes CT (512 x 512 x 150), PET (168 x 168 x 100) and tumor of one phantom, stored LPS-wise.

    The phantom's field is padded with noisy air to the size of a clinical planning CT; the air's noise
    matters, because it decides how long the file takes to unpack.
    """
    phantom = make_phantom(seed, spacing_mm=CT_SPACING_MM, field="body")
    rng = np.random.default_rng(seed)
    ct = AIR_HU + rng.normal(0, AIR_NOISE_HU, CT_SHAPE)
    ct, ct_grid = _inside(ct.clip(-1024, -900).astype(np.int16), phantom.ct_hu, phantom.affine)
    tumor, _ = _inside(np.zeros(CT_SHAPE, np.uint8), phantom.tumor.astype(np.uint8), phantom.affine)
    pet = np.abs(rng.normal(0, 0.02, PET_SHAPE)).astype(np.float32)
    pet, pet_grid = _inside(pet, phantom.pet_suv, phantom.pet_affine)
    for folder, array, grid in (("", ct, ct_grid), ("pet", pet, pet_grid), ("labels/gtv", tumor, ct_grid)):
        (root / folder).mkdir(parents=True, exist_ok=True)
        write_volume(root / folder / f"{CASE}.nii.gz", array, grid, _lps(grid))


def networks(model_folder: Path, preset: str, target: Path) -> tuple[dict[str, Path], float | None, str]:
    """Checkpoint files of the fused experiment's networks, its operating point, and where they are from.

    Weights in use are taken if they are of this preset; otherwise networks are initialized afresh, which
    costs the same time but finds nothing meaningful (operating point None: take a quantile).
    """
    store, names = ModelStore(model_folder), EXPERIMENTS["osln"].segmenters
    versions = [store.published(name) for name in names]
    checkpoints = {name: store.load(name) for name, version in zip(names, versions, strict=True) if version}
    if len(checkpoints) == len(names) and {c.preset for c in checkpoints.values()} == {preset}:
        threshold, source = store.thresholds("osln")["0.15"], checkpoints[names[0]].trained_on
    else:
        torch.manual_seed(0)
        threshold, source = None, "nothing: freshly initialized"
        for name in names:
            network = UNet3D(len(SEGMENTERS[name].inputs), PRESETS[preset].widths)
            checkpoints[name] = Checkpoint(name, preset, Scaling(1.0, 1.5), network.state_dict(), source)
    paths = {}
    for name, checkpoint in checkpoints.items():
        paths[name] = target / f"{name}.pt"
        save_checkpoint(paths[name], checkpoint)
    return paths, threshold, source


def _inside(field: np.ndarray, part: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, Grid]:
    """`part` in the middle of `field`, and the grid of the whole."""
    start = [(n - m) // 2 for n, m in zip(field.shape, part.shape, strict=True)]
    if min(start) < 0:
        raise ValueError(f"the phantom {part.shape} does not fit into {field.shape}")
    field[tuple(slice(a, a + n) for a, n in zip(start, part.shape, strict=True))] = part
    return field, Grid(part.shape, affine).crop([-a for a in start], field.shape)


def _lps(grid: Grid) -> Grid:
    """The same voxels, first index at the left front instead of the right back, as DICOM stores them."""
    affine = grid.affine.copy()
    affine[:3, 3] = grid.index_to_mm(np.array([grid.shape[0] - 1, grid.shape[1] - 1, 0]))
    affine[:, :2] *= -1
    return Grid(grid.shape, affine)
