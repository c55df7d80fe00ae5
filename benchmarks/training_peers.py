"""Other ways to feed the same network: MONAI's CacheDataset, and nnU-Net's loader where that is installed.

Each gives batches without end: inputs (B, C, x, y, z) float32 scaled as the product scales them, target and
mask (B, 1, x, y, z) float32. Half of the patches lie on a node, and patches are mirrored.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from osln.imaging.lung_column import LungColumn
from osln.imaging.transforms import Scaling, network_input
from osln.rows.experiments import Preset, Segmenter

Batches = Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]


def scaled(column: LungColumn, segmenter: Segmenter, scaling: Scaling) -> dict[str, np.ndarray]:
    """What both peers keep of a patient: image (C, x, y, z), nodes and body (1, x, y, z), all float32."""
    images = {"ct": column.ct_hu, "pet": column.pet_suv, "distance": column.distance_mm}
    nodes: np.ndarray = column.nodes  # type: ignore[assignment]
    return {
        "image": network_input(images, segmenter.inputs, scaling),
        "label": (nodes > 0)[None].astype(np.float32),
        "mask": column.body[None].astype(np.float32),
    }


def monai_batches(
    columns: Sequence[LungColumn], segmenter: Segmenter, preset: Preset, scaling: Scaling
) -> Batches:
    """As one composes it from MONAI: patients in a CacheDataset, crops and flips by its transforms."""
    from monai.data import CacheDataset, DataLoader
    from monai.transforms import (
        Compose,
        FgBgToIndicesd,
        RandCropByPosNegLabeld,
        RandFlipd,
        SpatialPadd,
        ToTensord,
    )

    keys = ("image", "label", "mask")
    crop = RandCropByPosNegLabeld(
        keys,
        "label",
        preset.patch,
        pos=1,
        neg=1,
        num_samples=1,
        fg_indices_key="label_fg_indices",
        bg_indices_key="label_bg_indices",
    )
    flips = [RandFlipd(keys, prob=0.5, spatial_axis=axis) for axis in range(3)]
    # Patients are drawn with replacement, so that an epoch of few of them is long.
    given = [scaled(column, segmenter, scaling) for column in columns]
    indices = FgBgToIndicesd("label")
    cached = Compose([SpatialPadd(keys, preset.patch), ToTensord(keys), indices, crop, *flips])
    data = CacheDataset(given, cached, progress=False)
    steps = 1000 * preset.batch
    sampler = torch.utils.data.RandomSampler(data, replacement=True, num_samples=steps)
    loader = DataLoader(data, batch_size=preset.batch, sampler=sampler, num_workers=0)
    for batch in loader:
        yield tuple(batch[key].as_tensor().float() for key in keys)


def nnunet_batches(
    columns: Sequence[LungColumn], segmenter: Segmenter, preset: Preset, scaling: Scaling, folder: Path
) -> Batches:
    """nnU-Net's data set in Blosc2 files and its loader; of its augmentation mirroring alone.

    Raises:
        ImportError: nnunetv2 is not installed.
    """
    from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
    from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
    from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
    from nnunetv2.training.dataloading.nnunet_dataset import comp_blosc2_params, nnUNetDatasetBlosc2

    for number, column in enumerate(columns):
        one = scaled(column, segmenter, scaling)
        # Nodes are noted as its preprocessing does; the mask travels as a channel of the segmentation.
        places = np.argwhere(one["label"] > 0)
        image = one["image"]
        seg = np.concatenate([one["label"], one["mask"]]).astype(np.int16)
        parted = {}
        for name, array in (("", image), ("_seg", seg)):
            blocks, chunks = comp_blosc2_params(array.shape, preset.patch, array.itemsize)
            parted |= {f"blocks{name}": blocks, f"chunks{name}": chunks}
        nnUNetDatasetBlosc2.save_case(
            image, seg, {"class_locations": {1: places}}, str(folder / f"case{number:03d}"), **parted
        )
    label_manager: Any = SimpleNamespace(all_labels=[0, 1], has_ignore_label=False)
    loader = nnUNetDataLoader(
        nnUNetDatasetBlosc2(str(folder)),
        preset.batch,
        preset.patch,
        preset.patch,
        label_manager,
        oversample_foreground_percent=0.5,
        transforms=ComposeTransforms([MirrorTransform((0, 1, 2))]),
    )
    while True:
        batch = next(loader)
        target = batch["target"].float().clamp(min=0)
        yield batch["data"], target[:, :1], target[:, 1:]
