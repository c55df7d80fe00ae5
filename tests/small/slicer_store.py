"""A store whose CTs lie in space in different ways, and networks that see bright voxels, for a real server.

The weights are set by hand: the segmenters pass the CT on and compare it with a level, and GLNet scores a
candidate by its mean. So the server computes as always, and every voxel of its answers is known beforehand.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nibabel as nib
import numpy as np
import torch

from osln.imaging.transforms import Scaling
from osln.networks.build import segmenter_network
from osln.networks.gated_unet import GatedUNet
from osln.networks.glnet import GLNet
from osln.rows.experiments import CLASSIFIERS, PRESETS, SEGMENTERS, SERVED_CLASSIFIERS, SERVED_NETWORKS
from osln.tagging.tagger import Tagger
from osln.weights.checkpoint import Checkpoint
from osln.weights.model_store import ModelStore
from small import store as small_store
from small.geometry import affine_of, turned
from small.running_server import RunningServer

SIZES = np.diag([2.5, 2.5, 3.0])
GEOMETRIES = {
    "lps": small_store.AFFINE_LPS,
    "ras": affine_of(SIZES, (-50.0, -40.0, -30.0)),
    "las": affine_of(SIZES @ np.diag([-1, 1, 1]), (50.0, -40.0, -30.0)),
    "feet-first": affine_of(SIZES @ np.diag([-1, 1, -1]), (60.0, -50.0, 40.0)),
    "sagittal": affine_of(np.array([[0, 0, 2.5], [2.5, 0, 0], [0, -3.0, 0]]), (-30.0, -40.0, 50.0)),
    "oblique": affine_of(turned(20, 12) @ SIZES @ np.diag([-1, -1, 1]), (60.0, 50.0, -30.0)),
}
"""Affine of the CT's file by case; its voxels are of the demo preset's size, so that nothing is resampled.

The axes of "las" and "sagittal" are left-handed, which Slicer turns on reading.
"""
TUMOR = small_store.tumor() > 0
PAINTED = np.zeros(small_store.SHAPE, bool)
PAINTED[28:32, 9:12, 13:15] = PAINTED[31:34, 11:13, 14:17] = True
"""A node that an annotator paints, in the voxel order of the CT's file."""
TOUCHING = PAINTED | np.roll(TUMOR, (1, 2, -1), axis=(0, 1, 2))
"""Nodes that share voxels with the tumor."""
LEVEL_HU = 100.0
CERTAIN_HU = 150.0
"""Above it the score of a candidate is more than one half."""


def bright(faint: bool = True) -> np.ndarray:
    """(x, y, z) bool in the file's order: the bright box, which is kept, and the faint one, which is not."""
    return small_store.ct(faint=faint) > LEVEL_HU


def kept() -> np.ndarray:
    return small_store.ct(faint=True) > CERTAIN_HU


def make_store(root: Path, cases: tuple[str, ...] = tuple(GEOMETRIES)) -> None:
    """Writes cases with PET and tumor, each on the geometry that its name begins with."""
    suv = np.ones(small_store.SHAPE, dtype=np.float32)
    suv[:, :, 12:] = 2.0
    for case in cases:
        affine = GEOMETRIES[case.split(".")[0]]
        small_store.write(root / f"{case}.nii.gz", small_store.ct(faint=True), affine)
        small_store.write(root / "pet" / f"{case}.nii.gz", suv, affine)
        small_store.write(root / "labels" / "gtv" / f"{case}.nii.gz", small_store.tumor(), affine)


def make_models(models: Path) -> None:
    """Publishes networks whose answers are known, second stages of other kinds untrained, and a tagger."""
    tagger = small_store.ship_untrained_tagger(models)
    store = ModelStore(models)
    others = [name for name in SERVED_CLASSIFIERS if CLASSIFIERS[name].network != "glnet"]
    known = [name for name in SERVED_NETWORKS if name not in others]
    small_store.publish(models, others)
    for name in known:
        metadata: dict[str, object] = {"seed": 0, "preset": "demo"}
        if name in CLASSIFIERS and CLASSIFIERS[name].tags:
            metadata["tagger"] = Tagger.load(tagger).describe()
        weights = _segmenter(name) if name in SEGMENTERS else _classifier(name)
        checkpoint = Checkpoint(name, "demo", Scaling(), weights, "phantom", metadata)
        store.publish(name, store.add(checkpoint).name)


@contextmanager
def serving(
    folder: Path, cases: tuple[str, ...] = tuple(GEOMETRIES), row: str | None = None
) -> Iterator[RunningServer]:
    """A server with these cases and networks, and the row that answers by default."""
    make_store(folder / "studies", cases)
    make_models(folder / "models")
    running = RunningServer(folder / "studies", folder / "models", folder / "server.log", row=row)
    try:
        yield running
    finally:
        running.stop()


def stored(server: RunningServer, case: str, tag: str = "final") -> np.ndarray:
    """The stored label in the voxel order of the CT's file, after a look at where it lies."""
    label = nib.load(server.studies / "labels" / tag / f"{case}.nii.gz")
    np.testing.assert_allclose(label.affine, nib.load(server.studies / f"{case}.nii.gz").affine, atol=1e-4)
    return np.asanyarray(label.dataobj)


def _level(hu: float) -> float:
    """What a network sees of a CT value."""
    scaling = Scaling()
    low, high = scaling.ct_window_hu
    return ((hu - low) / (high - low) - scaling.ct_center) * scaling.ct_gain


def _blank(network: torch.nn.Module) -> None:
    """All weights 0, normalization that changes nothing."""
    for name, value in network.state_dict().items():
        one = name.endswith("running_var") or ("norm" in name and name.endswith("weight"))
        value.fill_(1 if one else 0)


def _segmenter(name: str) -> dict[str, torch.Tensor]:
    inputs = SEGMENTERS[name].inputs
    network = segmenter_network(SEGMENTERS[name], PRESETS["demo"])
    _blank(network)
    gated = isinstance(network, GatedUNet)
    trunk = network.trunk if gated else network
    heads = [network.get_submodule(one) for one in network.gate.heads] if gated else []
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            module.weight.data.fill_(1)
    first, last = trunk.encoder[0], trunk.decoder[-1]
    skip = last[0].in_channels - first[3].out_channels
    for convolution, channel in (
        (first[0], inputs.index("ct")),
        (first[3], 0),
        (last[0], skip),
        (last[3], 0),
        *((head[0], 0) for head in heads),
    ):
        convolution.weight.data[0, channel, 1, 1, 1] = 1
    for output in [head[-1] for head in heads] or [network.output]:
        output.weight.data[0, 0] = 20
        output.bias.data.fill_(-20 * _level(LEVEL_HU))
    return network.state_dict()


def _classifier(name: str) -> dict[str, torch.Tensor]:
    classifier = CLASSIFIERS[name]
    network = GLNet.of(classifier, PRESETS["demo"].stage_two)
    _blank(network)
    if classifier.inputs:
        network.blocks[0].shortcut.weight.data[0, classifier.inputs.index("ct")] = 1
        network.scales[0].weight.data[0, 0] = 1
        network.score.weight.data[0, 0] = 10
        network.score.bias.data.fill_(-10 * _level(CERTAIN_HU))
    return network.state_dict()
