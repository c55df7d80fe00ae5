"""Realistic phantoms from the command line."""

import json

from osln.__main__ import main


def test_realistic_phantoms_are_written_with_what_was_drawn_for_them(tmp_path):
    options = ["--cases", "1", "--seed", "3", "--spacing", "5", "5", "6", "--realistic"]
    assert main(["phantoms", "--out", str(tmp_path), *options]) == 0
    told = json.loads((tmp_path / "truth" / "phantom-01.json").read_text())
    assert told["anatomy"] == "realistic" and told["parameters"]["look_version"] == 1
    assert told["parameters"]["pet_spacing_mm"] != [4.0, 4.0, 4.0]
    assert told["look"]["phase"] in ("native", "venous", "arterial") and "blood" in told["look"]["shift_hu"]


def test_a_real_ct_is_not_made_realistic(tmp_path, capsys):
    command = ["phantoms", "--out", str(tmp_path), "--realistic", "--ct", str(tmp_path)]
    assert main(command) == 1
    assert "--realistic is for the built-in anatomy" in capsys.readouterr().err
