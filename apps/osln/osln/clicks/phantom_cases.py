"""Phantoms whose every node is outlined, as the click network learns from them and is measured on them.

A person clicks on any node that was missed, whether or not the clinical rule counts it; so here the rule is
switched off and all nodes are in the label map.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from osln.files.images import write_atomically
from osln.imaging.grid import Grid, Volume
from osln.phantom import GENERATOR_VERSION, PhantomParameters
from osln.phantom.patient.plan import grid_axes, plan_patient
from osln.phantom.patient.scan import FIELDS, Phantom, image_patient

SMALLEST_MM = 3.5
"""Short axis below which a node is not outlined."""
NO_RULE: dict[str, Any] = {
    "visible_short_mm": SMALLEST_MM,
    "enlarged_short_mm": 0.0,
    "proximal_counts": 1.0,
    "distal_counts": 1.0,
}
"""Changes of the parameters that make every node count."""
_SLICES_MM = (1.25, 2.0, 2.5, 3.0, 3.0, 4.0, 5.0)


@dataclass(frozen=True)
class ClickCase:
    """A patient with outlined nodes.

    Attributes:
        case: Id; the patient of the intervals.
        ct: HU, int16.
        pet: SUV on its own grid; None if there is none.
        nodes: (x, y, z) integer labels on the CT's grid, 1 to N.
        short_mm: Short axis of node n + 1 at n; NaN where it is not known.
    """

    case: str
    ct: Volume
    pet: Volume | None
    nodes: np.ndarray
    short_mm: Sequence[float]


def varied_parameters(seed: int) -> tuple[PhantomParameters, tuple[float, float, float]]:
    """Numbers of a training phantom and the voxel size of its CT: wider than any one scanner.

    Sizes and uptake are spread far more than in patients, so that a click on what is rare is answered too.
    """
    rng = np.random.default_rng([seed, 7])
    parameters = replace(
        PhantomParameters(),
        **NO_RULE,
        node_mean=70.0,
        acceptance_near=0.5,
        malignant_base=0.5,
        malignant_short_mm=(11.0, 0.5, 4.5, 36.0),
        malignant_elongation=(1.0, 2.0),
        avid_suv=(2.0, 15.0),
        ct_noise_hu=float(rng.uniform(5.0, 26.0)),
        ct_noise_step_mm=float(rng.uniform(1.5, 3.0)),
        partial_volume_mm=float(rng.uniform(1.5, 4.0)),
        fat_texture_hu=float(rng.uniform(8.0, 22.0)),
        pet_blur_fwhm_mm=float(rng.uniform(4.5, 8.5)),
        pet_noise_fraction=float(rng.uniform(0.08, 0.22)),
    )
    plane = float(rng.uniform(0.75, 1.3))
    return parameters, (plane, plane, float(rng.choice(_SLICES_MM)))


def make_case(
    seed: int, parameters: PhantomParameters, spacing_mm: Sequence[float], case: str = ""
) -> ClickCase:
    """Makes a phantom with outlined nodes.

    Args:
        seed: Of the phantom.
        parameters: With `NO_RULE`, so that all nodes are in the map.
        spacing_mm: Voxel size of the CT.
        case: Its id; by the seed if omitted.
    """
    patient = plan_patient(seed, parameters)
    return as_case(case or f"phantom-{seed}", image_patient(patient, grid_axes(FIELDS["column"], spacing_mm)))


def as_case(case: str, phantom: Phantom) -> ClickCase:
    """The images of a phantom and the sizes of its nodes; arrays stay in the phantom's axes order."""
    grid = Grid(phantom.ct_hu.shape, phantom.affine)
    pet_grid = Grid(phantom.pet_suv.shape, phantom.pet_affine)
    short = np.full(int(phantom.nodes.max(initial=0)), np.nan)
    for finding in phantom.findings:
        if finding.label:
            short[finding.label - 1] = finding.short_axis_mm
    return ClickCase(
        case,
        Volume(phantom.ct_hu, grid, grid),
        Volume(phantom.pet_suv.astype(np.float32), pet_grid, pet_grid),
        phantom.nodes,
        short.tolist(),
    )


def training_case(folder: Path, seed: int) -> ClickCase:
    """A training phantom of `varied_parameters`, read from the folder or made and kept there (10 MB)."""
    path = folder / f"click-phantoms-{GENERATOR_VERSION}-1" / f"{seed}.npz"
    if path.is_file():
        return load_case(path)
    made = make_case(seed, *varied_parameters(seed))
    save_case(path, made)
    return made


def save_case(path: Path, case: ClickCase) -> None:
    """Writes a case with PET atomically."""
    buffer = io.BytesIO()
    assert case.pet is not None
    np.savez_compressed(
        buffer,
        case=np.array(case.case),
        ct=case.ct.array.astype(np.int16),
        affine=case.ct.grid.affine,
        pet=case.pet.array.astype(np.float16),
        pet_affine=case.pet.grid.affine,
        nodes=case.nodes.astype(np.uint8 if case.nodes.max(initial=0) < 256 else np.uint16),
        short_mm=np.array(case.short_mm),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, buffer.getvalue())


def load_case(path: Path) -> ClickCase:
    """Reads what `save_case` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        grid = Grid(stored["ct"].shape, stored["affine"])
        pet_grid = Grid(stored["pet"].shape, stored["pet_affine"])
        pet = stored["pet"].astype(np.float32)
        return ClickCase(
            str(stored["case"]),
            Volume(stored["ct"], grid, grid),
            Volume(pet, pet_grid, pet_grid),
            stored["nodes"],
            stored["short_mm"].tolist(),
        )
