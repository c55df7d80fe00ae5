"""What is added to the anatomy, and that the body underneath stays the seed's."""

from dataclasses import replace

import numpy as np
import pytest

from osln.phantom import PhantomParameters, RealisticParameters
from osln.phantom.body.background import built_in_anatomy
from osln.phantom.realistic.body import _METAL_HU, realistic_anatomy
from osln.phantom.realistic.look import draw

NOTHING = {
    "thymus_share": 0.0, "bowel_loops": (0.0, 0.9), "liver_vessels": (0.0, 0.9), "plaques": (0.0, 0.9),
    "catheter_share": 0.0, "feeding_tube_share": 0.0, "small_vessels": (0.0, 0.9), "table_share": 0.0,
    "arms_down_share": 0.0, "metal_share": 0.0, "cartilage_hu": (90.0, 90.0), "crus_thickness": (1.0, 1.0),
}  # fmt: skip
SHOULDERS = 8


def body(**changes):
    ranges = replace(RealisticParameters(), **{**NOTHING, **changes})
    look, _ = draw(np.random.default_rng(5), ranges)
    return realistic_anatomy(np.random.default_rng(1), np.random.default_rng(2), ranges, look), look


def test_without_additions_the_shapes_are_the_built_in_ones_and_the_shoulders_muscles():
    plain = built_in_anatomy(np.random.default_rng(1)).shapes
    made, _ = body()
    own = {shape.numbers.tobytes() for shape in made.shapes}
    assert len(made.shapes) == len(plain) + SHOULDERS and not made.small
    assert all(shape.numbers.tobytes() in own for shape in plain)


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({"thymus_share": 1.0}, 2),
        ({"plaques": (5.0, 5.5)}, 5),
        ({"liver_vessels": (3.0, 3.5)}, 6),
        ({"catheter_share": 1.0}, 4),
        ({"metal_share": 1.0}, 1),
        ({"table_share": 1.0}, 2),
    ],
)
def test_each_knob_adds_its_own_shapes(changes, count):
    assert len(body(**changes)[0].shapes) == len(body()[0].shapes) + count


def test_metal_is_dense_and_lies_where_the_look_says():
    made, look = body(metal_share=1.0)
    (metal,) = [shape for shape in made.shapes if shape.hu == _METAL_HU]
    assert metal.numbers[:3].tolist() == list(look.metal_mm)


def test_cartilage_and_tissues_have_the_drawn_values():
    made, _ = body(cartilage_hu=(150.0, 150.0), fat_hu=(-91.0, -91.0))
    assert sum(shape.hu == 150.0 for shape in made.shapes) >= 14
    assert {shape.hu for shape in made.shapes if shape.tissue == "fat"} == {-91.0}
    assert {shape.tissue for shape in made.shapes} >= {
        "fat",
        "muscle",
        "blood",
        "liver",
        "spleen",
        "gut",
        "heart",
    }


def test_bowel_stays_in_front_of_the_great_vessels():
    plain = {shape.numbers.tobytes() for shape in body()[0].shapes}
    made, _ = body(bowel_loops=(12.0, 12.5))
    added = [shape for shape in made.shapes if shape.numbers.tobytes() not in plain]
    assert len(added) >= 24 and all(22.0 <= shape.numbers[1] <= 64.0 for shape in added)


def test_small_vessels_do_not_keep_nodes_out_as_they_are_no_part_of_what_is_planned_on():
    made, _ = body(small_vessels=(20.0, 20.5))
    assert len(made.small) >= 40 and all(shape.tissue == "blood" for shape in made.small)
    assert len(made.shapes) == len(body()[0].shapes)


def test_default_parameters_know_nothing_of_it():
    assert not any(name in NOTHING for name in vars(PhantomParameters()))
