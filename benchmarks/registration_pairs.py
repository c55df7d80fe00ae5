"""Pairs of a planning CT and a PET/CT of another day whose true displacement is known."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from osln.dicom.reading.source import read_ct_series
from osln.dicom.reading.volume import read_ct
from osln.imaging.grid import Grid, Volume
from osln.phantom.parameters import PhantomParameters
from osln.phantom.patient.fields import SplineField, random_field
from osln.phantom.patient.pet import shown_at
from osln.phantom.patient.pet_ct import second_ct
from osln.phantom.patient.plan import WORLD_HIGH_MM, WORLD_LOW_MM, grid_axes, plan_patient
from osln.phantom.patient.scan import axes_affine, image_ct, image_patient
from osln.registration.working import working_ct

ROOT = Path(__file__).resolve().parents[1]

FIELD_MM = 8.0
"""Mean length of the smooth part of the displacement at the points."""
SHIFT_MM = 12.0
TURN_DEGREES = 3.0
STEP_MM = 55.0
# The PET/CT shows more of the body than the planning CT, as it does in a hospital.
CT_BOX_MM = ((-180.0, 180.0), (-125.0, 125.0), (16.0, 296.0))
PET_CT_BOX_MM = ((-180.0, 180.0), (-125.0, 125.0), (-8.0, 320.0))
CT_SPACING_MM = (2.0, 2.0, 3.0)
PET_CT_SPACING_MM = (1.8, 1.8, 3.27)


@dataclass(frozen=True)
class KnownPair:
    """A planning CT, a PET/CT and where the PET/CT truly shows points of the planning CT.

    Attributes:
        ct, pet, pet_ct: the images.
        points_mm: (N, 3) RAS in the planning CT.
        truth_mm: (N, 3) RAS, the same points in the PET/CT.
        suv_max: (N,) highest SUV that the PET shows over each point's node; NaN where none is avid.
        radius_mm: (N,) of the nodes; 0 for mere points.
    """

    ct: Volume
    pet: Volume
    pet_ct: Volume
    points_mm: np.ndarray
    truth_mm: np.ndarray
    suv_max: np.ndarray
    radius_mm: np.ndarray


def known_motion(
    rng: np.random.Generator,
    points_mm: np.ndarray,
    low_mm: np.ndarray | tuple[float, float, float],
    high_mm: np.ndarray | tuple[float, float, float],
) -> SplineField:
    """A smooth random field of 8 mm mean length at the points plus a rigid offset of 12 mm and some degrees.

    Cubic splines with the values of a linear map as coefficients are that map: one field holds both parts.
    """
    field = random_field(rng, low_mm, high_mm, STEP_MM, sd=(1.0, 1.0, 1.0))
    field = field.scaled(FIELD_MM / float(np.linalg.norm(field.at(points_mm), axis=1).mean()))
    shift = rng.normal(size=3)
    shift *= SHIFT_MM / np.linalg.norm(shift)
    turn = Rotation.from_rotvec(np.deg2rad(rng.normal(0, TURN_DEGREES / np.sqrt(3), 3))).as_matrix()
    places = np.moveaxis(np.indices(field.coefficients.shape[1:]), 0, -1) * field.step_mm + field.origin_mm
    middle = (np.asarray(low_mm) + np.asarray(high_mm)) / 2
    rigid = np.moveaxis((places - middle) @ (turn - np.eye(3)).T + shift, -1, 0)
    return SplineField(field.origin_mm, field.step_mm, (field.coefficients + rigid).astype(np.float32))


def phantom_pair(seed: int, *, still: bool = False) -> KnownPair:
    """A phantom patient imaged twice; the points are its lymph nodes inside the planning CT.

    Args:
        seed: of the patient and of the motion.
        still: the patient did not move: only noise and voxels differ.
    """
    parameters = PhantomParameters()
    patient = plan_patient(seed, parameters)
    centers = np.array([node.center_mm for node in patient.nodes])
    rng = np.random.default_rng([seed, 5])
    motion = known_motion(rng, centers, WORLD_LOW_MM, WORLD_HIGH_MM).scaled(0.0 if still else 1.0)
    patient = replace(patient, motion=motion)
    phantom = image_patient(patient, grid_axes(CT_BOX_MM, CT_SPACING_MM), pet_box_mm=PET_CT_BOX_MM)
    quiet = replace(patient, parameters=replace(parameters, ct_noise_hu=0.0))
    wide_axes = grid_axes(((-186.0, 186.0), (-131.0, 131.0), (-14.0, 326.0)), (2.5, 2.5, 2.5))
    clean = _volume(image_ct(quiet, wide_axes), axes_affine(wide_axes))
    pet_ct = second_ct(clean, motion, grid_axes(PET_CT_BOX_MM, PET_CT_SPACING_MM), rng)
    nodes = [finding for finding in phantom.findings if finding.kind == "node"]
    points = np.array([finding.center_mm for finding in nodes])
    shown = (points[:, 2] > CT_BOX_MM[2][0]) & (points[:, 2] < CT_BOX_MM[2][1])
    suv_max = np.array([finding.suv_max if finding.avid else np.nan for finding in nodes])
    radius = np.array([finding.radius_mm for finding in nodes])
    return KnownPair(
        _volume(phantom.ct_hu, phantom.affine), _volume(phantom.pet_suv, phantom.pet_affine), pet_ct,
        points[shown], shown_at(points[shown], motion), suv_max[shown], radius[shown],
    )  # fmt: skip


def real_pair(folder: Path, seed: int) -> KnownPair:
    """A real CT and itself warped, with noise of its own; the points are a lattice of 20 mm in the body."""
    ct = read_ct(read_ct_series(folder).slices).volume
    low, high = ct.grid.index_to_mm(np.zeros(3)), ct.grid.index_to_mm(np.asarray(ct.grid.shape) - 1)
    small = working_ct(ct, "the CT")
    step = tuple(slice(None, None, 5) for _ in range(3))
    inside = ndimage.binary_erosion(small.body, iterations=1)[step]
    places = small.grid.index_to_mm(np.moveaxis(np.indices(small.grid.shape), 0, -1))[step]
    points = places[inside]
    rng = np.random.default_rng([seed, 6])
    motion = known_motion(rng, points, low, high)
    axes = grid_axes(list(zip(low, high, strict=True)), (1.5, 1.5, 3.27))
    pet_ct = second_ct(ct, motion, axes, rng)
    truth = shown_at(points, motion)
    # Where the warp leads out of the field nothing is known.
    shown = ((truth > low + 6) & (truth < high - 6)).all(axis=1)
    uptake = np.interp(small.values, (-1000, -900, -100, 40, 250), (0.02, 0.45, 0.4, 1.2, 1.3))
    pet = Volume(uptake.astype(np.float32), small.grid, small.grid)
    nothing = np.full(int(shown.sum()), np.nan)
    return KnownPair(ct, pet, pet_ct, points[shown], truth[shown], nothing, np.zeros(int(shown.sum())))


def _volume(array: np.ndarray, affine: np.ndarray) -> Volume:
    grid = Grid(array.shape, affine)
    return Volume(array, grid, grid)
