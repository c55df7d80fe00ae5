"""Import of real studies, compared with what others made of them: a planning CT, and a PET/CT pair."""

import numpy as np
import pytest

from benchmarks.archives import unpack
from osln.dicom.reading.files import LocalSource, slices_of
from osln.dicom.reading.volume import read_pet
from osln.imaging.grid import read_volume
from osln.store.layout import companions, load_study
from small.reference_data import reference_folder
from small.study import run


@pytest.mark.slow
def test_planning_ct_of_lung1_with_its_tumor(tmp_path):
    unpack(reference_folder("lung1-001") / "LUNG1-001_dicom_ct_rtstruct.tar.xz", tmp_path / "in")

    undecided = run(tmp_path / "in", tmp_path / "store")
    assert undecided.imported == [] and undecided.ambiguous == {"GTV-1": 1}

    [manifest] = run(tmp_path / "in", tmp_path / "store", "GTV-1=tumor").imported
    study = load_study(companions(tmp_path / "store", manifest["case"]))
    assert study.ct.array.shape == (512, 512, 134)
    assert (study.ct.array.min(), study.ct.array.max()) == (-1024, 3034)
    # The data's README: 156.3 ml by polygon filling, mean -64 HU.
    assert study.tumor.array.sum() * study.tumor.grid.voxel_mm3 / 1000 == pytest.approx(156.3, abs=0.05)
    assert study.ct.array[study.tumor.array].mean() == pytest.approx(-64, abs=0.5)
    assert study.nodes is None and study.pet is None


@pytest.mark.slow
def test_pair_of_the_ibsi_equals_the_nifti_that_others_made(tmp_path):
    folder = reference_folder("ibsi-sts-petct")

    [manifest] = run(folder / "dicom_STS_014", tmp_path / "store", "GTV_Mass_CT=tumor").imported

    study = load_study(companions(tmp_path / "store", manifest["case"]))
    nifti = folder / "nifti" / "STS_014"
    for own, theirs in ((study.ct, "CT_image"), (study.pet, "PET_image"), (study.tumor, "CT_mask")):
        other = read_volume(nifti / f"{theirs}.nii.gz")
        assert other.grid.matches(own.grid, tolerance_mm=0.05)
        np.testing.assert_allclose(own.array.astype(np.float32), other.array, rtol=1e-5, atol=1e-5)
    assert manifest["pet"]["values"] == "the series holds SUV by body weight (GML) already"
    with LocalSource(folder / "dicom_STS_014" / "PET" / "image") as source:
        [series] = source.series()
        assert read_pet(slices_of(source.paths(series))).volume.array.max() == pytest.approx(29.986, abs=1e-3)
