"""Easy phantoms as a store, networks that have learned next to nothing, and corrections as Slicer sends them.

Easy on purpose (large avid nodes, no mimics), so that 40 training steps make a network of the distal zone
better beyond doubt; how good networks get on hard phantoms is measured elsewhere.
"""

from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk

from osln.imaging.grid import Grid, canonical, write_volume
from osln.imaging.lung_column import prepare
from osln.imaging.study import build_study
from osln.phantom import PhantomParameters, make_phantom
from osln.rows.experiments import PRESETS, SEGMENTERS, SERVED_NETWORKS
from osln.stage_one.training import train
from osln.tagging.tagger import Tagger
from osln.weights.model_store import ModelStore
from osln.weights.shipped import ship_tagger
from osln.weights.store_state import SHIPPED
from small import store as small_store
from small.running_server import APP

NETWORK = "ef-distal"
TRAINING = ("case-01", "case-02", "case-03")
VALIDATION = ("case-08", "case-11")
"""Decided by the hash of their names (osln.store.splits)."""
BROKEN = "zz-broken"
EASY = PhantomParameters(
    malignant_base=0.35,
    malignant_near=0.4,
    malignant_short_mm=(13.0, 0.15, 10.0, 18.0),
    node_mean=25.0,
    avid_middle_mm=-50.0,
    avid_suv=(9.0, 11.0),
    tumor_suv=(6.0, 8.0),
    reactive_share=0.0,
    pet_noise_fraction=0.05,
    misregistration_p95_mm=(0.5, 1.0),
    vessel_mean=0.0,
    stub_mean=0.0,
    cyst_mean=0.0,
    muscle_bundle_mean=0.0,
    hot_spot_mean=0.0,
    bowel_spot_mean=0.0,
    brown_fat_share=0.0,
    vocal_cord_share=0.0,
)


def as_scanner(grid: Grid) -> Grid:
    """The same voxels stored from right to left and from front to back."""
    affine = grid.affine @ np.diag([-1.0, -1.0, 1.0, 1.0])
    affine[:3, 3] = grid.index_to_mm([grid.shape[0] - 1, grid.shape[1] - 1, 0])
    return Grid(grid.shape, affine)


def make_cohort(root: Path) -> dict[str, np.ndarray]:
    """Writes the cases and returns the true nodes of each in the voxel order of its CT file."""
    truth = {}
    for folder in (root, root / "pet", root / "labels" / "gtv"):
        folder.mkdir(parents=True)
    for seed, case in enumerate((*TRAINING, *VALIDATION)):
        phantom = make_phantom(seed, parameters=EASY)
        grid = Grid(phantom.ct_hu.shape, phantom.affine)
        write_volume(root / f"{case}.nii.gz", phantom.ct_hu, grid, as_scanner(grid))
        write_volume(root / "labels" / "gtv" / f"{case}.nii.gz", phantom.tumor, grid, as_scanner(grid))
        pet = phantom.pet_suv
        write_volume(root / "pet" / f"{case}.nii.gz", pet, Grid(pet.shape, phantom.pet_affine))
        truth[case] = phantom.nodes[::-1, ::-1]
    small_store.write(root / f"{BROKEN}.nii.gz", np.zeros((20, 20, 20), np.int16))
    return truth


def publish_undertrained(models: Path) -> str:
    """Publishes untrained networks, and for `NETWORK` one of two training steps; returns its version.

    The tagger is the one that comes with the software, whose GLNet is published later on.
    """
    tagger = APP / "model" / SHIPPED / "lesanet.safetensors"
    (models / SHIPPED).mkdir(parents=True)
    ship_tagger(models / SHIPPED, tagger, Tagger.load(tagger).describe())
    small_store.publish(models, [name for name in SERVED_NETWORKS if name != NETWORK], tagger=tagger)
    phantom = make_phantom(99, parameters=EASY)
    grid, pet_grid = (
        Grid(phantom.ct_hu.shape, phantom.affine),
        Grid(phantom.pet_suv.shape, phantom.pet_affine),
    )
    study = build_study(
        "phantom",
        canonical(phantom.ct_hu, grid),
        canonical(phantom.pet_suv, pet_grid),
        canonical(phantom.tumor, grid),
        canonical(phantom.nodes, grid),
    )
    preset = PRESETS["demo"]
    weak = train(SEGMENTERS[NETWORK], preset, [prepare(study, preset)], iterations=2, trained_on="phantom")
    store = ModelStore(models)
    return store.publish(NETWORK, store.add(weak).name).name


def correct_as_slicer(client, case: str, nodes: np.ndarray, studies: Path, folder: Path) -> dict:
    """Submits the truth; the scene has the tumor first, so that Slicer numbers it 1 and the nodes 2."""
    reference = sitk.ReadImage(str(studies / f"{case}.nii.gz"))
    tumor = np.asanyarray(nib.load(studies / "labels" / "gtv" / f"{case}.nii.gz").dataobj)
    values = np.where(nodes > 0, 2, np.where(tumor > 0, 1, 0)).astype(np.uint8)
    scene = sitk.GetImageFromArray(np.ascontiguousarray(values.T))
    scene.CopyInformation(reference)
    file = folder / f"{case}.nrrd"
    sitk.WriteImage(scene, str(file))
    segments = [{"name": "tumor", "idx": 1}, {"name": "lymph node", "idx": 2}]
    return client.save_label(case, str(file), params={"label_info": segments})


def found(candidates: list[dict], truth: np.ndarray, ct: Path) -> int:
    """How many candidates have their center inside a true node."""
    image = nib.load(ct)
    to_voxel = np.linalg.inv(image.affine)
    centers = [np.round(to_voxel @ [*candidate["center_mm"], 1])[:3].astype(int) for candidate in candidates]
    return sum(bool(truth[tuple(center)]) for center in centers)
