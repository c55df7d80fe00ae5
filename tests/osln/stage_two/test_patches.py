import numpy as np
import pytest

from osln.imaging.grid import Grid
from osln.imaging.lung_column import LungColumn
from osln.rows.experiments import PRESETS
from osln.stage_two.patches import AIR_HU, cut_patches, jittered, sub_volume
from small.columns import small_column

PAPER = PRESETS["paper"].stage_two


def ramp(shape=(80, 70, 60), pet=True) -> LungColumn:
    """A column whose CT tells the voxel: x + 100 y (mod 100 in x) and whose PET is z."""
    x, y, z = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    return LungColumn(
        "ramp", Grid(shape, np.eye(4)), (x + 100.0 * y).astype(np.float32),
        z.astype(np.float32) if pet else None, None, None, None, np.ones(shape, dtype=bool),
    )  # fmt: skip


def test_a_patch_is_centered_on_the_box_of_its_candidate():
    patches = cut_patches(ramp(), [((38, 42), (30, 35), (29, 30))], PAPER)
    # x: center 40, 48 voxels from 16; y: center 32.5, from 9; z: center 29.5, 32 voxels from 14.
    assert patches.ct_hu.shape == (1, 48, 48, 32) and patches.ct_hu[0, 0, 0, 0] == 16 + 100 * 9
    assert patches.pet_suv[0, 0, 0, 0] == 14 and patches.ct_hu[0, 5, 7, 3] == 21 + 100 * 16
    assert patches.boxes[0].tolist() == [[22, 26], [21, 26], [15, 16]]


def test_beyond_the_field_there_is_air_without_uptake():
    patches = cut_patches(ramp(), [((0, 2), (0, 1), (59, 60))], PAPER)
    # x: center 1, from -23: 23 voxels of air; z: center 59.5, from 44: 16 voxels inside.
    assert (patches.ct_hu[0, :23] == AIR_HU).all() and patches.ct_hu[0, 23, 30, 0] == 100 * 7
    assert (patches.pet_suv[0, :, :, 16:] == 0).all() and patches.pet_suv[0, 30, 30, 15] == 59
    assert patches.boxes[0].tolist() == [[23, 25], [23, 24], [15, 16]]


def test_a_candidate_of_the_patch_size_keeps_eight_voxels_on_each_side():
    start, extent = sub_volume(((10, 58), (20, 21), (14, 46)), PAPER)
    assert extent.tolist() == [64, 48, 48] and start.tolist() == [2, -3, 6]
    patches = cut_patches(ramp(), [((10, 58), (20, 21), (14, 46))], PAPER)
    # 64 voxels become 48: 48 voxels of candidate become 36, 8 of margin become 6.
    assert patches.boxes[0, 0].tolist() == [6, 42]
    # z: 48 become 32, so that patch voxel 0 averages voxels 6 and 7 at 6.25.
    assert patches.boxes[0, 2] == pytest.approx([16 / 3, 32 - 16 / 3])
    assert float(patches.pet_suv[0, 20, 20, 0]) == pytest.approx(6.25, abs=0.01)


def test_a_candidate_close_to_the_patch_size_is_resampled_too_so_that_the_margin_stays():
    assert sub_volume(((0, 40), (0, 32), (0, 16)), PAPER)[1].tolist() == [56, 48, 32]


def test_no_candidate_gives_no_patch_and_no_pet_gives_none():
    patches = cut_patches(ramp(pet=False), [], PAPER)
    assert len(patches) == 0 and patches.pet_suv is None and patches.boxes.shape == (0, 3, 2)


def test_compact_columns_give_the_same_patches():
    column = small_column(0)
    box = ((3, 5), (4, 6), (2, 3))
    patches = cut_patches(column, [box], PRESETS["demo"].stage_two)
    assert patches.ct_hu.shape == (1, 20, 20, 16) and patches.pet_suv.dtype == np.float16


def test_jitter_moves_every_face_by_at_most_three_voxels_and_never_turns_a_box_inside_out():
    boxes = np.tile(np.array([[[20, 21], [0, 48], [10, 20]]], dtype=np.float32), (500, 1, 1))
    moved = jittered(boxes, 3, (48, 48, 32), np.random.default_rng(0))
    assert (moved[..., 1] - moved[..., 0]).min() >= 1
    assert moved[:, 1, 0].min() == 0 and moved[:, 1, 1].max() == 48
    shift = moved[:, 2] - boxes[:, 2]
    assert set(np.unique(shift)) == {-3, -2, -1, 0, 1, 2, 3}


def test_no_jitter_leaves_the_boxes():
    boxes = np.array([[[20, 23], [5, 9], [10, 11]]], dtype=np.float32)
    assert (jittered(boxes, 0, (48, 48, 32), np.random.default_rng(0)) == boxes).all()
