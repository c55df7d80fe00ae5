"""What is told of a case's images with every result that uses them."""

import json

import pytest

from osln.output.cases import load_for
from osln.rows.experiments import ROWS
from osln.store.layout import companions
from osln.store.patients import import_folder
from small import store as small_store

DOUBT = "the PET may lie wrong: it fits the CT by 0.20 bits"


@pytest.mark.parametrize(
    ("pet", "told"),
    [
        ({"registration": {"method": "rigid PET to CT", "doubt": DOUBT}}, [DOUBT]),
        ({"registration": {"method": "spline", "doubt": ""}}, []),
        ({"registration": {"method": "spline"}}, []),
        ({"registration": "same frame of reference as the CT: not moved"}, []),
        (None, []),
    ],
)
def test_a_doubt_about_the_place_of_the_pet_is_told_by_every_row_that_sees_it(tmp_path, pet, told):
    small_store.make_case(tmp_path, "a")
    import_folder(tmp_path).mkdir(parents=True)
    (import_folder(tmp_path) / "a.json").write_text(json.dumps({"pet": pet}))
    for row in ("osln", "ct"):
        assert load_for(ROWS[row], companions(tmp_path, "a"))[1] == told


def test_a_case_without_a_pet_has_no_doubt_about_it(tmp_path):
    small_store.make_case(tmp_path, "a")
    import_folder(tmp_path).mkdir(parents=True)
    (import_folder(tmp_path) / "a.json").write_text(json.dumps({"pet": {"registration": {"doubt": DOUBT}}}))
    (tmp_path / "pet" / "a.nii.gz").unlink()
    assert load_for(ROWS["ct"], companions(tmp_path, "a"))[1] == []
