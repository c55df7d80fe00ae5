import numpy as np

from osln.clicks.annotator import first_click, next_clicks
from osln.imaging.grid import Grid

GRID = Grid((12, 12, 12), np.diag([1.0, 1.0, 1.0, 1.0]))


def cube(low: int, high: int, shift: int = 0) -> np.ndarray:
    mask = np.zeros(GRID.shape, bool)
    mask[low + shift : high + shift, low:high, low:high] = True
    return mask


def test_the_first_click_is_where_the_node_is_deepest():
    np.testing.assert_array_equal(first_click(cube(3, 8), GRID).foreground, [[5, 5, 5]])


def test_the_next_one_is_in_the_middle_of_the_largest_error():
    clicks = first_click(cube(3, 8), GRID)
    missed = next_clicks(clicks, cube(3, 5), cube(3, 8), GRID)
    assert len(missed.foreground) == 2 and not len(missed.background)
    assert cube(3, 8)[tuple(missed.foreground[1].astype(int))]
    assert not cube(3, 5)[tuple(missed.foreground[1].astype(int))]
    answer = cube(3, 8)
    answer[9:12, 4:7, 4:7] = True
    np.testing.assert_array_equal(next_clicks(clicks, answer, cube(3, 8), GRID).background, [[10, 5, 5]])


def test_nobody_clicks_on_what_is_right():
    clicks = first_click(cube(3, 8), GRID)
    assert next_clicks(clicks, cube(3, 8), cube(3, 8), GRID) is clicks
