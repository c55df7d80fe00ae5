"""Rows are timed beside each other: each run against the first row's run of the same round."""

import pytest

from benchmarks.rows import main, summary


def test_ratios_are_of_runs_that_belong_together():
    runs = {
        "osln": [
            {"prepare": 1.0, "tags": 0.5, "classifier": 0.5},
            {"prepare": 3.0, "tags": 0.5, "classifier": 0.5},
        ],
        "other": [{"prepare": 1.0, "classifier": 0.5}, {"prepare": 1.0, "classifier": 0.5}],
    }
    # 2 and 4 seconds against 1.5 and 1.5: ratios .75 and .375, their middle .5625.
    assert summary(runs)[1:] == [
        ["osln", "3.00", "1.00", "1.00 [1.00, 1.00]"],
        ["other", "1.50", "0.50", "0.56 [0.38, 0.75]"],
    ]


def test_what_cannot_be_timed_is_told_without_a_traceback(tmp_path, capsys):
    assert main(["osln", "--models", str(tmp_path)]) == 1
    assert "no weights for ct-proximal" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["osln", "--rounds", "0"])
    assert "at least 1" in capsys.readouterr().err
