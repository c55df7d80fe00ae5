"""Figures of planted patients from records that are written by hand, and what is kept between runs."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import planted, planted_drawing
from benchmarks.planted_figures import (
    above_table,
    class_table,
    difference_table,
    false_table,
    lies_on,
    painted,
    places,
    record,
    strength_table,
    threshold_at,
)
from benchmarks.planted_observer import observe
from osln.imaging.grid import Grid, Volume
from osln.imaging.lung_column import LungColumn
from osln.phantom.findings.findings import Finding
from osln.phantom.planted.planting import PLANTING
from osln.stage_one.candidates import Candidate, Detections


def node(score: float | None, zone: str = "proximal", *, avid: bool = False, short: float = 6.0):
    return {"zone": zone, "avid": avid, "short_axis_mm": short, "score": score}


def wrong(score: float, suv: float = 1.0, on: str | None = None, center=(0.0, 0.0, 0.0)):
    return {"score": score, "suv_max": suv, "center_mm": list(center), "lies_on": on}


RECORDS = [
    {"nodes": [node(0.9, avid=True), node(None)], "false": [wrong(0.8, 4.0, "vessel"), wrong(0.5)]},
    {
        "nodes": [node(0.7, "distal", short=10.0), node(0.3, short=7.0)],
        "false": [wrong(s) for s in (0.6, 0.4)],
    },
]
"""Down the scores: found, false, found, false, false, false, found; two patients with four nodes."""


def test_strength_is_read_from_the_curve():
    header, _, line = strength_table({"osln": RECORDS}).splitlines()
    assert "found at 2 false" in header
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    # At 2 false per patient all four false ones are in, so the node with .3 has come in as well.
    assert [cell.split()[0] for cell in cells[1:5]] == ["0.75", "0.75", "0.75", "0.75"]
    assert cells[5:] == ["3 of 4", "2.0"]


def test_differences_are_paired_by_patient():
    same = difference_table({"osln": RECORDS}, {"osln": RECORDS}).splitlines()[-1]
    assert same.count("+0.00 [+0.00, +0.00]") == 4
    # Without the node of .3 the second patient has lost one of the four.
    lost = [RECORDS[0], {**RECORDS[1], "nodes": [node(0.7, "distal", short=10.0), node(None)]}]
    line = difference_table({"osln": lost}, {"osln": RECORDS}).splitlines()[-1]
    assert [cell.split()[0] for cell in line.strip("|").split("|")[1:]] == ["-0.25"] * 4


def test_what_a_perfect_filter_of_the_patient_s_own_anatomy_would_leave():
    (left,) = painted({"osln": RECORDS}).values()
    assert [[false["lies_on"] for false in one["false"]] for one in left] == [["vessel"], []]
    assert [one["nodes"] for one in left] == [one["nodes"] for one in RECORDS]


def test_the_threshold_is_the_last_with_at_most_so_many_false_ones():
    assert threshold_at(RECORDS, 1.0) == 0.6
    assert threshold_at(RECORDS, 0.4) == 0.9
    assert threshold_at(RECORDS, 99.0) == 0.3


def test_classes_are_counted_at_that_threshold():
    header, _, line = class_table({"osln": RECORDS}, 1.0).splitlines()
    found = dict(
        zip(*([cell.strip() for cell in row.strip("|").split("|")] for row in (header, line)), strict=True)
    )
    assert found["proximal"] == "1 of 3 (0.33)" and found["distal"] == "1 of 1 (1.00)"
    assert found["avid"] == "1 of 1 (1.00)" and found["cold"] == "1 of 3 (0.33)"
    assert found["under 7 mm"] == "1 of 2 (0.50)" and found["7 to 10 mm"] == "0 of 1 (0.00)"
    assert found["10 mm and more"] == "1 of 1 (1.00)"


def test_false_ones_are_told_by_what_they_lie_on():
    assert false_table({"osln": RECORDS}, 1.0).splitlines()[-1] == "| osln | 2 | 1 | 0 | 1 | 1 |"


def test_candidates_on_pairs_are_counted_by_row():
    found = [
        {"row": "osln", "point": "3 FP per patient", "case": case, "candidates": count}
        for case, count in (("A", 0), ("B", 3))
    ]
    assert above_table(found).splitlines()[-1] == "| osln | 3 FP per patient | 0 | 3 | 1.5 |"


def finding(label: int, center: tuple[float, float, float], kind: str = "node") -> Finding:
    return Finding(kind, "proximal", 5.0, center, 33.5, 2.0, 4.0, 4.0, 1.0, False, bool(label), (), label)


def candidate(identity: int, center: tuple[float, float, float], score: float) -> Candidate:
    values = dict.fromkeys(Candidate.__dataclass_fields__)
    box = tuple((int(c), int(c) + 1) for c in center)
    return Candidate(
        **values | {"id": identity, "center_mm": center, "score": score, "suv_max": 1.5, "box": box}
    )


def test_a_record_tells_the_fate_of_nodes_and_what_false_ones_lie_on():
    nodes, labels = np.zeros((12, 4, 4), np.uint16), np.zeros((12, 4, 4), np.int32)
    nodes[1, 1, 1], nodes[4, 1, 1] = 1, 2
    labels[1, 1, 1], labels[10, 1, 1] = 2, 1  # Candidate 2 finds node 1; candidate 1 finds nothing.
    empty = np.zeros(nodes.shape, np.float32)
    column = LungColumn("a", Grid(nodes.shape, np.eye(4)), empty, None, None, None, nodes, empty > 0)
    candidates = [candidate(1, (10.0, 1.0, 1.0), 0.8), candidate(2, (1.0, 1.0, 1.0), 0.6)]
    found = Detections("osln", 0.5, candidates, labels, empty, column, {})
    # The third lies outside the column; the last is a benign one beside the false candidate.
    findings = [finding(1, (1, 1, 1)), finding(2, (4, 1, 1)), finding(3, (99, 1, 1)), finding(0, (10, 2, 1))]

    made = record(found, findings)

    assert [one["score"] for one in made["nodes"]] == [0.6, None, None]
    assert made["false"] == [{"score": 0.8, "suv_max": 1.5, "center_mm": [10.0, 1.0, 1.0], "lies_on": "node"}]


def test_the_place_that_most_patients_share_comes_first():
    records = [
        {"nodes": [], "false": [wrong(0.9, 3.0, center=(50, 0, 0)), wrong(0.5, 1.0, center=(0, 0, 0))]},
        {"nodes": [], "false": [wrong(0.6, 2.0, center=(4, 0, 0)), wrong(0.4, 2.0, center=(2, 0, 0))]},
        {"nodes": [], "false": [wrong(0.8, 9.0, "vessel", center=(0, 0, 0)), wrong(0.1, center=(99, 0, 0))]},
    ]

    # 5 candidates have .4 or more, so the one with .1 is left out, and the vessel is none of the CT's own.
    often, once = places(records, 5 / 3)

    assert (often.patients, often.score, often.suv_max) == (2, 0.6, 2.0)
    np.testing.assert_allclose(often.center_mm, (2.0, 0, 0))
    assert (once.patients, once.score, once.suv_max) == (1, 0.9, 3.0)


def test_a_place_is_shown_with_the_front_above_and_the_right_side_left(tmp_path: Path):
    hu = np.full((60, 60, 3), -1000, np.float32)
    hu[40, 30, 1], hu[30, 45, 1] = 0.0, 100.0  # 20 mm to the patient's right, 30 mm to the front.
    grid = Grid(hu.shape, np.diag([2.0, 2.0, 3.0, 1.0]))
    real = SimpleNamespace(ct=Volume(hu, grid, grid))

    shown = planted_drawing.axial(real, np.array([60.0, 60.0, 3.0]))

    # 180 x 180 pixels of .5 mm: its center lies between pixels 89 and 90, 30 mm are 60 pixels up.
    assert shown[29:31, 89:91].max() == shown.max()
    # The other point is alone in the middle rows, 20 mm are 40 pixels to the left.
    assert shown[89:91].max(axis=0).argmax() in (49, 50)


def test_a_candidate_lies_on_what_is_within_3_mm():
    vessel = finding(0, (0.0, 0.0, 0.0), "vessel")
    assert lies_on(candidate(1, (5.0, 0.0, 0.0), 0.5), [vessel]) == "vessel"
    assert lies_on(candidate(1, (5.1, 0.0, 0.0), 0.5), [vessel]) is None
    assert lies_on(candidate(1, (0.0, 0.0, 0.0), 0.5), []) is None


def test_what_was_made_once_is_read_again(tmp_path: Path):
    path = tmp_path / "1" / "osln.json"
    made = [planted.remembered(path, lambda: {"nodes": [], "false": []}) for _ in range(2)]
    assert made[0] == made[1] == {"nodes": [], "false": []}
    assert planted.remembered(path, lambda: pytest.fail("made again")) == made[0]


def test_missing_data_are_refused_with_what_was_expected(tmp_path: Path, capsys):
    assert planted.main(["--data", str(tmp_path), "--work", str(tmp_path)]) == 1
    assert "it holds the CT of LUNG1-001 and its RTSTRUCT" in capsys.readouterr().err


@pytest.mark.parametrize("given", [[], ["--data", "A", "--ct", "B"], ["--data", "A", "--patients", "1"]])
def test_options_that_say_nothing_are_refused(given):
    with pytest.raises(SystemExit):
        planted.main(given)


def planted_node(label, *, short, avid=False, distance=0.0, kind="node"):
    return Finding(
        kind, "proximal", distance, (0.0, 0.0, 0.0), 1.0, 1.0, short, short, 1.0, avid, label > 0, (), label
    )


def test_an_observer_ranks_every_node_by_the_chance_that_the_rule_lets_it_count():
    # Beside the tumor 90 % count from 5.5 mm on; far away 95 % of the avid ones, and 1 % of small cold ones.
    findings = [
        planted_node(1, short=6.0),
        planted_node(0, short=5.0),
        planted_node(2, short=6.0, avid=True, distance=300.0),
        planted_node(0, short=6.0, distance=300.0),
        planted_node(0, short=6.0, kind="vessel"),
    ]
    (found,) = observe([findings], PLANTING, 0.0, np.random.default_rng(0))
    assert [one["score"] for one in found["nodes"]] == pytest.approx([0.9, 0.95], abs=1e-3)
    assert [one["score"] for one in found["false"]] == pytest.approx([0.0, 0.01], abs=1e-3)


def test_an_observer_who_measures_badly_knows_no_more_than_how_often_sizes_occur():
    # Three of four nodes are too small to count; nothing else tells them apart.
    findings = [planted_node(number == 0, short=6.0 if number == 0 else 5.0) for number in range(4)]
    (found,) = observe([findings], PLANTING, 1e6, np.random.default_rng(0))
    scores = [one["score"] for one in found["nodes"] + found["false"]]
    assert scores == pytest.approx([0.25 * 0.9] * 4, abs=1e-3)
