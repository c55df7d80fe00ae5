"""The benchmark's patient: a phantom of clinical size in a store, and the networks that look at it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from osln.imaging.grid import Grid, write_volume
from osln.imaging.transforms import Scaling
from osln.networks.glnet import GLNet
from osln.networks.lesanet import LesaNet
from osln.networks.unet3d import UNet3D
from osln.phantom import make_phantom
from osln.rows.experiments import CLASSIFIERS, OPERATING_POINT, PRESETS, ROWS, SEGMENTERS
from osln.rows.tagger_recipe import TAGGER_RECIPES
from osln.tagging.tagger import save_tagger, tagger_file
from osln.weights.checkpoint import Checkpoint, save_checkpoint
from osln.weights.model_store import ModelStore

ROW = ROWS["osln"]
UNTRAINED = "nothing: freshly initialized"

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


@dataclass(frozen=True)
class Weights:
    """Files of everything that a patient meets.

    Attributes:
        segmenters: Checkpoints of stage one by name.
        classifier: Checkpoint of stage two.
        tagger: LesaNet.
        threshold: Operating point of stage one; None for networks that find nothing meaningful.
        trained_on: Where the stage-one weights are from.
        stage_two_trained_on: Where those of stage two are from.
    """

    segmenters: dict[str, Path]
    classifier: Path
    tagger: Path
    threshold: float | None
    trained_on: str
    stage_two_trained_on: str


def weights(model_folder: Path, preset: str, target: Path) -> Weights:
    """Networks of the paper's method: those in use if they are of this preset.

    Otherwise they are initialized afresh, which costs the same time but finds nothing meaningful
    (operating point None: take a quantile).
    """
    store = ModelStore(model_folder)
    found = _in_use(store, ROW.segmenters, preset)
    threshold = store.thresholds(ROW.stage_one)[OPERATING_POINT] if found else None
    torch.manual_seed(0)
    segmenters = found or {name: fresh(name, preset) for name in ROW.segmenters}
    name: str = ROW.classifier  # type: ignore[assignment]
    tagger = tagger_file(store)
    second = _in_use(store, (name,), preset) if tagger else {}
    if not tagger or not second:
        second, tagger = {name: fresh(name, preset)}, target / "lesanet.safetensors"
        recipe = TAGGER_RECIPES[preset]
        about = {"origin": "trained here", "trained_on": UNTRAINED}
        save_tagger(tagger, LesaNet(recipe.width, recipe.embedding), about)
    paths = {}
    for key, checkpoint in {**segmenters, **second}.items():
        paths[key] = target / f"{key}.pt"
        save_checkpoint(paths[key], checkpoint)
    source = next(iter(segmenters.values())).trained_on
    classifier = paths.pop(name)
    return Weights(paths, classifier, tagger, threshold, source, second[name].trained_on)


def _in_use(store: ModelStore, names: tuple[str, ...], preset: str) -> dict[str, Checkpoint]:
    """Published checkpoints of all these networks, or none if one is missing or of another preset."""
    found = {name: store.load(name) for name in names if store.published(name)}
    return found if len(found) == len(names) and {c.preset for c in found.values()} == {preset} else {}


def fresh(name: str, preset: str) -> Checkpoint:
    """Random weights of a 3D U-Net or a GLNet in a preset: they cost the same time and find nothing."""
    size = PRESETS[preset]
    network = (
        UNet3D(len(SEGMENTERS[name].inputs), size.widths)
        if name in SEGMENTERS
        else GLNet.of(CLASSIFIERS[name], size.stage_two)
    )
    return Checkpoint(name, preset, Scaling(1.0, 1.5), network.state_dict(), UNTRAINED)


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
