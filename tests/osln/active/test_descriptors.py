import numpy as np
import pytest

from osln.active.descriptors import NAMES, descriptor
from osln.imaging.grid import Grid
from osln.imaging.lung_column import LungColumn

GRID = Grid((20, 20, 20), np.diag([5.0, 5.0, 5.0, 1.0]))


def column(*, pet: bool = True, tumor: bool = True) -> LungColumn:
    """A body of 11 x 11 voxels; a tumor in its corner; two avid spots, a speck of noise and a large organ."""
    body = np.zeros(GRID.shape, bool)
    body[5:16, 5:16, :] = True
    mask = np.zeros(GRID.shape, bool)
    mask[5:7, 5:7, 0:2] = True
    suv = np.ones(GRID.shape, np.float32)
    suv[10, 10, 10] = suv[12, 10, 12] = 4.0
    suv[12, 10, 12] = 6.0
    suv[5:7, 5:7, 0:2] = 9.0
    suv[5:16, 5:16, 15:20] = 3.0
    distance = np.where(mask, -1.0, 50.0).astype(np.float32)
    return LungColumn(
        "p1",
        GRID,
        np.where(body, 40.0, -1000.0),
        suv if pet else None,
        distance if tumor else None,
        mask if tumor else None,
        None,
        body,
    )


def test_the_numbers_of_a_case_by_hand():
    found = dict(zip(NAMES, descriptor(column()), strict=True))

    assert found["tumor_x"] == pytest.approx(0.05) and found["tumor_z"] == pytest.approx(0.5 / 19)
    # Eight voxels of .125 mL.
    assert found["tumor_log_ml"] == pytest.approx(0.0)
    assert found["hot_spots"] == pytest.approx(np.sqrt(2))
    assert found["hot_log_ml"] == pytest.approx(np.log10(0.25))
    assert found["hot_suv"] == 6.0 and found["hot_z"] == pytest.approx(11 / 19)
    # 121 voxels of .25 cm2.
    assert found["body_cm2"] == pytest.approx(30.25)
    assert found["field_mm"] == 100.0 and found["lung_share"] == 0.0


def test_what_a_case_lacks_is_not_a_number():
    found = dict(zip(NAMES, descriptor(column(pet=False, tumor=False)), strict=True))

    assert {name for name, value in found.items() if np.isnan(value)} == {
        name for name in NAMES if name.startswith(("tumor", "hot"))
    }


def test_nodes_are_not_looked_at():
    one = column()
    with_nodes = LungColumn(**(vars(one) | {"nodes": np.ones(GRID.shape, int)}))

    assert descriptor(with_nodes) == descriptor(one)
