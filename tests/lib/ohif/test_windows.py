"""Windows and colors as numbers (`lib/ohif/windows.js`), run by Node.js."""

import pytest

from small.ohif_scripts import run


def shown(width, center):
    """(lower, upper) of what a viewer shows by DICOM's formula (PS3.3 C.11.2.1.2)."""
    return center - 0.5 - (width - 1) / 2, center - 0.5 + (width - 1) / 2


@pytest.mark.parametrize(("lower", "upper"), [(0, 5), (0, 10), (0, 15), (-160, 240), (-1350, 150)])
def test_window_is_shown_from_end_to_end(lower, upper):
    voi = run("windows", f"return toVoi({{ lower: {lower}, upper: {upper} }})")

    assert shown(voi["windowWidth"], voi["windowCenter"]) == (lower, upper)


def test_presets_of_the_ct():
    windows = run("windows", "return CT_WINDOWS")

    assert windows["soft tissue"] == {"lower": -160, "upper": 240}
    assert set(windows) == {"soft tissue", "lung", "bone", "mediastinum"}
    assert all(window["lower"] < window["upper"] for window in windows.values())


@pytest.mark.parametrize("upper", [5, 10, 15, 20_000])
def test_opacity_is_given_at_values_of_the_pet_not_at_parts_of_its_window(upper):
    points = run("windows", f"return petPoints(0.6, {upper})")

    assert [point["value"] for point in points] == [0, 0.25 * upper, 0.5 * upper, upper]
    assert [point["opacity"] for point in points] == [0, 0, pytest.approx(0.51), 0.6]


def test_colors_rise_from_0_to_1_and_are_never_dark_where_they_are_seen():
    points = run("windows", "return PET_MAP.RGBPoints")
    rows = [points[n : n + 4] for n in range(0, len(points), 4)]

    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    assert (rows[0][0], rows[-1][0]) == (0, 1)
    assert all(max(row[1:]) >= 0.7 for row in rows), "a dark color would darken the CT"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("ctText({ lower: -160, upper: 240 })", "CT -160 to 240"),
        ("ctText(undefined)", ""),
        ("petText({ lower: 0, upper: 5 }, true)", "SUV 0 to 5"),
        ("petText({ lower: 0, upper: 31234.5 }, false)", "no SUV, 0 to 31200"),
        ("petText(false, true)", ""),
    ],
)
def test_corner_names_the_window(script, said):
    assert run("windows", f"return {script}") == said
