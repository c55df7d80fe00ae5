"""What is told of a case's images with every result that uses them."""

import gzip
import hashlib
import json
from dataclasses import replace

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


def test_a_doubt_is_told_of_the_pet_that_was_imported_and_not_of_one_put_in_its_place(tmp_path):
    small_store.make_case(tmp_path, "a")
    import_folder(tmp_path).mkdir(parents=True)
    pet = tmp_path / "pet" / "a.nii.gz"
    about = {"registration": {"doubt": DOUBT}, "sha256": hashlib.sha256(pet.read_bytes()).hexdigest()}
    (import_folder(tmp_path) / "a.json").write_text(json.dumps({"pet": about}))
    paths = companions(tmp_path, "a")
    assert load_for(ROWS["osln"], paths)[1] == [DOUBT]
    # Also where another file is named beside the CT of the store.
    other = tmp_path / "other.nii.gz"
    other.write_bytes(gzip.compress(gzip.decompress(pet.read_bytes()), mtime=1))
    assert load_for(ROWS["osln"], replace(paths, pet=other))[1] == []
    other.replace(pet)
    assert load_for(ROWS["osln"], paths)[1] == []


def test_a_case_without_a_pet_has_no_doubt_about_it(tmp_path):
    small_store.make_case(tmp_path, "a")
    import_folder(tmp_path).mkdir(parents=True)
    (import_folder(tmp_path) / "a.json").write_text(json.dumps({"pet": {"registration": {"doubt": DOUBT}}}))
    (tmp_path / "pet" / "a.nii.gz").unlink()
    assert load_for(ROWS["ct"], companions(tmp_path, "a"))[1] == []
