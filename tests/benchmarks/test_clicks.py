"""The measurement of clicks: what is counted, and over whom."""

import numpy as np
import pytest

from benchmarks.click_sets import around, lesions
from benchmarks.clicks import Answered, alone, measured, report
from osln.clicks.phantom_cases import ClickCase
from osln.imaging.grid import Volume, write_volume
from small.clicks import CENTER, SPACING_MM, Bright, ball, ct, in_canonical_order


@pytest.fixture
def case() -> ClickCase:
    nodes = in_canonical_order(ball()).astype(np.uint8)
    pet = Volume(np.ones(ct().grid.shape, np.float32), ct().grid, ct().grid)
    return ClickCase("one", ct(), pet, nodes, [16.0])


def test_every_method_answers_with_and_without_pet_click_by_click(case):
    found = list(measured("balls", case, {"network": alone(Bright()), "classical": alone(Bright())}, 5))
    assert [(one.method, one.pet, one.clicks) for one in found[:4]] == [
        ("network", True, 1),
        ("network", True, 2),
        ("network", True, 3),
        ("classical", True, 1),
    ]
    assert len(found) == 12 and all(one.dice > 0.9 and one.short_mm == 16.0 for one in found)


def test_the_tables_show_means_and_differences_over_patients():
    answers = [
        Answered("set", case, 8.0, method, True, 1, dice, 0.1, 0.2)
        for case, network in (("a", 0.9), ("b", 0.7))
        for method, dice in (("network", network), ("classical", 0.5), ("in use", network + 0.05))
    ]
    answers += [one for one in answers for _ in range(3)]
    told = report(answers)
    own, other, both = "0.800 [0.700, 0.900]", "0.500 [0.500, 0.500]", "0.850 [0.750, 0.950]"
    more = "+0.300 [+0.200, +0.400] | +0.050 [+0.050, +0.050]"
    assert f"| 6-10 | 8 | 1 | {own} | {other} | {both} | {more} |" in told
    assert "| 10-15 |" not in told and "| network | 0.100 | 0.100 | 0.200 | 0.200 |" in told


def test_a_nodes_surroundings_are_cut_out(case):
    box = tuple(slice(c - 1, c + 2) for c in (20, 22, 10))
    part, nodes = around(case, box, 8.0)
    # 8 mm are 4 voxels of 2 mm and 2 of 4 mm.
    assert part.array.shape == nodes.shape == (11, 11, 7)
    np.testing.assert_allclose(
        part.grid.index_to_mm(np.zeros(3)), ct().grid.index_to_mm(np.array([15, 17, 7]))
    )


def test_lesions_are_read_with_their_short_axis(case, tmp_path):
    folder = tmp_path / "STS"
    folder.mkdir()
    mask = ball()
    mask[0, 0, 0] = True
    for name, array in (("CT_image", ct().array), ("CT_mask", in_canonical_order(mask).astype(np.uint8))):
        write_volume(folder / f"{name}.nii.gz", array, ct().grid)
    write_volume(folder / "PET_image.nii.gz", np.ones(ct().grid.shape, np.float32), ct().grid)
    (found,) = lesions(tmp_path)
    np.testing.assert_array_equal(found.nodes > 0, in_canonical_order(ball()))
    assert found.short_mm[0] == pytest.approx(2 * 8.0, abs=2 * SPACING_MM.max()) and CENTER.any()
