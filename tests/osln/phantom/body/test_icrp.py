"""Organ volumes as anatomy: a small volume made here, and the real ones where they are at hand."""

from pathlib import Path

import numpy as np
import pytest

from osln.imaging.grid import Grid, write_volume
from osln.phantom import make_phantom
from osln.phantom.body.icrp import Organ, OrganVolumes, find_volumes
from small.reference_data import reference_folder

TABLE = """organ_id,organ,medium,density_g_cm3
7,Trachea,45,1.03
97,"Lung, left, tissue",50,0.382
99,"Lung, right, tissue",50,0.382
107,"Muscle, trunk",29,1.05
110,Oesophagus,44,1.03
117,"Residual tissue, trunk",49,0.95
"""


def small_volume(folder: Path) -> Path:
    """A box of muscle with two lungs and an esophagus, 10 mm voxels; left is at small x."""
    labels = np.zeros((34, 22, 34), np.uint8)
    labels[1:33, 1:21] = 107
    labels[3:13, 4:18, 6:30], labels[21:31, 4:18, 6:30] = 97, 99
    labels[16:18, 8:10] = 110
    path = folder / "XY_torso_organs.nii.gz"
    write_volume(path, labels, Grid(labels.shape, np.diag([10.0, 10.0, 10.0, 1.0])))
    (folder / "XY_organs.csv").write_text(TABLE)
    return path


@pytest.mark.parametrize(
    ("name", "density", "hu"),
    [("residual tissue, trunk", 0.95, -100.0), ("muscle, trunk", 1.06, 50.0),
     ("lung, left, tissue", 0.382, -840.0), ("blood vessels, trunk", 1.06, 40.0),
     ("lymphatic nodes, trunk", 1.03, -100.0)],
)  # fmt: skip
def test_organs_become_hu_by_density_except_a_few(name: str, density: float, hu: float) -> None:
    assert Organ(name, density).hu == pytest.approx(hu)


def test_the_filling_tissue_between_the_lungs_becomes_fat(tmp_path: Path) -> None:
    background = OrganVolumes(small_volume(tmp_path))(np.random.default_rng(0))
    assert background.ct_hu[19, 14, 15] == -100.0
    assert background.ct_hu[1, 14, 15] == pytest.approx(41.7, abs=5.0)
    assert background.ct_hu[5, 10, 15] == -840.0
    assert background.ct_hu[0, 0, 0] == -1000.0


def test_the_esophagus_is_found_where_it_is(tmp_path: Path) -> None:
    background = OrganVolumes(small_volume(tmp_path))(np.random.default_rng(0))
    x, y, z = background.center_line(np.array([150.0]))[0]
    assert (x, z) == (pytest.approx(0.0, abs=1.0), 150.0)
    assert y == pytest.approx(-80 + (8.5 - 4) * 155 / 13, abs=0.5)


def test_a_phantom_on_organ_volumes_has_tumor_and_pet(tmp_path: Path) -> None:
    case = make_phantom(1, spacing_mm=(5.0, 5.0, 5.0), anatomy=OrganVolumes(small_volume(tmp_path)))
    assert case.anatomy == "ICRP-110 XY" and case.tumor.any()
    assert case.pet_suv.max() > 4.0


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    path = small_volume(tmp_path)
    (tmp_path / "XY_organs.csv").unlink()
    with pytest.raises(ValueError, match=r"expected the organ table .*XY_organs\.csv"):
        OrganVolumes(path)


def test_a_folder_without_volumes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no organ volume"):
        find_volumes(tmp_path)


@pytest.mark.slow
def test_the_reference_volumes_make_patients() -> None:
    for path in find_volumes(reference_folder("icrp110")):
        case = make_phantom(5, anatomy=OrganVolumes(path))
        assert case.tumor.any() and any(f.kind == "node" for f in case.findings)
        assert 0.05 < (case.ct_hu < -500).mean() < 0.6
