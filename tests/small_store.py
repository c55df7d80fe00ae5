"""A store of two tiny patients and a model store of untrained networks, for tests of the app."""

from collections.abc import Iterable
from pathlib import Path

import nibabel as nib
import numpy as np
import torch

from osln.checkpoint import Checkpoint
from osln.experiments import PRESETS, SEGMENTERS
from osln.networks.unet3d import UNet3D
from osln.transforms import Scaling
from osln.weights import ModelStore, Version

SHAPE = (40, 36, 24)
AFFINE_LPS = np.array([[-2.5, 0, 0, 60.0], [0, -2.5, 0, 50.0], [0, 0, 3.0, -30.0], [0, 0, 0, 1.0]])
"""Voxels stored from right to left and from front to back, as most scanners' files are."""
NODE = (slice(10, 14), slice(20, 23), slice(8, 10))
"""Bright box of the CT, in the file's voxel order: 24 voxels of 18.75 mm3."""
NODE_HU = 180.0


def write(path: Path, array: np.ndarray, affine: np.ndarray = AFFINE_LPS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


def ct() -> np.ndarray:
    """Tissue in air with one bright box, HU."""
    hu = np.full(SHAPE, -1000, dtype=np.int16)
    hu[4:-4, 4:-4, :] = 40
    hu[NODE] = NODE_HU
    return hu


def tumor() -> np.ndarray:
    mask = np.zeros(SHAPE, dtype=np.uint8)
    mask[20:24, 16:20, 10:14] = 1
    return mask


def make_case(root: Path, case: str, *, pet: bool = True, gtv: bool = True) -> Path:
    """Writes one case and returns the path of its CT."""
    path = write(root / f"{case}.nii.gz", ct())
    if pet:
        suv = np.ones((25, 23, 18), dtype=np.float32)
        suv[:, :, 9:] = 2.0
        write(root / "pet" / f"{case}.nii.gz", suv, AFFINE_LPS @ np.diag([1.6, 1.6, 4 / 3, 1]))
    if gtv:
        write(root / "labels" / "gtv" / f"{case}.nii.gz", tumor())
    return path


def untrained(name: str, *, seed: int = 0) -> Checkpoint:
    """Random weights that find nothing; most tests replace what they compute."""
    preset = PRESETS["demo"]
    torch.manual_seed(seed)
    network = UNet3D(len(SEGMENTERS[name].inputs), preset.widths, output_bias=preset.output_bias)
    return Checkpoint(name, "demo", Scaling(), network.state_dict(), "phantom", {"seed": seed})


def publish(models: Path, names: Iterable[str] = tuple(SEGMENTERS), *, seed: int = 0) -> dict[str, Version]:
    """Stores and publishes untrained networks."""
    store = ModelStore(models)
    return {name: store.publish(name, store.add(untrained(name, seed=seed)).name) for name in names}


class BrightVoxels:
    """Stands in for a predictor: a voxel brighter than 100 HU is a node."""

    def __init__(self, checkpoint: Checkpoint, device: str = "cpu") -> None:
        self.preset = PRESETS[checkpoint.preset]
        self.seed = checkpoint.metadata["seed"]
        self.device = device

    def probability(self, column) -> np.ndarray:
        return np.where(column.ct_hu > 100, 0.9, 0.0).astype(np.float32)
