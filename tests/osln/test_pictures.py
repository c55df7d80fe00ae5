from dataclasses import replace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb

from osln.imaging.grid import Grid
from osln.imaging.lung_column import LungColumn
from osln.pictures import FALSE, HIT, MISS, draw_detections, draw_inputs, save_picture
from osln.stage_one.candidates import Detections, find_candidates

SHAPE = (40, 40, 40)
NODE = (slice(10, 14), slice(18, 22), slice(10, 13))
MIMIC = (slice(26, 30), slice(18, 22), slice(10, 13))


def found_at(*boxes):
    """Detections with one candidate in each box, in a patient of uniform tissue."""
    prob = np.zeros(SHAPE, np.float32)
    for box in boxes:
        prob[box] = 0.9
    grid = Grid(SHAPE, np.diag([2.5, 2.5, 3.0, 1.0]))
    tissue = np.full(SHAPE, 40, np.float32)
    column = LungColumn("a", grid, tissue, None, None, None, None, tissue > 0)
    candidates, labels = find_candidates(prob, 0.5, column)
    return Detections("ct", 0.5, candidates, labels, prob, column, {})


def nodes_at(*boxes):
    truth = np.zeros(SHAPE, np.int32)
    for value, box in enumerate(boxes, start=1):
        truth[box] = value
    return truth


def drawn_colors(figure) -> set[str]:
    """Which of the outline colors occur above the legend."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    image = np.asarray(canvas.buffer_rgba())[..., :3].astype(int)
    image = image[: int(0.85 * len(image))]
    return {
        color
        for color in (HIT, MISS, FALSE)
        if (np.abs(image - np.array(to_rgb(color)) * 255).max(axis=-1) < 12).any()
    }


@pytest.mark.parametrize(
    ("candidates", "nodes", "colors"),
    [
        ((NODE,), (NODE,), {HIT}),
        ((), (NODE,), {MISS}),
        ((NODE, MIMIC), (NODE,), {HIT, FALSE}),
        ((MIMIC,), (NODE,), {MISS, FALSE}),
    ],
)
def test_true_false_and_missed_are_told_apart_by_color(candidates, nodes, colors):
    assert drawn_colors(draw_detections(found_at(*candidates), nodes_at(*nodes), "a")) == colors


def test_without_truth_every_candidate_has_one_color():
    assert drawn_colors(draw_detections(found_at(NODE, MIMIC), None, "a")) == {FALSE}


def test_a_picture_is_written_as_png(tmp_path):
    save_picture(draw_detections(found_at(NODE), None, "a"), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_what_stage_one_sees_is_four_planes_of_one_orientation():
    at = np.indices(SHAPE)
    distance = np.sqrt(sum((a - 20.0) ** 2 for a in at)).astype(np.float32) * 6 - 6
    found = found_at()
    column = replace(
        found.column,
        distance_mm=distance,
        tumor=distance <= 0,
        nodes=nodes_at(NODE),
        pet_suv=distance * 0 + 4,
    )
    figure = draw_inputs(column, "a")
    assert len(figure.axes) == 4 and all(axes.xaxis_inverted() for axes in figure.axes)
    assert len({axes.get_aspect() for axes in figure.axes}) == 1
    assert HIT in drawn_colors(figure)
    images = [len(axes.images) for axes in figure.axes]
    # CT; CT; CT and distance; CT and PET.
    assert images == [1, 1, 2, 2]
