"""The shipped second stages on a few phantoms: every row, and differences of the same patients."""

import json

import pytest

from benchmarks import second_stages
from benchmarks.second_stages import ASKED, QUESTIONS, STAGE_ONE, TITLES


def test_every_served_row_with_a_second_stage_is_asked_and_every_question_can_be():
    assert {"osln", "osln-set-glnet", "osln-numbers"} <= set(ASKED)
    assert all({row, minus} <= {STAGE_ONE, *ASKED} for row, minus in QUESTIONS)
    assert list(TITLES) == [STAGE_ONE, *ASKED]


@pytest.mark.slow
def test_the_command_tells_what_all_find_in_the_same_candidates(tmp_path, capsys):
    given = ["--work", str(tmp_path / "work"), "--out", str(tmp_path / "out"), "--patients", "2"]
    assert second_stages.main(given) == 0
    told = json.loads((tmp_path / "out" / "second-stages.json").read_text())
    assert list(told["rows"]) == [STAGE_ONE, *ASKED] and told["patients"] == 2 and told["nodes"] > 2
    for one in told["differences"]:
        row, minus = (told["rows"][one[key]]["mfroc"]["value"] for key in ("row", "minus"))
        assert one["mfroc"]["value"] == pytest.approx(row - minus)
    assert "| `osln-numbers` |" in (tmp_path / "out" / "second-stages.md").read_text()
    assert len(list((tmp_path / "work").glob("phantoms-*/*.npz"))) == 2

    (tmp_path / "file").touch()
    assert second_stages.main([*given, "--out", str(tmp_path / "file")]) == 1
    assert "file cannot be made" in capsys.readouterr().err
