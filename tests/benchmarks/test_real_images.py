"""Real PET/CT pairs through the library: what it makes of the files is what other programs make of them.

The images cannot be shipped (docs/real-images.md): OSLN_REFERENCE_DATA names the folder that holds them.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import real_image_checks as checks
from osln.detection import detect
from osln.imaging.grid import write_volume
from osln.imaging.lung_column import LungColumn, prepare
from osln.imaging.transforms import Scaling
from osln.networks.unet3d import UNet3D
from osln.rows.experiments import PRESETS, ROWS, SEGMENTERS
from osln.stage_one.inference import Predictor
from osln.store.layout import companions, load_study
from osln.weights.checkpoint import Checkpoint

PATIENTS = Path("ibsi-sts-petct") / "nifti"
CASES = ("STS_002", "STS_019")
"""The smallest field of view, and the pair whose PET is shifted and covers only a part of the CT."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=CASES)
def case(request, reference_data, tmp_path_factory):
    """Store and id of one patient."""
    source = reference_data / PATIENTS / request.param
    if not (source / "CT_image.nii.gz").is_file():
        pytest.skip(f"OSLN_REFERENCE_DATA holds no {PATIENTS / request.param}")
    root = tmp_path_factory.mktemp("studies")
    return root, checks.store_case(source, root)


def predictor(name: str) -> Predictor:
    """An untrained network whose probabilities spread over (0, 1)."""
    torch.manual_seed(3)
    network = UNet3D(len(SEGMENTERS[name].inputs), PRESETS["demo"].widths)
    with torch.no_grad():
        network.output.weight *= 40
    return Predictor(Checkpoint(name, "demo", Scaling(1.0, 1.5), network.state_dict(), "nothing"))


@pytest.mark.parametrize("preset", ["demo", "paper"])
def test_column_and_windows_agree_with_raw_files_scipy_and_simpleitk(case, preset):
    root, name = case
    column = prepare(load_study(companions(root, name)), PRESETS[preset])

    errors = checks.check_column(column, root, name) | checks.check_windows(column, PRESETS[preset])

    assert checks.failures(errors) == []


def test_candidates_lie_where_the_label_file_and_the_pet_file_say(case, tmp_path):
    root, name = case
    study = load_study(companions(root, name))
    row = ROWS["lf-stratified"]
    networks = {segmenter: predictor(segmenter) for segmenter in row.segmenters}
    threshold = float(np.quantile(detect(study, row, networks, 0.5).prob, 0.99))

    found = detect(study, row, networks, threshold)
    labels = tmp_path / "labels.nii.gz"
    write_volume(labels, found.labels_on_ct(study), study.ct.grid, study.ct.file_grid)
    grid = found.column.grid
    reply = found.to_json() | {"grid": {"shape": grid.shape, "affine": grid.affine.tolist()}}
    errors = checks.check_labels(labels, root, name, reply)

    assert len(found.candidates) > 3
    assert checks.failures(errors) == []


def test_a_column_that_is_shifted_or_mirrored_is_noticed(case):
    root, name = case
    column = prepare(load_study(companions(root, name)), PRESETS["demo"])
    shifted = LungColumn(**vars(column) | {"ct_hu": np.roll(column.ct_hu, 1, axis=0)})
    mirrored = LungColumn(**vars(column) | {"distance_mm": column.distance_mm[::-1]})

    assert any("ct_hu" in sentence for sentence in checks.failures(checks.check_column(shifted, root, name)))
    assert any("distance_mm" in s for s in checks.failures(checks.check_column(mirrored, root, name)))
