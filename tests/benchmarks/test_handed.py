"""What is handed to stage two: which rows are compared, and what is told of them."""

import numpy as np

from benchmarks.handed import report, rows_of
from osln.metrics.matching import Scored
from osln.rows.experiments import ROWS


def test_the_papers_way_of_handing_over_comes_first_and_all_have_their_own_candidates():
    rows = rows_of(["set-glnet", "numbers"])
    assert list(rows)[::6] == ["set-glnet, max at 0.15", "numbers, max at 0.15"]
    assert rows["set-glnet, max at 0.15"].setting == ROWS["lf-stratified"]
    assert len({row.setting for row in rows.values()}) == 6
    assert rows["numbers, mean at 0.10"].setting.key == "lf-mean-at-0.10"
    # What is shipped is among them.
    assert rows["set-glnet, mean of gates at 0.15"] == ROWS["osln-set-glnet"]
    assert rows["numbers, mean of gates at 0.15"] == ROWS["osln-numbers"]


def test_a_row_is_told_beside_the_first_one_of_its_second_stage(capsys):
    rows = rows_of(["numbers"])
    good = Scored(np.array([0.9, 0.2]), np.array([True, False]), 1)
    poor = Scored(np.array([0.9, 0.2]), np.array([False, False]), 1)
    found = {name: [good if "mean" in name else poor] * 3 for name in rows}
    report("three patients", rows, found)
    text = capsys.readouterr().out
    assert "three patients: 3 patients, 3 nodes" in text
    lines = {line.split("|")[1].strip(): line for line in text.splitlines() if line.startswith("| numbers")}
    cells = [cell.strip() for cell in lines["numbers, mean at 0.10"].split("|")[1:-1]]
    assert cells[1:3] == ["3", "1.0"] and cells[-1].startswith("1.000")
    assert lines["numbers, max at 0.15"].split("|")[-2].strip() == ""
