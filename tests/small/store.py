"""A store of two tiny patients and a model store of untrained networks and taggers, for tests of the app."""

import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import nibabel as nib
import numpy as np
import torch

from osln.imaging.transforms import Scaling
from osln.networks.build import classifier_network, segmenter_network
from osln.networks.lesanet import LesaNet
from osln.rows.experiments import CLASSIFIERS, HANDED, PRESETS, ROWS, SEGMENTERS, SERVED_NETWORKS
from osln.stage_two.patches import Patches
from osln.tagging.tagger import PHANTOM, Tagger, save_tagger
from osln.weights.checkpoint import Checkpoint
from osln.weights.model_store import ModelStore, Version
from osln.weights.shipped import ship_tagger

SHAPE = (40, 36, 24)
AFFINE_LPS = np.array([[-2.5, 0, 0, 60.0], [0, -2.5, 0, 50.0], [0, 0, 3.0, -30.0], [0, 0, 0, 1.0]])
"""Voxels stored from right to left and from front to back, as most scanners' files are."""
NODE = (slice(10, 14), slice(20, 23), slice(8, 10))
"""Bright box of the CT, in the file's voxel order: 24 voxels of 18.75 mm3."""
NODE_HU = 180.0
FAINT_NODE = (slice(20, 23), slice(8, 11), slice(16, 18))
"""A second box, where `ct` is asked for one: 18 voxels."""
FAINT_NODE_HU = 120.0


def write(path: Path, array: np.ndarray, affine: np.ndarray = AFFINE_LPS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


def ct(*, faint: bool = False) -> np.ndarray:
    """Tissue in air with one bright box, or with a faint one besides, HU."""
    hu = np.full(SHAPE, -1000, dtype=np.int16)
    hu[4:-4, 4:-4, :] = 40
    hu[NODE] = NODE_HU
    if faint:
        hu[FAINT_NODE] = FAINT_NODE_HU
    return hu


def tumor() -> np.ndarray:
    mask = np.zeros(SHAPE, dtype=np.uint8)
    mask[20:24, 16:20, 10:14] = 1
    return mask


def make_case(root: Path, case: str, *, pet: bool = True, gtv: bool = True, faint: bool = False) -> Path:
    """Writes one case and returns the path of its CT."""
    hu = ct(faint=faint)
    # No two patients have one CT.
    hu[0, 0, 0] += zlib.crc32(case.encode()) % 90
    path = write(root / f"{case}.nii.gz", hu)
    if pet:
        suv = np.ones((25, 23, 18), dtype=np.float32)
        suv[:, :, 9:] = 2.0
        write(root / "pet" / f"{case}.nii.gz", suv, AFFINE_LPS @ np.diag([1.6, 1.6, 4 / 3, 1]))
    if gtv:
        write(root / "labels" / "gtv" / f"{case}.nii.gz", tumor())
    return path


def untrained(name: str, *, seed: int = 0, tagger: Path | None = None, preset: str = "demo") -> Checkpoint:
    """Random weights that find nothing; most tests replace what they compute.

    Args:
        name: Row of `SEGMENTERS` or `CLASSIFIERS`.
        seed: Of the weights.
        tagger: File of the tagger that a network which reads tags claims to have learned from.
        preset: Row of `PRESETS`.
    """
    torch.manual_seed(seed)
    metadata: dict[str, object] = {"seed": seed, "preset": preset}
    if name in SEGMENTERS:
        network = segmenter_network(SEGMENTERS[name], PRESETS[preset])
    else:
        network = classifier_network(CLASSIFIERS[name], PRESETS[preset])
        metadata[HANDED] = next(row for row in ROWS.values() if row.classifier == name).setting.key
        if CLASSIFIERS[name].tags and tagger is not None:
            metadata["tagger"] = Tagger.load(tagger).describe()
    return Checkpoint(name, preset, Scaling(), network.state_dict(), "phantom", metadata)


def publish(
    models: Path, names: Iterable[str] = SERVED_NETWORKS, *, seed: int = 0, tagger: Path | None = None
) -> dict[str, Version]:
    """Stores and publishes untrained networks; see `untrained`."""
    store = ModelStore(models)
    return {
        name: store.publish(name, store.add(untrained(name, seed=seed, tagger=tagger)).name) for name in names
    }


def make_tagger(path: Path, *, seed: int = 0, origin: str = PHANTOM) -> Path:
    """Writes an untrained tagger of one channel."""
    torch.manual_seed(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_tagger(path, LesaNet(1, 2), {"origin": origin, "trained_on": f"{origin} {seed}"})
    return path


def ship_untrained_tagger(models: Path) -> Path:
    """Puts the tagger of `make_tagger` among the shipped weights of a model store."""
    tagger = make_tagger(models / "shipped" / "lesanet.safetensors")
    ship_tagger(tagger.parent, tagger, Tagger.load(tagger).describe())
    return tagger


@contextmanager
def trained_elsewhere(models: Path, network: str) -> Iterator[None]:
    """Another thread holds the lock of a network's training; BusyError if somebody else does."""
    training = ModelStore(models).training(network)
    with ThreadPoolExecutor(1) as other:
        other.submit(training.__enter__).result()
        try:
            yield
        finally:
            other.submit(training.__exit__, None, None, None).result()


class BrightVoxels:
    """Stands in for a predictor: a voxel brighter than 100 HU is a node."""

    def __init__(self, checkpoint: Checkpoint, device: str = "cpu") -> None:
        self.preset = PRESETS[checkpoint.preset]
        self.seed = checkpoint.metadata["seed"]
        self.device = device

    def probability(self, column) -> np.ndarray:
        return np.where(column.ct_hu > 100, 0.9, 0.0).astype(np.float32)


class BrightnessScores:
    """Stands in for a network of stage two: the brightest voxel of the candidate in HU / 200 is the score."""

    def __init__(self, checkpoint: Checkpoint, device: str = "cpu") -> None:
        self.checkpoint = checkpoint
        self.classifier = CLASSIFIERS[checkpoint.name]
        self.stage_two = PRESETS[checkpoint.preset].stage_two

    def scores(self, patches: Patches, tags: np.ndarray | None = None) -> np.ndarray:
        if self.classifier.tags and (tags is None or len(tags) != len(patches)):
            raise ValueError("tags are missing")
        boxes = patches.boxes.astype(int)
        inside = [
            image[tuple(slice(*side) for side in box)]
            for image, box in zip(patches.ct_hu, boxes, strict=True)
        ]
        return np.array([voxels.max() / 200 for voxels in inside], dtype=np.float32)

    def judged(self, patches: Patches, tags: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        scores = self.scores(patches, tags)
        return scores, scores[:, None]
