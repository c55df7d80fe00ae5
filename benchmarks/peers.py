"""Stage one on the same patient with public parts: what `patient_speed.py` compares the product with.

Both peers get the same files, networks, windows and threads as the product, and the place of the
lung-centered column for nothing. Their windows are weighed by the same Gaussian, and their distance is
measured from the same boundary, so that the candidates can be compared one by one.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
import torch
from scipy import ndimage

from osln.imaging.distance import LIMIT_MM
from osln.imaging.grid import Grid
from osln.imaging.transforms import network_input
from osln.rows.experiments import PRESETS, PROXIMAL_MM, ROWS, SEGMENTERS
from osln.stage_one.windows import OVERLAP, SIGMA
from osln.store.layout import StorePaths
from osln.weights.checkpoint import Checkpoint

CONNECTIVITY = np.ones((3, 3, 3), dtype=bool)
ROW = ROWS["lf-stratified"]


@dataclass
class Outcome:
    """What a side found.

    Attributes:
        labels: (x, y, z) on the column's grid.
        scores: Mean probability of each candidate, by label value from 1.
        prob: (x, y, z) fused probability on the column's grid.
        on_ct: Label map on the CT's own grid.
    """

    labels: np.ndarray
    scores: list[float]
    prob: np.ndarray
    on_ct: np.ndarray


class MonaiPipeline:
    """The paper's pipeline as one composes it from MONAI: whole images, torch in float32.

    LoadImage, Orientation, Spacing of CT and mask to the working grid, the PET resampled onto it,
    a signed distance over the whole grid by DistanceTransformEDT, SlidingWindowInferer with the same
    windows, and the label map resampled back onto the CT.

    Args:
        checkpoints: By segmenter.
        column: Grid of the lung-centered column.
    """

    def __init__(self, checkpoints: dict[str, Checkpoint], column: Grid) -> None:
        from monai.inferers import SlidingWindowInferer
        from monai.transforms import (
            Compose,
            DistanceTransformEDT,
            EnsureChannelFirstd,
            LoadImaged,
            Orientationd,
            ResampleToMatch,
            ResampleToMatchd,
            Spacingd,
        )

        keys = ("ct", "pet", "tumor")
        self.checkpoints, self.column = checkpoints, column
        self.networks = {name: checkpoint.network() for name, checkpoint in checkpoints.items()}
        preset = PRESETS[next(iter(checkpoints.values())).preset]
        spacing = preset.spacing_mm
        self.read = Compose(
            [LoadImaged(keys), EnsureChannelFirstd(keys), Orientationd(keys, axcodes="RAS", labels=None)]
        )
        self.to_working_grid = Compose(
            [
                Spacingd(("ct", "tumor"), pixdim=spacing, mode=("bilinear", "nearest")),
                ResampleToMatchd("pet", key_dst="ct", mode="bilinear", padding_mode="zeros"),
            ]
        )
        self.edt = DistanceTransformEDT(sampling=list(spacing))
        self.inferer = SlidingWindowInferer(
            preset.window, sw_batch_size=1, overlap=OVERLAP, mode="gaussian", sigma_scale=SIGMA
        )
        self.to_ct = ResampleToMatch(mode="nearest", padding_mode="zeros")

    def __call__(self, paths: StorePaths, threshold: float, stop: Callable[[str], None]) -> Outcome:
        """One patient at an operating point; `stop(step)` ends the step that ran."""
        from monai.data import MetaTensor

        files = {"ct": str(paths.ct), "pet": str(paths.pet), "tumor": str(paths.tumor)}
        loaded = self.read(files)
        stop("read")
        ct_on_file = loaded["ct"]
        images = self.to_working_grid(loaded)
        working_affine = images["ct"].affine.numpy()
        start = Grid(images["ct"].shape[1:], working_affine).mm_to_index(self.column.affine[:3, 3])
        part = _part(start, self.column.shape)
        tumor = images["tumor"][0] > 0.5
        boundary = tumor & ~torch.from_numpy(ndimage.binary_erosion(tumor.numpy(), CONNECTIVITY))
        distance = self.edt(~boundary[None])[0]
        distance = torch.where(tumor, -distance, distance)
        column = {
            "ct": images["ct"][0][part].numpy(),
            "pet": images["pet"][0][part].clamp(min=0).numpy(),
            "distance": np.asarray(distance)[part].astype(np.float32),
        }
        stop("prepare")
        probabilities = {}
        with torch.inference_mode():
            for name, network in self.networks.items():
                x = network_input(column, SEGMENTERS[name].inputs, self.checkpoints[name].scaling)
                probability = self.inferer(
                    torch.from_numpy(x)[None], lambda w, n=network: torch.sigmoid(n(w))
                )
                probabilities[name] = probability[0, 0].numpy()
        stop("networks")
        prob, labels, scores = _fuse_and_label(probabilities, column["distance"], threshold)
        stop("candidates")
        found = MetaTensor(torch.from_numpy(labels.astype(np.float32))[None], affine=self.column.affine)
        on_ct = self.to_ct(found, ct_on_file)[0].numpy().astype(np.int32)
        stop("back on the CT")
        return Outcome(labels, scores, prob, on_ct)


class PublicParts:
    """The fastest composition of public parts: SimpleITK, its Maurer distance map, OpenVINO in float32.

    Whole images are resampled to the working grid, the distance map is computed on all of it, every
    window of every network is run, scipy finds the components.

    Args: as `MonaiPipeline`.
    """

    def __init__(self, checkpoints: dict[str, Checkpoint], column: Grid) -> None:
        import openvino as ov
        from monai.inferers import SlidingWindowInferer

        self.checkpoints, self.column = checkpoints, column
        preset = PRESETS[next(iter(checkpoints.values())).preset]
        self.spacing_mm = preset.spacing_mm
        self.inferer = SlidingWindowInferer(
            preset.window, sw_batch_size=1, overlap=OVERLAP, mode="gaussian", sigma_scale=SIGMA
        )
        self.networks = {}
        settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        for name, checkpoint in checkpoints.items():
            network = torch.nn.Sequential(checkpoint.network(), torch.nn.Sigmoid()).eval()
            shape = (1, len(SEGMENTERS[name].inputs), *preset.window)
            model = ov.convert_model(network, example_input=torch.zeros(shape), input=[list(shape)])
            self.networks[name] = ov.Core().compile_model(model, "CPU", settings)

    def __call__(self, paths: StorePaths, threshold: float, stop: Callable[[str], None]) -> Outcome:
        """One patient at an operating point; `stop(step)` ends the step that ran."""
        ct, pet, tumor = (sitk.ReadImage(str(path)) for path in (paths.ct, paths.pet, paths.tumor))
        stop("read")
        corner = self._corner_lps(ct)
        size = np.floor(self._extent_mm(ct) / self.spacing_mm + 1e-4).astype(int) + 1

        def onto(image: sitk.Image, method: int, pixel: int, fill: float) -> sitk.Image:
            """The whole image on the working grid, whose axes run along RAS."""
            return sitk.Resample(
                image, size.tolist(), sitk.Transform(), method, corner, self.spacing_mm,
                (-1, 0, 0, 0, -1, 0, 0, 0, 1), fill, pixel,
            )  # fmt: skip

        working_ct = onto(ct, sitk.sitkLinear, sitk.sitkFloat32, -1000.0)
        working_pet = onto(pet, sitk.sitkLinear, sitk.sitkFloat32, 0.0)
        mask = onto(tumor, sitk.sitkNearestNeighbor, sitk.sitkUInt8, 0.0)
        distance = sitk.SignedMaurerDistanceMap(
            mask, insideIsPositive=False, squaredDistance=False, useImageSpacing=True
        )
        start = (self.column.affine[:3, 3] * (-1, -1, 1) - corner) * (-1, -1, 1) / self.spacing_mm
        part = _part(start, self.column.shape)
        column = {
            "ct": sitk.GetArrayViewFromImage(working_ct).T[part],
            "pet": np.maximum(sitk.GetArrayViewFromImage(working_pet).T[part], 0),
            "distance": np.ascontiguousarray(sitk.GetArrayViewFromImage(distance).T[part]),
        }
        stop("prepare")
        probabilities = {}
        for name, network in self.networks.items():
            x = network_input(column, SEGMENTERS[name].inputs, self.checkpoints[name].scaling)
            probability = self.inferer(
                torch.from_numpy(x)[None], lambda w, n=network: torch.from_numpy(n(w.numpy())[0])
            )
            probabilities[name] = probability[0, 0].numpy()
        stop("networks")
        prob, labels, scores = _fuse_and_label(probabilities, column["distance"], threshold)
        stop("candidates")
        found = sitk.GetImageFromArray(labels.astype(np.uint16).T)
        found.SetSpacing(self.spacing_mm)
        found.SetOrigin((self.column.affine[:3, 3] * (-1, -1, 1)).tolist())
        found.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
        on_ct = sitk.Resample(found, ct, sitk.Transform(), sitk.sitkNearestNeighbor)
        stop("back on the CT")
        return Outcome(labels, scores, prob, sitk.GetArrayFromImage(on_ct).T)

    @staticmethod
    def _corner_lps(ct: sitk.Image) -> list[float]:
        """Position of the voxel that is right-most, posterior-most and lowest: first of the RAS order."""
        last = np.array(ct.GetSize()) - 1
        ends = np.array(
            [ct.TransformIndexToPhysicalPoint((last * index).tolist()) for index in np.ndindex(2, 2, 2)]
        )
        return [float(ends[:, 0].max()), float(ends[:, 1].max()), float(ends[:, 2].min())]

    @staticmethod
    def _extent_mm(ct: sitk.Image) -> np.ndarray:
        return (np.array(ct.GetSize()) - 1) * np.array(ct.GetSpacing())


PEERS = {"monai": MonaiPipeline, "public-parts": PublicParts}


def _part(start: np.ndarray, shape: tuple[int, ...]) -> tuple[slice, ...]:
    first = np.round(start).astype(int)
    if np.abs(first - start).max() > 1e-2 or first.min() < 0:
        raise ValueError(f"the peer's working grid has no voxel at the column's corner (index {start})")
    return tuple(slice(a, a + n) for a, n in zip(first, shape, strict=True))


def _fuse_and_label(
    probabilities: dict[str, np.ndarray], distance_mm: np.ndarray, threshold: float
) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """Maximum inside each zone, union of zones, scipy components and their scores and places."""
    proximal = np.clip(distance_mm, -LIMIT_MM, LIMIT_MM) <= PROXIMAL_MM
    prob = np.zeros(distance_mm.shape, dtype=np.float32)
    for name in ROW.segmenters:
        zone = proximal if SEGMENTERS[name].zone == "proximal" else ~proximal
        prob = np.maximum(prob, np.where(zone, probabilities[name], 0))
    labels, _ = ndimage.label(prob >= threshold, CONNECTIVITY)
    scores = []
    for value, box in enumerate(ndimage.find_objects(labels), start=1):
        mask = labels[box] == value
        scores.append(float(prob[box][mask].mean()))
    return prob, labels, scores
