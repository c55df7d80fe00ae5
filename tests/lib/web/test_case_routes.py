"""What is told of a case before its images are looked at."""

import json
import shutil

import numpy as np
import pytest

from lib.store.datastore import OslnDatastore
from lib.web import case_routes
from osln.dicom.served.uids import study_uid
from small import store as small_store
from small.pacs import CASE, PET, fresh_store
from small.routes import client_of_routes

FIGURES = {"method": "spline", "lung_dice_after": 0.96}


@pytest.fixture
def told_of(tmp_path, monkeypatch):
    """Asks about a case of the store in `tmp_path`."""
    small_store.make_case(tmp_path, "one")
    small_store.make_case(tmp_path, "two", pet=False, gtv=False)
    store = OslnDatastore(tmp_path)
    client = client_of_routes(monkeypatch, [case_routes], store)

    def ask(image):
        reply = client.get("/osln/case", params={"image": image})
        return reply.status_code, reply.json()

    ask.store = store
    return ask


def test_a_case_with_pet_and_tumor(told_of):
    status, told = told_of("one")

    assert status == 200
    assert (told["case"], told["study_uid"], told["tumor"]) == ("one", study_uid("one"), True)
    assert told["series"] == told["ct_series_uid"] == told_of.store.ct_series("one")
    assert told["pet"] == {
        "state": "same",
        "message": "the PET lies in the CT's frame of reference",
        "series_uid": told_of.store.images.files("one")[1].uid,
        "original_series_uid": None,
        "progress": None,
        "quality": None,
    }
    assert told_of(told["series"]) == told_of(told["study_uid"]) == (200, told)


def test_a_case_without_pet(told_of):
    _, told = told_of("two")

    assert (told["pet"]["state"], told["pet"]["series_uid"]) == ("none", None)
    assert told["pet"]["message"] == "case two has no PET" and told["tumor"] is False


def test_an_imported_case_tells_how_its_pet_was_registered(told_of, tmp_path):
    path = tmp_path / ".osln" / "import" / "one.json"
    path.parent.mkdir(parents=True)
    path.write_text(
        json.dumps({"pet": {"registration": FIGURES}, "warnings": ["PET and CT lie 40 days apart"]})
    )

    _, told = told_of("one")

    assert told["pet"]["state"] == "registered" and told["pet"]["quality"] == FIGURES
    assert (
        "registered to the CT (spline); the lungs of both CTs overlap by a Dice of 0.96"
        in told["pet"]["message"]
    )
    assert told["warnings"] == ["PET and CT lie 40 days apart"]


def test_a_pet_in_the_place_of_the_imported_one_was_not_registered_so(told_of, tmp_path):
    path = tmp_path / ".osln" / "import" / "one.json"
    path.parent.mkdir(parents=True)
    about = {"registration": FIGURES, "sha256": "of another file"}
    path.write_text(json.dumps({"pet": about, "warnings": ["the PET may lie wrong"]}))

    _, told = told_of("one")

    assert (told["pet"]["state"], told["pet"]["quality"]) == ("same", None)
    assert told["warnings"][0].startswith("another PET lies in the place of the one that was imported")
    assert told["warnings"][1:] == ["the PET may lie wrong"]


def test_a_pet_that_cannot_be_shown_says_why(told_of, tmp_path):
    suv = np.ones((25, 23, 18), np.float32)
    suv[0, 0, 0] = np.nan
    small_store.write(tmp_path / "pet" / "one.nii.gz", suv)

    _, told = told_of("one")

    assert told["pet"]["state"] == "failed"
    assert told["pet"]["message"].startswith("the PET is not shown: case one: the PET holds NaN")


def test_a_pet_beside_the_ct_says_so(told_of, tmp_path):
    affine = small_store.AFFINE_LPS.copy()
    affine[2, 3] += 5000
    shutil.move(tmp_path / "pet" / "one.nii.gz", tmp_path / "away.nii.gz")
    suv = np.random.default_rng(0).random((10, 10, 10)).astype(np.float32)
    small_store.write(tmp_path / "pet" / "one.nii.gz", suv, affine)

    assert "PET and CT do not overlap" in told_of("one")[1]["pet"]["message"]


def test_a_pet_that_vanishes_is_no_pet_any_more(told_of, tmp_path):
    assert told_of("one")[1]["pet"]["state"] == "same"
    (tmp_path / "pet" / "one.nii.gz").unlink()

    assert told_of("one")[1]["pet"]["state"] == "none"


def test_a_series_of_a_changed_ct_is_gone(told_of, tmp_path):
    old = told_of.store.ct_series("one")
    small_store.make_case(tmp_path, "one", faint=True)

    status, told = told_of(old)

    assert status == 404
    assert told["detail"] == (
        "the CT of case one has changed since it was opened: load it again (reload the page)"
    )


@pytest.mark.parametrize(("image", "status"), [("three", 404), ("Müller", 422), ("", 404), ("2.25.1", 404)])
def test_unknown_cases(told_of, image, status):
    code, told = told_of(image)

    assert code == status and told["detail"]


@pytest.mark.pacs
def test_a_case_of_a_pacs(pacs, tmp_path, monkeypatch):
    client = client_of_routes(monkeypatch, [case_routes], fresh_store(pacs, tmp_path / "mirror"))

    told = client.get(f"/osln/case?image={PET}").json()

    assert told["case"] == told["series"] == told["ct_series_uid"] == CASE
    assert told["pet"]["state"] == "same" and told["pet"]["series_uid"] == PET
